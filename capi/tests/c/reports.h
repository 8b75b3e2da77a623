/* What a program is told of its handshakes and of who is connected, for the test programs. */
#ifndef REPORTS_H
#define REPORTS_H

#include "peer.h"

/* What a client was told of its handshakes, newest. */
struct told {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int count, freed;
  ironhouse_verdict_t verdict;
  char problem[512];
};

#define NOTHING_TOLD {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, IRONHOUSE_VERDICT_OTHER, ""}

static inline void tell(void *user_data, const ironhouse_handshake_t *handshake)
{
  struct told *told = (struct told *) user_data;
  CHECK(handshake->size >= sizeof *handshake && strncmp(handshake->endpoint, "tcp://127.0.0.1:", 16) == 0);
  CHECK(handshake->secured == (handshake->problem == NULL));
  CHECK(handshake->secured == (handshake->verdict == IRONHOUSE_VERDICT_SECURED));
  pthread_mutex_lock(&told->mutex);
  told->count++;
  told->verdict = handshake->verdict;
  snprintf(told->problem, sizeof told->problem, "%s", handshake->problem ? handshake->problem : "");
  pthread_cond_broadcast(&told->changed);
  pthread_mutex_unlock(&told->mutex);
}

static inline void enough(void *user_data)
{
  struct told *told = (struct told *) user_data;
  pthread_mutex_lock(&told->mutex);
  told->freed++;
  pthread_cond_broadcast(&told->changed);
  pthread_mutex_unlock(&told->mutex);
}

/* Waits until a number is no longer 0. */
static inline void told_by(struct told *told, const int *number)
{
  wait_until(&told->mutex, &told->changed, number, 1);
}

/* Who is connected to the servers of the domain "pumps"; the last one's name. */
struct list {
  int count;
  char identity[64];
};

static inline void note(void *user_data, const ironhouse_connection_t *connection)
{
  struct list *list = (struct list *) user_data;
  CHECK(connection->size >= sizeof *connection);
  CHECK(strcmp(connection->domain, "pumps") == 0 && strcmp(connection->address, "127.0.0.1") == 0);
  CHECK(connection->since > 1000000000);
  list->count++;
  snprintf(list->identity, sizeof list->identity, "%s", connection->identity ? connection->identity : "?");
}

/* Waits until so many peers are connected, and it is certain who they are: libzmq reports a handshake moments after it lets messages through. */
static inline struct list await_peers(ironhouse_authenticator_t *authenticator, int count)
{
  time_t end = time(NULL) + SOON / 1000;
  for (;;) {
    struct list list = {0, ""};
    OK(ironhouse_authenticator_each_peer(authenticator, note, &list));
    if (list.count == count && strcmp(list.identity, "?") != 0)
      return list;
    CHECK(time(NULL) < end);
    usleep(1000);
  }
}

#endif
