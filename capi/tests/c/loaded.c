/* A program that links neither library: it loads both by dlopen, as an interpreter does. */
#define IRONHOUSE_WITHOUT_ZMQ_H
#include <ironhouse.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                                    \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

/* Of zmq.h, which such a program does not have. */
enum { PULL = 7, PUSH = 8, RCVTIMEO = 27, LAST_ENDPOINT = 32 };

static void *symbol(void *library, const char *name)
{
  void *found = dlsym(library, name);
  if (!found) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
  return found;
}

/* ISO C has no conversion between the two kinds of pointers; POSIX has. */
#define GET(function, library, name) *(void **) &(function) = symbol(library, name)

/* A server that admits whoever encrypts; the host terminates its context before the authenticator is destroyed, or after. */
static void guarded(void *library, const ironhouse_api_t *api, bool host_first)
{
  ironhouse_result_t (*start)(ironhouse_authenticator_t **, const ironhouse_api_t *, void *, const ironhouse_authenticator_options_t *);
  ironhouse_result_t (*destroy)(ironhouse_authenticator_t **), (*destroy_policy)(ironhouse_policy_t **);
  ironhouse_result_t (*set_policy)(ironhouse_authenticator_t *, const char *, size_t, const ironhouse_policy_t *);
  ironhouse_result_t (*new_policy)(ironhouse_policy_t **), (*curve_any)(ironhouse_policy_t *);
  ironhouse_result_t (*new_keys)(ironhouse_certificate_t **), (*destroy_keys)(ironhouse_certificate_t **);
  ironhouse_result_t (*public_key)(const ironhouse_certificate_t *, char *);
  ironhouse_result_t (*secure_server)(void *, ironhouse_authenticator_t *, const char *, size_t, const ironhouse_certificate_t *);
  ironhouse_result_t (*secure_client)(void *, const ironhouse_api_t *, const ironhouse_certificate_t *, const char *, size_t);
  GET(start, library, "ironhouse_authenticator_start");
  GET(destroy, library, "ironhouse_authenticator_destroy");
  GET(set_policy, library, "ironhouse_authenticator_set_policy");
  GET(new_policy, library, "ironhouse_policy_new");
  GET(destroy_policy, library, "ironhouse_policy_destroy");
  GET(curve_any, library, "ironhouse_policy_curve_any");
  GET(new_keys, library, "ironhouse_certificate_new");
  GET(destroy_keys, library, "ironhouse_certificate_destroy");
  GET(public_key, library, "ironhouse_certificate_public_key");
  GET(secure_server, library, "ironhouse_socket_curve_server");
  GET(secure_client, library, "ironhouse_socket_curve_client");

  void *context = api->zmq_ctx_new();
  ironhouse_authenticator_t *authenticator = NULL;
  ironhouse_policy_t *policy = NULL;
  ironhouse_certificate_t *keys = NULL;
  char key[IRONHOUSE_KEY_SIZE], endpoint[64], text[8];
  size_t size = sizeof endpoint;
  CHECK(start(&authenticator, api, context, NULL) == IRONHOUSE_OK);
  CHECK(new_policy(&policy) == IRONHOUSE_OK && curve_any(policy) == IRONHOUSE_OK);
  CHECK(set_policy(authenticator, IRONHOUSE_TEXT("any"), policy) == IRONHOUSE_OK);
  CHECK(new_keys(&keys) == IRONHOUSE_OK && public_key(keys, key) == IRONHOUSE_OK);
  void *server = api->zmq_socket(context, PULL), *client = api->zmq_socket(context, PUSH);
  int soon = 20000;
  CHECK(api->zmq_setsockopt(server, RCVTIMEO, &soon, sizeof soon) == 0);
  CHECK(secure_server(server, authenticator, IRONHOUSE_TEXT("any"), keys) == IRONHOUSE_OK);
  CHECK(api->zmq_bind(server, "tcp://127.0.0.1:*") == 0);
  CHECK(api->zmq_getsockopt(server, LAST_ENDPOINT, endpoint, &size) == 0);
  CHECK(secure_client(client, api, keys, IRONHOUSE_TEXT(key)) == IRONHOUSE_OK);
  CHECK(api->zmq_connect(client, endpoint) == 0);
  CHECK(api->zmq_send(client, "Hello", 5, 0) == 5 && api->zmq_recv(server, text, sizeof text, 0) == 5);
  CHECK(api->zmq_close(client) == 0 && api->zmq_close(server) == 0);
  CHECK(destroy_policy(&policy) == IRONHOUSE_OK && destroy_keys(&keys) == IRONHOUSE_OK);
  if (host_first)
    CHECK(api->zmq_ctx_term(context) == 0);
  CHECK(destroy(&authenticator) == IRONHOUSE_OK);
  if (!host_first)
    CHECK(api->zmq_ctx_term(context) == 0);
}

int main(void)
{
  void *libzmq = dlopen("libzmq.so.5", RTLD_NOW | RTLD_LOCAL);
  void *library = dlopen(getenv("LIBIRONHOUSE_C"), RTLD_NOW | RTLD_LOCAL);
  CHECK(libzmq);
  CHECK(library);
  ironhouse_result_t (*from_library)(void *, ironhouse_api_t *);
  ironhouse_result_t (*file)(const ironhouse_api_t *, char *, size_t, size_t *);
  const char *(*last_error)(void);
  GET(from_library, library, "ironhouse_api_from_library");
  GET(file, library, "ironhouse_api_zmq_file");
  GET(last_error, library, "ironhouse_last_error");

  ironhouse_api_t api;
  /* Not every library is a libzmq. */
  CHECK(from_library(library, &api) == IRONHOUSE_BAD_API);
  CHECK(strstr(last_error(), "zmq_"));
  CHECK(from_library(libzmq, &api) == IRONHOUSE_OK);
  char path[4096];
  CHECK(file(&api, path, sizeof path, NULL) == IRONHOUSE_OK && strstr(path, "libzmq"));
  guarded(library, &api, true);
  guarded(library, &api, false);

  /* Threads of the library that end only now keep their code. */
  dlclose(library);
  return 0;
}
