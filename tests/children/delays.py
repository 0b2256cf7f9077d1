#!/usr/bin/env python3
"""Answers `retry` with the delay that a body names, once; acks what comes again.

Each try goes to the file $LEDGER: the body, the attempt, and the time in seconds.
"""
import json
import os
import sys
import time

ledger = open(os.environ["LEDGER"], "a", buffering=1)
for line in sys.stdin:
    message = json.loads(line)
    body, attempt = message["body"], message["attempt"]
    ledger.write("%s %d %.3f\n" % (body, attempt, time.time()))
    if attempt == 1:
        print("retry", message["id"], body, "not yet", flush=True)
    else:
        print("ack", message["id"], flush=True)
