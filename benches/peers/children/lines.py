"""A consumer in protocol `lines`, as anybody would write it: each answer is flushed."""

import sys

for line in sys.stdin.buffer:
    print("ack", flush=True)
