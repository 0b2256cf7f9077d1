#!/usr/bin/env python3
"""Writes so many MiB of log lines to stderr for each message, then acks: stderr_flood.py MIB."""
import json
import os
import sys

lines = (b"x" * 99 + b"\n") * 10486
for line in sys.stdin:
    for _ in range(int(sys.argv[1])):
        # A write to a pipe may take less than it was given.
        rest = memoryview(lines)
        while rest:
            rest = rest[os.write(2, rest):]
    print("ack", json.loads(line)["id"], flush=True)
