// What the C interface answers, as values: on bare pointers, without cppzmq.
#include "check.hpp"

#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <thread>

#include <sys/stat.h>

namespace {

// Policies are chained on a name by reference, and on a temporary by value, which outlives the expression.
static_assert(std::is_same_v<decltype(std::declval<ironhouse::policy &>().null()), ironhouse::policy &>);
static_assert(std::is_same_v<decltype(std::declval<ironhouse::policy>().null()), ironhouse::policy>);
static_assert(std::is_same_v<decltype(ironhouse::trust().remember("")), ironhouse::trust>);

void keys()
{
  CHECK(ironhouse::version() == ironhouse_version());
  CHECK(ironhouse::zmq_has("curve") && !ironhouse::zmq_has("no such thing"));
  CHECK(ironhouse::zmq_version() >= (std::array<int, 3>{4, 3, 0}));
  CHECK(!ironhouse::zmq_file().empty());

  auto owner = ironhouse::certificate::generate();
  const auto pair = owner.keys();
  CHECK(pair.public_key == owner.public_key() && ironhouse::public_key(pair.secret_key) == pair.public_key);
  CHECK(ironhouse::z85_encode(ironhouse::z85_decode(pair.public_key)) == pair.public_key);
  const auto fingerprint = ironhouse::fingerprint(pair.public_key);
  CHECK(!fingerprint.empty() && fingerprint.size() < IRONHOUSE_FINGERPRINT_SIZE);
  CHECK(thrown([] { ironhouse::fingerprint("no key"); }) != IRONHOUSE_OK);

  owner.set_meta("name", "Ada");
  owner.set_meta("plant", "7");
  owner.unset_meta("plant");
  CHECK((owner.metadata() == std::vector<std::pair<std::string, std::string>>{{"name", "Ada"}}));
  CHECK(!owner.validity().not_before && !owner.validity().not_after && !owner.validity().disabled);
  owner.set_validity({1000, std::nullopt, true});
  CHECK(owner.validity().not_before == 1000 && !owner.validity().not_after && owner.validity().disabled);
  owner.set_validity({});
  owner.save_secret_file("whole");
  CHECK(ironhouse::certificate::load_secret_file("whole").keys().secret_key == pair.secret_key);

  const auto administrator = ironhouse::signing_key::generate(), stranger = ironhouse::signing_key::generate();
  administrator.sign(owner);
  CHECK(owner.verify(administrator.verify_key()) && !owner.verify(stranger.verify_key()));

  auto store = ironhouse::certificate_store::in_memory();
  store.insert(owner);
  CHECK(store.keys() == std::vector<std::string>{pair.public_key} && store.sync(1000));
  CHECK(store.lookup(pair.public_key)->meta("name") == "Ada");
  CHECK(!store.lookup(ironhouse::keypair::generate().public_key));

  std::ofstream("users") << "ada=secret\nno line\n";
  CHECK(chmod("users", 0644) == 0);
  CHECK(thrown([] { ironhouse::passwords::load("users"); }) == IRONHOUSE_BAD_FILE);
  CHECK(ironhouse::passwords::load_exposed("users").problems().size() == 1);
}

void policies(void *context)
{
  ironhouse_authenticator_options_t options{};
  options.limits = IRONHOUSE_LIMITS_BEHIND_NAT;
  ironhouse::authenticator guard(context, options);
  CHECK(guard.lockouts().empty());
  CHECK(thrown([&] { guard.unlock_address("192.0.2.7"); }) == IRONHOUSE_NOT_FOUND);
  CHECK(thrown([&] { guard.unlock_key(ironhouse::keypair::generate().public_key); }) == IRONHOUSE_NOT_FOUND);

  auto one = ironhouse::certificate_store::in_memory(), other = ironhouse::certificate_store::in_memory();
  const auto member = ironhouse::certificate::generate();
  other.insert(member);
  const auto &kept = ironhouse::policy().allow("192.0.2.0/24").curve({&one, &other}).refusal(ironhouse::decision::retry);
  guard.set_policy("pumps", kept);
  const auto key = member.public_key();
  ironhouse_credential_t credential{};
  credential.size = sizeof credential;
  credential.mechanism = "CURVE";
  credential.name = key.c_str();
  credential.name_length = IRONHOUSE_NUL;
  CHECK(guard.explain("pumps", "192.0.2.7", credential).status == ironhouse::decision::admit);
  CHECK(guard.explain("pumps", "198.51.100.7", credential).status == ironhouse::decision::retry);
  // Which libzmq carries these out, its authenticator says.
  const auto list = ironhouse::policy().gssapi({"ada@EXAMPLE.ORG"});
  const auto asks = ironhouse::policy().gssapi([](const ironhouse::peer &, ironhouse::answer &) { return ironhouse::decision::admit; });
  const auto defers = ironhouse::policy().gssapi_deferred([](const ironhouse::peer &, ironhouse::reply) {});
  for (const auto *policy : {&list, &asks, &defers}) {
    const auto result = thrown([&] { guard.set_policy("valves", *policy); });
    CHECK(result == IRONHOUSE_OK || result == IRONHOUSE_GSSAPI_REFUSAL);
  }
}

// A feed gets what the program's monitor reports, here by hand.
void feeds(void *context)
{
  void *socket = zmq_socket(context, ZMQ_PUSH);
  std::atomic<bool> secured = false;
  const std::string endpoint = "tcp://127.0.0.1:5555";
  {
    auto feed = ironhouse::feed::handshakes(socket, [&](const ironhouse::handshake &handshake) {
      secured = handshake.secured && handshake.verdict == IRONHOUSE_VERDICT_SECURED && handshake.endpoint == endpoint;
      throw std::runtime_error("nobody hears this");
    });
    feed.report(ZMQ_EVENT_CONNECTED, 7, endpoint);
    std::string first(6, '\0');
    const uint16_t event = ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    std::memcpy(first.data(), &event, sizeof event);
    feed.frames(first, endpoint);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!secured) {
      CHECK(std::chrono::steady_clock::now() < end);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK(thrown([&] { feed.frames("?", endpoint); }) == IRONHOUSE_INVALID_ARGUMENT);
  }
  ironhouse::enforce(socket, "pumps");
  CHECK(zmq_close(socket) == 0);
}

} // namespace

int main()
{
  keys();
  void *context = zmq_ctx_new();
  policies(context);
  feeds(context);
  CHECK(zmq_ctx_term(context) == 0);
}
