#!/usr/bin/env python3
"""Never reads its input, so that the pipe fills; and outlives its end."""
import signal

while True:
    signal.pause()
