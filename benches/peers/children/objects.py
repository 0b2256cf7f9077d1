"""A consumer in protocol `json` that reads each message, and answers by its id."""

import json
import sys

for line in sys.stdin:
    message = json.loads(line)
    print("ack", message["id"], flush=True)
