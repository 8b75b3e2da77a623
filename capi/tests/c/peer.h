/* Authenticators, sockets and what becomes of handshakes, for the test programs. */
#ifndef PEER_H
#define PEER_H

#include "check.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

/* How long anything may take that is expected to happen, in milliseconds. */
enum { SOON = 20000 };

/* Waits until a number, which others change, is at least this. */
static inline void wait_until(pthread_mutex_t *mutex, pthread_cond_t *changed, const int *number, int least)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += SOON / 1000;
  pthread_mutex_lock(mutex);
  while (*number < least)
    CHECK(pthread_cond_timedwait(changed, mutex, &end) == 0);
  pthread_mutex_unlock(mutex);
}

/* What an audit callback has seen, newest last. */
struct heard {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int count, freed;
  struct {
    int status;
    char reason[64], identity[64], mechanism[16];
  } decisions[64];
};

#define NOTHING_HEARD {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, {{0, "", "", ""}}}

static inline void hear(void *user_data, const ironhouse_event_t *event)
{
  struct heard *heard = (struct heard *) user_data;
  CHECK(event->size >= sizeof *event && event->name && event->text[0]);
  if (strcmp(event->name, "decision") != 0)
    return;
  CHECK(event->reason && event->domain && event->address && event->mechanism);
  pthread_mutex_lock(&heard->mutex);
  CHECK(heard->count < 64);
  heard->decisions[heard->count].status = event->status;
  snprintf(heard->decisions[heard->count].reason, 64, "%s", event->reason);
  snprintf(heard->decisions[heard->count].mechanism, 16, "%s", event->mechanism);
  snprintf(heard->decisions[heard->count].identity, 64, "%s", event->identity ? event->identity : "");
  heard->count++;
  pthread_cond_broadcast(&heard->changed);
  pthread_mutex_unlock(&heard->mutex);
}

static inline void heard_enough(void *user_data)
{
  struct heard *heard = (struct heard *) user_data;
  pthread_mutex_lock(&heard->mutex);
  heard->freed++;
  pthread_cond_broadcast(&heard->changed);
  pthread_mutex_unlock(&heard->mutex);
}

/* Waits until there are so many decisions. */
static inline void await(struct heard *heard, int count)
{
  wait_until(&heard->mutex, &heard->changed, &heard->count, count);
}

/* A program's context, with an authenticator whose decisions are heard. */
struct world {
  void *context;
  ironhouse_api_t api;
  ironhouse_authenticator_t *authenticator;
  struct heard heard;
};

/* A context without an authenticator, as yet. */
static inline void open_world(struct world *world, void *context)
{
  CHECK(context);
  memset(world, 0, sizeof *world);
  pthread_mutex_init(&world->heard.mutex, NULL);
  pthread_cond_init(&world->heard.changed, NULL);
  world->context = context;
  ironhouse_api_init(&world->api);
}

static inline void listen_to(struct world *world)
{
  OK(ironhouse_authenticator_on_event(world->authenticator, hear, &world->heard, heard_enough));
}

/* Starts the authenticator of a context that is there; options may be NULL. */
static inline void attach(struct world *world, void *context, const ironhouse_authenticator_options_t *options)
{
  open_world(world, context);
  OK(ironhouse_authenticator_start(&world->authenticator, &world->api, context, options));
  listen_to(world);
}

static inline void set_up(struct world *world)
{
  attach(world, zmq_ctx_new(), NULL);
}

/* Whether the program terminates its context before the authenticator is destroyed, or after. */
enum order { HOST_FIRST, HOST_LAST };

/* Ends both; every socket is closed. */
static inline void tear_down(struct world *world, enum order order)
{
  if (order == HOST_FIRST)
    CHECK(zmq_ctx_term(world->context) == 0);
  OK(ironhouse_authenticator_destroy(&world->authenticator));
  CHECK(world->authenticator == NULL && world->heard.freed == 1);
  if (order == HOST_LAST)
    CHECK(zmq_ctx_term(world->context) == 0);
}

