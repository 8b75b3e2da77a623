/* Policies: NULL by address, PLAIN by users in memory and in a file, CURVE by a directory, the fallback, a file of settings; and explanations. */
#include "peer.h"

#include <sys/stat.h>

/* The next decision on a client is this. The message arrives only if it is admitted. */
static void decided(struct world *world, void *server, void *client, const char *endpoint, int status, const char *reason)
{
  int before = world->heard.count;
  say_hello(client, endpoint);
  await(&world->heard, before + 1);
  CHECK(world->heard.decisions[before].status == status);
  if (strcmp(world->heard.decisions[before].reason, reason) != 0) {
    fprintf(stderr, "the reason is %s, not %s\n", world->heard.decisions[before].reason, reason);
    exit(1);
  }
  if (status == IRONHOUSE_ADMIT)
    receive_hello(server, NULL, NULL);
  else
    received_nothing(server);
  zmq_close(client);
}

static void null(void)
{
  struct world world;
  set_up(&world);
  ironhouse_policy_t *policy = new_policy();
  OK(ironhouse_policy_null(policy));
  OK(ironhouse_policy_deny(policy, IRONHOUSE_TEXT("127.0.0.1")));
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_policy_deny(policy, IRONHOUSE_TEXT("the neighbours")));
  give(&world, "open", policy);
  void *server = open_socket(world.context, ZMQ_PULL);
  OK(ironhouse_socket_null_server(server, world.authenticator, IRONHOUSE_TEXT("open")));
  char endpoint[64];
  bind_socket(server, endpoint);
  decided(&world, server, open_socket(world.context, ZMQ_PUSH), endpoint, IRONHOUSE_REFUSE, "address_denied");

  policy = new_policy();
  OK(ironhouse_policy_null(policy));
  OK(ironhouse_policy_allow(policy, IRONHOUSE_TEXT("127.0.0.0/8")));
  give(&world, "open", policy);
  decided(&world, server, open_socket(world.context, ZMQ_PUSH), endpoint, IRONHOUSE_ADMIT, "admitted");

  policy = new_policy();
  OK(ironhouse_policy_allow(policy, IRONHOUSE_TEXT("192.0.2.7")));
  OK(ironhouse_policy_refusal(policy, IRONHOUSE_RETRY));
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_policy_refusal(policy, IRONHOUSE_ADMIT));
  give(&world, "open", policy);
  decided(&world, server, open_socket(world.context, ZMQ_PUSH), endpoint, IRONHOUSE_RETRY, "address_not_allowed");
  zmq_close(server);
  tear_down(&world, HOST_LAST);
}

static void plain(int in_memory)
{
  struct world world;
  set_up(&world);
  ironhouse_passwords_t *users = NULL;
  if (in_memory) {
    OK(ironhouse_passwords_memory(&users));
    OK(ironhouse_passwords_insert(users, IRONHOUSE_TEXT("ada"), IRONHOUSE_TEXT("lovelace")));
    FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_passwords_insert(users, IRONHOUSE_TEXT("ada"), "", 0));
  } else {
    FILE *file = fopen("users", "w");
    CHECK(file && fputs("# people\nada=lovelace\n", file) >= 0 && fclose(file) == 0);
    CHECK(chmod("users", 0644) == 0);
    FAILS(IRONHOUSE_BAD_FILE, ironhouse_passwords_load(&users, IRONHOUSE_TEXT("users")));
    CHECK(chmod("users", 0600) == 0);
    OK(ironhouse_passwords_load(&users, IRONHOUSE_TEXT("users")));
    FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_passwords_insert(users, IRONHOUSE_TEXT("eve"), IRONHOUSE_TEXT("mallory")));
  }
  ironhouse_policy_t *policy = new_policy();
  OK(ironhouse_policy_plain(policy, users));
  give(&world, "people", policy);
  void *server = open_socket(world.context, ZMQ_PULL);
  OK(ironhouse_socket_plain_server(server, world.authenticator, IRONHOUSE_TEXT("people")));
  char endpoint[64];
  bind_socket(server, endpoint);
  void *client = open_socket(world.context, ZMQ_PUSH);
  OK(ironhouse_socket_plain_client(client, &world.api, IRONHOUSE_TEXT("ada"), IRONHOUSE_TEXT("lovelace")));
  decided(&world, server, client, endpoint, IRONHOUSE_ADMIT, "admitted");
  CHECK(strcmp(world.heard.decisions[0].identity, "ada") == 0);
  client = open_socket(world.context, ZMQ_PUSH);
  OK(ironhouse_socket_plain_client(client, &world.api, IRONHOUSE_TEXT("ada"), IRONHOUSE_TEXT("byron")));
  decided(&world, server, client, endpoint, IRONHOUSE_REFUSE, "wrong_password");
  if (in_memory) {
    OK(ironhouse_passwords_remove(users, IRONHOUSE_TEXT("ada")));
    FAILS(IRONHOUSE_NOT_FOUND, ironhouse_passwords_remove(users, IRONHOUSE_TEXT("ada")));
    client = open_socket(world.context, ZMQ_PUSH);
    OK(ironhouse_socket_plain_client(client, &world.api, IRONHOUSE_TEXT("ada"), IRONHOUSE_TEXT("lovelace")));
    decided(&world, server, client, endpoint, IRONHOUSE_REFUSE, "wrong_password");
  }
  OK(ironhouse_passwords_destroy(&users));
  zmq_close(server);
  tear_down(&world, HOST_LAST);
}

