#!/usr/bin/env python3
"""Writes what is no answer: bytes that are not UTF-8, broken JSON, an unknown result."""
import sys

for _ in sys.stdin.buffer:
    sys.stdout.buffer.write(b'ack \xff\xfe\n{"id":"1-1","result":\n{"id":"1-1","result":"maybe"}\n')
    sys.stdout.buffer.flush()
