#!/bin/sh
# Greets on stdout, prints and logs while it works, and acks without an id: protocol `lines`.
echo "=== my consumer v1.2 ==="
echo "acknowledged by the management"
while IFS= read -r line; do
    echo "working on $line"
    echo "log warn $line is late"
    printf '{"log":"%s is charged","level":"error","by":"card"}\n' "$line"
    echo ack
done
