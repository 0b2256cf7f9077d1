#!/usr/bin/env python3
"""Before each ack, answers for a message that it was never given."""
import json
import sys

for line in sys.stdin:
    print("ack 4294967295-999999", flush=True)
    print("ack", json.loads(line)["id"], flush=True)
