#!/usr/bin/env python3
"""Reads every message and answers none."""
import sys

for _ in sys.stdin.buffer:
    pass
