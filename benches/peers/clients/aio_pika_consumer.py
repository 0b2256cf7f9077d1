"""aio-pika, as its documentation has it: an ack for each message."""

import asyncio
import os

import aio_pika


async def main():
    connection = await aio_pika.connect(os.environ["BENCH_URL"])
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=int(os.environ["BENCH_PREFETCH"]))
    queue = await channel.get_queue(os.environ["BENCH_QUEUE"], ensure=False)

    async def handle(message):
        await message.ack()

    await queue.consume(handle)
    await asyncio.Future()


asyncio.run(main())
