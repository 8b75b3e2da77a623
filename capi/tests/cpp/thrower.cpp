// A bare C callback that throws: the process ends there, before anything unwinds through the library. Prints what comes before, and never "survived".
#include "../c/peer.h"

#include <stdexcept>

static int throwing(void *, const ironhouse_peer_t *, ironhouse_reply_t *)
{
  std::puts("throws");
  std::fflush(stdout);
  throw std::runtime_error("no idea");
}

int main()
{
  world world;
  set_up(&world);
  ironhouse_policy_t *policy = new_policy();
  OK(ironhouse_policy_curve_callback(policy, throwing, nullptr, nullptr));
  give(&world, "asked", policy);
  char public_key[IRONHOUSE_KEY_SIZE], secret_key[IRONHOUSE_KEY_SIZE], text[1024];
  OK(ironhouse_keypair(public_key, secret_key));
  ironhouse_credential_t credential{};
  credential.size = sizeof credential;
  credential.mechanism = "CURVE";
  credential.name = public_key;
  credential.name_length = IRONHOUSE_NUL;
  int status = 0;
  ironhouse_result_t result = ironhouse_authenticator_explain(world.authenticator, IRONHOUSE_TEXT("asked"), IRONHOUSE_TEXT("192.0.2.7"), &credential,
                                                              &status, text, sizeof text, nullptr);
  std::printf("survived: %d, %d\n", result, status);
  return 0;
}
