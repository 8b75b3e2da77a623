/* A server that the program secures by itself asks the authenticator, and admits nobody where there is none. */
#include "peer.h"

/* A server with a key of its own, as other code sets one. */
static void *secured(void *context, const char secret[IRONHOUSE_KEY_SIZE])
{
  void *server = open_socket(context, ZMQ_PULL);
  int on = 1;
  CHECK(zmq_setsockopt(server, ZMQ_CURVE_SERVER, &on, sizeof on) == 0);
  CHECK(zmq_setsockopt(server, ZMQ_CURVE_SECRETKEY, secret, 41) == 0);
  return server;
}

/* Waits for the end of a client's handshake: whether it was let in. */
static int is_let_in(void *context, const ironhouse_api_t *api, ironhouse_certificate_t *keys, const char *key, const char *endpoint)
{
  /* Each time another: libzmq gives an address free some time after its socket was closed. */
  static int number;
  char address[32];
  snprintf(address, sizeof address, "inproc://client-%d", number++);
  void *client = open_socket(context, ZMQ_PUSH), *reports = open_socket(context, ZMQ_PAIR);
  OK(ironhouse_socket_curve_client(client, api, keys, IRONHOUSE_TEXT(key)));
  int ends = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
             ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_DISCONNECTED;
  CHECK(zmq_socket_monitor(client, address, ends) == 0 && zmq_connect(reports, address) == 0);
  CHECK(zmq_connect(client, endpoint) == 0);
  unsigned char report[16];
  uint16_t event;
  CHECK(zmq_recv(reports, report, sizeof report, 0) == 6);
  memcpy(&event, report, sizeof event);
  CHECK(zmq_socket_monitor(client, NULL, 0) == 0);
  CHECK(zmq_close(client) == 0 && zmq_close(reports) == 0);
  return event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
}

int main(void)
{
  void *context = zmq_ctx_new();
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  ironhouse_certificate_t *keys = NULL;
  OK(ironhouse_certificate_new(&keys));
  char key[IRONHOUSE_KEY_SIZE], secret[IRONHOUSE_KEY_SIZE], endpoint[64], open_endpoint[64];
  OK(ironhouse_certificate_public_key(keys, key));
  OK(ironhouse_certificate_secret_key(keys, secret));

  /* What libzmq does with a server that has a key and no domain. */
  void *open_one = secured(context, secret), *server = secured(context, secret);
  bind_socket(open_one, open_endpoint);
  CHECK(is_let_in(context, &api, keys, key, open_endpoint));
  FAILS(IRONHOUSE_SOCKET_IN_USE, ironhouse_socket_enforce(open_one, &api, IRONHOUSE_TEXT("pumps")));

  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_socket_enforce(server, &api, IRONHOUSE_TEXT("")));
  OK(ironhouse_socket_enforce(server, &api, IRONHOUSE_TEXT("pumps")));
  bind_socket(server, endpoint);
  OK(ironhouse_socket_enforce(server, &api, IRONHOUSE_TEXT("pumps")));
  CHECK(!is_let_in(context, &api, keys, key, endpoint));

  /* An authenticator that is started later decides, by the rules for domains that have none. */
  ironhouse_authenticator_t *authenticator = NULL;
  ironhouse_policy_t *policy = NULL;
  OK(ironhouse_authenticator_start(&authenticator, &api, context, NULL));
  CHECK(!is_let_in(context, &api, keys, key, endpoint));
  OK(ironhouse_policy_new(&policy));
  OK(ironhouse_policy_curve_any(policy));
  OK(ironhouse_authenticator_set_fallback(authenticator, policy));
  CHECK(is_let_in(context, &api, keys, key, endpoint));
  OK(ironhouse_authenticator_destroy(&authenticator));
  CHECK(!is_let_in(context, &api, keys, key, endpoint));

  ironhouse_wipe((uint8_t *) secret, sizeof secret);
  OK(ironhouse_policy_destroy(&policy));
  OK(ironhouse_certificate_destroy(&keys));
  zmq_close(open_one);
  zmq_close(server);
  CHECK(zmq_ctx_term(context) == 0);
  return 0;
}
