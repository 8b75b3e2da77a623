/* A program with its own contexts and sockets: CURVE by a store, both orders of shutdown, and sockets that are refused. */
#include "peer.h"

#include <sys/wait.h>
#include <unistd.h>

static void curve(enum order order)
{
  struct world world;
  set_up(&world);
  void *context = world.context;
  const ironhouse_api_t *api = &world.api;
  struct heard *heard = &world.heard;
  ironhouse_authenticator_t *authenticator = world.authenticator, *second = NULL;
  FAILS(IRONHOUSE_HANDLER_EXISTS, ironhouse_authenticator_start(&second, api, context, NULL));

  char server_key[IRONHOUSE_KEY_SIZE], known_key[IRONHOUSE_KEY_SIZE], unknown_key[IRONHOUSE_KEY_SIZE];
  ironhouse_certificate_t *server_keys = new_keys(server_key), *known = new_keys(known_key), *unknown = new_keys(unknown_key);
  OK(ironhouse_certificate_set_meta(known, IRONHOUSE_TEXT("name"), IRONHOUSE_TEXT("pump 7")));

  ironhouse_store_t *store = NULL;
  OK(ironhouse_store_memory(&store));
  OK(ironhouse_store_insert(store, known));
  ironhouse_policy_t *policy = new_policy();
  OK(ironhouse_policy_curve_store(policy, store));
  void *server = open_socket(context, ZMQ_PULL);
  FAILS(IRONHOUSE_NOT_FOUND, ironhouse_socket_curve_server(server, authenticator, IRONHOUSE_TEXT("pumps"), server_keys));
  OK(ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("pumps"), policy));
  OK(ironhouse_socket_curve_server(server, authenticator, IRONHOUSE_TEXT("pumps"), server_keys));
  char endpoint[64];
  bind_socket(server, endpoint);

  void *good = open_socket(context, ZMQ_PUSH);
  OK(ironhouse_socket_curve_client(good, api, known, IRONHOUSE_TEXT(server_key)));
  say_hello(good, endpoint);
  receive_hello(server, "name", "pump 7");
  await(heard, 1);
  CHECK(heard->decisions[0].status == IRONHOUSE_ADMIT && strcmp(heard->decisions[0].identity, known_key) == 0);

  void *bad = open_socket(context, ZMQ_PUSH);
  OK(ironhouse_socket_curve_client(bad, api, unknown, IRONHOUSE_TEXT(server_key)));
  say_hello(bad, endpoint);
  await(heard, 2);
  CHECK(heard->decisions[1].status == IRONHOUSE_REFUSE);
  received_nothing(server);

  /* A revoked key is refused though the store has it; and let in again. */
  OK(ironhouse_authenticator_revoke(authenticator, IRONHOUSE_TEXT(known_key)));
  void *revoked = open_socket(context, ZMQ_PUSH);
  OK(ironhouse_socket_curve_client(revoked, api, known, IRONHOUSE_TEXT(server_key)));
  say_hello(revoked, endpoint);
  await(heard, 3);
  CHECK(heard->decisions[2].status == IRONHOUSE_REFUSE);
  OK(ironhouse_authenticator_unrevoke(authenticator, IRONHOUSE_TEXT(known_key)));
  FAILS(IRONHOUSE_NOT_FOUND, ironhouse_authenticator_unrevoke(authenticator, IRONHOUSE_TEXT(known_key)));

  ironhouse_counters_t counters = {.size = sizeof counters};
  OK(ironhouse_authenticator_counters(authenticator, &counters));
  CHECK(counters.admitted == 1 && counters.refused == 2 && counters.deferred == 0 && counters.dropped == 0);

  /* Handles may go in any order. */
  OK(ironhouse_store_destroy(&store));
  OK(ironhouse_policy_destroy(&policy));
  OK(ironhouse_certificate_destroy(&server_keys));
  OK(ironhouse_certificate_destroy(&known));
  OK(ironhouse_certificate_destroy(&unknown));
  zmq_close(good);
  zmq_close(bad);
  zmq_close(revoked);
  zmq_close(server);
  tear_down(&world, order);
  FAILS(IRONHOUSE_BAD_HANDLE, ironhouse_authenticator_revoke(authenticator, IRONHOUSE_TEXT(known_key)));
}

