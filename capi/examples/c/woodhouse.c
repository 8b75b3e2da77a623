/*
 * The Woodhouse pattern in C: clients are admitted by name and password. Both travel in clear text, as does everything else.
 *
 * New here: users, and messages that say who sent them.
 */
#include "example.h"

int main(void)
{
  void *context = zmq_ctx_new();
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  char endpoint[64];

  /* In earnest: ironhouse_passwords_load(), lines of `name=secret` in a file of mode 0600. */
  ironhouse_passwords_t *passwords = NULL;
  ok(ironhouse_passwords_memory(&passwords));
  ok(ironhouse_passwords_insert(passwords, IRONHOUSE_TEXT("admin"), IRONHOUSE_TEXT("secret")));
  ironhouse_policy_t *policy = NULL;
  ok(ironhouse_policy_new(&policy));
  ok(ironhouse_policy_plain(policy, passwords));
  ironhouse_authenticator_t *authenticator = NULL;
  ok(ironhouse_authenticator_start(&authenticator, &api, context, NULL));
  ok(ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("office"), policy));

  void *server = open_socket(context, ZMQ_PULL);
  ok(ironhouse_socket_plain_server(server, authenticator, IRONHOUSE_TEXT("office")));
  bind_socket(server, endpoint);

  void *client = open_socket(context, ZMQ_PUSH);
  ok(ironhouse_socket_plain_client(client, &api, IRONHOUSE_TEXT("admin"), IRONHOUSE_TEXT("secret")));
  CHECK(connect_checked(context, client, endpoint));
  say_hello(client, server, "User-Id", "admin");

  void *guess = open_socket(context, ZMQ_PUSH);
  ok(ironhouse_socket_plain_client(guess, &api, IRONHOUSE_TEXT("admin"), IRONHOUSE_TEXT("bogus")));
  CHECK(!connect_checked(context, guess, endpoint));

  zmq_close(guess);
  zmq_close(client);
  zmq_close(server);
  ok(ironhouse_authenticator_destroy(&authenticator));
  ok(ironhouse_policy_destroy(&policy));
  ok(ironhouse_passwords_destroy(&passwords));
  zmq_ctx_term(context);
  puts("Woodhouse test OK");
  return 0;
}
