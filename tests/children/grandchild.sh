#!/bin/sh
# Leaves a process behind that has left the process group and holds stdout and stderr open, and
# writes its id to $GRANDCHILD. Acks (protocol `lines`) and ends with its input.
setsid sleep 600 &
echo $! > "$GRANDCHILD"
while IFS= read -r line; do
    echo ack
done
