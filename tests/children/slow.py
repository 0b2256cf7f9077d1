#!/usr/bin/env python3
"""Acks each message after so many seconds: slow.py SECONDS."""
import json
import sys
import time

for line in sys.stdin:
    time.sleep(float(sys.argv[1]))
    print("ack", json.loads(line)["id"], flush=True)
