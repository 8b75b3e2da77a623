/* A client is told whether its connections are secured, and if not, why not. */
#include "reports.h"

int main(void)
{
  struct world world;
  set_up(&world);
  give_any(&world, "any");
  void *context = world.context;
  const ironhouse_api_t *api = &world.api;
  char key[IRONHOUSE_KEY_SIZE], other_key[IRONHOUSE_KEY_SIZE], endpoint[64];
  ironhouse_certificate_t *keys = new_keys(key), *other = new_keys(other_key);
  void *server = open_socket(context, ZMQ_PULL);
  OK(ironhouse_socket_curve_server(server, world.authenticator, IRONHOUSE_TEXT("any"), keys));
  bind_socket(server, endpoint);

  struct told good = NOTHING_TOLD, wrong = NOTHING_TOLD, plain = NOTHING_TOLD, failed = NOTHING_TOLD;
  void *client = open_socket(context, ZMQ_PUSH);
  OK(ironhouse_socket_curve_client(client, api, keys, IRONHOUSE_TEXT(key)));
  OK(ironhouse_socket_on_handshake(client, api, context, tell, &good, enough));
  CHECK(zmq_connect(client, endpoint) == 0);
  told_by(&good, &good.count);
  CHECK(good.verdict == IRONHOUSE_VERDICT_SECURED);

  /* The server holds another key than the client was given. */
  void *misled = open_socket(context, ZMQ_PUSH);
  OK(ironhouse_socket_curve_client(misled, api, keys, IRONHOUSE_TEXT(other_key)));
  OK(ironhouse_socket_on_handshake(misled, api, context, tell, &wrong, enough));
  CHECK(zmq_connect(misled, endpoint) == 0);
  told_by(&wrong, &wrong.count);
  CHECK(wrong.verdict == IRONHOUSE_VERDICT_WRONG_SERVER_KEY && strstr(wrong.problem, other_key));

  /* The client has another mechanism. */
  void *open_one = open_socket(context, ZMQ_PUSH);
  OK(ironhouse_socket_on_handshake(open_one, api, context, tell, &plain, enough));
  CHECK(zmq_connect(open_one, endpoint) == 0);
  told_by(&plain, &plain.count);
  CHECK(plain.verdict == IRONHOUSE_VERDICT_MECHANISM_MISMATCH && strstr(plain.problem, "NULL") && strstr(plain.problem, "CURVE"));

  FAILS(IRONHOUSE_SOCKET_IN_USE, ironhouse_socket_on_handshake(client, api, context, tell, &failed, enough));
  CHECK(failed.freed == 1);
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_socket_on_handshake(NULL, api, context, tell, &failed, enough));
  CHECK(failed.freed == 2);

  /* One ends with its socket, the others with the context. */
  zmq_close(client);
  told_by(&good, &good.freed);
  OK(ironhouse_certificate_destroy(&keys));
  OK(ironhouse_certificate_destroy(&other));
  zmq_close(misled);
  zmq_close(open_one);
  zmq_close(server);
  tear_down(&world, HOST_FIRST);
  told_by(&wrong, &wrong.freed);
  told_by(&plain, &plain.freed);
  return 0;
}
