#!/usr/bin/env python3
"""Dies by SIGSEGV on a message whose body contains `crash`, after saying why; acks all others."""
import json
import os
import signal
import sys

for line in sys.stdin:
    message = json.loads(line)
    if "crash" in message["body"]:
        print("about to crash on %s" % message["body"], file=sys.stderr, flush=True)
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)
    print("ack", message["id"], flush=True)