/* Without its authenticator a server admits nobody. */
static void destroyed_too_early(void)
{
  struct world world;
  set_up(&world);
  give_any(&world, "any");
  char key[IRONHOUSE_KEY_SIZE], endpoint[64];
  ironhouse_certificate_t *keys = new_keys(key);
  void *context = world.context;
  void *server = open_socket(context, ZMQ_PULL), *client = open_socket(context, ZMQ_PUSH);
  /* libzmq may still hand a request to the handler that has just been closed; that handshake ends with its time. */
  int handshake = 500;
  CHECK(zmq_setsockopt(server, ZMQ_HANDSHAKE_IVL, &handshake, sizeof handshake) == 0);
  OK(ironhouse_socket_curve_server(server, world.authenticator, IRONHOUSE_TEXT("any"), keys));
  void *monitor = monitor_socket(context, server);
  bind_socket(server, endpoint);
  OK(ironhouse_authenticator_destroy(&world.authenticator));
  OK(ironhouse_socket_curve_client(client, &world.api, keys, IRONHOUSE_TEXT(key)));
  say_hello(client, endpoint);
  CHECK(verdict(monitor) == 0);
  received_nothing(server);
  OK(ironhouse_certificate_destroy(&keys));
  zmq_close(client);
  zmq_close(monitor);
  zmq_close(server);
  CHECK(zmq_ctx_term(context) == 0);
}

static void refused_sockets(void)
{
  void *context = zmq_ctx_new();
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  ironhouse_authenticator_t *authenticator = NULL;
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_authenticator_start(&authenticator, &api, NULL, NULL));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_authenticator_start(&authenticator, NULL, context, NULL));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_authenticator_start(NULL, &api, context, NULL));
  OK(ironhouse_authenticator_start(&authenticator, &api, context, NULL));
  ironhouse_policy_t *policy = NULL;
  OK(ironhouse_policy_new(&policy));
  OK(ironhouse_policy_null(policy));
  OK(ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("all"), policy));
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_authenticator_set_policy(authenticator, "", 0, policy));
  FAILS(IRONHOUSE_BAD_HANDLE,
        ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("all"), (ironhouse_policy_t *) authenticator));
  OK(ironhouse_policy_destroy(&policy));

  /* Each kind of socket that is, or was, in use. */
  static const int pairs[][2] = {{ZMQ_PUB, ZMQ_SUB},   {ZMQ_REP, ZMQ_REQ},     {ZMQ_ROUTER, ZMQ_DEALER},
                                 {ZMQ_PULL, ZMQ_PUSH}, {ZMQ_XPUB, ZMQ_XSUB}, {ZMQ_PAIR, ZMQ_PAIR}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    void *bound = open_socket(context, pairs[i][0]), *connected = open_socket(context, pairs[i][1]);
    char endpoint[64];
    bind_socket(bound, endpoint);
    FAILS(IRONHOUSE_SOCKET_IN_USE, ironhouse_socket_null_server(bound, authenticator, IRONHOUSE_TEXT("all")));
    CHECK(strstr(ironhouse_last_error(), endpoint));
    CHECK(zmq_unbind(bound, endpoint) == 0);
    FAILS(IRONHOUSE_SOCKET_IN_USE, ironhouse_socket_null_server(bound, authenticator, IRONHOUSE_TEXT("all")));
    CHECK(zmq_connect(connected, "tcp://127.0.0.1:9") == 0);
    FAILS(IRONHOUSE_SOCKET_IN_USE, ironhouse_socket_plain_client(connected, &api, IRONHOUSE_TEXT("ada"), IRONHOUSE_TEXT("lovelace")));
    zmq_close(bound);
    zmq_close(connected);
  }
  void *socket = open_socket(context, ZMQ_PAIR);
  CHECK(zmq_bind(socket, "inproc://pair") == 0);
  FAILS(IRONHOUSE_SOCKET_IN_USE, ironhouse_socket_null_server(socket, authenticator, IRONHOUSE_TEXT("all")));
  zmq_close(socket);
  /* A bind that failed leaves it as it was. */
  socket = open_socket(context, ZMQ_PULL);
  CHECK(zmq_bind(socket, "tcp://nowhere.invalid:1") == -1);
  OK(ironhouse_socket_null_server(socket, authenticator, IRONHOUSE_TEXT("all")));
  zmq_close(socket);

  socket = open_socket(context, ZMQ_STREAM);
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_socket_null_server(socket, authenticator, IRONHOUSE_TEXT("all")));
  zmq_close(socket);
  socket = open_socket(context, ZMQ_PULL);
  int never = 0;
  CHECK(zmq_setsockopt(socket, ZMQ_HANDSHAKE_IVL, &never, sizeof never) == 0);
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_socket_null_server(socket, authenticator, IRONHOUSE_TEXT("all")));
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_socket_null_server((char *) socket + 1, authenticator, IRONHOUSE_TEXT("all")));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_socket_null_server(NULL, authenticator, IRONHOUSE_TEXT("all")));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_socket_null_server(socket, NULL, IRONHOUSE_TEXT("all")));
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_socket_plain_client(socket, &api, "", 0, IRONHOUSE_TEXT("secret")));
  zmq_close(socket);

  OK(ironhouse_authenticator_destroy(&authenticator));
  CHECK(zmq_ctx_term(context) == 0);
}

