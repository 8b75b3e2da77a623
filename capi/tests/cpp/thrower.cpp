// A bare C callback that throws, of the kind that the command line names: the process ends there, before anything unwinds through the library. Prints
// what comes before, and never "survived".
#include "../c/peer.h"

#include <stdexcept>
#include <string>

[[noreturn]] static void fail()
{
  std::puts("throws");
  std::fflush(stdout);
  throw std::runtime_error("no idea");
}

static int decide(void *, const ironhouse_peer_t *, ironhouse_reply_t *) { fail(); }
static void ask(void *, const ironhouse_peer_t *, ironhouse_reply_t *) { fail(); }
static void hear_nothing(void *, const ironhouse_event_t *) { fail(); }
static void tell(void *, const ironhouse_handshake_t *) { fail(); }
static void count(void *, const char *, const char *) { fail(); }
static void free_data(void *) { fail(); }

int main(int, char **arguments)
{
  std::string kind = arguments[1];
  world world;
  set_up(&world);
  char key[IRONHOUSE_KEY_SIZE], endpoint[64];
  ironhouse_certificate_t *keys = new_keys(key);
  if (kind == "metadata") {
    OK(ironhouse_certificate_set_meta(keys, IRONHOUSE_TEXT("name"), IRONHOUSE_TEXT("pump 7")));
    OK(ironhouse_certificate_each_meta(keys, count, nullptr));
  }
  ironhouse_policy_t *policy = new_policy();
  if (kind == "ask")
    OK(ironhouse_policy_curve_deferred(policy, ask, nullptr, nullptr));
  else if (kind == "decide")
    OK(ironhouse_policy_curve_callback(policy, decide, nullptr, nullptr));
  else if (kind == "free")
    OK(ironhouse_policy_curve_callback(policy, decide, nullptr, free_data));
  if (kind == "free" || kind == "event" || kind == "handshake")
    OK(ironhouse_policy_curve_any(policy));
  give(&world, "asked", policy);
  if (kind == "event")
    OK(ironhouse_authenticator_on_event(world.authenticator, hear_nothing, nullptr, nullptr));

  void *server = open_socket(world.context, ZMQ_PULL), *client = open_socket(world.context, ZMQ_PUSH);
  OK(ironhouse_socket_curve_server(server, world.authenticator, IRONHOUSE_TEXT("asked"), keys));
  bind_socket(server, endpoint);
  OK(ironhouse_socket_curve_client(client, &world.api, keys, IRONHOUSE_TEXT(key)));
  if (kind == "handshake")
    OK(ironhouse_socket_on_handshake(client, &world.api, world.context, tell, nullptr, nullptr));
  say_hello(client, endpoint);
  await(&world.heard, 1);
  // In case that it was heard of before it threw: there is no second decision.
  await(&world.heard, 2);
  std::puts("survived");
  return 0;
}
