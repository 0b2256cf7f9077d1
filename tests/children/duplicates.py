#!/usr/bin/env python3
"""Answers each message three times: ack, ack again, nack. The first one counts."""
import json
import sys

for line in sys.stdin:
    identity = json.loads(line)["id"]
    print("ack %s\nack %s\nnack %s changed my mind" % (identity, identity, identity), flush=True)
