/*
 * The Grasslands pattern in C: no security at all. Anybody can connect, and anybody on the way can read and change what is sent.
 *
 * Where the others start from: a program of libzmq alone.
 */
#include "example.h"

int main(void)
{
  void *context = zmq_ctx_new();
  char endpoint[64];

  void *server = open_socket(context, ZMQ_PUSH);
  bind_socket(server, endpoint);

  void *client = open_socket(context, ZMQ_PULL);
  CHECK(zmq_connect(client, endpoint) == 0);
  say_hello(server, client, NULL, NULL);

  zmq_close(client);
  zmq_close(server);
  zmq_ctx_term(context);
  puts("Grasslands test OK");
  return 0;
}
