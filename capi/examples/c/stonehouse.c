/*
 * The Stonehouse pattern in C: everything is encrypted, and the client knows that it talks to the right server. The server admits any client.
 *
 * New here: certificates, that is, key pairs. Safe from eavesdroppers, and the client from impostors; but the server does not know who its
 * clients are.
 */
#include "example.h"

int main(void)
{
  void *context = zmq_ctx_new();
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  char endpoint[64], server_key[IRONHOUSE_KEY_SIZE], other_key[IRONHOUSE_KEY_SIZE];

  ironhouse_policy_t *policy = NULL;
  ok(ironhouse_policy_new(&policy));
  ok(ironhouse_policy_curve_any(policy));
  ironhouse_authenticator_t *authenticator = NULL;
  ok(ironhouse_authenticator_start(&authenticator, &api, context, NULL));
  ok(ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("stone"), policy));

  /* The server has a key pair for long; its clients must know the public half of it. A client makes its own: any will do. */
  ironhouse_certificate_t *server_keys = NULL, *client_keys = NULL;
  ok(ironhouse_certificate_new(&server_keys));
  ok(ironhouse_certificate_public_key(server_keys, server_key));
  ok(ironhouse_certificate_new(&client_keys));
  ok(ironhouse_certificate_public_key(client_keys, other_key));

  void *server = open_socket(context, ZMQ_PUSH);
  ok(ironhouse_socket_curve_server(server, authenticator, IRONHOUSE_TEXT("stone"), server_keys));
  bind_socket(server, endpoint);

  void *client = open_socket(context, ZMQ_PULL);
  ok(ironhouse_socket_curve_client(client, &api, client_keys, IRONHOUSE_TEXT(server_key)));
  CHECK(connect_checked(context, client, endpoint));
  say_hello(server, client, NULL, NULL);

  /* A client that expects another server's key does not talk to this one. */
  void *wrong = open_socket(context, ZMQ_PULL);
  ok(ironhouse_socket_curve_client(wrong, &api, client_keys, IRONHOUSE_TEXT(other_key)));
  CHECK(!connect_checked(context, wrong, endpoint));

  /* And one without encryption is not talked to at all. */
  void *clear = open_socket(context, ZMQ_PULL);
  CHECK(!connect_checked(context, clear, endpoint));

  zmq_close(clear);
  zmq_close(wrong);
  zmq_close(client);
  zmq_close(server);
  ok(ironhouse_authenticator_destroy(&authenticator));
  ok(ironhouse_policy_destroy(&policy));
  ok(ironhouse_certificate_destroy(&client_keys));
  ok(ironhouse_certificate_destroy(&server_keys));
  zmq_ctx_term(context);
  puts("Stonehouse test OK");
  return 0;
}
