// What the device server, its client and make_keys have in common: the command line, ctrl-C, and frames of texts.
#ifndef DEVICE_HPP
#define DEVICE_HPP

#include <ironhouse.hpp>
#include <zmq.hpp>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace device {

using texts = std::vector<std::string>;
using clock = std::chrono::steady_clock;

/** The command that subscribes to an attribute, as Tango's admin devices have it. */
constexpr const char *SUBSCRIBE = "ZmqEventSubscriptionChange";
/** How many arguments it always had; a client that wants the server's public key adds KEY_WANTED. */
constexpr size_t ARGUMENTS = 5;
constexpr const char *KEY_WANTED = "1";
/** The first frame of a reply: what follows are numbers and strings, or a reason and its description. */
constexpr const char *DONE = "OK", *FAILED = "FAILED";
/** More than a message of ours ever has. */
constexpr size_t MOST_FRAMES = 16, MOST_BYTES = 4096;

/** A command line that cannot be followed. */
struct usage_error : std::runtime_error {
  using runtime_error::runtime_error;
};

/** What stands on the command line: options with a value, options without, and the rest. */
class arguments {
public:
  arguments(int count, char **given, std::initializer_list<std::string_view> with_value, std::initializer_list<std::string_view> flags,
            size_t fewest, size_t most)
  {
    auto among = [](std::initializer_list<std::string_view> names, const std::string &name) {
      for (auto known : names)
        if (known == name)
          return true;
      return false;
    };
    for (int at = 1; at < count; ++at) {
      std::string name = given[at], value;
      if (name.empty() || name[0] != '-') {
        rest_.push_back(name);
        continue;
      }
      if (among(with_value, name)) {
        if (++at == count || given[at][0] == '\0')
          throw usage_error(name + ": a value must follow");
        value = given[at];
      } else if (!among(flags, name)) {
        throw usage_error(name + ": there is no such option");
      }
      if (!options_.emplace(name, value).second)
        throw usage_error(name + " is there twice");
    }
    if (rest_.size() < fewest || rest_.size() > most)
      throw usage_error(std::to_string(rest_.size()) + " arguments beside the options");
  }

  bool has(const std::string &name) const { return options_.count(name) > 0; }
  std::optional<std::string> value(const std::string &name) const
  {
    auto found = options_.find(name);
    return found == options_.end() ? std::nullopt : std::optional(found->second);
  }
  /** A whole number within bounds. */
  int number(const std::string &name, int otherwise, int least, int greatest) const
  {
    auto text = value(name);
    if (!text)
      return otherwise;
    int number = 0;
    const char *end = text->data() + text->size();
    auto [stop, fault] = std::from_chars(text->data(), end, number);
    if (fault != std::errc() || stop != end || number < least || number > greatest)
      throw usage_error(name + " " + *text + ": a number from " + std::to_string(least) + " to " + std::to_string(greatest) + " is wanted");
    return number;
  }
  const texts &rest() const { return rest_; }

private:
  std::map<std::string, std::string> options_;
  texts rest_;
};

/** Set by ctrl-C. */
inline volatile std::sig_atomic_t stopping = 0;

extern "C" inline void device_stop(int) { stopping = 1; }

/** Has ctrl-C and SIGTERM end the loop that looks at `stopping`. A call of libzmq that waits then fails with EINTR. */
inline void end_on_ctrl_c()
{
  struct sigaction action = {};
  action.sa_handler = device_stop;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGINT, &action, nullptr) != 0 || sigaction(SIGTERM, &action, nullptr) != 0)
    throw std::runtime_error("sigaction failed");
}

/** A socket that neither waits at the end nor takes frames of any size. */
inline zmq::socket_t open(zmq::context_t &context, zmq::socket_type type)
{
  zmq::socket_t socket(context, type);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::maxmsgsize, static_cast<int64_t>(MOST_BYTES));
  return socket;
}

inline void send(zmq::socket_t &socket, const texts &frames)
{
  for (size_t at = 0; at < frames.size(); ++at) {
    auto more = at + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
    if (!socket.send(zmq::buffer(frames[at]), zmq::send_flags::dontwait | more))
      throw std::runtime_error("nobody takes what is sent");
  }
}

/** The frames of a message that has come, if one has; none at all of a message that has too many. */
inline std::optional<texts> receive(zmq::socket_t &socket)
{
  texts frames;
  size_t count = 0;
  zmq::message_t frame;
  do {
    try {
      if (!socket.recv(frame, zmq::recv_flags::dontwait))
        return std::nullopt;
    } catch (const zmq::error_t &error) {
      // A signal came first.
      if (error.num() == EINTR && count == 0)
        return std::nullopt;
      throw;
    }
    if (++count <= MOST_FRAMES)
      frames.push_back(frame.to_string());
  } while (frame.more());
  if (count > MOST_FRAMES)
    frames.clear();
  return frames;
}

/** Binds or connects; where that fails, the reason names the endpoint. */
template <class Function> void at(const std::string &endpoint, Function &&function)
{
  try {
    function(endpoint);
  } catch (const zmq::error_t &error) {
    throw std::runtime_error(endpoint + ": " + error.what());
  }
}

/** Runs a program and says why it failed: 1, or 2 where its command line is at fault. */
template <class Program> int run(const char *usage, Program &&program)
{
  // What is said is read by others while the program runs.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  try {
    program();
    return 0;
  } catch (const usage_error &error) {
    std::fprintf(stderr, "error: %s\n%s", error.what(), usage);
    return 2;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}

} // namespace device

#endif
