#!/usr/bin/env python3
"""Acks, but never flushes: the answers stay in the buffer of its stdout, which is a pipe.

The commonest mistake there is. PYTHONUNBUFFERED would hide it.
"""
import json
import sys

for line in sys.stdin:
    print("ack", json.loads(line)["id"])
