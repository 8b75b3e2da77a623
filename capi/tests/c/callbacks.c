/* Decisions by callbacks: at once, later, too late; and what they are given. */
#include "peer.h"

/* What the callbacks are given. */
struct data {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int calls, asked, freed, released;
  ironhouse_reply_t *reply;
  const char *key;
};

static void new_data(struct data *data, const char *key)
{
  memset(data, 0, sizeof *data);
  pthread_mutex_init(&data->mutex, NULL);
  pthread_cond_init(&data->changed, NULL);
  data->key = key;
}

/* A server whose peers a callback decides on, what libzmq reports of them, and a client. */
struct asked {
  struct world world;
  struct data data;
  ironhouse_certificate_t *keys;
  char key[IRONHOUSE_KEY_SIZE];
  void *server, *monitor, *client;
};

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
  data->asked++;
  pthread_cond_broadcast(&data->changed);
  pthread_mutex_unlock(&data->mutex);
}

/* Opens the server and has its client say hello; both have the same keys. */
static void serve(struct asked *asked, ironhouse_policy_t *policy)
{
  give(&asked->world, "asked", policy);
  char endpoint[64];
  asked->server = open_socket(asked->world.context, ZMQ_PULL);
  asked->monitor = monitor_socket(asked->world.context, asked->server);
  OK(ironhouse_socket_curve_server(asked->server, asked->world.authenticator, IRONHOUSE_TEXT("asked"), asked->keys));
  bind_socket(asked->server, endpoint);
  asked->client = open_socket(asked->world.context, ZMQ_PUSH);
  OK(ironhouse_socket_curve_client(asked->client, &asked->world.api, asked->keys, IRONHOUSE_TEXT(asked->key)));
  say_hello(asked->client, endpoint);
}

/* What the callback is given, of a policy that asks it; the authenticator decides within so many milliseconds, or its own time if that is 0. */
static void begin(struct asked *asked, uint32_t deadline, ironhouse_decide_fn decide, ironhouse_ask_fn ask)
{
  ironhouse_authenticator_options_t options = {.size = sizeof options, .deadline = deadline, .callback_threads = 4};
  attach(&asked->world, zmq_ctx_new(), &options);
  asked->keys = new_keys(asked->key);
  struct data *data = &asked->data;
  new_data(data, asked->key);
  ironhouse_policy_t *policy = new_policy();
  if (decide)
    OK(ironhouse_policy_curve_callback(policy, decide, data, free_data));
  else
    OK(ironhouse_policy_curve_deferred(policy, ask, data, free_data));
  serve(asked, policy);
}

static void close_sockets(struct asked *asked)
{
  zmq_close(asked->client);
  zmq_close(asked->monitor);
  zmq_close(asked->server);
  OK(ironhouse_certificate_destroy(&asked->keys));
}

static void end(struct asked *asked)
{
  close_sockets(asked);
  tear_down(&asked->world, HOST_LAST);
}

/* The client is told this, and the audit too. */
static void decided(struct asked *asked, int status)
{
  CHECK(verdict(asked->monitor) == status);
  await(&asked->world.heard, 1);
  CHECK(asked->world.heard.decisions[0].status == status);
  if (status != IRONHOUSE_ADMIT)
    received_nothing(asked->server);
}

static void at_once(ironhouse_decide_fn decide, int status)
{
  struct asked asked;
  begin(&asked, 0, decide, NULL);
  decided(&asked, status);
  CHECK(asked.data.calls == 1 && asked.data.freed == 0);
  if (status == IRONHOUSE_ADMIT) {
    receive_hello(asked.server, "User-Id", "ada");
    CHECK(zmq_send(asked.client, "Hello", 5, 0) == 5);
    receive_hello(asked.server, "role", "operator");
  }
  end(&asked);
  CHECK(asked.data.freed == 1);
}

static void later(int status)
{
  struct asked asked;
  begin(&asked, 0, NULL, ask_later);
  struct data *data = &asked.data;
  wait_until(&data->mutex, &data->changed, &data->asked, 1);
  OK(ironhouse_reply_set_user_id(data->reply, IRONHOUSE_TEXT("grace")));
  if (status == IRONHOUSE_RETRY)
    OK(ironhouse_reply_destroy(&data->reply)); /* No answer is that. */
  else
    OK(ironhouse_reply_answer(&data->reply, status));
  CHECK(data->reply == NULL);
  decided(&asked, status);
  if (status == IRONHOUSE_ADMIT)
    receive_hello(asked.server, "User-Id", "grace");
  end(&asked);
  CHECK(data->freed == 1);
}

/* A callback that does not return: its peer is told to try again, and destroying does not wait for it, whichever goes first. */
static void never(enum order order)
{
  struct asked asked;
  begin(&asked, 200, hang, NULL);
  decided(&asked, IRONHOUSE_RETRY);
  close_sockets(&asked);
  tear_down(&asked.world, order);
  struct data *data = &asked.data;
  pthread_mutex_lock(&data->mutex);
  CHECK(data->freed == 0);
  data->released = 1;
  pthread_cond_broadcast(&data->changed);
  pthread_mutex_unlock(&data->mutex);
  wait_until(&data->mutex, &data->changed, &data->freed, 1);
  pthread_mutex_lock(&data->mutex);
  CHECK(data->freed == 1);
  pthread_mutex_unlock(&data->mutex);
}

/* A callback whose answer comes after the deadline, or after the authenticator's end: its peer was told to try again. */
static void too_late(int before_its_end)
{
  struct asked asked;
  begin(&asked, 200, NULL, ask_later);
  struct data *data = &asked.data;
  decided(&asked, IRONHOUSE_RETRY);
  if (before_its_end)
    OK(ironhouse_reply_answer(&data->reply, IRONHOUSE_ADMIT));
  end(&asked);
  if (!before_its_end)
    OK(ironhouse_reply_answer(&data->reply, IRONHOUSE_ADMIT));
  CHECK(data->reply == NULL);
  wait_until(&data->mutex, &data->changed, &data->freed, 1);
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
  struct asked asked;
  struct world *world = &asked.world;
  set_up(world);
  asked.keys = new_keys(asked.key);
  ironhouse_policy_t *policy = new_policy();
  OK(ironhouse_policy_curve_callback(policy, destroy_everything, &world->authenticator, NULL));
  serve(&asked, policy);
  wait_until(&world->heard.mutex, &world->heard.changed, &world->heard.freed, 1);
  close_sockets(&asked);
  CHECK(zmq_ctx_term(world->context) == 0);
}

/* User data is freed once, also by calls that fail. */
static void not_taken(void)
{
  struct data data;
  new_data(&data, "");
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
  never(HOST_LAST);
  never(HOST_FIRST);
  too_late(1);
  too_late(0);
  by_itself();
  not_taken();
  return 0;
}
