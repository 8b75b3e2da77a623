/* zctx, zsocket and zstr. Included by ../czmq.h, in its order. */
#ifndef IRONHOUSE_COMPAT_CZMQ_ZSOCKET_H
#define IRONHOUSE_COMPAT_CZMQ_ZSOCKET_H

/* ---- zctx ---- */

struct czmq2_socket {
  void *handle;
  /* Bound or connected, elsewhere than within the process. */
  bool in_use;
  struct czmq2_socket *next;
};

struct czmq2_ctx {
  void *underlying;
  int linger;
  zauth_t *auth;
  struct czmq2_socket *sockets;
  zctx_t *next;
};

/* The program's contexts: one list for all of its files that include this one. */
struct czmq2_contexts {
  pthread_mutex_t mutex;
  zctx_t *first;
};
extern struct czmq2_contexts czmq2_contexts;
__attribute__((weak)) struct czmq2_contexts czmq2_contexts = {PTHREAD_MUTEX_INITIALIZER, NULL};

/* What is known of a socket, and whether its context has an authenticator; NULL for a socket that zsocket_new() did not make. */
static inline struct czmq2_socket *czmq2_find(void *handle, bool *guarded)
{
  struct czmq2_socket *found = NULL;
  *guarded = false;
  pthread_mutex_lock(&czmq2_contexts.mutex);
  for (zctx_t *ctx = czmq2_contexts.first; ctx && !found; ctx = ctx->next)
    for (struct czmq2_socket *socket = ctx->sockets; socket && !found; socket = socket->next)
      if (socket->handle == handle) {
        found = socket;
        *guarded = ctx->auth != NULL;
      }
  pthread_mutex_unlock(&czmq2_contexts.mutex);
  return found;
}

/* Makes a context; NULL, if there is none to be had. */
static inline zctx_t *zctx_new(void)
{
  zctx_t *self = (zctx_t *) czmq2_new(sizeof *self);
  self->linger = 1000;
  self->underlying = zmq_ctx_new();
  if (!self->underlying) {
    czmq2_say('E', "zctx_new", zmq_strerror(zmq_errno()));
    free(self);
    return NULL;
  }
  pthread_mutex_lock(&czmq2_contexts.mutex);
  self->next = czmq2_contexts.first;
  czmq2_contexts.first = self;
  pthread_mutex_unlock(&czmq2_contexts.mutex);
  return self;
}

/* Sets the number of I/O threads, before the first socket. */
static inline void zctx_set_iothreads(zctx_t *self, int iothreads)
{
  zmq_ctx_set(self->underlying, ZMQ_IO_THREADS, iothreads);
}

/* Sets how many milliseconds messages get to leave when their socket is destroyed. */
static inline void zctx_set_linger(zctx_t *self, int linger)
{
  self->linger = linger;
}

/* libzmq's context. */
static inline void *zctx_underlying(zctx_t *self)
{
  return self->underlying;
}

static inline void czmq2_close(zctx_t *ctx, struct czmq2_socket *socket)
{
  zmq_setsockopt(socket->handle, ZMQ_LINGER, &ctx->linger, sizeof ctx->linger);
  zmq_close(socket->handle);
  free(socket);
}

struct czmq2_ending {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  void *underlying;
  bool ended, alone;
};

static inline void czmq2_ending_free(struct czmq2_ending *ending)
{
  pthread_cond_destroy(&ending->changed);
  pthread_mutex_destroy(&ending->mutex);
  free(ending);
}

static inline void *czmq2_end(void *data)
{
  struct czmq2_ending *ending = (struct czmq2_ending *) data;
  while (zmq_ctx_term(ending->underlying) == -1 && zmq_errno() == EINTR)
    continue;
  pthread_mutex_lock(&ending->mutex);
  ending->ended = true;
  bool alone = ending->alone;
  pthread_cond_signal(&ending->changed);
  pthread_mutex_unlock(&ending->mutex);
  if (alone)
    czmq2_ending_free(ending);
  return NULL;
}

