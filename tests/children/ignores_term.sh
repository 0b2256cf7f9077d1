#!/bin/sh
# Acks (protocol `lines`), and neither the end of its input nor TERM ends it.
trap '' TERM
while IFS= read -r line; do
    echo ack
done
while :; do
    sleep 1
done
