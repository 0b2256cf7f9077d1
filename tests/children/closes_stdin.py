#!/usr/bin/env python3
"""Acks one message, closes its stdin and stays."""
import json
import os
import signal

# Unbuffered, so that nothing beyond the one line is taken.
line = b""
while not line.endswith(b"\n"):
    line += os.read(0, 1)
os.write(1, b"ack %s\n" % json.loads(line)["id"].encode())
os.close(0)
while True:
    signal.pause()
