/* Two copies of libzmq in one process: a socket is told from another copy's, in both directions, and served by its own. */
#include "peer.h"

#include <dlfcn.h>

static void copy_file(const char *from, const char *to)
{
  FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
  CHECK(in && out);
  char buffer[65536];
  size_t length;
  while ((length = fread(buffer, 1, sizeof buffer, in)) > 0)
    CHECK(fwrite(buffer, 1, length, out) == length);
  CHECK(fclose(out) == 0 && fclose(in) == 0);
}

/* The socket is of another libzmq than the table, and the reason names both. */
static void refused(void *socket, const ironhouse_api_t *api, const char *first, const char *second)
{
  FAILS(IRONHOUSE_FOREIGN_SOCKET, ironhouse_socket_plain_client(socket, api, IRONHOUSE_TEXT("ada"), IRONHOUSE_TEXT("lovelace")));
  CHECK(strstr(ironhouse_last_error(), first) && strstr(ironhouse_last_error(), second));
}

int main(void)
{
  ironhouse_api_t ours, theirs;
  ironhouse_api_init(&ours);
  char path[4096], copy[4096];
  OK(ironhouse_api_zmq_file(&ours, path, sizeof path, NULL));
  CHECK(strstr(path, "libzmq"));
  copy_file(path, "another-copy.so");
  void *library = dlopen("./another-copy.so", RTLD_NOW | RTLD_LOCAL);
  CHECK(library);
  OK(ironhouse_api_from_library(library, &theirs));
  CHECK(theirs.zmq_socket != ours.zmq_socket);
  OK(ironhouse_api_zmq_file(&theirs, copy, sizeof copy, NULL));
  CHECK(strstr(copy, "another-copy.so"));

  void *our_context = zmq_ctx_new(), *their_context = theirs.zmq_ctx_new();
  void *our_socket = zmq_socket(our_context, ZMQ_PUSH), *their_socket = theirs.zmq_socket(their_context, ZMQ_PUSH);
  refused(our_socket, &theirs, path, copy);
  refused(their_socket, &ours, path, copy);
  OK(ironhouse_socket_plain_client(our_socket, &ours, IRONHOUSE_TEXT("ada"), IRONHOUSE_TEXT("lovelace")));
  OK(ironhouse_socket_plain_client(their_socket, &theirs, IRONHOUSE_TEXT("ada"), IRONHOUSE_TEXT("lovelace")));

  /* An authenticator for each, at the same time. */
  ironhouse_authenticator_t *one = NULL, *other = NULL;
  OK(ironhouse_authenticator_start(&one, &ours, our_context, NULL));
  OK(ironhouse_authenticator_start(&other, &theirs, their_context, NULL));
  ironhouse_policy_t *policy = NULL;
  OK(ironhouse_policy_new(&policy));
  OK(ironhouse_authenticator_set_policy(one, IRONHOUSE_TEXT("nobody"), policy));
  OK(ironhouse_policy_destroy(&policy));
  void *server = theirs.zmq_socket(their_context, ZMQ_PULL);
  FAILS(IRONHOUSE_FOREIGN_SOCKET, ironhouse_socket_plain_server(server, one, IRONHOUSE_TEXT("nobody")));
  theirs.zmq_close(server);
  zmq_close(our_socket);
  theirs.zmq_close(their_socket);
  CHECK(theirs.zmq_ctx_term(their_context) == 0);
  OK(ironhouse_authenticator_destroy(&one));
  OK(ironhouse_authenticator_destroy(&other));
  CHECK(zmq_ctx_term(our_context) == 0);
  return 0;
}
