#!/usr/bin/env python3
"""Takes one message and ends with code 0 without an answer: a failure all the same."""
import sys

sys.stdin.buffer.readline()
