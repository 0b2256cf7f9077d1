"""Consume RabbitMQ messages from Python behind Warrener.

One file, no dependencies, Python 3.8 or later. A consumer is a function of one message:

    import warrener

    def handle(message):
        order = message.json()
        ...                                     # returning means done (ack)
        raise warrener.Reject("no such order")  # can never succeed: dead-letter
        raise warrener.Retry("30s")             # failed: try again, after this delay
        raise RuntimeError("gateway is down")   # failed: the retry policy decides

    warrener.run(handle)

In the stack's file such a consumer has `protocol: json`, which is the default, or `protocol: frames`,
which costs less for long bodies and for those that are not text.

What the program prints goes to stderr, and so into Warrener's log: stdout belongs to the replies.
Where the file has `ready: true`, messages come once `run` is called.
An exception is the reason of a failure; its traceback is in the log. When the input ends, `run`
returns.
"""

import base64
import io
import json
import os
import sys
import time
import traceback

__all__ = ["Message", "Reject", "Requeue", "Retry", "log", "run", "stop"]

# Replies are held back while more messages are at hand, but never longer than this (seconds).
_HOLD = 0.01


class Reject(Exception):
    """The message can never be handled: it is dead-lettered with this reason."""


class Requeue(Exception):
    """The message goes back to its queue untouched and at once; no attempt is counted."""


class Retry(Exception):
    """Handling failed. `delay` such as "30s" asks for a pause; without it the policy decides."""

    def __init__(self, delay=None, reason=""):
        super().__init__(reason)
        self.delay = delay


class Message:
    """One message. `attempt` is 1 the first time; `body` is a str, or bytes if not UTF-8."""

    def __init__(self, envelope, replies):
        self.id = envelope["id"]
        self.attempt = envelope.get("attempt", 1)
        self.redelivered = envelope.get("redelivered", False)
        self.queue = envelope.get("queue", "")
        self.exchange = envelope.get("exchange", "")
        self.routing_key = envelope.get("routing_key", "")
        self.deadline = envelope.get("deadline")
        self.headers = envelope.get("headers", {})
        self.properties = envelope.get("properties", {})
        self.body = envelope.get("body", "")
        if envelope.get("encoding") == "base64":
            self.body = base64.b64decode(self.body)
        self._replies = replies
        self._publish = []
        self._reply = None

    @property
    def data(self):
        """The body as bytes, whatever it is."""
        if isinstance(self.body, str):
            return self.body.encode()
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    def json(self):
        """The body as JSON. Raises `Reject` where it is none: another try would not change it."""
        if not isinstance(self.body, (str, bytes)):
            return self.body  # `body_as: json`
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Reject(f"the body is not JSON: {error}") from None

    def publish(self, exchange, routing_key, body, headers=None, **properties):
        """Publishes a message once `handle` has returned; only then, and when the broker has it, is
        this one acked. Nothing is published if `handle` fails. `body` is a str, bytes, or anything
        that JSON has; `properties` are AMQP's, such as `message_id="…"`."""
        output = _output(body, headers, properties)
        self._publish.append({"exchange": exchange, "routing_key": routing_key, **output})

    def reply(self, body, headers=None, **properties):
        """Answers whoever sent this message and waits at its `reply_to`; the same otherwise."""
        self._reply = _output(body, headers, properties)

    def extend(self, duration):
        """Asks for more time for this message, such as "30s"."""
        self._replies.add({"id": self.id, "extend": duration})
        self._replies.flush()


def _output(body, headers, properties):
    output = {"body": body}
    if isinstance(body, (bytes, bytearray, memoryview)):
        output = {"body": base64.b64encode(body).decode(), "encoding": "base64"}
    if headers:
        output["headers"] = headers
    if properties:
        output["properties"] = properties
    return output


class _Replies:
    def __init__(self, fd):
        self._fd = fd
        self._pending = []
        self._since = 0.0

    def words(self, words):
        self._append(words + "\n")

    def add(self, reply):
        self._append(json.dumps(reply) + "\n")

    def _append(self, line):
        if not self._pending:
            self._since = time.monotonic()
        self._pending.append(line)

    def flush_if_due(self):
        if self._pending and time.monotonic() - self._since >= _HOLD:
            self.flush()

    def flush(self):
        data = memoryview("".join(self._pending).encode())
        self._pending.clear()
        while data:
            data = data[os.write(self._fd, data):]


_replies = None


def log(text, level="info"):
    """Writes one line to Warrener's log: level is trace, debug, info, warn or error."""
    if _replies is None:
        print(text, file=sys.stderr, flush=True)
    else:
        _replies.add({"log": str(text), "level": level})


def stop():
    """Asks to be replaced by a fresh process, once everything that was sent here is answered: for a
    handler that leaks memory, say. `run` goes on until the input ends, which is soon."""
    _replies.words("stop")
    _replies.flush()


def run(handle):
    """Says that the program is ready, and calls `handle` with each message until the input ends."""
    global _replies
    source, _replies = _take_over_stdio()
    try:
        _replies.words("ready")
        for envelope in _envelopes(source):
            _answer(handle, envelope)
            _replies.flush_if_due()
    finally:
        # Also when the program ends itself: what was handled before stays handled.
        _replies.flush()


class _Source(io.FileIO):
    """The input. Replies never wait for the next message."""

    def readinto(self, buffer):
        _replies.flush()
        return super().readinto(buffer)


def _envelopes(source):
    """The messages of the input, with their bodies. What is cut short at its end is none."""
    for line in source:
        if not line.endswith(b"\n"):
            return
        if not line.strip():
            continue
        envelope = json.loads(line)
        length = envelope.get("length")
        if length is not None:  # `protocol: frames`
            body = source.read(length + 1)
            if len(body) <= length:
                return
            body = body[:length]
            try:
                envelope["body"] = body.decode()
            except UnicodeDecodeError:
                envelope["body"] = body
        yield envelope


def _answer(handle, envelope):
    message = Message(envelope, _replies)
    reply = {"id": message.id}
    try:
        handle(message)
    except Reject as why:
        reply.update(result="reject", reason=str(why))
    except Requeue:
        reply.update(result="requeue")
    except Retry as why:
        reply.update(result="nack", reason=str(why))
        if why.delay is not None:
            reply.update(result="retry", delay=why.delay)
    except Exception as error:  # noqa: BLE001 - whatever it is, the message has failed
        traceback.print_exc()
        reply.update(result="nack", reason=f"{type(error).__name__}: {error}")
    else:
        if not message._publish and message._reply is None:
            _replies.words(f"ack {message.id}")
            return
        reply.update(result="ack", publish=message._publish, reply=message._reply)
    _replies.add(reply)


def _take_over_stdio():
    """Keeps the pipes to Warrener for ourselves: neither a `print` nor a program that the handler
    starts can then write into the replies or swallow a message."""
    source = io.BufferedReader(_Source(os.dup(0)), 1 << 16)
    replies = int(os.environ.get("WARRENER_REPLIES_FD", "1"))
    target = os.dup(replies)
    if replies > 2:
        os.close(replies)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, _Replies(target)