/* Terminates libzmq's context on a thread of its own, because that waits for every open socket; for so many milliseconds at most. */
static inline void czmq2_terminate(void *underlying, int64_t patience)
{
  struct czmq2_ending *ending = (struct czmq2_ending *) czmq2_new(sizeof *ending);
  pthread_mutex_init(&ending->mutex, NULL);
  pthread_cond_init(&ending->changed, NULL);
  ending->underlying = underlying;
  pthread_t thread;
  int error = pthread_create(&thread, NULL, czmq2_end, ending);
  if (error) {
    czmq2_say('W', "zctx_destroy", strerror(error));
    zmq_ctx_shutdown(underlying);
    czmq2_ending_free(ending);
    return;
  }
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += (time_t) (patience / 1000);
  pthread_mutex_lock(&ending->mutex);
  while (!ending->ended && !error)
    error = pthread_cond_timedwait(&ending->changed, &ending->mutex, &until);
  bool ended = ending->ended;
  ending->alone = !ended;
  pthread_mutex_unlock(&ending->mutex);
  if (ended) {
    pthread_join(thread, NULL);
    czmq2_ending_free(ending);
  } else {
    pthread_detach(thread);
    czmq2_say('W', "zctx_destroy", "another thread has a socket open, or messages to send: the context ends when that does");
  }
}

/* ---- zsocket ---- */

/* Makes a socket, which its context closes if the program does not; NULL, if there is none to be had. */
static inline void *zsocket_new(zctx_t *ctx, int type)
{
  void *handle = zmq_socket(ctx->underlying, type);
  if (!handle) {
    czmq2_say('E', "zsocket_new", zmq_strerror(zmq_errno()));
    return NULL;
  }
  int soon = 20, later = 100;
  zmq_setsockopt(handle, ZMQ_RECONNECT_IVL, &soon, sizeof soon);
  zmq_setsockopt(handle, ZMQ_RECONNECT_IVL_MAX, &later, sizeof later);
  struct czmq2_socket *socket = (struct czmq2_socket *) czmq2_new(sizeof *socket);
  socket->handle = handle;
  pthread_mutex_lock(&czmq2_contexts.mutex);
  socket->next = ctx->sockets;
  ctx->sockets = socket;
  pthread_mutex_unlock(&czmq2_contexts.mutex);
  return handle;
}

/* Closes a socket. */
static inline void zsocket_destroy(zctx_t *ctx, void *zocket)
{
  struct czmq2_socket *found = NULL;
  pthread_mutex_lock(&czmq2_contexts.mutex);
  for (struct czmq2_socket **place = &ctx->sockets; *place && !found; )
    if ((*place)->handle == zocket) {
      found = *place;
      *place = found->next;
    } else {
      place = &(*place)->next;
    }
  pthread_mutex_unlock(&czmq2_contexts.mutex);
  if (found)
    czmq2_close(ctx, found);
}

static inline int czmq2_int_option(void *zocket, int option)
{
  int value = 0;
  size_t size = sizeof value;
  return zmq_getsockopt(zocket, option, &value, &size) == 0 ? value : 0;
}

/* Sets an option, or ends the program: it would go on without what it takes for granted. */
static inline void czmq2_set(void *zocket, const char *call, int option, const void *value, size_t size)
{
  if (zmq_setsockopt(zocket, option, value, size) == -1 && zmq_errno() != ETERM)
    czmq2_fail(call, zmq_strerror(zmq_errno()));
}

/*
 * Sets an option of security; czmq2_secure() sees to what they come to. CZMQ 2's programs set them one by one, in any order, on servers whose
 * authenticator may be started later and whose domain may have no rules of its own, and give clients other keys while they are connected.
 * ironhouse_socket_curve_server() and the like take all of it at once and from an authenticator, so they cannot stand here.
 *
 * `mechanism` is the one that a socket in use may have all the same, because only connections to come change; or -1.
 */
