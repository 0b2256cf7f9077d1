"""Writes the `message_id` of each message to the file $LEDGER, then acks it.

The line is written before the ack and in one call, so that after any kill the ledger has every
message that was acked, and at most the ones in flight twice. $DELAY: seconds to sleep for each.
"""
import json
import os
import sys
import time

ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
delay = float(os.environ.get("DELAY", "0"))
for line in sys.stdin.buffer:
    message = json.loads(line)
    os.write(ledger, message["properties"]["message_id"].encode() + b"\n")
    if delay:
        time.sleep(delay)
    sys.stdout.write('{"id":"%s","result":"ack"}\n' % message["id"])
    sys.stdout.flush()
