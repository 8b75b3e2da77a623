/*
 * A device server in Tango's manner, on cppzmq: it publishes heartbeats and events, encrypted, and takes subscriptions at an admin socket.
 *
 * The keys of its event sockets may be new at every start. A client learns the public one by asking for it at the admin socket (a sixth argument
 * of the command), which is safe where the client knows that socket's key from a file. Clients that do not ask get what they always got.
 */
#include "device.hpp"

#include <arpa/inet.h>

#include <set>

namespace {

const char USAGE[] =
    "usage: device_server [options]\n"
    "  --host ADDRESS     IPv4 address to bind to (127.0.0.1)\n"
    "  --admin-keys FILE  protects the admin socket by the key pair in FILE_secret; without it, that is plain text\n"
    "  --keys FILE        the event sockets' key pair, in FILE_secret; without it, a new one\n"
    "  --clients DIR      admits only the owners of the certificates in DIR; without it, everybody who encrypts\n"
    "  --key-over-plain   hands the event sockets' public key out over a plain admin socket, too: whoever is on the way can replace it\n"
    "  --period MS        publishes every MS milliseconds (100)\n";

/** The device, and what can be read there. */
const char DEVICE[] = "sys/pump/7";
const std::set<std::string> ATTRIBUTES{"pressure", "speed"};

struct settings {
  std::string host = "127.0.0.1";
  std::optional<std::string> admin_keys, keys, clients;
  bool key_over_plain = false;
  std::chrono::milliseconds period{100};
};

/** What a command's caller is told where it fails: Tango's DevFailed. */
struct failure {
  std::string reason, description;
};

class server {
public:
  explicit server(const settings &settings)
      : key_over_plain_(settings.key_over_plain), protected_(settings.admin_keys.has_value()), authenticator_(context_),
        keys_(settings.keys ? ironhouse::certificate::load_secret(*settings.keys) : ironhouse::certificate::generate())
  {
    authenticator_.on_event([](const ironhouse::event &event) {
      if (event.status != IRONHOUSE_ADMIT)
        std::printf("%.*s\n", static_cast<int>(event.text.size()), event.text.data());
    });
    ironhouse::policy encrypted;
    if (settings.clients)
      encrypted.curve(ironhouse::certificate_store::directory(*settings.clients));
    else
      encrypted.curve_any();
    authenticator_.set_policy("events", encrypted);
    if (protected_)
      authenticator_.set_policy("admin", encrypted);
    else
      authenticator_.set_policy("admin", ironhouse::policy().null());
    for (const auto &problem : authenticator_.problems())
      std::fprintf(stderr, "warning: %s\n", problem.c_str());

    // A socket is secured first, and bound then. Who is not admitted any more (its certificate is removed, say) is put out, because they are watched.
    if (protected_)
      ironhouse::curve_server(admin_, authenticator_, "admin", ironhouse::certificate::load_secret(*settings.admin_keys));
    else
      ironhouse::null_server(admin_, authenticator_, "admin");
    ironhouse::watch(admin_, authenticator_, "admin");
    for (auto *socket : {&heartbeat_, &events_}) {
      ironhouse::curve_server(*socket, authenticator_, "events", keys_);
      ironhouse::watch(*socket, authenticator_, "events");
    }
    auto bound = [&](zmq::socket_t &socket) {
      device::at("tcp://" + settings.host + ":*", [&](const std::string &endpoint) { socket.bind(endpoint); });
      return socket.get(zmq::sockopt::last_endpoint);
    };
    auto admin = bound(admin_);
    heartbeat_endpoint_ = bound(heartbeat_);
    event_endpoint_ = bound(events_);
    name_ = "tango://" + admin.substr(admin.find("//") + 2) + "/";

    std::printf("admin %s %s\n", admin.c_str(), protected_ ? "protected" : "plain");
    std::printf("heartbeat %s protected\n", heartbeat_endpoint_.c_str());
    std::printf("events %s protected\n", event_endpoint_.c_str());
    std::printf("key %s\n", keys_.public_key().c_str());
  }

  /** Serves until ctrl-C. */
  void run(std::chrono::milliseconds period)
  {
    std::printf("ready\n");
    auto next = device::clock::now();
    while (!device::stopping) {
      try {
        auto now = device::clock::now();
        if (now >= next) {
          publish();
          next = now + period;
        }
        zmq::pollitem_t items[] = {{admin_.handle(), 0, ZMQ_POLLIN, 0}};
        zmq::poll(items, 1, std::chrono::ceil<std::chrono::milliseconds>(next - now));
        // Not more at a time than leaves the heart beating.
        for (int taken = 0; taken < 100; ++taken) {
          auto request = device::receive(admin_);
          if (!request)
            break;
          serve(*request);
        }
      } catch (const zmq::error_t &error) {
        // A signal: ctrl-C, as a rule.
        if (error.num() != EINTR)
          throw;
      }
    }
    std::printf("stopped\n");
  }

private:
  std::string heartbeat_topic() const { return name_ + "dserver/pumps/7.heartbeat"; }
  std::string event_topic(const std::string &attribute) const { return name_ + DEVICE + "/" + attribute + ".change"; }

