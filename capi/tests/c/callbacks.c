/* Decisions by callbacks: at once, later, too late; and what they are given. */
#include "peer.h"

#include <unistd.h>

struct world {
  void *context;
  ironhouse_api_t api;
  ironhouse_authenticator_t *authenticator;
  struct heard heard;
  ironhouse_certificate_t *keys;
  char key[IRONHOUSE_KEY_SIZE], endpoint[64];
  void *server;
};

/* What the callbacks are given. */
struct data {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int calls, freed, released;
  ironhouse_reply_t *reply;
  const char *key;
};

#define NEW_DATA(key) {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, NULL, (key)}

static void free_data(void *user_data)
{
  struct data *data = user_data;
  pthread_mutex_lock(&data->mutex);
  data->freed++;
  pthread_cond_broadcast(&data->changed);
  pthread_mutex_unlock(&data->mutex);
}

static void called(struct data *data, const ironhouse_peer_t *peer)
{
  CHECK(peer->size >= sizeof *peer && !peer->principal);
  CHECK(strcmp(peer->domain, "asked") == 0 && strcmp(peer->address, "127.0.0.1") == 0);
  CHECK(strcmp(peer->public_key, data->key) == 0);
  pthread_mutex_lock(&data->mutex);
  data->calls++;
  pthread_cond_broadcast(&data->changed);
  pthread_mutex_unlock(&data->mutex);
}

static int admit(void *user_data, const ironhouse_peer_t *peer, ironhouse_reply_t *reply)
{
  called(user_data, peer);
  OK(ironhouse_reply_set_user_id(reply, IRONHOUSE_TEXT("ada")));
  OK(ironhouse_reply_add_property(reply, IRONHOUSE_TEXT("role"), IRONHOUSE_TEXT("operator")));
  return IRONHOUSE_ADMIT;
}

static int refuse(void *user_data, const ironhouse_peer_t *peer, ironhouse_reply_t *reply)
{
  (void) reply;
  called(user_data, peer);
  return IRONHOUSE_REFUSE;
}

static int talk_nonsense(void *user_data, const ironhouse_peer_t *peer, ironhouse_reply_t *reply)
{
  (void) reply;
  called(user_data, peer);
  return 7;
}

static int answer_by_itself(void *user_data, const ironhouse_peer_t *peer, ironhouse_reply_t *reply)
{
  called(user_data, peer);
  ironhouse_reply_t *copy = reply;
  OK(ironhouse_reply_answer(&reply, IRONHOUSE_REFUSE));
  CHECK(reply == NULL);
  FAILS(IRONHOUSE_BAD_HANDLE, ironhouse_reply_answer(&copy, IRONHOUSE_ADMIT));
  return IRONHOUSE_ADMIT;
}

static int hang(void *user_data, const ironhouse_peer_t *peer, ironhouse_reply_t *reply)
{
  (void) reply;
  struct data *data = user_data;
  called(data, peer);
  pthread_mutex_lock(&data->mutex);
  while (!data->released)
    pthread_cond_wait(&data->changed, &data->mutex);
  pthread_mutex_unlock(&data->mutex);
  return IRONHOUSE_ADMIT;
}

static void ask_later(void *user_data, const ironhouse_peer_t *peer, ironhouse_reply_t *reply)
{
  struct data *data = user_data;
  called(data, peer);
  pthread_mutex_lock(&data->mutex);
  data->reply = reply;
  pthread_cond_broadcast(&data->changed);
  pthread_mutex_unlock(&data->mutex);
}

static void set_up(struct world *world, uint32_t deadline)
{
  world->context = zmq_ctx_new();
  ironhouse_api_init(&world->api);
  ironhouse_authenticator_options_t options = {sizeof options, deadline, 4};
  OK(ironhouse_authenticator_start(&world->authenticator, &world->api, world->context, &options));
  OK(ironhouse_authenticator_on_event(world->authenticator, hear, &world->heard, heard_enough));
  OK(ironhouse_certificate_new(&world->keys));
  OK(ironhouse_certificate_public_key(world->keys, world->key));
}

/* Opens the server; the client uses the same keys. */
static void *serve(struct world *world, ironhouse_policy_t **policy)
{
  OK(ironhouse_authenticator_set_policy(world->authenticator, IRONHOUSE_TEXT("asked"), *policy));
  OK(ironhouse_policy_destroy(policy));
  world->server = open_socket(world->context, ZMQ_PULL);
  OK(ironhouse_socket_curve_server(world->server, world->authenticator, IRONHOUSE_TEXT("asked"), world->keys));
  bind_socket(world->server, world->endpoint);
  void *client = open_socket(world->context, ZMQ_PUSH);
  OK(ironhouse_socket_curve_client(client, &world->api, world->keys, IRONHOUSE_TEXT(world->key)));
  say_hello(client, world->endpoint);
  return client;
}

static void tear_down(struct world *world, void *client)
{
  zmq_close(client);
  zmq_close(world->server);
  OK(ironhouse_certificate_destroy(&world->keys));
  OK(ironhouse_authenticator_destroy(&world->authenticator));
  CHECK(world->heard.freed == 1);
  CHECK(zmq_ctx_term(world->context) == 0);
}

