/* The calls that have nothing to do with messages: zclock, zthread, zsys, and the lists of zcert_meta_keys(). Included by ../czmq.h, in its order. */
#ifndef IRONHOUSE_COMPAT_CZMQ_ZSYS_H
#define IRONHOUSE_COMPAT_CZMQ_ZSYS_H

/* ---- zclock, zthread, zsys ---- */

/* Sleeps for so many milliseconds. */
static inline void zclock_sleep(int msecs)
{
  struct timespec left = {msecs / 1000, (msecs % 1000) * 1000000L};
  while (msecs > 0 && nanosleep(&left, &left) == -1 && errno == EINTR)
    continue;
}

/* Milliseconds since 1970. */
static inline int64_t zclock_time(void)
{
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct czmq2_thread {
  zthread_detached_fn *run;
  void *args;
};

static inline void *czmq2_thread_run(void *data)
{
  struct czmq2_thread thread = *(struct czmq2_thread *) data;
  free(data);
  return thread.run(thread.args);
}

/* Starts a thread that nobody waits for. 0, or -1. */
static inline int zthread_new(zthread_detached_fn *thread_fn, void *args)
{
  struct czmq2_thread *thread = (struct czmq2_thread *) czmq2_new(sizeof *thread);
  thread->run = thread_fn;
  thread->args = args;
  pthread_t id;
  int error = pthread_create(&id, NULL, czmq2_thread_run, thread);
  if (error) {
    czmq2_say('E', "zthread_new", strerror(error));
    free(thread);
    return -1;
  }
  pthread_detach(id);
  return 0;
}

/* Makes a directory, and those above it, where they do not exist. 0, or -1. */
#define zsys_dir_create(...) czmq2_dir_create(CZMQ2_TEXT(__VA_ARGS__))
static inline int czmq2_dir_create(char *path)
{
  int rc = path ? 0 : -1;
  for (char *end = path; rc == 0 && end; ) {
    end = strchr(end + 1, '/');
    if (end)
      *end = '\0';
    struct stat found;
    if (*path && mkdir(path, 0755) == -1 && (stat(path, &found) == -1 || !S_ISDIR(found.st_mode)))
      rc = -1;
    if (end)
      *end = '/';
  }
  free(path);
  return rc;
}

/* Removes an empty directory. 0, or -1. */
#define zsys_dir_delete(...) czmq2_dir_delete(CZMQ2_TEXT(__VA_ARGS__))
static inline int czmq2_dir_delete(char *path)
{
  int rc = path ? rmdir(path) : -1;
  free(path);
  return rc;
}

static inline bool zsys_file_exists(const char *filename)
{
  return access(filename, F_OK) == 0;
}

/* Removes a file. 0, or -1. */
static inline int zsys_file_delete(const char *filename)
{
  return unlink(filename);
}

static inline bool zsys_has_curve(void)
{
  return zmq_has("curve") == 1;
}

/* ---- zlist: what zcert_meta_keys() answers ---- */

struct czmq2_list {
  size_t size, capacity, next;
  char **items;
};

static inline void czmq2_list_append(zlist_t *self, const char *item)
{
  if (self->size == self->capacity) {
    self->capacity = self->capacity ? 2 * self->capacity : 8;
    self->items = (char **) realloc(self->items, self->capacity * sizeof *self->items);
    if (!self->items)
      czmq2_fail("czmq", "out of memory");
  }
  self->items[self->size++] = czmq2_copy(item);
}

static inline void czmq2_list_remove(zlist_t *self, const char *item)
{
  size_t kept = 0;
  for (size_t i = 0; i < self->size; i++)
    if (streq(self->items[i], item))
      free(self->items[i]);
    else
      self->items[kept++] = self->items[i];
  self->size = kept;
}

static inline size_t zlist_size(zlist_t *self)
{
  return self->size;
}

/* The next item, or NULL at the end. */
static inline void *zlist_next(zlist_t *self)
{
  return self->next < self->size ? self->items[self->next++] : NULL;
}

/* The first item, or NULL. */
static inline void *zlist_first(zlist_t *self)
{
  self->next = 0;
  return zlist_next(self);
}

static inline void czmq2_list_clear(zlist_t *self)
{
  for (size_t i = 0; i < self->size; i++)
    free(self->items[i]);
  free(self->items);
}

static inline void zlist_destroy(zlist_t **self_p)
{
  if (self_p && *self_p) {
    czmq2_list_clear(*self_p);
    free(*self_p);
    *self_p = NULL;
  }
}

#endif /* IRONHOUSE_COMPAT_CZMQ_ZSYS_H */