  void publish()
  {
    auto count = std::to_string(++count_);
    device::send(heartbeat_, {heartbeat_topic(), count});
    for (const auto &attribute : subscribed_)
      device::send(events_, {event_topic(attribute), count, std::to_string(static_cast<double>(count_ % 100) / 10)});
  }

  /** Answers a request: who asks, an empty frame, the command and its arguments. What is no request has nobody who waits for an answer. */
  void serve(const device::texts &request)
  {
    if (request.size() < 3 || !request[1].empty())
      return;
    device::texts reply{request[0], ""};
    try {
      auto said = command(request[2], {request.begin() + 3, request.end()});
      reply.insert(reply.end(), said.begin(), said.end());
    } catch (const failure &failure) {
      reply.insert(reply.end(), {device::FAILED, failure.reason, failure.description});
    }
    device::send(admin_, reply);
  }

  /** Numbers in one frame, and strings: Tango's DevVarLongStringArray. The strings are even in number, unless the caller asked for the key. */
  device::texts command(const std::string &name, const device::texts &argin)
  {
    if (name != device::SUBSCRIBE)
      throw failure{"API_CommandNotFound", "the only command here is " + std::string(device::SUBSCRIBE)};
    if (argin.size() != device::ARGUMENTS && argin.size() != device::ARGUMENTS + 1)
      throw failure{"API_WrongNumberOfArgs",
                    "device, attribute, action, event and release are wanted, and as a sixth \"1\" for the server's public key"};
    if (argin[0] != DEVICE)
      throw failure{"API_DeviceNotFound", "the only device here is " + std::string(DEVICE)};
    if (ATTRIBUTES.count(argin[1]) == 0)
      throw failure{"API_AttrNotFound", std::string(DEVICE) + " has no such attribute"};
    if (argin[2] != "subscribe" || argin[3] != "change")
      throw failure{"API_NotSupportedFeature", "the only action here is subscribe, the only event change"};
    bool key_wanted = argin.size() > device::ARGUMENTS && argin[device::ARGUMENTS] == device::KEY_WANTED;
    if (key_wanted && !protected_ && !key_over_plain_)
      throw failure{"API_NotProtected",
                    "this admin connection is plain text, over which a key proves nothing: "
                    "give the client the key in a file, or protect the admin socket"};

    subscribed_.insert(argin[1]);
    int major = 0, minor = 0, patch = 0;
    zmq_version(&major, &minor, &patch);
    // The release of Tango's library (none), its IDL's, the high-water mark, multicast's rate and interval, and the release of libzmq.
    auto numbers = "0 5 " + std::to_string(events_.get(zmq::sockopt::sndhwm)) + " 0 0 " + std::to_string(major * 10000 + minor * 100 + patch);
    device::texts reply{device::DONE, numbers, heartbeat_endpoint_, event_endpoint_, heartbeat_topic(), event_topic(argin[1])};
    if (key_wanted)
      reply.push_back(keys_.public_key());
    return reply;
  }

  const bool key_over_plain_, protected_;
  // In the order in which they end, the last one first: sockets, authenticator, context.
  zmq::context_t context_;
  ironhouse::authenticator authenticator_;
  ironhouse::certificate keys_;
  zmq::socket_t admin_ = device::open(context_, zmq::socket_type::router), heartbeat_ = device::open(context_, zmq::socket_type::pub),
                events_ = device::open(context_, zmq::socket_type::pub);
  std::string heartbeat_endpoint_, event_endpoint_, name_;
  std::set<std::string> subscribed_;
  unsigned long count_ = 0;
};

settings read(const device::arguments &arguments)
{
  settings chosen;
  chosen.host = arguments.value("--host").value_or(chosen.host);
  in_addr address{};
  if (inet_pton(AF_INET, chosen.host.c_str(), &address) != 1 || address.s_addr == INADDR_ANY)
    throw device::usage_error("--host " + chosen.host + ": an IPv4 address of this machine is wanted, which clients can connect to");
  chosen.admin_keys = arguments.value("--admin-keys");
  chosen.keys = arguments.value("--keys");
  chosen.clients = arguments.value("--clients");
  if (chosen.clients && !std::filesystem::is_directory(*chosen.clients))
    throw device::usage_error("--clients " + *chosen.clients + ": there is no such directory");
  chosen.key_over_plain = arguments.has("--key-over-plain");
  if (chosen.key_over_plain && chosen.admin_keys)
    throw device::usage_error("--key-over-plain with --admin-keys: the admin socket is not plain");
  chosen.period = std::chrono::milliseconds(arguments.number("--period", 100, 1, 60000));
  return chosen;
}

} // namespace

int main(int count, char **given)
{
  return device::run(USAGE, [&] {
    device::arguments arguments(count, given, {"--host", "--admin-keys", "--keys", "--clients", "--period"}, {"--key-over-plain"}, 0, 0);
    auto settings = read(arguments);
    device::end_on_ctrl_c();
    server(settings).run(settings.period);
  });
}