static void at_once(ironhouse_decide_fn decide, int status)
{
  struct world world = {.heard = NOTHING_HEARD};
  set_up(&world, 0);
  struct data data = NEW_DATA(world.key);
  ironhouse_policy_t *policy = NULL;
  OK(ironhouse_policy_new(&policy));
  OK(ironhouse_policy_curve_callback(policy, decide, &data, free_data));
  void *client = serve(&world, &policy);
  await(&world.heard, 1);
  CHECK(world.heard.decisions[0].status == status && data.calls == 1 && data.freed == 0);
  if (status == IRONHOUSE_ADMIT) {
    receive_hello(world.server, "User-Id", "ada");
    CHECK(zmq_send(client, "Hello", 5, 0) == 5);
    receive_hello(world.server, "role", "operator");
  } else
    received_nothing(world.server);
  tear_down(&world, client);
  CHECK(data.freed == 1);
}

static void later(int status)
{
  struct world world = {.heard = NOTHING_HEARD};
  set_up(&world, 0);
  struct data data = NEW_DATA(world.key);
  ironhouse_policy_t *policy = NULL;
  OK(ironhouse_policy_new(&policy));
  OK(ironhouse_policy_curve_deferred(policy, ask_later, &data, free_data));
  void *client = serve(&world, &policy);
  pthread_mutex_lock(&data.mutex);
  while (!data.reply)
    pthread_cond_wait(&data.changed, &data.mutex);
  pthread_mutex_unlock(&data.mutex);
  OK(ironhouse_reply_set_user_id(data.reply, IRONHOUSE_TEXT("grace")));
  if (status == IRONHOUSE_RETRY)
    OK(ironhouse_reply_destroy(&data.reply)); /* No answer is that. */
  else
    OK(ironhouse_reply_answer(&data.reply, status));
  CHECK(data.reply == NULL);
  await(&world.heard, 1);
  CHECK(world.heard.decisions[0].status == status);
  if (status == IRONHOUSE_ADMIT)
    receive_hello(world.server, "User-Id", "grace");
  tear_down(&world, client);
  CHECK(data.freed == 1);
}

/* A callback that does not return: its peer is told to try again, and destroying does not wait for it. */
static void never(void)
{
  struct world world = {.heard = NOTHING_HEARD};
  set_up(&world, 200);
  struct data data = NEW_DATA(world.key);
  ironhouse_policy_t *policy = NULL;
  OK(ironhouse_policy_new(&policy));
  OK(ironhouse_policy_curve_callback(policy, hang, &data, free_data));
  void *client = serve(&world, &policy);
  await(&world.heard, 1);
  CHECK(world.heard.decisions[0].status == IRONHOUSE_RETRY);
  received_nothing(world.server);
  tear_down(&world, client);
  pthread_mutex_lock(&data.mutex);
  CHECK(data.freed == 0);
  data.released = 1;
  pthread_cond_broadcast(&data.changed);
  while (!data.freed)
    pthread_cond_wait(&data.changed, &data.mutex);
  CHECK(data.freed == 1);
  pthread_mutex_unlock(&data.mutex);
}

static int destroy_everything(void *user_data, const ironhouse_peer_t *peer, ironhouse_reply_t *reply)
{
  (void) peer;
  (void) reply;
  OK(ironhouse_authenticator_destroy(user_data));
  return IRONHOUSE_ADMIT;
}

/* A callback that destroys the authenticator that called it. */
static void by_itself(void)
{
  struct world world = {.heard = NOTHING_HEARD};
  set_up(&world, 0);
  ironhouse_authenticator_t *destroyed = world.authenticator;
  ironhouse_policy_t *policy = NULL;
  OK(ironhouse_policy_new(&policy));
  OK(ironhouse_policy_curve_callback(policy, destroy_everything, &destroyed, NULL));
  void *client = serve(&world, &policy);
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += SOON / 1000;
  /* The audit callback's data is freed by then. */
  for (;;) {
    pthread_mutex_lock(&world.heard.mutex);
    int freed = world.heard.freed;
    pthread_mutex_unlock(&world.heard.mutex);
    if (freed)
      break;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    CHECK(now.tv_sec < until.tv_sec);
    usleep(1000);
  }
  zmq_close(client);
  zmq_close(world.server);
  OK(ironhouse_certificate_destroy(&world.keys));
  CHECK(zmq_ctx_term(world.context) == 0);
}

/* User data is freed once, also by calls that fail. */
static void not_taken(void)
{
  struct data data = NEW_DATA("");
  ironhouse_policy_t *policy = NULL;
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_policy_curve_callback(policy, admit, &data, free_data));
  CHECK(data.freed == 1);
  OK(ironhouse_policy_new(&policy));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_policy_curve_callback(policy, NULL, &data, free_data));
  CHECK(data.freed == 2);
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_policy_curve_deferred(policy, NULL, &data, free_data));
  CHECK(data.freed == 3);
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_authenticator_on_event(NULL, hear, &data, free_data));
  CHECK(data.freed == 4);
  OK(ironhouse_policy_curve_callback(policy, admit, &data, free_data));
  OK(ironhouse_policy_curve_any(policy));
  CHECK(data.freed == 5);
  OK(ironhouse_policy_curve_callback(policy, admit, &data, free_data));
  OK(ironhouse_policy_destroy(&policy));
  CHECK(data.freed == 6);
}

int main(void)
{
  at_once(admit, IRONHOUSE_ADMIT);
  at_once(refuse, IRONHOUSE_REFUSE);
  at_once(talk_nonsense, IRONHOUSE_REFUSE);
  at_once(answer_by_itself, IRONHOUSE_REFUSE);
  later(IRONHOUSE_ADMIT);
  later(IRONHOUSE_REFUSE);
  later(IRONHOUSE_RETRY);
  never();
  by_itself();
  not_taken();
  return 0;
}
