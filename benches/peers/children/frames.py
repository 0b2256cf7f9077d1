"""A consumer in protocol `frames`: a JSON line, then the body, then a line end."""

import json
import sys

stdin = sys.stdin.buffer
for line in stdin:
    message = json.loads(line)
    body = stdin.read(message["length"] + 1)
    print("ack", message["id"], flush=True)
