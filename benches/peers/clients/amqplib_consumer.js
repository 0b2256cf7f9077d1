// amqplib's promise API, as its documentation has it: an ack for each message.

const amqp = require("amqplib");

async function main() {
  const connection = await amqp.connect(process.env.BENCH_URL);
  const channel = await connection.createChannel();
  await channel.prefetch(Number(process.env.BENCH_PREFETCH));
  await channel.consume(process.env.BENCH_QUEUE, (message) => channel.ack(message));
}

main();