static void count(void *user_data, const char *text)
{
  CHECK(text[0]);
  ++*(int *) user_data;
}

/* A client that copies its certificate in and connects at once gets in at its first try. */
static void directory(void)
{
  struct world world;
  set_up(&world);
  CHECK(mkdir("clients", 0755) == 0);
  ironhouse_store_t *store = NULL, *file = NULL;
  OK(ironhouse_store_directory(&store, IRONHOUSE_TEXT("clients")));
  OK(ironhouse_store_keyfile(&file, IRONHOUSE_TEXT("visitors.keys")));
  ironhouse_policy_t *policy = new_policy();
  const ironhouse_store_t *stores[] = {store, file};
  OK(ironhouse_policy_curve_stores(policy, stores, 2));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_policy_curve_stores(policy, NULL, 2));
  give(&world, "known", policy);
  char server_key[IRONHOUSE_KEY_SIZE], client_key[IRONHOUSE_KEY_SIZE], endpoint[64];
  ironhouse_certificate_t *server_keys = new_keys(server_key), *client_keys = new_keys(client_key), *found = NULL;
  void *server = open_socket(world.context, ZMQ_PULL);
  OK(ironhouse_socket_curve_server(server, world.authenticator, IRONHOUSE_TEXT("known"), server_keys));
  bind_socket(server, endpoint);
  OK(ironhouse_certificate_save_public(client_keys, IRONHOUSE_TEXT("clients/pump")));
  void *client = open_socket(world.context, ZMQ_PUSH);
  OK(ironhouse_socket_curve_client(client, &world.api, client_keys, IRONHOUSE_TEXT(server_key)));
  decided(&world, server, client, endpoint, IRONHOUSE_ADMIT, "admitted");
  OK(ironhouse_store_lookup(store, IRONHOUSE_TEXT(client_key), &found));
  OK(ironhouse_certificate_destroy(&found));

  FILE *broken = fopen("clients/broken", "w");
  CHECK(broken && fputs("neither\n", broken) >= 0 && fclose(broken) == 0);
  CHECK(unlink("clients/pump") == 0);
  OK(ironhouse_store_sync(store, SOON));
  size_t size = 7;
  OK(ironhouse_store_size(store, &size));
  CHECK(size == 0);
  FAILS(IRONHOUSE_NOT_FOUND, ironhouse_store_lookup(store, IRONHOUSE_TEXT(client_key), &found));
  int problems = 0;
  OK(ironhouse_store_each_problem(store, count, &problems));
  CHECK(problems == 1);
  problems = 0;
  OK(ironhouse_authenticator_each_problem(world.authenticator, count, &problems));
  CHECK(problems >= 1);
  client = open_socket(world.context, ZMQ_PUSH);
  OK(ironhouse_socket_curve_client(client, &world.api, client_keys, IRONHOUSE_TEXT(server_key)));
  decided(&world, server, client, endpoint, IRONHOUSE_REFUSE, "unknown_key");

  OK(ironhouse_store_insert(store, client_keys));
  OK(ironhouse_store_remove(store, IRONHOUSE_TEXT(client_key)));
  FAILS(IRONHOUSE_NOT_FOUND, ironhouse_store_remove(store, IRONHOUSE_TEXT(client_key)));
  OK(ironhouse_store_destroy(&store));
  OK(ironhouse_store_destroy(&file));
  OK(ironhouse_certificate_destroy(&server_keys));
  OK(ironhouse_certificate_destroy(&client_keys));
  zmq_close(server);
  tear_down(&world, HOST_LAST);
}

