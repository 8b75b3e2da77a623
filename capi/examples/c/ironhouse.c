/*
 * The Ironhouse pattern in C: a server that encrypts and admits the clients whose certificates it has, and nobody else.
 *
 * The context and the sockets are the program's own; ironhouse guards them.
 */
#include "example.h"

int main(void)
{
  void *context = zmq_ctx_new();
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  char endpoint[64], server_key[IRONHOUSE_KEY_SIZE];

  /* In earnest these are made once and kept: ironhouse_certificate_save(), ironhouse_certificate_load_secret(). */
  ironhouse_certificate_t *server_keys = NULL, *client_keys = NULL, *stranger_keys = NULL;
  ok(ironhouse_certificate_new(&server_keys));
  ok(ironhouse_certificate_new(&client_keys));
  ok(ironhouse_certificate_new(&stranger_keys));
  ok(ironhouse_certificate_set_meta(client_keys, IRONHOUSE_TEXT("name"), IRONHOUSE_TEXT("Ada")));
  ok(ironhouse_certificate_public_key(server_keys, server_key));

  /* Who may connect: those whose certificates are in the store, from this machine. In earnest: ironhouse_store_directory(). */
  ironhouse_store_t *store = NULL;
  ok(ironhouse_store_memory(&store));
  ok(ironhouse_store_insert(store, client_keys));
  ironhouse_policy_t *policy = NULL;
  ok(ironhouse_policy_new(&policy));
  ok(ironhouse_policy_allow(policy, IRONHOUSE_TEXT("127.0.0.1")));
  ok(ironhouse_policy_curve_store(policy, store));
  ironhouse_authenticator_t *authenticator = NULL;
  ok(ironhouse_authenticator_start(&authenticator, &api, context, NULL));
  ok(ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("example"), policy));

  /* Sockets are secured before they are bound or connected. */
  void *server = open_socket(context, ZMQ_PULL);
  ok(ironhouse_socket_curve_server(server, authenticator, IRONHOUSE_TEXT("example"), server_keys));
  bind_socket(server, endpoint);

  /* The metadata of an admitted client's certificate are properties of its messages. */
  void *client = open_socket(context, ZMQ_PUSH);
  ok(ironhouse_socket_curve_client(client, &api, client_keys, IRONHOUSE_TEXT(server_key)));
  CHECK(connect_checked(context, client, endpoint));
  say_hello(client, server, "name", "Ada");

  void *stranger = open_socket(context, ZMQ_PUSH);
  ok(ironhouse_socket_curve_client(stranger, &api, stranger_keys, IRONHOUSE_TEXT(server_key)));
  CHECK(!connect_checked(context, stranger, endpoint));

  zmq_close(stranger);
  zmq_close(client);
  zmq_close(server);
  ok(ironhouse_authenticator_destroy(&authenticator));
  ok(ironhouse_policy_destroy(&policy));
  ok(ironhouse_store_destroy(&store));
  ok(ironhouse_certificate_destroy(&stranger_keys));
  ok(ironhouse_certificate_destroy(&client_keys));
  ok(ironhouse_certificate_destroy(&server_keys));
  zmq_ctx_term(context);
  puts("Ironhouse test OK");
  return 0;
}
