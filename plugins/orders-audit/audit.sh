#!/usr/bin/env bash
# Keeps an audit trail: one line with the size and the beginning of every order event.
# The trail goes to the file named by AUDIT_LOG; without one it is only counted.
set -euo pipefail

. "$(dirname "$0")/../kits/bash/warrener.sh"

trail=${AUDIT_LOG:-/dev/null}
count=0

audit() {
    local event=$1
    if [ -z "$event" ]; then
        reason='an empty event proves nothing'
        return 3
    fi
    printf '%s characters: %s\n' "${#event}" "${event:0:60}" >>"$trail"
    count=$((count + 1))
    if [ $((count % 1000)) -eq 0 ]; then
        echo "$count events in the audit trail"
    fi
}

warrener_run audit
