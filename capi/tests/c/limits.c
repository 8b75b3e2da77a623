/* Who fails again and again is locked out, listed, and let in again; and how many may come at all. */
#include "peer.h"

#include <unistd.h>

struct list {
  int count;
  char domain[16], address[32], identity[64];
};

static void note(void *user_data, const ironhouse_lockout_t *lockout)
{
  struct list *list = user_data;
  CHECK(lockout->size >= sizeof *lockout && lockout->remaining > 0 && lockout->text[0]);
  list->count++;
  snprintf(list->domain, sizeof list->domain, "%s", lockout->domain ? lockout->domain : "*");
  snprintf(list->address, sizeof list->address, "%s", lockout->address ? lockout->address : "*");
  snprintf(list->identity, sizeof list->identity, "%s", lockout->identity ? lockout->identity : "*");
}

static struct list lockouts(ironhouse_authenticator_t *authenticator)
{
  struct list list = {0, "", "", ""};
  OK(ironhouse_authenticator_each_lockout(authenticator, note, &list));
  return list;
}

/* A client that is refused. */
static void fail(void *context, const ironhouse_api_t *api, const char *endpoint, struct heard *heard, int count, const char *reason)
{
  void *client = open_socket(context, ZMQ_PUSH);
  OK(ironhouse_socket_plain_client(client, api, IRONHOUSE_TEXT("ada"), IRONHOUSE_TEXT("guess")));
  CHECK(zmq_connect(client, endpoint) == 0);
  await(heard, count);
  CHECK(strcmp(heard->decisions[count - 1].reason, reason) == 0);
  CHECK(zmq_close(client) == 0);
}

int main(void)
{
  void *context = zmq_ctx_new();
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  ironhouse_authenticator_t *authenticator = NULL;
  ironhouse_authenticator_options_t options = {.size = sizeof options, .limits = 7};
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_authenticator_start(&authenticator, &api, context, &options));
  options.limits = IRONHOUSE_LIMITS_STANDARD;
  options.lockout_by_address = 1000000;
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_authenticator_start(&authenticator, &api, context, &options));
  options.limits = IRONHOUSE_LIMITS_BEHIND_NAT;
  options.lockout_by_address = 0;
  options.lockout_by_credential = 2;
  options.connections = 8;
  /* What a program built with an older header does not know is as if it were not set. */
  options.size = offsetof(ironhouse_authenticator_options_t, limits);
  OK(ironhouse_authenticator_start(&authenticator, &api, context, &options));
  OK(ironhouse_authenticator_destroy(&authenticator));
  options.size = sizeof options;
  OK(ironhouse_authenticator_start(&authenticator, &api, context, &options));
  struct heard heard = NOTHING_HEARD;
  OK(ironhouse_authenticator_on_event(authenticator, hear, &heard, heard_enough));

  ironhouse_passwords_t *passwords = NULL;
  ironhouse_policy_t *policy = NULL;
  OK(ironhouse_passwords_memory(&passwords));
  OK(ironhouse_passwords_insert(passwords, IRONHOUSE_TEXT("ada"), IRONHOUSE_TEXT("secret")));
  OK(ironhouse_policy_new(&policy));
  OK(ironhouse_policy_plain(policy, passwords));
  OK(ironhouse_policy_refusal_by(policy, IRONHOUSE_RULE_LOCK_OUT, IRONHOUSE_REFUSE));
  OK(ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("pumps"), policy));
  void *server = open_socket(context, ZMQ_PULL);
  char endpoint[64];
  OK(ironhouse_socket_plain_server(server, authenticator, IRONHOUSE_TEXT("pumps")));
  bind_socket(server, endpoint);

  CHECK(lockouts(authenticator).count == 0);
  FAILS(IRONHOUSE_NOT_FOUND, ironhouse_authenticator_unlock_address(authenticator, IRONHOUSE_TEXT("127.0.0.1")));
  fail(context, &api, endpoint, &heard, 1, "wrong_password");
  fail(context, &api, endpoint, &heard, 2, "wrong_password");
  CHECK(heard.decisions[1].status == IRONHOUSE_REFUSE);
  fail(context, &api, endpoint, &heard, 3, "locked_out");
  CHECK(heard.decisions[2].status == IRONHOUSE_REFUSE);
  struct list list = lockouts(authenticator);
  CHECK(list.count == 1 && strcmp(list.domain, "pumps") == 0 && strcmp(list.identity, "ada") == 0);
  CHECK(strncmp(list.address, "127.0.0.1", 9) == 0);
  ironhouse_counters_t counters = {.size = sizeof counters};
  OK(ironhouse_authenticator_counters(authenticator, &counters));
  CHECK(counters.locked_out == 1 && counters.closed == 0);

  /* Let in again, by the right password. */
  OK(ironhouse_authenticator_unlock_address(authenticator, IRONHOUSE_TEXT("127.0.0.1")));
  CHECK(lockouts(authenticator).count == 0);
  void *client = open_socket(context, ZMQ_PUSH);
  OK(ironhouse_socket_plain_client(client, &api, IRONHOUSE_TEXT("ada"), IRONHOUSE_TEXT("secret")));
  say_hello(client, endpoint);
  receive_hello(server, NULL, NULL);
  char key[IRONHOUSE_KEY_SIZE], secret[IRONHOUSE_KEY_SIZE];
  OK(ironhouse_keypair(key, secret));
  FAILS(IRONHOUSE_NOT_FOUND, ironhouse_authenticator_unlock_key(authenticator, IRONHOUSE_TEXT(key)));

  /* Principals of a list: only where libzmq carries refusals out. */
  const char *principals[] = {"ada@EXAMPLE.ORG", "zmq/host.example@EXAMPLE.ORG"};
  OK(ironhouse_policy_gssapi_principals(policy, principals, 2));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_policy_gssapi_principals(policy, NULL, 2));
  ironhouse_credential_t credential = {.size = sizeof credential, .mechanism = "GSSAPI", .name_length = IRONHOUSE_NUL};
  ironhouse_result_t set = ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("valves"), policy);
  CHECK(set == IRONHOUSE_OK || set == IRONHOUSE_GSSAPI_REFUSAL);
  if (set == IRONHOUSE_OK)
    for (int i = 0; i < 2; i++) {
      int status = 0;
      size_t length = 0;
      credential.name = i ? "eve@EXAMPLE.ORG" : principals[0];
      OK(ironhouse_authenticator_explain(authenticator, IRONHOUSE_TEXT("valves"), IRONHOUSE_TEXT("127.0.0.1"), &credential, &status,
                                         NULL, 0, &length));
      CHECK(status == (i ? IRONHOUSE_REFUSE : IRONHOUSE_ADMIT));
    }

  OK(ironhouse_policy_destroy(&policy));
  OK(ironhouse_passwords_destroy(&passwords));
  zmq_close(client);
  zmq_close(server);
  OK(ironhouse_authenticator_destroy(&authenticator));
  CHECK(heard.freed == 1);
  CHECK(zmq_ctx_term(context) == 0);
  return 0;
}