static inline ironhouse_policy_t *new_policy(void)
{
  ironhouse_policy_t *policy = NULL;
  OK(ironhouse_policy_new(&policy));
  return policy;
}

/* Gives a domain a policy, which is not needed any more then. */
static inline void give(struct world *world, const char *domain, ironhouse_policy_t *policy)
{
  OK(ironhouse_authenticator_set_policy(world->authenticator, IRONHOUSE_TEXT(domain), policy));
  OK(ironhouse_policy_destroy(&policy));
}

/* Gives a domain a policy that admits whoever encrypts. */
static inline void give_any(struct world *world, const char *domain)
{
  ironhouse_policy_t *policy = new_policy();
  OK(ironhouse_policy_curve_any(policy));
  give(world, domain, policy);
}

/* A new key pair, and its public half as text. */
static inline ironhouse_certificate_t *new_keys(char key[IRONHOUSE_KEY_SIZE])
{
  ironhouse_certificate_t *keys = NULL;
  OK(ironhouse_certificate_new(&keys));
  OK(ironhouse_certificate_public_key(keys, key));
  return keys;
}

/* A socket that never makes the program hang. */
static inline void *open_socket(void *context, int type)
{
  void *socket = zmq_socket(context, type);
  CHECK(socket);
  int linger = 0, soon = SOON;
  CHECK(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) == 0);
  CHECK(zmq_setsockopt(socket, ZMQ_RCVTIMEO, &soon, sizeof soon) == 0);
  CHECK(zmq_setsockopt(socket, ZMQ_SNDTIMEO, &soon, sizeof soon) == 0);
  return socket;
}

/* Binds a server to a port of the system's choice. */
static inline void bind_socket(void *socket, char endpoint[64])
{
  size_t size = 64;
  CHECK(zmq_bind(socket, "tcp://127.0.0.1:*") == 0);
  CHECK(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
}

/* Has libzmq itself report on a server's handshakes. One server at a time. */
static inline void *monitor_socket(void *context, void *server)
{
  CHECK(zmq_socket_monitor(server, "inproc://monitor", ZMQ_EVENT_ALL) == 0);
  void *monitor = open_socket(context, ZMQ_PAIR);
  CHECK(zmq_connect(monitor, "inproc://monitor") == 0);
  return monitor;
}

/* What the next client is told: the status, where it is refused; 0, where there is none to tell. */
static inline int verdict(void *monitor)
{
  for (;;) {
    uint8_t event[6];
    char where[256];
    CHECK(zmq_recv(monitor, event, sizeof event, 0) == sizeof event);
    CHECK(zmq_recv(monitor, where, sizeof where, 0) >= 0);
    uint16_t number;
    int32_t status;
    memcpy(&number, event, sizeof number);
    memcpy(&status, event + sizeof number, sizeof status);
    if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
      return IRONHOUSE_ADMIT;
    if (number == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
      return status;
    if (number == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
      return 0;
  }
}

/* A client (PUSH) that connects and sends one message. */
static inline void say_hello(void *client, const char *endpoint)
{
  CHECK(zmq_connect(client, endpoint) == 0);
  CHECK(zmq_send(client, "Hello", 5, 0) == 5);
}

/* The server (PULL) receives a message; a property of it, if its name is not NULL. */
static inline void receive_hello(void *server, const char *name, const char *value)
{
  zmq_msg_t message;
  CHECK(zmq_msg_init(&message) == 0);
  CHECK(zmq_msg_recv(&message, server, 0) == 5);
  if (name) {
    const char *found = zmq_msg_gets(&message, name);
    CHECK(found && strcmp(found, value) == 0);
  }
  CHECK(zmq_msg_close(&message) == 0);
}

/* Nothing has come to the server, now that the decision is known. */
static inline void received_nothing(void *server)
{
  char buffer[8];
  CHECK(zmq_recv(server, buffer, sizeof buffer, ZMQ_DONTWAIT) == -1 && zmq_errno() == EAGAIN);
}

#endif
