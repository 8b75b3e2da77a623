/* Sockets and audit events, for the test programs. */
#ifndef PEER_H
#define PEER_H

#include "check.h"

#include <pthread.h>
#include <time.h>

/* How long anything may take that is expected to happen, in milliseconds. */
enum { SOON = 20000 };

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
  pthread_mutex_unlock(&heard->mutex);
}

/* Waits until there are so many decisions. */
static inline void await(struct heard *heard, int count)
{
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += SOON / 1000;
  pthread_mutex_lock(&heard->mutex);
  while (heard->count < count)
    CHECK(pthread_cond_timedwait(&heard->changed, &heard->mutex, &until) == 0);
  pthread_mutex_unlock(&heard->mutex);
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