static inline void czmq2_set_security(void *zocket, const char *call, int mechanism, int option, const void *value,
                                      size_t size)
{
  bool guarded;
  struct czmq2_socket *socket = czmq2_find(zocket, &guarded);
  if (socket && socket->in_use && czmq2_int_option(zocket, ZMQ_MECHANISM) != mechanism)
    czmq2_fail(call, "the socket is bound or connected already, and libzmq would not apply this: call it before");
  if (!value)
    czmq2_fail(call, "NULL is no value");
  czmq2_set(zocket, call, option, value, size);
}

/* Has a server ask for its clients' passwords. */
static inline void zsocket_set_plain_server(void *zocket, int plain_server)
{
  czmq2_set_security(zocket, "zsocket_set_plain_server", -1, ZMQ_PLAIN_SERVER, &plain_server, sizeof plain_server);
}

/* Has a server encrypt; its certificate is applied by zcert_apply(). */
static inline void zsocket_set_curve_server(void *zocket, int curve_server)
{
  czmq2_set_security(zocket, "zsocket_set_curve_server", -1, ZMQ_CURVE_SERVER, &curve_server, sizeof curve_server);
}

/* Sets the domain whose rules a server's clients are judged by; those of "*" apply to a server that has none. */
static inline void zsocket_set_zap_domain(void *zocket, const char *zap_domain)
{
  czmq2_set_security(zocket, "zsocket_set_zap_domain", -1, ZMQ_ZAP_DOMAIN, zap_domain,
                     zap_domain ? strlen(zap_domain) : 0);
}

static inline void zsocket_set_plain_username(void *zocket, const char *plain_username)
{
  czmq2_set_security(zocket, "zsocket_set_plain_username", ZMQ_PLAIN, ZMQ_PLAIN_USERNAME, plain_username,
                     plain_username ? strlen(plain_username) : 0);
}

static inline void zsocket_set_plain_password(void *zocket, const char *plain_password)
{
  czmq2_set_security(zocket, "zsocket_set_plain_password", ZMQ_PLAIN, ZMQ_PLAIN_PASSWORD, plain_password,
                     plain_password ? strlen(plain_password) : 0);
}

/* A key as text: 40 characters of Z85. */
static inline void czmq2_set_key(void *zocket, const char *call, int option, const char *text)
{
  uint8_t key[32];
  if (ironhouse_z85_decode(text, IRONHOUSE_NUL, key) != IRONHOUSE_OK)
    czmq2_fail(call, ironhouse_last_error());
  czmq2_set_security(zocket, call, ZMQ_CURVE, option, key, sizeof key);
  ironhouse_wipe(key, sizeof key);
}

/* Sets the key of the server that a client talks to, and to no other. */
static inline void zsocket_set_curve_serverkey(void *zocket, const char *curve_serverkey)
{
  czmq2_set_key(zocket, "zsocket_set_curve_serverkey", ZMQ_CURVE_SERVERKEY, curve_serverkey);
}

static inline void zsocket_set_curve_publickey(void *zocket, const char *curve_publickey)
{
  czmq2_set_key(zocket, "zsocket_set_curve_publickey", ZMQ_CURVE_PUBLICKEY, curve_publickey);
}

static inline void zsocket_set_curve_secretkey(void *zocket, const char *curve_secretkey)
{
  czmq2_set_key(zocket, "zsocket_set_curve_secretkey", ZMQ_CURVE_SECRETKEY, curve_secretkey);
}

/* The same with the key's 32 bytes. */
static inline void zsocket_set_curve_serverkey_bin(void *zocket, const byte *curve_serverkey)
{
  czmq2_set_security(zocket, "zsocket_set_curve_serverkey_bin", ZMQ_CURVE, ZMQ_CURVE_SERVERKEY, curve_serverkey, 32);
}

