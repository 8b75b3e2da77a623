/*
 * The device server's client, on cppzmq: it subscribes to an attribute at the admin socket, gets to know the event sockets' public key, and
 * receives heartbeats and events, encrypted.
 *
 * A key comes from a file, or from the server over an admin connection whose key comes from a file. It never falls back to plain text.
 */
#include "device.hpp"

#include <memory>
#include <mutex>

namespace {

const char USAGE[] =
    "usage: event_client ADMIN [DEVICE/ATTRIBUTE] [options]\n"
    "  ADMIN              where the server's admin socket is, as the server prints it\n"
    "  DEVICE/ATTRIBUTE   what to subscribe to (sys/pump/7/pressure)\n"
    "  --admin-key FILE   the admin socket's certificate: the connection to it is encrypted, and the key of the events is asked for there\n"
    "  --event-key FILE   the event sockets' certificate: their key is not asked for\n"
    "  --key-over-plain   asks for it over plain text: whoever is on the way can replace it\n"
    "  --keys FILE        our own key pair, in FILE_secret, for servers that know their clients; without it, a new one\n"
    "  --old              asks as clients did that know of no keys, prints the reply and ends\n"
    "  --events N         ends after N events (never)\n"
    "  --timeout S        gives up where nothing comes for S seconds (10)\n";

struct settings {
  std::string admin, device, attribute;
  std::optional<std::string> admin_key, event_key, keys;
  bool key_over_plain = false, old = false;
  int events = 0;
  std::chrono::seconds timeout{10};

  bool key_wanted() const { return !old && !event_key; }
};

/** A socket, and what the library finds out about its handshakes, which libzmq keeps to itself: a refused client's socket is just silent. */
class connection {
public:
  connection(zmq::context_t &context, zmq::socket_type type, std::string name) : name_(std::move(name)), socket_(device::open(context, type))
  {
  }

  zmq::socket_t &socket() { return socket_; }
  void connect(zmq::context_t &context, const std::string &endpoint)
  {
    ironhouse::on_handshake(socket_, context, [told = told_](const ironhouse::handshake &handshake) {
      std::lock_guard lock(told->mutex);
      told->problem = handshake.problem;
    });
    device::at(endpoint, [&](const std::string &endpoint) { socket_.connect(endpoint); });
  }
  /** Throws if there is trouble with the connection, or with nothing having come for too long. */
  void check(bool overdue) const
  {
    std::lock_guard lock(told_->mutex);
    if (!told_->problem.empty())
      throw std::runtime_error("the server's " + name_ + " socket: " + told_->problem);
    if (overdue)
      throw std::runtime_error("nothing comes from the server's " + name_ + " socket");
  }

private:
  struct told {
    std::mutex mutex;
    std::string problem;
  };

  std::string name_;
  zmq::socket_t socket_;
  // Shared: the thread that tells may be a moment later than the socket's end.
  std::shared_ptr<told> told_ = std::make_shared<told>();
};

class client {
public:
  explicit client(const settings &settings)
      : settings_(settings), keys_(settings.keys ? ironhouse::certificate::load_secret(*settings.keys) : ironhouse::certificate::generate())
  {
  }

  void run()
  {
    auto strings = subscribe();
    if (strings.empty())
      return;
    if (settings_.old) {
      // What they read: the last two.
      std::printf("%zu strings, heartbeats %s, events %s\n", strings.size(), strings[strings.size() - 2].c_str(), strings.back().c_str());
      return;
    }
    std::string key;
    if (settings_.event_key) {
      key = ironhouse::certificate::load(*settings_.event_key).public_key();
    } else if (strings.size() % 2 == 1) {
      key = strings.back();
      strings.pop_back();
    } else {
      throw std::runtime_error("the server gave no key: it knows of none, and its events are plain text");
    }
    if (strings.size() < 4 || strings.size() % 2 != 0)
      throw std::runtime_error("the server's reply has " + std::to_string(strings.size()) + " strings, which makes no sense");
    // Over multicast (epgm) libzmq encrypts nothing, whatever it was told.
    for (const auto *endpoint : {&strings[0], &strings[1]})
      if (endpoint->rfind("tcp://", 0) != 0)
        throw std::runtime_error("the server's events are at " + *endpoint + ": only over tcp are they sure to be encrypted");
    std::printf("key %s from %s\n", key.c_str(), settings_.event_key ? "a file" : "the server");

    ironhouse::curve_client(heartbeat_.socket(), keys_, key);
    ironhouse::curve_client(events_.socket(), keys_, key);
    heartbeat_topic_ = strings[strings.size() - 2];
    event_topic_ = strings.back();
    heartbeat_.socket().set(zmq::sockopt::subscribe, heartbeat_topic_);
    events_.socket().set(zmq::sockopt::subscribe, event_topic_);
    heartbeat_.connect(context_, strings[0]);
    events_.connect(context_, strings[1]);
    receive();
  }

private:
  /** Waits until one of the connections has something, or throws; the first must by a certain time. False: ctrl-C. */
  bool wait(std::initializer_list<connection *> connections, device::clock::time_point until)
  {
    while (!device::stopping) {
      try {
        std::vector<zmq::pollitem_t> items;
        for (auto *connection : connections)
          items.push_back({connection->socket().handle(), 0, ZMQ_POLLIN, 0});
        // Not for long: what the library was told is looked at in between.
        if (zmq::poll(items, std::chrono::milliseconds(50)) > 0)
          return true;
        bool overdue = device::clock::now() >= until;
        for (auto *connection : connections)
          connection->check(std::exchange(overdue, false));
      } catch (const zmq::error_t &error) {
        if (error.num() != EINTR)
          throw;
      }
    }
    return false;
  }

