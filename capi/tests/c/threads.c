/* Calls from other threads than the one that made a handle, and from several at once; each thread has its own last error. */
#include "peer.h"

enum { THREADS = 4, TURNS = 50 };

struct shared {
  struct world world;
  ironhouse_store_t *store;
  ironhouse_policy_t *policy;
  ironhouse_certificate_t *keys, *fleeting;
  char key[IRONHOUSE_KEY_SIZE], endpoint[64];
  int number;
};

static void ignore(void *user_data, const ironhouse_connection_t *connection)
{
  (void) user_data;
  CHECK(connection->domain);
}

static void *work(void *data)
{
  struct shared *shared = data;
  ironhouse_authenticator_t *authenticator = shared->world.authenticator;
  CHECK(ironhouse_last_error()[0] == '\0');
  char missing[32];
  snprintf(missing, sizeof missing, "missing-%d.cert", __atomic_fetch_add(&shared->number, 1, __ATOMIC_RELAXED));
  ironhouse_certificate_t *nothing = NULL;
  FAILS(IRONHOUSE_IO, ironhouse_certificate_load(&nothing, IRONHOUSE_TEXT(missing)));
  for (int turn = 0; turn < TURNS; turn++) {
    /* Its own error stays, whatever goes wrong elsewhere. */
    CHECK(strstr(ironhouse_last_error(), missing));
    char key[IRONHOUSE_KEY_SIZE];
    ironhouse_certificate_t *keys = new_keys(key);
    OK(ironhouse_store_insert(shared->store, keys));
    OK(ironhouse_policy_curve_store(shared->policy, shared->store));
    OK(ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("shared"), shared->policy));
    OK(ironhouse_authenticator_revoke(authenticator, IRONHOUSE_TEXT(key)));
    OK(ironhouse_authenticator_unrevoke(authenticator, IRONHOUSE_TEXT(key)));
    OK(ironhouse_authenticator_each_peer(authenticator, ignore, NULL));
    ironhouse_counters_t counters = {.size = sizeof counters};
    OK(ironhouse_authenticator_counters(authenticator, &counters));
    OK(ironhouse_store_remove(shared->store, IRONHOUSE_TEXT(key)));
    OK(ironhouse_certificate_destroy(&keys));
    CHECK(strstr(ironhouse_last_error(), missing));
    FAILS(IRONHOUSE_IO, ironhouse_certificate_load(&nothing, IRONHOUSE_TEXT(missing)));
  }
  /* One of them destroys it; to the others it is gone, whenever they come. */
  ironhouse_certificate_t *fleeting = shared->fleeting;
  ironhouse_result_t result = ironhouse_certificate_destroy(&fleeting);
  CHECK(result == IRONHOUSE_OK || result == IRONHOUSE_BAD_HANDLE);
  return result == IRONHOUSE_OK ? shared : NULL;
}

/* Each secures a socket of its own and gets in, while the others change the policy. */
static void *connect_in_between(void *data)
{
  struct shared *shared = data;
  for (int turn = 0; turn < TURNS / 10; turn++) {
    void *client = open_socket(shared->world.context, ZMQ_REQ);
    OK(ironhouse_socket_curve_client(client, &shared->world.api, shared->keys, IRONHOUSE_TEXT(shared->key)));
    CHECK(zmq_connect(client, shared->endpoint) == 0);
    char reply[8];
    CHECK(zmq_send(client, "Hello", 5, 0) == 5 && zmq_recv(client, reply, sizeof reply, 0) == 5);
    zmq_close(client);
  }
  return NULL;
}

/* Destroys what another thread made. */
static void *finish(void *data)
{
  struct shared *shared = data;
  OK(ironhouse_store_destroy(&shared->store));
  OK(ironhouse_policy_destroy(&shared->policy));
  OK(ironhouse_certificate_destroy(&shared->keys));
  tear_down(&shared->world, HOST_LAST);
  return NULL;
}

int main(void)
{
  struct shared shared = {.number = 0};
  set_up(&shared.world);
  OK(ironhouse_store_memory(&shared.store));
  shared.keys = new_keys(shared.key);
  OK(ironhouse_certificate_new(&shared.fleeting));
  OK(ironhouse_store_insert(shared.store, shared.keys));
  shared.policy = new_policy();
  OK(ironhouse_policy_curve_store(shared.policy, shared.store));
  OK(ironhouse_authenticator_set_policy(shared.world.authenticator, IRONHOUSE_TEXT("shared"), shared.policy));
  void *server = open_socket(shared.world.context, ZMQ_REP);
  OK(ironhouse_socket_curve_server(server, shared.world.authenticator, IRONHOUSE_TEXT("shared"), shared.keys));
  OK(ironhouse_socket_watch(server, shared.world.authenticator, IRONHOUSE_TEXT("shared")));
  bind_socket(server, shared.endpoint);

  pthread_t workers[THREADS], client, last;
  for (int i = 0; i < THREADS; i++)
    CHECK(pthread_create(&workers[i], NULL, work, &shared) == 0);
  CHECK(pthread_create(&client, NULL, connect_in_between, &shared) == 0);
  for (int turn = 0; turn < TURNS / 10; turn++) {
    char request[8];
    CHECK(zmq_recv(server, request, sizeof request, 0) == 5 && zmq_send(server, request, 5, 0) == 5);
  }
  CHECK(pthread_join(client, NULL) == 0);
  int destroyed = 0;
  for (int i = 0; i < THREADS; i++) {
    void *by;
    CHECK(pthread_join(workers[i], &by) == 0);
    destroyed += by != NULL;
  }
  CHECK(destroyed == 1);
  CHECK(ironhouse_last_error()[0] == '\0');
  zmq_close(server);
  CHECK(pthread_create(&last, NULL, finish, &shared) == 0 && pthread_join(last, NULL) == 0);
  return 0;
}
