/* A client is told whether its connections are secured, and if not, why not. */
#include "peer.h"

struct told {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int count, freed, secured;
  char problem[512];
};

static void tell(void *user_data, const ironhouse_handshake_t *handshake)
{
  struct told *told = user_data;
  CHECK(handshake->size >= sizeof *handshake && strncmp(handshake->endpoint, "tcp://127.0.0.1:", 16) == 0);
  CHECK(handshake->secured == (handshake->problem == NULL));
  pthread_mutex_lock(&told->mutex);
  told->count++;
  told->secured = handshake->secured;
  snprintf(told->problem, sizeof told->problem, "%s", handshake->problem ? handshake->problem : "");
  pthread_cond_broadcast(&told->changed);
  pthread_mutex_unlock(&told->mutex);
}

static void enough(void *user_data)
{
  struct told *told = user_data;
  pthread_mutex_lock(&told->mutex);
  told->freed++;
  pthread_cond_broadcast(&told->changed);
  pthread_mutex_unlock(&told->mutex);
}

/* Waits until a number is no longer 0. */
static void until(struct told *told, const int *number)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += SOON / 1000;
  pthread_mutex_lock(&told->mutex);
  while (!*number)
    CHECK(pthread_cond_timedwait(&told->changed, &told->mutex, &end) == 0);
  pthread_mutex_unlock(&told->mutex);
}

int main(void)
{
  void *context = zmq_ctx_new();
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  ironhouse_authenticator_t *authenticator = NULL;
  OK(ironhouse_authenticator_start(&authenticator, &api, context, NULL));
  ironhouse_policy_t *policy = NULL;
  OK(ironhouse_policy_new(&policy));
  OK(ironhouse_policy_curve_any(policy));
  OK(ironhouse_authenticator_set_policy(authenticator, IRONHOUSE_TEXT("any"), policy));
  OK(ironhouse_policy_destroy(&policy));
  ironhouse_certificate_t *keys = NULL, *other = NULL;
  OK(ironhouse_certificate_new(&keys));
  OK(ironhouse_certificate_new(&other));
  char key[IRONHOUSE_KEY_SIZE], other_key[IRONHOUSE_KEY_SIZE], endpoint[64];
  OK(ironhouse_certificate_public_key(keys, key));
  OK(ironhouse_certificate_public_key(other, other_key));
  void *server = open_socket(context, ZMQ_PULL);
  OK(ironhouse_socket_curve_server(server, authenticator, IRONHOUSE_TEXT("any"), keys));
  bind_socket(server, endpoint);

  struct told good = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, ""}, wrong = good, plain = good, failed = good;
  void *client = open_socket(context, ZMQ_PUSH);
  OK(ironhouse_socket_curve_client(client, &api, keys, IRONHOUSE_TEXT(key)));
  OK(ironhouse_socket_on_handshake(client, &api, context, tell, &good, enough));
  CHECK(zmq_connect(client, endpoint) == 0);
  until(&good, &good.count);
  CHECK(good.secured);

  /* The server holds another key than the client was given. */
  void *misled = open_socket(context, ZMQ_PUSH);
  OK(ironhouse_socket_curve_client(misled, &api, keys, IRONHOUSE_TEXT(other_key)));
  OK(ironhouse_socket_on_handshake(misled, &api, context, tell, &wrong, enough));
  CHECK(zmq_connect(misled, endpoint) == 0);
  until(&wrong, &wrong.count);
  CHECK(!wrong.secured && strstr(wrong.problem, other_key));

  /* The client has another mechanism. */
  void *open_one = open_socket(context, ZMQ_PUSH);
  OK(ironhouse_socket_on_handshake(open_one, &api, context, tell, &plain, enough));
  CHECK(zmq_connect(open_one, endpoint) == 0);
  until(&plain, &plain.count);
  CHECK(!plain.secured && strstr(plain.problem, "NULL") && strstr(plain.problem, "CURVE"));

  FAILS(IRONHOUSE_SOCKET_IN_USE, ironhouse_socket_on_handshake(client, &api, context, tell, &failed, enough));
  CHECK(failed.freed == 1);
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_socket_on_handshake(NULL, &api, context, tell, &failed, enough));
  CHECK(failed.freed == 2);

  /* One ends with its socket, the others with the context. */
  zmq_close(client);
  until(&good, &good.freed);
  OK(ironhouse_certificate_destroy(&keys));
  OK(ironhouse_certificate_destroy(&other));
  zmq_close(misled);
  zmq_close(open_one);
  zmq_close(server);
  CHECK(zmq_ctx_term(context) == 0);
  until(&wrong, &wrong.freed);
  until(&plain, &plain.freed);
  OK(ironhouse_authenticator_destroy(&authenticator));
  return 0;
}
