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

int main(void)
{
  void *libzmq = dlopen("libzmq.so.5", RTLD_NOW | RTLD_LOCAL);
  void *library = dlopen(getenv("LIBIRONHOUSE_C"), RTLD_NOW | RTLD_LOCAL);
  CHECK(libzmq);
  CHECK(library);
  ironhouse_result_t (*from_library)(void *, ironhouse_api_t *);
  ironhouse_result_t (*file)(const ironhouse_api_t *, char *, size_t, size_t *);
  ironhouse_result_t (*start)(ironhouse_authenticator_t **, const ironhouse_api_t *, void *, const ironhouse_authenticator_options_t *);
  ironhouse_result_t (*destroy)(ironhouse_authenticator_t **);
  const char *(*last_error)(void);
  GET(from_library, library, "ironhouse_api_from_library");
  GET(file, library, "ironhouse_api_zmq_file");
  GET(start, library, "ironhouse_authenticator_start");
  GET(destroy, library, "ironhouse_authenticator_destroy");
  GET(last_error, library, "ironhouse_last_error");

  ironhouse_api_t api;
  /* Not every library is a libzmq. */
  CHECK(from_library(library, &api) == IRONHOUSE_BAD_API);
  CHECK(strstr(last_error(), "zmq_"));
  CHECK(from_library(libzmq, &api) == IRONHOUSE_OK);
  char path[4096];
  CHECK(file(&api, path, sizeof path, NULL) == IRONHOUSE_OK && strstr(path, "libzmq"));

  void *context = api.zmq_ctx_new();
  ironhouse_authenticator_t *authenticator = NULL;
  CHECK(start(&authenticator, &api, context, NULL) == IRONHOUSE_OK);
  CHECK(api.zmq_ctx_term(context) == 0);
  CHECK(destroy(&authenticator) == IRONHOUSE_OK);
  context = api.zmq_ctx_new();
  CHECK(start(&authenticator, &api, context, NULL) == IRONHOUSE_OK);
  CHECK(destroy(&authenticator) == IRONHOUSE_OK);
  CHECK(api.zmq_ctx_term(context) == 0);

  /* Threads of the library that end only now keep their code. */
  dlclose(library);
  return 0;
}