/* A socket that the program secured by itself is judged by the fallback. */
static void fallback(void)
{
  struct world world;
  set_up(&world);
  void *server = open_socket(world.context, ZMQ_PULL);
  CHECK(zmq_setsockopt(server, ZMQ_ZAP_DOMAIN, "elsewhere", 9) == 0);
  char endpoint[64];
  bind_socket(server, endpoint);
  decided(&world, server, open_socket(world.context, ZMQ_PUSH), endpoint, IRONHOUSE_REFUSE, "unknown_domain");
  ironhouse_policy_t *policy = new_policy();
  OK(ironhouse_policy_null(policy));
  OK(ironhouse_authenticator_set_fallback(world.authenticator, policy));
  OK(ironhouse_policy_destroy(&policy));
  decided(&world, server, open_socket(world.context, ZMQ_PUSH), endpoint, IRONHOUSE_ADMIT, "admitted");
  zmq_close(server);
  tear_down(&world, HOST_LAST);
}

static void write_settings(const char *text)
{
  FILE *file = fopen("ironhouse.toml", "w");
  CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
  CHECK(chmod("ironhouse.toml", 0644) == 0);
}

static void settings(void)
{
  struct world world;
  open_world(&world, zmq_ctx_new());
  write_settings("[domain.open]\nnull = true\nsurprise = true\n");
  FAILS(IRONHOUSE_BAD_FILE, ironhouse_authenticator_load(&world.authenticator, &world.api, world.context, IRONHOUSE_TEXT("ironhouse.toml")));
  CHECK(strstr(ironhouse_last_error(), "ironhouse.toml:3"));
  write_settings("[domain.open]\nnull = true\n");
  OK(ironhouse_authenticator_load(&world.authenticator, &world.api, world.context, IRONHOUSE_TEXT("ironhouse.toml")));
  listen_to(&world);
  void *server = open_socket(world.context, ZMQ_PULL);
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_socket_null_server(server, world.authenticator, IRONHOUSE_TEXT("closed")));
  OK(ironhouse_socket_null_server(server, world.authenticator, IRONHOUSE_TEXT("open")));
  char endpoint[64];
  bind_socket(server, endpoint);
  decided(&world, server, open_socket(world.context, ZMQ_PUSH), endpoint, IRONHOUSE_ADMIT, "admitted");
  write_settings("[domain.open]\ndeny = [\"127.0.0.1\"]\nnull = true\n");
  OK(ironhouse_authenticator_reload(world.authenticator));
  decided(&world, server, open_socket(world.context, ZMQ_PUSH), endpoint, IRONHOUSE_REFUSE, "address_denied");
  zmq_close(server);
  tear_down(&world, HOST_LAST);
}

static void explanations(void)
{
  struct world world;
  set_up(&world);
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_authenticator_reload(world.authenticator));
  ironhouse_policy_t *policy = new_policy();
  OK(ironhouse_policy_curve_any(policy));
  OK(ironhouse_policy_deny(policy, IRONHOUSE_TEXT("192.0.2.7")));
  give(&world, "any", policy);
  ironhouse_credential_t credential = {.size = sizeof credential, .mechanism = "CURVE"};
  char key[IRONHOUSE_KEY_SIZE], secret[IRONHOUSE_KEY_SIZE], text[1024];
  OK(ironhouse_keypair(key, secret));
  credential.name = key;
  credential.name_length = IRONHOUSE_NUL;
  int status = 0;
  OK(ironhouse_authenticator_explain(world.authenticator, IRONHOUSE_TEXT("any"), IRONHOUSE_TEXT("192.0.2.8"), &credential, &status, text,
                                     sizeof text, NULL));
  CHECK(status == IRONHOUSE_ADMIT);
  OK(ironhouse_authenticator_explain(world.authenticator, IRONHOUSE_TEXT("any"), IRONHOUSE_TEXT("192.0.2.7"), &credential, &status, text,
                                     sizeof text, NULL));
  CHECK(status == IRONHOUSE_REFUSE && strstr(text, "192.0.2.7"));
  credential.mechanism = "MAGIC";
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_authenticator_explain(world.authenticator, IRONHOUSE_TEXT("any"), IRONHOUSE_TEXT("192.0.2.7"),
                                                                    &credential, &status, text, sizeof text, NULL));
  tear_down(&world, HOST_LAST);
}

int main(void)
{
  null();
  plain(1);
  plain(0);
  directory();
  fallback();
  settings();
  explanations();
  return 0;
}
