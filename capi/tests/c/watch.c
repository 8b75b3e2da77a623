/* A socket that is watched: who is connected is listed, and who is no longer admitted is put out. */
#include "reports.h"

static void put_out(enum order order)
{
  struct world world;
  set_up(&world);
  void *context = world.context;
  ironhouse_authenticator_t *authenticator = world.authenticator;
  char key[IRONHOUSE_KEY_SIZE], endpoint[64];
  ironhouse_certificate_t *keys = new_keys(key);
  ironhouse_store_t *store = NULL;
  OK(ironhouse_store_memory(&store));
  OK(ironhouse_store_insert(store, keys));
  ironhouse_policy_t *policy = new_policy();
  OK(ironhouse_policy_curve_store(policy, store));
  give(&world, "pumps", policy);

  void *server = open_socket(context, ZMQ_PULL), *client = open_socket(context, ZMQ_PUSH);
  FAILS(IRONHOUSE_NOT_FOUND, ironhouse_socket_watch(server, authenticator, IRONHOUSE_TEXT("valves")));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_socket_watch(NULL, authenticator, IRONHOUSE_TEXT("pumps")));
  OK(ironhouse_socket_curve_server(server, authenticator, IRONHOUSE_TEXT("pumps"), keys));
  OK(ironhouse_socket_watch(server, authenticator, IRONHOUSE_TEXT("pumps")));
  bind_socket(server, endpoint);
  FAILS(IRONHOUSE_SOCKET_IN_USE, ironhouse_socket_watch(server, authenticator, IRONHOUSE_TEXT("pumps")));
  OK(ironhouse_socket_curve_client(client, &world.api, keys, IRONHOUSE_TEXT(key)));
  say_hello(client, endpoint);
  receive_hello(server, NULL, NULL);
  struct list list = await_peers(authenticator, 1);
  CHECK(strcmp(list.identity, key) == 0);

  /* Disconnected, it comes back; its messages arrive again. */
  OK(ironhouse_authenticator_disconnect(authenticator, IRONHOUSE_TEXT(key)));
  await(&world.heard, 2);
  CHECK(world.heard.decisions[1].status == IRONHOUSE_ADMIT);
  CHECK(zmq_send(client, "Hello", 5, 0) == 5);
  receive_hello(server, NULL, NULL);
  await_peers(authenticator, 1);

  /* Its certificate is gone: it is put out, and refused when it comes back. */
  OK(ironhouse_store_remove(store, IRONHOUSE_TEXT(key)));
  await(&world.heard, 3);
  CHECK(world.heard.decisions[2].status == IRONHOUSE_REFUSE);
  await_peers(authenticator, 0);
  OK(ironhouse_store_destroy(&store));
  OK(ironhouse_certificate_destroy(&keys));
  if (order == HOST_LAST)
    OK(ironhouse_authenticator_destroy(&world.authenticator));
  zmq_close(client);
  zmq_close(server);
  tear_down(&world, order);
}

int main(void)
{
  put_out(HOST_FIRST);
  put_out(HOST_LAST);
  return 0;
}
