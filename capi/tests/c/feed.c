/* A program that has monitors of its own hands over what they report, and loses none of it: the verdict on its handshakes is the same, and so are the
 * peers who are listed and put out. */
#include "reports.h"

/* A monitor of the program's, which a thread of its own reads. */
struct monitor {
  void *reports;
  ironhouse_feed_t *feed;
  /* Whether frames are handed over as they are. */
  int frames;
  /* How many reports the program itself has seen. */
  int count;
  pthread_t thread;
};

static void *pump(void *data)
{
  struct monitor *monitor = data;
  for (;;) {
    unsigned char first[16];
    char endpoint[256];
    int first_size = zmq_recv(monitor->reports, first, sizeof first, 0);
    if (first_size == -1)
      break;
    CHECK(first_size == 6);
    int size = zmq_recv(monitor->reports, endpoint, sizeof endpoint, 0);
    CHECK(size >= 0 && size < (int) sizeof endpoint);
    uint16_t event;
    uint32_t value;
    memcpy(&event, first, sizeof event);
    memcpy(&value, first + 2, sizeof value);
    monitor->count++;
    if (monitor->frames)
      OK(ironhouse_feed_frames(monitor->feed, first, 6, endpoint, (size_t) size));
    else
      OK(ironhouse_feed_report(monitor->feed, event, value, endpoint, (size_t) size));
    if (event == ZMQ_EVENT_MONITOR_STOPPED)
      break;
  }
  zmq_close(monitor->reports);
  return NULL;
}

/* Starts the monitor of a socket whose feed is made. */
static void start(struct monitor *monitor, void *context, void *socket, const char *endpoint)
{
  CHECK(zmq_socket_monitor(socket, endpoint, ZMQ_EVENT_ALL) == 0);
  monitor->reports = zmq_socket(context, ZMQ_PAIR);
  CHECK(monitor->reports && zmq_connect(monitor->reports, endpoint) == 0);
  CHECK(pthread_create(&monitor->thread, NULL, pump, monitor) == 0);
}

static void feed(int feed_first)
{
  void *context = zmq_ctx_new();
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  ironhouse_authenticator_t *authenticator = NULL;
  OK(ironhouse_authenticator_start(&authenticator, &api, context, NULL));
  char key[IRONHOUSE_KEY_SIZE], other_key[IRONHOUSE_KEY_SIZE], endpoint[64];
  ironhouse_certificate_t *keys = new_keys(key), *other = new_keys(other_key);
  ironhouse_store_t *store = NULL;
  OK(ironhouse_store_memory(&store));
  OK(ironhouse_store_insert(store, keys));
  ironhouse_policy_t *policy = new_policy();
  OK(ironhouse_policy_curve_store(policy, store));
  OK(ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("pumps"), policy));
  OK(ironhouse_policy_destroy(&policy));

  void *server = open_socket(context, ZMQ_PULL), *client = open_socket(context, ZMQ_PUSH), *misled = open_socket(context, ZMQ_PUSH);
  struct monitor served = {0}, connecting = {.frames = 1}, misleading = {0};
  OK(ironhouse_socket_curve_server(server, authenticator, IRONHOUSE_TEXT("pumps"), keys));
  FAILS(IRONHOUSE_NOT_FOUND, ironhouse_feed_watch(&served.feed, server, authenticator, IRONHOUSE_TEXT("valves")));
  OK(ironhouse_feed_watch(&served.feed, server, authenticator, IRONHOUSE_TEXT("pumps")));
  start(&served, context, server, "inproc://served");
  bind_socket(server, endpoint);
  ironhouse_feed_t *late = NULL;
  FAILS(IRONHOUSE_SOCKET_IN_USE, ironhouse_feed_watch(&late, server, authenticator, IRONHOUSE_TEXT("pumps")));

  struct told good = NOTHING_TOLD, wrong = NOTHING_TOLD, failed = NOTHING_TOLD;
  OK(ironhouse_socket_curve_client(client, &api, keys, IRONHOUSE_TEXT(key)));
  OK(ironhouse_feed_handshakes(&connecting.feed, client, &api, tell, &good, enough));
  start(&connecting, context, client, "inproc://connecting");
  say_hello(client, endpoint);
  receive_hello(server, NULL, NULL);
  told_by(&good, &good.count);
  CHECK(good.verdict == IRONHOUSE_VERDICT_SECURED);
  struct list list = await_peers(authenticator, 1);
  CHECK(strcmp(list.identity, key) == 0);

  /* The server holds another key than the client was given: what libzmq does not tell is found out all the same. */
  OK(ironhouse_socket_curve_client(misled, &api, keys, IRONHOUSE_TEXT(other_key)));
  OK(ironhouse_feed_handshakes(&misleading.feed, misled, &api, tell, &wrong, enough));
  start(&misleading, context, misled, "inproc://misleading");
  CHECK(zmq_connect(misled, endpoint) == 0);
  told_by(&wrong, &wrong.count);
  CHECK(wrong.verdict == IRONHOUSE_VERDICT_WRONG_SERVER_KEY && strstr(wrong.problem, other_key));
  FAILS(IRONHOUSE_SOCKET_IN_USE, ironhouse_feed_handshakes(&late, client, &api, tell, &failed, enough));
  CHECK(failed.freed == 1 && !late);
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_feed_frames(connecting.feed, endpoint, 8, endpoint, 1));

  /* Its certificate is gone: it is put out. */
  OK(ironhouse_store_remove(store, IRONHOUSE_TEXT(key)));
  await_peers(authenticator, 0);

  OK(ironhouse_store_destroy(&store));
  OK(ironhouse_certificate_destroy(&keys));
  OK(ironhouse_certificate_destroy(&other));
  struct monitor *monitors[] = {&served, &connecting, &misleading};
  void *sockets[] = {server, client, misled};
  if (feed_first)
    OK(ironhouse_authenticator_destroy(&authenticator));
  for (int i = 0; i < 3; i++) {
    /* Its last report is that the monitor stopped. */
    zmq_close(sockets[i]);
    CHECK(pthread_join(monitors[i]->thread, NULL) == 0 && monitors[i]->count > 2);
    if (feed_first)
      OK(ironhouse_feed_destroy(&monitors[i]->feed));
  }
  CHECK(zmq_ctx_term(context) == 0);
  told_by(&good, &good.freed);
  told_by(&wrong, &wrong.freed);
  OK(ironhouse_authenticator_destroy(&authenticator));
  for (int i = 0; i < 3; i++) {
    if (!feed_first)
      OK(ironhouse_feed_report(monitors[i]->feed, ZMQ_EVENT_CONNECTED, 0, IRONHOUSE_TEXT(endpoint)));
    OK(ironhouse_feed_destroy(&monitors[i]->feed));
  }
}

int main(void)
{
  feed(1);
  feed(0);
  return 0;
}
