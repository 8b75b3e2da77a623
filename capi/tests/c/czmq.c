/* A CZMQ program: its own context and sockets, guarded by our authenticator in the place of zauth. */
#include <czmq.h>

#include "peer.h"

/* zsys_shutdown() terminates the context. */
static void guarded(enum order order)
{
  struct world world;
  attach(&world, zsys_init(), NULL);
  ironhouse_authenticator_t *authenticator = world.authenticator;

  /* Certificates are CZMQ's, written and read by either. */
  zcert_t *theirs = zcert_new();
  CHECK(theirs);
  zcert_set_meta(theirs, "name", "%s", "pump 7");
  CHECK(mkdir("clients", 0755) == 0 || errno == EEXIST);
  CHECK(zcert_save_public(theirs, "clients/pump.cert") == 0);
  char key[IRONHOUSE_KEY_SIZE];
  ironhouse_certificate_t *keys = new_keys(key);

  ironhouse_store_t *store = NULL;
  OK(ironhouse_store_directory(&store, IRONHOUSE_TEXT("clients")));
  ironhouse_policy_t *policy = new_policy();
  OK(ironhouse_policy_curve_store(policy, store));
  give(&world, "pumps", policy);
  OK(ironhouse_store_destroy(&store));

  zsock_t *server = zsock_new(ZMQ_PULL), *client = zsock_new(ZMQ_PUSH), *stranger = zsock_new(ZMQ_PUSH);
  CHECK(server && client && stranger);
  zsock_set_rcvtimeo(server, SOON);
  OK(ironhouse_socket_curve_server(zsock_resolve(server), authenticator, IRONHOUSE_TEXT("pumps"), keys));
  int port = zsock_bind(server, "tcp://127.0.0.1:*");
  CHECK(port > 0);
  FAILS(IRONHOUSE_SOCKET_IN_USE,
        ironhouse_socket_curve_server(zsock_resolve(server), authenticator, IRONHOUSE_TEXT("pumps"), keys));

  /* A client by CZMQ's own means. */
  zcert_apply(theirs, client);
  zsock_set_curve_serverkey(client, key);
  CHECK(zsock_connect(client, "tcp://127.0.0.1:%d", port) == 0);
  CHECK(zstr_send(client, "Hello") == 0);
  receive_hello(zsock_resolve(server), "name", "pump 7");
  await(&world.heard, 1);
  CHECK(world.heard.decisions[0].status == IRONHOUSE_ADMIT);

  OK(ironhouse_socket_curve_client(zsock_resolve(stranger), &world.api, keys, IRONHOUSE_TEXT(key)));
  CHECK(zsock_connect(stranger, "tcp://127.0.0.1:%d", port) == 0);
  await(&world.heard, 2);
  CHECK(world.heard.decisions[1].status == IRONHOUSE_REFUSE);

  zsock_set_linger(stranger, 0);
  zsock_destroy(&stranger);
  zsock_destroy(&client);
  zsock_destroy(&server);
  zcert_destroy(&theirs);
  OK(ironhouse_certificate_destroy(&keys));
  if (order == HOST_LAST)
    OK(ironhouse_authenticator_destroy(&world.authenticator));
  zsys_shutdown();
  OK(ironhouse_authenticator_destroy(&world.authenticator));
}

int main(void)
{
  guarded(HOST_LAST);
  guarded(HOST_FIRST);
  return 0;
}