static inline void zsocket_set_curve_publickey_bin(void *zocket, const byte *curve_publickey)
{
  czmq2_set_security(zocket, "zsocket_set_curve_publickey_bin", ZMQ_CURVE, ZMQ_CURVE_PUBLICKEY, curve_publickey, 32);
}

static inline void zsocket_set_curve_secretkey_bin(void *zocket, const byte *curve_secretkey)
{
  czmq2_set_security(zocket, "zsocket_set_curve_secretkey_bin", ZMQ_CURVE, ZMQ_CURVE_SECRETKEY, curve_secretkey, 32);
}

#define CZMQ2_INT_OPTION(name, option)                                                                                 \
  static inline void zsocket_set_##name(void *zocket, int value)                                                       \
  {                                                                                                                    \
    czmq2_set(zocket, "zsocket_set_" #name, option, &value, sizeof value);                                             \
  }
CZMQ2_INT_OPTION(linger, ZMQ_LINGER)
CZMQ2_INT_OPTION(sndtimeo, ZMQ_SNDTIMEO)
CZMQ2_INT_OPTION(rcvtimeo, ZMQ_RCVTIMEO)
CZMQ2_INT_OPTION(sndhwm, ZMQ_SNDHWM)
CZMQ2_INT_OPTION(rcvhwm, ZMQ_RCVHWM)
#undef CZMQ2_INT_OPTION

static inline void zsocket_set_subscribe(void *zocket, const char *subscribe)
{
  czmq2_set(zocket, "zsocket_set_subscribe", ZMQ_SUBSCRIBE, subscribe, strlen(subscribe));
}

static inline void zsocket_set_identity(void *zocket, const char *identity)
{
  czmq2_set(zocket, "zsocket_set_identity", ZMQ_IDENTITY, identity, strlen(identity));
}

static inline bool czmq2_begins(const char *text, const char *with)
{
  return strncmp(text, with, strlen(with)) == 0;
}

/* Has libzmq ask the authenticator about the peers of a server, and refuse them where there is none, before the socket is bound or connected. */
static inline bool czmq2_secure(void *zocket, const char *call, const char *endpoint, bool binding)
{
  bool guarded;
  struct czmq2_socket *socket = czmq2_find(zocket, &guarded);
  int mechanism = czmq2_int_option(zocket, ZMQ_MECHANISM);
  bool server = czmq2_int_option(zocket, ZMQ_PLAIN_SERVER) || czmq2_int_option(zocket, ZMQ_CURVE_SERVER) ||
                czmq2_int_option(zocket, ZMQ_GSSAPI_SERVER);
  char domain[256] = "";
  size_t size = sizeof domain;
  if (zmq_getsockopt(zocket, ZMQ_ZAP_DOMAIN, domain, &size) == -1) {
    czmq2_say('E', call, zmq_strerror(zmq_errno()));
    return false;
  }
  bool asks = server || *domain || (binding && guarded && mechanism == ZMQ_NULL);
  if (!asks && mechanism == ZMQ_NULL)
    return true;
  if (czmq2_begins(endpoint, "pgm:") || czmq2_begins(endpoint, "epgm:") || czmq2_begins(endpoint, "norm:") ||
      czmq2_begins(endpoint, "udp:")) {
    czmq2_say('E', call, "this transport has no security: libzmq would send everything in clear text");
    return false;
  }
  if (!asks)
    return true;
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  if (!czmq2_ok(call, ironhouse_socket_enforce(zocket, &api, IRONHOUSE_TEXT("*"))))
    return false;
  if (socket && !guarded)
    czmq2_say('W', call, "the context has no authenticator, and without one nobody is admitted: call zauth_new() before");
  return true;
}

/* Marks a socket whose security is final. */
static inline void czmq2_used(void *zocket, const char *endpoint)
{
  bool guarded;
  struct czmq2_socket *socket = czmq2_find(zocket, &guarded);
  if (socket && !czmq2_begins(endpoint, "inproc:"))
    socket->in_use = true;
}

/* The port at the end of a TCP endpoint; 0, where there is none. */
static inline int czmq2_port(void *zocket)
{
  char endpoint[1024];
  size_t size = sizeof endpoint;
  if (zmq_getsockopt(zocket, ZMQ_LAST_ENDPOINT, endpoint, &size) == -1 || !czmq2_begins(endpoint, "tcp:"))
    return 0;
  return atoi(strrchr(endpoint, ':') + 1);
}

/* Secures a socket, and binds or connects it. 0, or -1. */
static inline int czmq2_open(void *zocket, char *endpoint, bool binding)
{
  const char *call = binding ? "zsocket_bind" : "zsocket_connect";
  int rc = -1;
  if (endpoint && czmq2_secure(zocket, call, endpoint, binding)) {
    rc = binding ? zmq_bind(zocket, endpoint) : zmq_connect(zocket, endpoint);
    int error = zmq_errno();
    if (rc == 0)
      czmq2_used(zocket, endpoint);
    else
      fprintf(stderr, "E: %s: %s: %s\n", call, endpoint, zmq_strerror(error));
    errno = error;
  }
  free(endpoint);
  return rc;
}

/* Binds a socket; "*" in the place of the port is any that is free. The port, 0 for another transport than TCP, or -1. */
#define zsocket_bind(zocket, ...) czmq2_bind((zocket), CZMQ2_TEXT(__VA_ARGS__))
static inline int czmq2_bind(void *zocket, char *endpoint)
{
  return czmq2_open(zocket, endpoint, true) == 0 ? czmq2_port(zocket) : -1;
}

/* Connects a socket. 0, or -1. */
#define zsocket_connect(zocket, ...) czmq2_open((zocket), CZMQ2_TEXT(__VA_ARGS__), false)

/* Whether there is a message within so many milliseconds; -1 waits for ever. */
static inline bool zsocket_poll(void *zocket, int msecs)
{
  zmq_pollitem_t item = {zocket, 0, ZMQ_POLLIN, 0};
  return zmq_poll(&item, 1, msecs) == 1 && (item.revents & ZMQ_POLLIN);
}

/* ---- zstr ---- */

static inline int czmq2_send(void *zocket, char *text, int flags)
{
  int rc = text ? zmq_send(zocket, text, strlen(text), flags) : -1;
  free(text);
  return rc == -1 ? -1 : 0;
}

/* Sends a text as a message; zstr_sendm(), as a frame of one of which more follows. 0, or -1. */
#define zstr_send(zocket, ...) czmq2_send((zocket), CZMQ2_TEXT(__VA_ARGS__), 0)
#define zstr_sendf(zocket, ...) czmq2_send((zocket), CZMQ2_TEXT(__VA_ARGS__), 0)
#define zstr_sendm(zocket, ...) czmq2_send((zocket), CZMQ2_TEXT(__VA_ARGS__), ZMQ_SNDMORE)

/* Receives a frame as a text, which is the caller's to free; NULL, if the context ended, a signal came or the time was over. */
static inline char *zstr_recv(void *zocket)
{
  zmq_msg_t message;
  zmq_msg_init(&message);
  char *text = NULL;
  if (zmq_msg_recv(&message, zocket, 0) != -1) {
    size_t size = zmq_msg_size(&message);
    text = (char *) malloc(size + 1);
    if (text) {
      memcpy(text, zmq_msg_data(&message), size);
      text[size] = '\0';
    }
  }
  zmq_msg_close(&message);
  return text;
}

static inline void zstr_free(char **string_p)
{
  free(*string_p);
  *string_p = NULL;
}

#endif /* IRONHOUSE_COMPAT_CZMQ_ZSOCKET_H */