/* In a child the handles are the parent's, and new ones are its own. */
static void forked(void)
{
  struct world world;
  set_up(&world);
  give_any(&world, "any");
  char key[IRONHOUSE_KEY_SIZE], endpoint[64];
  ironhouse_certificate_t *keys = new_keys(key);
  ironhouse_store_t *store = NULL;
  OK(ironhouse_store_memory(&store));
  ironhouse_policy_t *policy = new_policy();
  void *socket = open_socket(world.context, ZMQ_PULL);
  pid_t child = fork();
  CHECK(child != -1);
  if (child == 0) {
    ironhouse_authenticator_t *authenticator = world.authenticator;
    ironhouse_counters_t counters = {.size = sizeof counters};
    FAILS(IRONHOUSE_FORKED, ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("any"), policy));
    FAILS(IRONHOUSE_FORKED, ironhouse_authenticator_counters(authenticator, &counters));
    FAILS(IRONHOUSE_FORKED, ironhouse_authenticator_revoke(authenticator, IRONHOUSE_TEXT(key)));
    FAILS(IRONHOUSE_FORKED, ironhouse_socket_curve_server(socket, authenticator, IRONHOUSE_TEXT("any"), keys));
    FAILS(IRONHOUSE_FORKED, ironhouse_store_insert(store, keys));
    FAILS(IRONHOUSE_FORKED, ironhouse_policy_null(policy));
    FAILS(IRONHOUSE_FORKED, ironhouse_store_destroy(&store));
    FAILS(IRONHOUSE_FORKED, ironhouse_authenticator_destroy(&world.authenticator));
    struct world own;
    set_up(&own);
    give_any(&own, "any");
    ironhouse_certificate_t *own_keys = new_keys(key);
    void *server = open_socket(own.context, ZMQ_PULL), *client = open_socket(own.context, ZMQ_PUSH);
    OK(ironhouse_socket_curve_server(server, own.authenticator, IRONHOUSE_TEXT("any"), own_keys));
    bind_socket(server, endpoint);
    OK(ironhouse_socket_curve_client(client, &own.api, own_keys, IRONHOUSE_TEXT(key)));
    say_hello(client, endpoint);
    receive_hello(server, NULL, NULL);
    zmq_close(client);
    zmq_close(server);
    tear_down(&own, HOST_LAST);
    /* Not _exit: valgrind would count what the parent's threads own. */
    execl("/bin/true", "true", (char *) NULL);
    _exit(1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  /* To the parent nothing has happened. */
  OK(ironhouse_socket_curve_server(socket, world.authenticator, IRONHOUSE_TEXT("any"), keys));
  zmq_close(socket);
  OK(ironhouse_store_destroy(&store));
  OK(ironhouse_policy_destroy(&policy));
  OK(ironhouse_certificate_destroy(&keys));
  tear_down(&world, HOST_LAST);
}

int main(void)
{
  int major, minor, patch;
  zmq_version(&major, &minor, &patch);
  printf("libzmq %d.%d.%d\n", major, minor, patch);
  curve(HOST_FIRST);
  curve(HOST_LAST);
  destroyed_too_early();
  refused_sockets();
  forked();
  return 0;
}
