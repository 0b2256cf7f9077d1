#!/usr/bin/env python3
"""Collects so many messages, then acks them last first: out_of_order.py COUNT."""
import json
import sys

held = []
for line in sys.stdin:
    held.append(json.loads(line)["id"])
    if len(held) == int(sys.argv[1]):
        while held:
            print("ack", held.pop(), flush=True)
while held:
    print("ack", held.pop(), flush=True)
