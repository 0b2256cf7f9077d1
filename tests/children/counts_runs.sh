#!/bin/sh
# Does for `exec` what counts_runs.py does: writes `NAME MESSAGE_ID RUN` to the file $LEDGER, then
# exits with 0, or with 3 for a body `bad`. $DELAY: seconds to sleep.
read -r run < run
read -r body
if [ -n "$DELAY" ]; then sleep "$DELAY"; fi
echo "$NAME $WARRENER_MESSAGE_ID $run" >> "$LEDGER"
if [ "$body" = bad ]; then exit 3; fi
exit 0
