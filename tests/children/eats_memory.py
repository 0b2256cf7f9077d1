"""Takes memory in several processes: a message `3 20` has three of them take 20 MiB each.

Acks when all of them had it at once, and nacks where one was refused it. A process that is killed
takes nobody with it.
"""
import os
import signal
import sys

for line in sys.stdin:
    count, size = (int(word) for word in line.split())
    told, telling = os.pipe()
    hold, holding = os.pipe()
    eaters = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            os.close(holding)
            try:
                taken = bytearray(size << 20)
                taken[::4096] = b"x" * len(taken[::4096])
                os.write(telling, b"+")
            except MemoryError:
                os.write(telling, b"-")
            os.read(hold, 1)
            os._exit(0)
        eaters.append(pid)
    os.close(telling)
    answers = b""
    while len(answers) < count:
        answer = os.read(told, count)
        if not answer:
            break
        answers += answer
    os.close(holding)
    for pid in eaters:
        os.waitpid(pid, 0)
    os.close(told)
    os.close(hold)
    print("ack" if answers == b"+" * count else "nack", flush=True)
