#!/usr/bin/env python3
"""Really dies by SIGSEGV on a message whose body begins with `poison`; acks all others.

What it is about to die of goes to the file $TRIES and to standard error; the `message_id` of what
it acks goes to the file $LEDGER first. Both as in `ledger.py`.
"""
import ctypes
import json
import os
import sys


def append(name):
    return os.open(os.environ[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


ledger, tries = append("LEDGER"), append("TRIES")
for line in sys.stdin.buffer:
    message = json.loads(line)
    if message["body"].startswith("poison"):
        os.write(tries, ("%s %d\n" % (message["body"], message.get("attempt", 0))).encode())
        print("reading the address of", message["body"], file=sys.stderr, flush=True)
        ctypes.string_at(0)
    os.write(ledger, message["properties"]["message_id"].encode() + b"\n")
    sys.stdout.write('{"id":"%s","result":"ack"}\n' % message["id"])
    sys.stdout.flush()
