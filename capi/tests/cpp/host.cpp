// A program on cppzmq, and on bare pointers: CURVE by a store and by callbacks, exceptions in either direction.
#include "check.hpp"
#include <zmq.hpp>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>

using namespace std::chrono_literals;

namespace {

constexpr auto SOON = 20s;

// What the audit callback has seen.
struct heard {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<int> statuses;

  void operator()(const ironhouse::event &event)
  {
    if (event.name != "decision")
      return;
    std::lock_guard lock(mutex);
    statuses.push_back(event.status);
    changed.notify_all();
  }

  int await(size_t count)
  {
    std::unique_lock lock(mutex);
    CHECK(changed.wait_for(lock, SOON, [&] { return statuses.size() >= count; }));
    return statuses[count - 1];
  }
};

zmq::socket_t open(zmq::context_t &context, zmq::socket_type type)
{
  zmq::socket_t socket(context, type);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::rcvtimeo, static_cast<int>(std::chrono::milliseconds(SOON).count()));
  return socket;
}

void say_hello(zmq::socket_t &client, const std::string &endpoint)
{
  client.connect(endpoint);
  CHECK(client.send(zmq::str_buffer("Hello"), zmq::send_flags::none));
}

void by_store(bool host_first)
{
  heard heard;
  auto context = std::make_unique<zmq::context_t>();
  auto authenticator = std::make_unique<ironhouse::authenticator>(*context);
  authenticator->on_event([&](const ironhouse::event &event) { heard(event); });
  CHECK(thrown([&] { ironhouse::authenticator second(*context); }) == IRONHOUSE_HANDLER_EXISTS);

  auto keys = ironhouse::certificate::generate(), known = ironhouse::certificate::generate(), other = ironhouse::certificate::generate();
  known.set_meta("name", "pump 7");
  auto store = ironhouse::certificate_store::in_memory();
  store.insert(known);
  CHECK(store.size() == 1 && store.problems().empty());
  authenticator->set_policy("pumps", ironhouse::policy().allow("127.0.0.1").curve(store));

  auto server = open(*context, zmq::socket_type::pull);
  ironhouse::curve_server(server, *authenticator, "pumps", keys);
  ironhouse::watch(server, *authenticator, "pumps");
  server.bind("tcp://127.0.0.1:*");
  CHECK(thrown([&] { ironhouse::curve_server(server, *authenticator, "pumps", keys); }) == IRONHOUSE_SOCKET_IN_USE);
  auto endpoint = server.get(zmq::sockopt::last_endpoint);

  auto good = open(*context, zmq::socket_type::push);
  ironhouse::curve_client(good, known, keys.public_key());
  std::promise<bool> secured;
  ironhouse::on_handshake(good, *context, [&](const ironhouse::handshake &handshake) { secured.set_value(handshake.secured); });
  say_hello(good, endpoint);
  zmq::message_t message;
  CHECK(server.recv(message));
  CHECK(message.to_string_view() == "Hello" && std::strcmp(message.gets("name"), "pump 7") == 0);
  CHECK(heard.await(1) == 200);
  auto handshake = secured.get_future();
  CHECK(handshake.wait_for(SOON) == std::future_status::ready && handshake.get());
  // libzmq reports a connection moments after it lets messages through.
  auto peers = authenticator->peers();
  for (auto until = std::chrono::steady_clock::now() + SOON; peers.empty() && std::chrono::steady_clock::now() < until;) {
    std::this_thread::sleep_for(1ms);
    peers = authenticator->peers();
  }
  CHECK(peers.size() == 1 && peers.front().address == "127.0.0.1");

  // The bare pointer does as well.
  auto bad = open(*context, zmq::socket_type::push);
  ironhouse::curve_client(bad.handle(), other, keys.public_key());
  say_hello(bad, endpoint);
  CHECK(heard.await(2) == 400);
  CHECK(!server.recv(message, zmq::recv_flags::dontwait));

  auto counters = authenticator->counters();
  CHECK(counters.admitted == 1 && counters.refused == 1);
  auto key = other.public_key();
  ironhouse_credential_t credential{};
  credential.size = sizeof credential;
  credential.mechanism = "CURVE";
  credential.name = key.data();
  credential.name_length = key.size();
  auto explanation = authenticator->explain("pumps", "127.0.0.1", credential);
  CHECK(explanation.status == ironhouse::decision::refuse && !explanation.text.empty());

  good.close();
  bad.close();
  server.close();
  if (host_first) {
    context.reset();
    authenticator.reset();
  } else {
    authenticator.reset();
    context.reset();
  }
}

// What becomes of a client whose fate a callback decides.
int by_callback(ironhouse::policy policy)
{
  heard heard;
  zmq::context_t context;
  ironhouse::authenticator authenticator(context);
  authenticator.on_event([&](const ironhouse::event &event) { heard(event); });
  auto keys = ironhouse::certificate::generate();
  authenticator.set_policy("asked", policy);
  auto server = open(context, zmq::socket_type::pull);
  ironhouse::curve_server(server, authenticator, "asked", keys);
  server.bind("tcp://127.0.0.1:*");
  auto client = open(context, zmq::socket_type::push);
  ironhouse::curve_client(client, keys, keys.public_key());
  say_hello(client, server.get(zmq::sockopt::last_endpoint));
  int status = heard.await(1);
  if (status == 200) {
    zmq::message_t message;
    CHECK(server.recv(message));
    CHECK(std::strcmp(message.gets("User-Id"), "ada") == 0);
  }
  return status;
}

} // namespace

int main()
{
  auto pair = ironhouse::keypair::generate();
  CHECK(pair.public_key.size() == 40 && pair.secret_key.size() == 40);
  CHECK(thrown([] { ironhouse::certificate::load("nothing"); }) == IRONHOUSE_IO);
  auto administrator = ironhouse::signing_key::generate();
  auto certificate = ironhouse::certificate::generate();
  administrator.sign(certificate);
  certificate.save_public("signed.keys");
  auto believed = ironhouse::trust().believe(administrator.verify_key());
  CHECK(ironhouse::certificate_store::signed_directory(".", believed).size() == 1);
  by_store(true);
  by_store(false);

  CHECK(by_callback(ironhouse::policy().curve([](const ironhouse::peer &peer, ironhouse::answer &answer) {
          CHECK(peer.domain == "asked" && peer.public_key.size() == 40 && peer.principal.empty());
          answer.set_user_id("ada");
          return ironhouse::decision::admit;
        })) == 200);
  // What is thrown refuses, and goes no further.
  CHECK(by_callback(ironhouse::policy().curve(
            [](const ironhouse::peer &, ironhouse::answer &) -> ironhouse::decision { throw std::runtime_error("no idea"); })) == 400);
  std::thread thread;
  CHECK(by_callback(ironhouse::policy().curve_deferred([&](const ironhouse::peer &, ironhouse::reply reply) {
          thread = std::thread(
              [](ironhouse::reply later) {
                later.set_user_id("ada");
                later.give(ironhouse::decision::admit);
              },
              std::move(reply));
        })) == 200);
  thread.join();
  CHECK(by_callback(ironhouse::policy().curve_deferred(
            [](const ironhouse::peer &, ironhouse::reply) { throw std::runtime_error("no idea"); })) == 300);
  return 0;
}
