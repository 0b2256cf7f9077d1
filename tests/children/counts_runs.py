"""Writes `NAME MESSAGE_ID RUN` to the file $LEDGER for each message, then acks it, or rejects `bad`.

RUN is what the file `run` had in it when this began. The line is written before the answer and in
one call. $DELAY: seconds to sleep for each.
"""
import json
import os
import sys
import time

ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
name = os.environ["NAME"]
delay = float(os.environ.get("DELAY", "0"))
with open("run") as file:
    run = file.read().strip()
for line in sys.stdin.buffer:
    message = json.loads(line)
    if delay:
        time.sleep(delay)
    number = message["properties"]["message_id"]
    os.write(ledger, ("%s %s %s\n" % (name, number, run)).encode())
    result = "reject" if message["body"] == "bad" else "ack"
    sys.stdout.write('{"id":"%s","result":"%s"}\n' % (message["id"], result))
    sys.stdout.flush()
