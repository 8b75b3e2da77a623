/* What the examples have in common: sockets that do not wait for ever, and an end with a reason where something goes wrong. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <ironhouse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

/* How long anything may take, in milliseconds. */
enum { SOON = 3000 };

/* Ends the program where a condition does not hold; NDEBUG changes nothing. */
#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                                    \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

/* Ends the program with the reason of a call that failed. */
static inline void ok(ironhouse_result_t result)
{
  if (result != IRONHOUSE_OK) {
    fprintf(stderr, "ironhouse: %s\n", ironhouse_last_error());
    exit(1);
  }
}

static inline void *open_socket(void *context, int type)
{
  void *socket = zmq_socket(context, type);
  int soon = SOON, linger = 0;
  CHECK(socket && zmq_setsockopt(socket, ZMQ_RCVTIMEO, &soon, sizeof soon) == 0);
  CHECK(zmq_setsockopt(socket, ZMQ_SNDTIMEO, &soon, sizeof soon) == 0);
  CHECK(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) == 0);
  return socket;
}

/* Binds to a port that the system picks, and tells which. */
static inline void bind_socket(void *socket, char endpoint[64])
{
  size_t size = 64;
  CHECK(zmq_bind(socket, "tcp://127.0.0.1:*") == 0);
  CHECK(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
}

/* Sends a message from one end to the other. A property of it has this value, unless its name is NULL. */
static inline void say_hello(void *from, void *to, const char *property, const char *value)
{
  zmq_msg_t message;
  CHECK(zmq_send(from, "Hello", 5, 0) == 5);
  CHECK(zmq_msg_init(&message) == 0 && zmq_msg_recv(&message, to, 0) == 5);
  CHECK(memcmp(zmq_msg_data(&message), "Hello", 5) == 0);
  if (property) {
    const char *found = zmq_msg_gets(&message, property);
    CHECK(found && strcmp(found, value) == 0);
  }
  CHECK(zmq_msg_close(&message) == 0);
}

/* What a socket is told of its connection. */
struct handshake {
  mtx_t mutex;
  cnd_t changed;
  bool over, secured;
  char problem[512];
};

static inline void handshake_is_over(void *user_data, const ironhouse_handshake_t *told)
{
  struct handshake *handshake = user_data;
  mtx_lock(&handshake->mutex);
  handshake->over = true;
  handshake->secured = told->secured;
  snprintf(handshake->problem, sizeof handshake->problem, "%s", told->secured ? "" : told->problem);
  cnd_signal(&handshake->changed);
  mtx_unlock(&handshake->mutex);
}

static inline void free_handshake(void *user_data)
{
  struct handshake *handshake = user_data;
  cnd_destroy(&handshake->changed);
  mtx_destroy(&handshake->mutex);
  free(handshake);
}

/* Connects a client, and waits until it is known whether messages can flow; if not, says why. */
static inline bool connect_checked(void *context, void *client, const char *endpoint)
{
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  struct handshake *handshake = calloc(1, sizeof *handshake);
  CHECK(handshake && mtx_init(&handshake->mutex, mtx_timed) == thrd_success && cnd_init(&handshake->changed) == thrd_success);
  ok(ironhouse_socket_on_handshake(client, &api, context, handshake_is_over, handshake, free_handshake));
  CHECK(zmq_connect(client, endpoint) == 0);

  struct timespec until;
  CHECK(timespec_get(&until, TIME_UTC) == TIME_UTC);
  until.tv_sec += SOON / 1000;
  mtx_lock(&handshake->mutex);
  while (!handshake->over)
    CHECK(cnd_timedwait(&handshake->changed, &handshake->mutex, &until) == thrd_success);
  bool secured = handshake->secured;
  if (!secured)
    printf("%s\n", handshake->problem);
  mtx_unlock(&handshake->mutex);
  return secured;
}

#endif
