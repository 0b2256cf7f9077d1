"""Notes and acks each body, but does not ack $HELD without the file $GATE. Notes go to $LEDGER."""
import json
import os
import sys

for line in sys.stdin.buffer:
    message = json.loads(line)
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(message["body"] + "\n")
    if message["body"] != os.environ["HELD"] or os.path.exists(os.environ["GATE"]):
        print(json.dumps({"id": message["id"], "result": "ack"}), flush=True)
