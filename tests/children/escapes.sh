#!/bin/sh
# Leaves a process behind of which nothing but its control group tells: orphaned, in a session of its
# own, without variables, and with another resource limit in place of the mark. It has the first
# argument, a number, as one of its own.
mark="0.${1:?a number}"
(env -i "$(command -v prlimit)" --locks=5: "$(command -v setsid)" "$(command -v sleep)" 306 "$mark" >/dev/null 2>&1 &)
exec cat
