/*
 * ironhouse for C++17: the handles of ironhouse.h as values that end by themselves, and results as exceptions. No logic of its own: what each call does
 * is said there.
 *
 * Contexts and sockets are the program's: cppzmq's zmq::context_t and zmq::socket_t, or the pointers of zmq.h.
 */
#ifndef IRONHOUSE_HPP
#define IRONHOUSE_HPP

#include <ironhouse.h>

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ironhouse {

/** A call that failed: its number, and the reason in words. */
class error : public std::runtime_error {
public:
  error(ironhouse_result_t result, const char *reason, int number) : std::runtime_error(reason), result_(result), number_(number) {}

  ironhouse_result_t result() const noexcept { return result_; }
  /** The errno of the operating system or of libzmq; 0 where there is none. */
  int number() const noexcept { return number_; }

private:
  ironhouse_result_t result_;
  int number_;
};

/** Throws what a call that failed has to say. */
inline void check(ironhouse_result_t result)
{
  if (result != IRONHOUSE_OK)
    throw error(result, ironhouse_last_error(), ironhouse_last_errno());
}

/** A handle that is destroyed with its owner. */
template <class T, ironhouse_result_t (*Destroy)(T **)> class handle {
public:
  handle() noexcept = default;
  explicit handle(T *taken) noexcept : handle_(taken) {}
  handle(handle &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  handle &operator=(handle &&other) noexcept
  {
    std::swap(handle_, other.handle_);
    return *this;
  }
  handle(const handle &) = delete;
  handle &operator=(const handle &) = delete;
  ~handle() { Destroy(&handle_); }

  /** As ironhouse.h takes it. */
  T *get() const noexcept { return handle_; }
  /** A place for a new one. */
  T **place() noexcept { return &handle_; }
  explicit operator bool() const noexcept { return handle_ != nullptr; }

private:
  T *handle_ = nullptr;
};

namespace detail {

/** The pointer behind a context or socket: itself, or that of cppzmq. */
template <class T> void *raw(T &&object)
{
  if constexpr (std::is_pointer_v<std::decay_t<T>>)
    return object;
  else
    return object.handle();
}

/** Calls a function that writes a text, with enough room. */
template <class Write> std::string text(Write &&write)
{
  std::string text(256, '\0');
  for (;;) {
    size_t length = 0;
    ironhouse_result_t result = write(text.data(), text.size(), &length);
    if (result != IRONHOUSE_BUFFER_TOO_SMALL) {
      check(result);
      text.resize(length);
      return text;
    }
    text.resize(length + 1);
  }
}

/** Collects the texts that a call hands over one by one. */
extern "C" inline void ironhouse_hpp_collect(void *user_data, const char *text) noexcept
{
  static_cast<std::vector<std::string> *>(user_data)->emplace_back(text);
}

/** Collects what a call hands over in pairs. */
inline void collect_pair(void *user_data, const char *name, const char *value) noexcept
{
  static_cast<std::vector<std::pair<std::string, std::string>> *>(user_data)->emplace_back(name, value);
}

template <class T> std::string_view view(const T *text) { return text ? std::string_view(text) : std::string_view(); }

} // namespace detail

/** The libzmq that this program is linked with, as ironhouse.h takes it. */
#ifndef IRONHOUSE_WITHOUT_ZMQ_H
inline const ironhouse_api_t &api()
{
  static const ironhouse_api_t table = [] {
    ironhouse_api_t filled;
    ironhouse_api_init(&filled);
    return filled;
  }();
  return table;
}
#endif

/** The version of the library, as "0.1.0". */
inline std::string version() { return ironhouse_version(); }

#ifndef IRONHOUSE_WITHOUT_ZMQ_H
/** Whether libzmq has a capability, as zmq_has() names them. */
inline bool zmq_has(std::string_view capability, const ironhouse_api_t &table = api())
{
  ironhouse_result_t result = ironhouse_api_zmq_has(&table, capability.data(), capability.size());
  if (result != IRONHOUSE_UNSUPPORTED)
    check(result);
  return result == IRONHOUSE_OK;
}

/** The version of libzmq: major, minor and patch. */
inline std::array<int, 3> zmq_version(const ironhouse_api_t &table = api())
{
  std::array<int, 3> version{};
  check(ironhouse_api_zmq_version(&table, &version[0], &version[1], &version[2]));
  return version;
}

/** The file that libzmq was loaded from. */
inline std::string zmq_file(const ironhouse_api_t &table = api())
{
  return detail::text([&](char *text, size_t size, size_t *length) { return ironhouse_api_zmq_file(&table, text, size, length); });
}
#endif

/** The public key that belongs to a secret one. */
inline std::string public_key(std::string_view secret_key)
{
  std::array<char, IRONHOUSE_KEY_SIZE> key{};
  check(ironhouse_public_key(secret_key.data(), secret_key.size(), key.data()));
  return key.data();
}

/** The fingerprint of a public key: short enough to be compared by people. */
inline std::string fingerprint(std::string_view public_key)
{
  return detail::text([&](char *text, size_t size, size_t *length) {
    return ironhouse_fingerprint(public_key.data(), public_key.size(), text, size, length);
  });
}

/** A key's 32 bytes as text (Z85). */
inline std::string z85_encode(const std::array<uint8_t, 32> &key)
{
  std::array<char, IRONHOUSE_KEY_SIZE> text{};
  check(ironhouse_z85_encode(key.data(), text.data()));
  return text.data();
}

/** A key's 32 bytes of its text. */
inline std::array<uint8_t, 32> z85_decode(std::string_view text)
{
  std::array<uint8_t, 32> key{};
  check(ironhouse_z85_decode(text.data(), text.size(), key.data()));
  return key;
}

/** A public key as text (Z85), and the secret one. */
struct keypair {
  std::string public_key, secret_key;

  static keypair generate()
  {
    std::array<char, IRONHOUSE_KEY_SIZE> public_key{}, secret_key{};
    check(ironhouse_keypair(public_key.data(), secret_key.data()));
    keypair made{public_key.data(), secret_key.data()};
    ironhouse_wipe(reinterpret_cast<uint8_t *>(secret_key.data()), secret_key.size());
    return made;
  }

  ~keypair() { ironhouse_wipe(reinterpret_cast<uint8_t *>(secret_key.data()), secret_key.size()); }
};

/** From when to when a certificate admits its owner, in seconds since 1970 (UTC): the first second, and the first at which it is over. */
struct validity {
  std::optional<int64_t> not_before, not_after;
  bool disabled = false;
};

/** A public key, metadata and dates, and where it was made or loaded with it, the secret key. */
class certificate : public handle<ironhouse_certificate_t, ironhouse_certificate_destroy> {
public:
  static certificate generate()
  {
    certificate made;
    check(ironhouse_certificate_new(made.place()));
    return made;
  }
  static certificate from_public_key(std::string_view key)
  {
    certificate made;
    check(ironhouse_certificate_from_public_key(made.place(), key.data(), key.size()));
    return made;
  }
  static certificate from_secret_key(std::string_view key)
  {
    certificate made;
    check(ironhouse_certificate_from_secret_key(made.place(), key.data(), key.size()));
    return made;
  }
  static certificate load(std::string_view path)
  {
    certificate made;
    check(ironhouse_certificate_load(made.place(), path.data(), path.size()));
    return made;
  }
  static certificate load_secret(std::string_view path)
  {
    certificate made;
    check(ironhouse_certificate_load_secret(made.place(), path.data(), path.size()));
    return made;
  }

  /** From exactly this file. */
  static certificate load_secret_file(std::string_view path)
  {
    certificate made;
    check(ironhouse_certificate_load_secret_file(made.place(), path.data(), path.size()));
    return made;
  }

  void save(std::string_view path) const { check(ironhouse_certificate_save(get(), path.data(), path.size())); }
  void save_secret_file(std::string_view path) const { check(ironhouse_certificate_save_secret_file(get(), path.data(), path.size())); }
  void save_public(std::string_view path) const { check(ironhouse_certificate_save_public(get(), path.data(), path.size())); }
  std::string public_key() const
  {
    std::array<char, IRONHOUSE_KEY_SIZE> key{};
    check(ironhouse_certificate_public_key(get(), key.data()));
    return key.data();
  }
  /** With the secret key, which is wiped with the pair. */
  keypair keys() const
  {
    std::array<char, IRONHOUSE_KEY_SIZE> secret{};
    check(ironhouse_certificate_secret_key(get(), secret.data()));
    keypair pair{public_key(), secret.data()};
    ironhouse_wipe(reinterpret_cast<uint8_t *>(secret.data()), secret.size());
    return pair;
  }
  void set_validity(const validity &set)
  {
    check(ironhouse_certificate_set_validity(get(), set.not_before.value_or(IRONHOUSE_NO_DATE), set.not_after.value_or(IRONHOUSE_NO_DATE),
                                             set.disabled));
  }
  ironhouse::validity validity() const
  {
    int64_t from = 0, to = 0;
    ironhouse::validity found;
    check(ironhouse_certificate_validity(get(), &from, &to, &found.disabled));
    if (from != IRONHOUSE_NO_DATE)
      found.not_before = from;
    if (to != IRONHOUSE_NO_DATE)
      found.not_after = to;
    return found;
  }
  /** Whether the administrator with this verify key has signed it as it is. */
  bool verify(std::string_view verify_key) const
  {
    ironhouse_result_t result = ironhouse_certificate_verify(get(), verify_key.data(), verify_key.size());
    if (result != IRONHOUSE_BAD_SIGNATURE)
      check(result);
    return result == IRONHOUSE_OK;
  }
  /** Every metadata value: its name and text, in the order of the file. */
  std::vector<std::pair<std::string, std::string>> metadata() const
  {
    std::vector<std::pair<std::string, std::string>> metadata;
    check(ironhouse_certificate_each_meta(get(), detail::collect_pair, &metadata));
    return metadata;
  }
  void unset_meta(std::string_view name) { check(ironhouse_certificate_unset_meta(get(), name.data(), name.size())); }
  void set_meta(std::string_view name, std::string_view value)
  {
    check(ironhouse_certificate_set_meta(get(), name.data(), name.size(), value.data(), value.size()));
  }
  std::string meta(std::string_view name) const
  {
    return detail::text([&](char *text, size_t size, size_t *length) {
      return ironhouse_certificate_meta(get(), name.data(), name.size(), text, size, length);
    });
  }
};

/** The key by which an administrator signs certificates. */
class signing_key : public handle<ironhouse_signing_key_t, ironhouse_signing_key_destroy> {
public:
  static signing_key generate()
  {
    signing_key made;
    check(ironhouse_signing_key_new(made.place()));
    return made;
  }
  static signing_key load(std::string_view path)
  {
    signing_key made;
    check(ironhouse_signing_key_load(made.place(), path.data(), path.size()));
    return made;
  }

  void save(std::string_view path) const { check(ironhouse_signing_key_save(get(), path.data(), path.size())); }
  std::string verify_key() const
  {
    std::array<char, IRONHOUSE_VERIFY_KEY_SIZE> key{};
    check(ironhouse_signing_key_verify_key(get(), key.data()));
    return key.data();
  }
  void sign(certificate &signed_one) const { check(ironhouse_certificate_sign(signed_one.get(), get())); }
};

/** Which administrators a store believes. */
class trust : public handle<ironhouse_trust_t, ironhouse_trust_destroy> {
public:
  trust() { check(ironhouse_trust_new(place())); }

  trust &believe(std::string_view verify_key) &
  {
    check(ironhouse_trust_believe(get(), verify_key.data(), verify_key.size(), nullptr, 0));
    return *this;
  }
  trust believe(std::string_view verify_key) && { return std::move(believe(verify_key)); }
  /** With the path of his revocation list, which must be in force. */
  trust &believe(std::string_view verify_key, std::string_view revocations) &
  {
    check(ironhouse_trust_believe(get(), verify_key.data(), verify_key.size(), revocations.data(), revocations.size()));
    return *this;
  }
  trust believe(std::string_view verify_key, std::string_view revocations) && { return std::move(believe(verify_key, revocations)); }
  trust &remember(std::string_view path) &
  {
    check(ironhouse_trust_remember(get(), path.data(), path.size()));
    return *this;
  }
  trust remember(std::string_view path) && { return std::move(remember(path)); }
};

/** The certificates whose owners a policy may admit. */
class certificate_store : public handle<ironhouse_store_t, ironhouse_store_destroy> {
public:
  static certificate_store in_memory()
  {
    certificate_store made;
    check(ironhouse_store_memory(made.place()));
    return made;
  }
  static certificate_store directory(std::string_view path)
  {
    certificate_store made;
    check(ironhouse_store_directory(made.place(), path.data(), path.size()));
    return made;
  }
  static certificate_store signed_directory(std::string_view path, const trust &believed)
  {
    certificate_store made;
    check(ironhouse_store_signed_directory(made.place(), path.data(), path.size(), believed.get()));
    return made;
  }
  static certificate_store signed_keyfile(std::string_view path, const trust &believed)
  {
    certificate_store made;
    check(ironhouse_store_signed_keyfile(made.place(), path.data(), path.size(), believed.get()));
    return made;
  }
  static certificate_store keyfile(std::string_view path)
  {
    certificate_store made;
    check(ironhouse_store_keyfile(made.place(), path.data(), path.size()));
    return made;
  }

  void insert(const certificate &added) { check(ironhouse_store_insert(get(), added.get())); }
  void remove(std::string_view key) { check(ironhouse_store_remove(get(), key.data(), key.size())); }
  /** A copy of the certificate of a public key, if there is one. */
  std::optional<certificate> lookup(std::string_view key) const
  {
    certificate found;
    ironhouse_result_t result = ironhouse_store_lookup(get(), key.data(), key.size(), found.place());
    if (result == IRONHOUSE_NOT_FOUND)
      return std::nullopt;
    check(result);
    return found;
  }
  std::vector<std::string> keys() const
  {
    std::vector<std::string> keys;
    check(ironhouse_store_each_key(get(), detail::ironhouse_hpp_collect, &keys));
    return keys;
  }
  /** Returns once every change made on disk before is in force; false, if that takes longer. */
  bool sync(uint32_t milliseconds) const
  {
    ironhouse_result_t result = ironhouse_store_sync(get(), milliseconds);
    if (result != IRONHOUSE_AGAIN)
      check(result);
    return result == IRONHOUSE_OK;
  }
  void set_trust(const trust &believed) { check(ironhouse_store_set_trust(get(), believed.get())); }
  size_t size() const
  {
    size_t size = 0;
    check(ironhouse_store_size(get(), &size));
    return size;
  }
  std::vector<std::string> problems() const
  {
    std::vector<std::string> problems;
    check(ironhouse_store_each_problem(get(), detail::ironhouse_hpp_collect, &problems));
    return problems;
  }
};

/** Users and their passwords. */
class passwords : public handle<ironhouse_passwords_t, ironhouse_passwords_destroy> {
public:
  static passwords in_memory()
  {
    passwords made;
    check(ironhouse_passwords_memory(made.place()));
    return made;
  }
  static passwords load(std::string_view path)
  {
    passwords made;
    check(ironhouse_passwords_load(made.place(), path.data(), path.size()));
    return made;
  }

  /** Of a file that others may read. */
  static passwords load_exposed(std::string_view path)
  {
    passwords made;
    check(ironhouse_passwords_load_exposed(made.place(), path.data(), path.size()));
    return made;
  }

  std::vector<std::string> problems() const
  {
    std::vector<std::string> problems;
    check(ironhouse_passwords_each_problem(get(), detail::ironhouse_hpp_collect, &problems));
    return problems;
  }
  void insert(std::string_view name, std::string_view password)
  {
    check(ironhouse_passwords_insert(get(), name.data(), name.size(), password.data(), password.size()));
  }
  void remove(std::string_view name) { check(ironhouse_passwords_remove(get(), name.data(), name.size())); }
};

/** What a callback decides. */
enum class decision : int { admit = IRONHOUSE_ADMIT, retry = IRONHOUSE_RETRY, refuse = IRONHOUSE_REFUSE, fail = IRONHOUSE_FAIL };

/** Who wants to be admitted; valid until the callback returns. */
struct peer {
  std::string_view domain, address, public_key, principal;
};

/** What an admitted peer's messages shall carry; within a callback. */
class answer {
public:
  explicit answer(ironhouse_reply_t *reply) noexcept : reply_(reply) {}
  void set_user_id(std::string_view user_id) { check(ironhouse_reply_set_user_id(reply_, user_id.data(), user_id.size())); }
  void add_property(std::string_view name, std::string_view value)
  {
    check(ironhouse_reply_add_property(reply_, name.data(), name.size(), value.data(), value.size()));
  }

private:
  ironhouse_reply_t *reply_;
};

/** An answer that is given later, by any thread; destroyed without one, it tells the peer to try again. */
class reply : public handle<ironhouse_reply_t, ironhouse_reply_destroy> {
public:
  using handle::handle;
  void set_user_id(std::string_view user_id) { answer(get()).set_user_id(user_id); }
  void add_property(std::string_view name, std::string_view value) { answer(get()).add_property(name, value); }
  void give(decision given) { check(ironhouse_reply_answer(place(), static_cast<int>(given))); }
};

/** Decides on a peer. An exception refuses it. */
using decide_function = std::function<decision(const peer &, answer &)>;
/** Is told of a peer; the decision comes later. An exception tells it to try again. */
using ask_function = std::function<void(const peer &, reply)>;

/** Something that an authenticator did; valid until the callback returns. */
struct event {
  std::string_view name, text, reason, domain, address, mechanism, identity;
  /** Of a decision: 200, 300, 400 or 500; else 0. */
  int status;
};

using event_function = std::function<void(const event &)>;

/** A connection of an admitted peer. */
struct connection {
  std::string domain, address;
  /** Empty where the peer presented nothing, or it is not certain (yet) who it is. */
  std::string identity;
  /** When it was accepted, in seconds since 1970 (UTC). */
  int64_t since;
};

/** Somebody who is locked out. */
struct lockout {
  /** Empty where it holds in all domains, wherever the peer comes from, or for whoever comes from the address. */
  std::string domain, address, identity;
  /** For how many milliseconds more. */
  uint64_t remaining;
  /** The same in a line for people. */
  std::string text;
};

namespace detail {

inline void collect_lockout(void *user_data, const ironhouse_lockout_t *from) noexcept
{
  static_cast<std::vector<lockout> *>(user_data)->push_back({std::string(view(from->domain)), std::string(view(from->address)),
                                                             std::string(view(from->identity)), from->remaining, std::string(view(from->text))});
}

inline void collect_peer(void *user_data, const ironhouse_connection_t *from) noexcept
{
  static_cast<std::vector<connection> *>(user_data)->push_back(
      {std::string(view(from->domain)), std::string(view(from->address)), std::string(view(from->identity)), from->since});
}

inline peer peer_of(const ironhouse_peer_t *from)
{
  return {view(from->domain), view(from->address), view(from->public_key), view(from->principal)};
}

template <class Function> void forget(void *function) noexcept { delete static_cast<Function *>(function); }

inline int decide(void *function, const ironhouse_peer_t *from, ironhouse_reply_t *handle) noexcept
{
  try {
    answer given(handle);
    return static_cast<int>((*static_cast<decide_function *>(function))(peer_of(from), given));
  } catch (...) {
    return IRONHOUSE_REFUSE;
  }
}

inline void ask(void *function, const ironhouse_peer_t *from, ironhouse_reply_t *handle) noexcept
{
  try {
    (*static_cast<ask_function *>(function))(peer_of(from), reply(handle));
  } catch (...) {
    // The reply is gone by now.
  }
}

inline void listen(void *function, const ironhouse_event_t *from) noexcept
{
  try {
    (*static_cast<event_function *>(function))({view(from->name), view(from->text), view(from->reason), view(from->domain), view(from->address),
                                               view(from->mechanism), view(from->identity), from->status});
  } catch (...) {
    // Nobody could do anything about it.
  }
}

} // namespace detail

/** Who may connect to the sockets of a domain; a new one refuses everybody. Calls can be chained, also on `policy()` itself. */
class policy : public handle<ironhouse_policy_t, ironhouse_policy_destroy> {
public:
  policy() { check(ironhouse_policy_new(place())); }

  policy &allow(std::string_view address) &
  {
    check(ironhouse_policy_allow(get(), address.data(), address.size()));
    return *this;
  }
  policy allow(std::string_view address) && { return std::move(allow(address)); }
  policy &deny(std::string_view address) &
  {
    check(ironhouse_policy_deny(get(), address.data(), address.size()));
    return *this;
  }
  policy deny(std::string_view address) && { return std::move(deny(address)); }
  policy &null() &
  {
    check(ironhouse_policy_null(get()));
    return *this;
  }
  policy null() && { return std::move(null()); }
  policy &plain(const passwords &users) &
  {
    check(ironhouse_policy_plain(get(), users.get()));
    return *this;
  }
  policy plain(const passwords &users) && { return std::move(plain(users)); }
  policy &curve_any() &
  {
    check(ironhouse_policy_curve_any(get()));
    return *this;
  }
  policy curve_any() && { return std::move(curve_any()); }
  policy &curve(const certificate_store &store) &
  {
    check(ironhouse_policy_curve_store(get(), store.get()));
    return *this;
  }
  policy curve(const certificate_store &store) && { return std::move(curve(store)); }
  /** The owners of the certificates in any of these. */
  policy &curve(const std::vector<const certificate_store *> &stores) &
  {
    std::vector<const ironhouse_store_t *> handles;
    for (const certificate_store *store : stores)
      handles.push_back(store->get());
    check(ironhouse_policy_curve_stores(get(), handles.data(), handles.size()));
    return *this;
  }
  policy curve(const std::vector<const certificate_store *> &stores) && { return std::move(curve(stores)); }
  policy &curve(decide_function decide) &
  {
    auto data = std::make_unique<decide_function>(std::move(decide));
    check(ironhouse_policy_curve_callback(get(), detail::decide, data.release(), detail::forget<decide_function>));
    return *this;
  }
  policy curve(decide_function decide) && { return std::move(curve(std::move(decide))); }
  policy &curve_deferred(ask_function ask) &
  {
    auto data = std::make_unique<ask_function>(std::move(ask));
    check(ironhouse_policy_curve_deferred(get(), detail::ask, data.release(), detail::forget<ask_function>));
    return *this;
  }
  policy curve_deferred(ask_function ask) && { return std::move(curve_deferred(std::move(ask))); }
  policy &gssapi_any() &
  {
    check(ironhouse_policy_gssapi_any(get()));
    return *this;
  }
  policy gssapi_any() && { return std::move(gssapi_any()); }
  policy &gssapi(const std::vector<std::string> &principals) &
  {
    std::vector<const char *> texts;
    for (const std::string &principal : principals)
      texts.push_back(principal.c_str());
    check(ironhouse_policy_gssapi_principals(get(), texts.data(), texts.size()));
    return *this;
  }
  policy gssapi(const std::vector<std::string> &principals) && { return std::move(gssapi(principals)); }
  policy &gssapi(decide_function decide) &
  {
    auto data = std::make_unique<decide_function>(std::move(decide));
    check(ironhouse_policy_gssapi_callback(get(), detail::decide, data.release(), detail::forget<decide_function>));
    return *this;
  }
  policy gssapi(decide_function decide) && { return std::move(gssapi(std::move(decide))); }
  policy &gssapi_deferred(ask_function ask) &
  {
    auto data = std::make_unique<ask_function>(std::move(ask));
    check(ironhouse_policy_gssapi_deferred(get(), detail::ask, data.release(), detail::forget<ask_function>));
    return *this;
  }
  policy gssapi_deferred(ask_function ask) && { return std::move(gssapi_deferred(std::move(ask))); }
  policy &refusal(decision told) &
  {
    check(ironhouse_policy_refusal(get(), static_cast<int>(told)));
    return *this;
  }
  policy refusal(decision told) && { return std::move(refusal(told)); }
  /** What peers are told that one rule refuses: an IRONHOUSE_RULE_ constant. */
  policy &refusal_by(int rule, decision told) &
  {
    check(ironhouse_policy_refusal_by(get(), rule, static_cast<int>(told)));
    return *this;
  }
  policy refusal_by(int rule, decision told) && { return std::move(refusal_by(rule, told)); }
};

/** What would become of a peer, and by which rules. */
struct explanation {
  decision status;
  std::string text;
};

/** Decides, for all secured sockets of a context of the program's, who may connect. */
class authenticator : public handle<ironhouse_authenticator_t, ironhouse_authenticator_destroy> {
public:
#ifndef IRONHOUSE_WITHOUT_ZMQ_H
  template <class Context> explicit authenticator(Context &&context, const ironhouse_api_t &table = api())
  {
    check(ironhouse_authenticator_start(place(), &table, detail::raw(context), nullptr));
  }
  /** `options` are zeros but for what is wanted; their size is set here. */
  template <class Context> authenticator(Context &&context, ironhouse_authenticator_options_t options, const ironhouse_api_t &table = api())
  {
    options.size = sizeof options;
    check(ironhouse_authenticator_start(place(), &table, detail::raw(context), &options));
  }
  template <class Context> static authenticator load(Context &&context, std::string_view path, const ironhouse_api_t &table = api())
  {
    authenticator loaded;
    check(ironhouse_authenticator_load(loaded.place(), &table, detail::raw(context), path.data(), path.size()));
    return loaded;
  }
#endif

  void set_policy(std::string_view domain, const policy &set)
  {
    check(ironhouse_authenticator_set_policy(get(), domain.data(), domain.size(), set.get()));
  }
  void set_fallback(const policy &set) { check(ironhouse_authenticator_set_fallback(get(), set.get())); }
  void revoke(std::string_view key) { check(ironhouse_authenticator_revoke(get(), key.data(), key.size())); }
  void unrevoke(std::string_view key) { check(ironhouse_authenticator_unrevoke(get(), key.data(), key.size())); }
  void disconnect(std::string_view key) { check(ironhouse_authenticator_disconnect(get(), key.data(), key.size())); }
  void reload() { check(ironhouse_authenticator_reload(get())); }
  /** Who is locked out. */
  std::vector<lockout> lockouts() const
  {
    std::vector<lockout> lockouts;
    check(ironhouse_authenticator_each_lockout(get(), detail::collect_lockout, &lockouts));
    return lockouts;
  }
  void unlock_address(std::string_view address) { check(ironhouse_authenticator_unlock_address(get(), address.data(), address.size())); }
  void unlock_key(std::string_view key) { check(ironhouse_authenticator_unlock_key(get(), key.data(), key.size())); }
  /** Who is connected to sockets that are watched. */
  std::vector<connection> peers() const
  {
    std::vector<connection> peers;
    check(ironhouse_authenticator_each_peer(get(), detail::collect_peer, &peers));
    return peers;
  }
  std::vector<std::string> problems() const
  {
    std::vector<std::string> problems;
    check(ironhouse_authenticator_each_problem(get(), detail::ironhouse_hpp_collect, &problems));
    return problems;
  }
  ironhouse_counters_t counters() const
  {
    ironhouse_counters_t counters{};
    counters.size = sizeof counters;
    check(ironhouse_authenticator_counters(get(), &counters));
    return counters;
  }
  void on_event(event_function listen)
  {
    auto data = std::make_unique<event_function>(std::move(listen));
    check(ironhouse_authenticator_on_event(get(), detail::listen, data.release(), detail::forget<event_function>));
  }
  explanation explain(std::string_view domain, std::string_view address, const ironhouse_credential_t &credential) const
  {
    int status = 0;
    std::string text = detail::text([&](char *place, size_t size, size_t *length) {
      return ironhouse_authenticator_explain(get(), domain.data(), domain.size(), address.data(), address.size(), &credential, &status, place,
                                             size, length);
    });
    return {static_cast<decision>(status), std::move(text)};
  }

private:
  authenticator() = default;
};

/** Guards a socket by a domain's policy, before it is bound or connected: by address. */
template <class Socket> void null_server(Socket &&socket, authenticator &guard, std::string_view domain)
{
  check(ironhouse_socket_null_server(detail::raw(socket), guard.get(), domain.data(), domain.size()));
}

/** The same, by name and password. */
template <class Socket> void plain_server(Socket &&socket, authenticator &guard, std::string_view domain)
{
  check(ironhouse_socket_plain_server(detail::raw(socket), guard.get(), domain.data(), domain.size()));
}

/** The same, encrypted, by public key. */
template <class Socket> void curve_server(Socket &&socket, authenticator &guard, std::string_view domain, const certificate &keys)
{
  check(ironhouse_socket_curve_server(detail::raw(socket), guard.get(), domain.data(), domain.size(), keys.get()));
}

/** The same by Kerberos principal, encrypted; an empty `principal` is any of the keytab's services. */
template <class Socket> void gssapi_server(Socket &&socket, authenticator &guard, std::string_view domain, std::string_view principal = {})
{
  check(ironhouse_socket_gssapi_server(detail::raw(socket), guard.get(), domain.data(), domain.size(),
                                       principal.empty() ? nullptr : principal.data(), principal.size()));
}

/** What became of a connection that a socket made; valid until the callback returns. */
struct handshake {
  std::string_view endpoint;
  bool secured;
  /** Why not, and how to mend it. */
  std::string_view problem;
  /** The same as a number. */
  ironhouse_verdict_t verdict;
};

using handshake_function = std::function<void(const handshake &)>;

namespace detail {

inline void tell(void *function, const ironhouse_handshake_t *from) noexcept
{
  try {
    (*static_cast<handshake_function *>(function))({view(from->endpoint), from->secured, view(from->problem), from->verdict});
  } catch (...) {
    // Nobody could do anything about it.
  }
}

} // namespace detail

/** What a monitor of the program's own tells of a socket, on its way to the library. */
class feed : public handle<ironhouse_feed_t, ironhouse_feed_destroy> {
public:
#ifndef IRONHOUSE_WITHOUT_ZMQ_H
  /** As on_handshake(), which takes libzmq's one monitor. */
  template <class Socket> static feed handshakes(Socket &&socket, handshake_function listen, const ironhouse_api_t &table = api())
  {
    feed made;
    auto data = std::make_unique<handshake_function>(std::move(listen));
    check(ironhouse_feed_handshakes(made.place(), detail::raw(socket), &table, detail::tell, data.release(),
                                    detail::forget<handshake_function>));
    return made;
  }
#endif
  /** As ironhouse::watch(), which takes libzmq's one monitor. */
  template <class Socket> static feed watch(Socket &&socket, authenticator &guard, std::string_view domain)
  {
    feed made;
    check(ironhouse_feed_watch(made.place(), detail::raw(socket), guard.get(), domain.data(), domain.size()));
    return made;
  }

  void report(uint16_t event, uint32_t value, std::string_view endpoint)
  {
    check(ironhouse_feed_report(get(), event, value, endpoint.data(), endpoint.size()));
  }
  /** The two frames of a report as they are. */
  void frames(std::string_view first, std::string_view second)
  {
    check(ironhouse_feed_frames(get(), first.data(), first.size(), second.data(), second.size()));
  }
};

#ifndef IRONHOUSE_WITHOUT_ZMQ_H
/** Has a client's socket tell of each connection whether it is secured, and why not; before it is connected. Takes libzmq's one monitor of it. */
template <class Socket, class Context>
void on_handshake(Socket &&socket, Context &&context, handshake_function listen, const ironhouse_api_t &table = api())
{
  auto data = std::make_unique<handshake_function>(std::move(listen));
  check(ironhouse_socket_on_handshake(detail::raw(socket), &table, detail::raw(context), detail::tell, data.release(),
                                      detail::forget<handshake_function>));
}
#endif

/** Has the authenticator watch a socket's connections, before it is bound or connected: takes libzmq's one monitor of it. */
template <class Socket> void watch(Socket &&socket, authenticator &guard, std::string_view domain)
{
  check(ironhouse_socket_watch(detail::raw(socket), guard.get(), domain.data(), domain.size()));
}

#ifndef IRONHOUSE_WITHOUT_ZMQ_H
/** Has a client's socket present a name and a password, before it is bound or connected. */
template <class Socket>
void plain_client(Socket &&socket, std::string_view name, std::string_view password, const ironhouse_api_t &table = api())
{
  check(ironhouse_socket_plain_client(detail::raw(socket), &table, name.data(), name.size(), password.data(), password.size()));
}

/** Has a client's socket encrypt, and talk to none but the server with this public key. */
template <class Socket>
void curve_client(Socket &&socket, const certificate &keys, std::string_view server_key, const ironhouse_api_t &table = api())
{
  check(ironhouse_socket_curve_client(detail::raw(socket), &table, keys.get(), server_key.data(), server_key.size()));
}

/** Has a client's socket present a Kerberos ticket for `service`; an empty `principal` is that of the credential cache. */
template <class Socket>
void gssapi_client(Socket &&socket, std::string_view service, std::string_view principal = {}, const ironhouse_api_t &table = api())
{
  check(ironhouse_socket_gssapi_client(detail::raw(socket), &table, service.data(), service.size(),
                                       principal.empty() ? nullptr : principal.data(), principal.size()));
}

/** Has libzmq ask the authenticator about the peers of a server that the program has secured by itself, before it is bound or connected. */
template <class Socket> void enforce(Socket &&socket, std::string_view domain, const ironhouse_api_t &table = api())
{
  check(ironhouse_socket_enforce(detail::raw(socket), &table, domain.data(), domain.size()));
}
#endif

} // namespace ironhouse

#endif // IRONHOUSE_HPP
