"""Answers each message with what its body asks for, and logs it: one line `id body` in $LOG.

A body is `VERB [WORDS]`, such as `ack`, `nack no such customer`, `reject` or `exit 3`.
`once X` fails the first try and acks every later one.
"""
import json
import os
import sys

log = open(os.environ["LOG"], "a", buffering=1) if "LOG" in os.environ else None
for line in sys.stdin:
    message = json.loads(line)
    verb, _, words = message["body"].partition(" ")
    if log:
        log.write("%s %s\n" % (message["id"], message["body"]))
    if verb == "exit":
        os._exit(int(words))
    if verb == "silent":
        continue
    if verb == "once":
        verb = "nack" if message["attempt"] == 1 else "ack"
    answer = {"id": message["id"], "result": verb}
    if words:
        answer["reason"] = words
    print(json.dumps(answer), flush=True)