  /** The strings of the server's reply; none after ctrl-C. */
  device::texts subscribe()
  {
    connection admin(context_, zmq::socket_type::req, "admin");
    if (settings_.admin_key)
      ironhouse::curve_client(admin.socket(), keys_, ironhouse::certificate::load(*settings_.admin_key).public_key());
    admin.connect(context_, settings_.admin);
    device::texts request{device::SUBSCRIBE, settings_.device, settings_.attribute, "subscribe", "change", "5"};
    if (settings_.key_wanted())
      request.push_back(device::KEY_WANTED);
    device::send(admin.socket(), request);
    if (!wait({&admin}, device::clock::now() + settings_.timeout))
      return {};
    auto reply = device::receive(admin.socket()).value_or(device::texts());
    if (reply.size() == 3 && reply[0] == device::FAILED)
      throw std::runtime_error("the server refuses the subscription: " + reply[1] + ": " + reply[2]);
    if (reply.size() < 4 || reply[0] != device::DONE)
      throw std::runtime_error("what the server answers is no reply to " + std::string(device::SUBSCRIBE));
    return {reply.begin() + 2, reply.end()};
  }

  /** Prints what comes, until there was enough, or ctrl-C. */
  void receive()
  {
    int heartbeats = 0, events = 0;
    auto now = device::clock::now();
    auto heartbeat_due = now + settings_.timeout, event_due = heartbeat_due;
    while (settings_.events == 0 || heartbeats == 0 || events < settings_.events) {
      // The one that is due first is named, should it not come.
      bool sooner = heartbeat_due < event_due;
      if (!(sooner ? wait({&heartbeat_, &events_}, heartbeat_due) : wait({&events_, &heartbeat_}, event_due))) {
        std::printf("stopped\n");
        return;
      }
      while (auto frames = device::receive(heartbeat_.socket())) {
        if (frames->size() != 2 || (*frames)[0] != heartbeat_topic_)
          continue;
        heartbeat_due = device::clock::now() + settings_.timeout;
        if (++heartbeats == 1)
          std::printf("heartbeat %s\n", (*frames)[1].c_str());
      }
      while (auto frames = device::receive(events_.socket())) {
        if (frames->size() != 3 || (*frames)[0] != event_topic_)
          continue;
        event_due = device::clock::now() + settings_.timeout;
        ++events;
        std::printf("event %s %s %s\n", settings_.attribute.c_str(), (*frames)[1].c_str(), (*frames)[2].c_str());
      }
    }
  }

  const settings &settings_;
  ironhouse::certificate keys_;
  zmq::context_t context_;
  connection heartbeat_{context_, zmq::socket_type::sub, "heartbeat"}, events_{context_, zmq::socket_type::sub, "event"};
  std::string heartbeat_topic_, event_topic_;
};

settings read(const device::arguments &arguments)
{
  settings chosen;
  chosen.admin = arguments.rest()[0];
  if (chosen.admin.rfind("tcp://", 0) != 0)
    throw device::usage_error(chosen.admin + ": the admin socket's endpoint is wanted, as tcp://127.0.0.1:10000");
  auto attribute = arguments.rest().size() > 1 ? arguments.rest()[1] : "sys/pump/7/pressure";
  auto slash = attribute.rfind('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == attribute.size())
    throw device::usage_error(attribute + ": a device and an attribute are wanted, as sys/pump/7/pressure");
  chosen.device = attribute.substr(0, slash);
  chosen.attribute = attribute.substr(slash + 1);
  chosen.admin_key = arguments.value("--admin-key");
  chosen.event_key = arguments.value("--event-key");
  chosen.keys = arguments.value("--keys");
  chosen.key_over_plain = arguments.has("--key-over-plain");
  chosen.old = arguments.has("--old");
  chosen.events = arguments.number("--events", 0, 1, 1000000);
  chosen.timeout = std::chrono::seconds(arguments.number("--timeout", 10, 1, 3600));
  if (chosen.key_wanted() && !chosen.admin_key && !chosen.key_over_plain)
    throw device::usage_error("where is the key of the events to come from? "
                              "--admin-key FILE, --event-key FILE or, at your own risk, --key-over-plain");
  return chosen;
}

} // namespace

int main(int count, char **given)
{
  return device::run(USAGE, [&] {
    device::arguments arguments(count, given, {"--admin-key", "--event-key", "--keys", "--events", "--timeout"}, {"--key-over-plain", "--old"}, 1, 2);
    auto settings = read(arguments);
    device::end_on_ctrl_c();
    client(settings).run();
  });
}
