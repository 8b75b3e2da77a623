/*
 * The Strawhouse pattern in C: clients are admitted by their address. No encryption, and an address is easily faked on a local network.
 *
 * New here: the authenticator of a context, and a domain: a name for a policy, and for the sockets that it guards.
 */
#include "example.h"

int main(void)
{
  void *context = zmq_ctx_new();
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  char endpoint[64];

  /* One authenticator serves all sockets of the context. A policy refuses everybody it does not admit. */
  ironhouse_authenticator_t *authenticator = NULL;
  ok(ironhouse_authenticator_start(&authenticator, &api, context, NULL));
  ironhouse_policy_t *policy = NULL;
  ok(ironhouse_policy_new(&policy));
  ok(ironhouse_policy_allow(policy, IRONHOUSE_TEXT("127.0.0.1")));
  ok(ironhouse_policy_null(policy));
  ok(ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("here"), policy));

  /* Sockets are secured before they are bound: afterwards it is an error, because libzmq would leave them open. */
  void *server = open_socket(context, ZMQ_PUSH);
  ok(ironhouse_socket_null_server(server, authenticator, IRONHOUSE_TEXT("here")));
  bind_socket(server, endpoint);
  CHECK(ironhouse_socket_null_server(server, authenticator, IRONHOUSE_TEXT("here")) == IRONHOUSE_SOCKET_IN_USE);

  void *client = open_socket(context, ZMQ_PULL);
  CHECK(connect_checked(context, client, endpoint));
  say_hello(server, client, NULL, NULL);

  /* The same server, after we change our mind. */
  ok(ironhouse_policy_deny(policy, IRONHOUSE_TEXT("127.0.0.0/8")));
  ok(ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("here"), policy));
  void *denied = open_socket(context, ZMQ_PULL);
  CHECK(!connect_checked(context, denied, endpoint));

  zmq_close(denied);
  zmq_close(client);
  zmq_close(server);
  ok(ironhouse_policy_destroy(&policy));
  ok(ironhouse_authenticator_destroy(&authenticator));
  zmq_ctx_term(context);
  puts("Strawhouse test OK");
  return 0;
}
