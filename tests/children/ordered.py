"""Writes down the beginning and the end of each message, and fails some.

Lines of the file $LEDGER, each in one call: `start NUMBER PARENT` and `done NUMBER PARENT`, with the
body of the message and the process id of the supervisor. A body `nack 7` fails at its first try,
`crash 7` kills this process then, `never 7` fails always. $DELAY: seconds to sleep for each. $GATE: a
file without which none is done.
"""
import ctypes
import json
import os
import sys
import time

ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
delay = float(os.environ.get("DELAY", "0"))
gate = os.environ.get("GATE")


def note(word, number):
    os.write(ledger, ("%s %s %d\n" % (word, number, os.getppid())).encode())


for line in sys.stdin.buffer:
    message = json.loads(line)
    kind, number = message["body"].split()
    note("start", number)
    if delay:
        time.sleep(delay)
    while gate and not os.path.exists(gate):
        time.sleep(0.01)
    first = message.get("attempt", 0) == 1
    if kind == "crash" and first:
        ctypes.string_at(0)
    if kind == "never" or (kind == "nack" and first):
        print(json.dumps({"id": message["id"], "result": "nack", "reason": "as told"}), flush=True)
        continue
    note("done", number)
    print(json.dumps({"id": message["id"], "result": "ack"}), flush=True)
