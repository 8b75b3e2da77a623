/* For benches/capi.rs: an authenticator of the C interface on the benchmark's own context, whose callback admits everybody. */
#include <ironhouse.h>
#include <stdio.h>
#include <stdlib.h>

static void must(ironhouse_result_t result)
{
  if (result == IRONHOUSE_OK)
    return;
  fprintf(stderr, "ironhouse: %s\n", ironhouse_last_error());
  exit(1);
}

static int admit(void *user_data, const ironhouse_peer_t *peer, ironhouse_reply_t *reply)
{
  (void) user_data;
  (void) reply;
  return peer->public_key ? IRONHOUSE_ADMIT : IRONHOUSE_REFUSE;
}

/* Starts it, and has it guard a socket, unless that is NULL, by a new key pair, whose public half goes to `key`. It runs until the process ends. */
void bench_start(void *context, void *socket, char key[IRONHOUSE_KEY_SIZE])
{
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  ironhouse_authenticator_t *authenticator = NULL;
  must(ironhouse_authenticator_start(&authenticator, &api, context, NULL));
  ironhouse_policy_t *policy = NULL;
  must(ironhouse_policy_new(&policy));
  must(ironhouse_policy_curve_callback(policy, admit, NULL, NULL));
  must(ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("bench"), policy));
  ironhouse_certificate_t *keys = NULL;
  must(ironhouse_certificate_new(&keys));
  must(ironhouse_certificate_public_key(keys, key));
  if (socket)
    must(ironhouse_socket_curve_server(socket, authenticator, IRONHOUSE_TEXT("bench"), keys));
}
