#!/usr/bin/env python3
"""Stops itself (SIGSTOP) on the first message; only KILL or CONT gets through to it."""
import os
import signal
import sys

sys.stdin.buffer.readline()
os.kill(os.getpid(), signal.SIGSTOP)
