#!/usr/bin/env python3
"""Ends in the middle of an answer, which therefore is none."""
import json
import os
import sys

identity = json.loads(sys.stdin.readline())["id"]
os.write(1, ('{"id":"%s","result":"ac' % identity).encode())
