#!/usr/bin/env python3
"""Answers the first message with a line that has no end."""
import os
import sys

sys.stdin.buffer.readline()
while True:
    os.write(1, b"x" * 65536)
