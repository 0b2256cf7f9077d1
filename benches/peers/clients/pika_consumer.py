"""pika's BlockingConnection, as its tutorials have it: an ack for each message."""

import os

import pika


def handle(channel, method, properties, body):
    channel.basic_ack(method.delivery_tag)


channel = pika.BlockingConnection(pika.URLParameters(os.environ["BENCH_URL"])).channel()
channel.basic_qos(prefetch_count=int(os.environ["BENCH_PREFETCH"]))
channel.basic_consume(os.environ["BENCH_QUEUE"], handle)
channel.start_consuming()
