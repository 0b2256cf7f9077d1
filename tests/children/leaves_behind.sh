#!/bin/sh
# Leaves processes behind in every way there is: in its group, orphaned by a double fork, in sessions
# of their own, with an empty environment, and as parents of more. All hold its standard output and
# have its first argument, a number, as one of theirs. It says `ready` and ends with its input.
mark="0.${1:?a number}"
sleep 300 "$mark" &
(sleep 301 "$mark" &)
(setsid sleep 302 "$mark" &)
(env -i "$(command -v setsid)" "$(command -v sleep)" 303 "$mark" &)
(setsid sh -c '(setsid sleep 304 "$0" &); sleep 305 "$0" & trap "" TERM HUP; wait' "$mark" &)
echo ready
exec cat
