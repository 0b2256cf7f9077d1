/* rabbitmq-c as fast as it goes while acking each message: the yardstick.
 * It computes a sum over each body, so that a body is at least looked at. */

#include <stdio.h>
#include <stdlib.h>

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_tcp_socket.h>
#endif

static void must(int ok, const char *what) {
  if (!ok) {
    fprintf(stderr, "cannot %s\n", what);
    exit(1);
  }
}

static int fine(amqp_connection_state_t connection) {
  return amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL;
}

int main(void) {
  struct amqp_connection_info info;
  char *url = getenv("BENCH_URL");
  must(url && amqp_parse_url(url, &info) == AMQP_STATUS_OK, "read the address");
  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  must(amqp_socket_open(socket, info.host, info.port) == AMQP_STATUS_OK, "connect");
  must(amqp_login(connection, info.vhost, 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, info.user,
                  info.password)
               .reply_type == AMQP_RESPONSE_NORMAL,
       "log in");
  amqp_channel_open(connection, 1);
  must(fine(connection), "open a channel");
  amqp_basic_qos(connection, 1, 0, (uint16_t)atoi(getenv("BENCH_PREFETCH")), 0);
  must(fine(connection), "set the prefetch");
  amqp_basic_consume(connection, 1, amqp_cstring_bytes(getenv("BENCH_QUEUE")), amqp_empty_bytes, 0,
                     0, 0, amqp_empty_table);
  must(fine(connection), "consume");
  unsigned long sum = 0;
  for (;;) {
    amqp_envelope_t envelope;
    amqp_maybe_release_buffers(connection);
    must(amqp_consume_message(connection, &envelope, NULL, 0).reply_type == AMQP_RESPONSE_NORMAL,
         "go on consuming");
    for (size_t i = 0; i < envelope.message.body.len; i += 64)
      sum += ((unsigned char *)envelope.message.body.bytes)[i];
    must(amqp_basic_ack(connection, 1, envelope.delivery_tag, 0) == 0, "ack");
    amqp_destroy_envelope(&envelope);
    if (sum == 1) puts("so that the sum is not left out");
  }
}
