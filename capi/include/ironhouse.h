/*
 * ironhouse: authentication and certificates for programs that use ZeroMQ.
 *
 * The library has no libzmq of its own. A program hands over the functions of the one that it uses, as a table:
 *
 *   #include <zmq.h>
 *   #include <ironhouse.h>
 *
 *   ironhouse_api_t api;
 *   ironhouse_api_init(&api);
 *
 * Programs that have no zmq.h define IRONHOUSE_WITHOUT_ZMQ_H and call ironhouse_api_from_library().
 *
 * RESULTS. Functions answer IRONHOUSE_OK or why they failed; ironhouse_last_error() has the reason in words. A failed call has changed nothing,
 * unless its description says otherwise. What a description ends with are its errors, who owns what, and the threads that may make the call.
 *
 * TEXTS come with their length in bytes, or with IRONHOUSE_NUL if a NUL ends them; IRONHOUSE_TEXT(text) writes both arguments. They are copied.
 * Texts for the caller go to a buffer of the caller's: at most `size` bytes are written, the NUL at the end among them. `length`, if it is not
 * NULL, gets the length without the NUL, also where the buffer is too small (IRONHOUSE_BUFFER_TOO_SMALL) or NULL with size 0.
 *
 * HANDLES are pointers to look at, not into: they are numbers that the library knows. A handle that was destroyed, or is of another kind, is
 * told from a good one, and answers IRONHOUSE_BAD_HANDLE. What makes one says what destroys it; destroying sets the pointer to NULL and
 * does nothing where it is NULL. What a call takes it keeps by itself: handles may be destroyed in any order.
 *
 * THREADS. Every function may be called by any thread, unless its description says otherwise; a handle may be used by several at once. Contexts
 * and sockets are used as libzmq allows: a socket by one thread at a time. A description says "any", where calls may also be made at the same time.
 * Threads of the library block all signals.
 *
 * CALLBACKS run on threads of the library. A C++ exception that leaves one ends the process. User data is freed once, after its last use, by the
 * function that was given for it, on any thread; also if the call that took it failed.
 *
 * FORK. In a child, handles of the parent answer IRONHOUSE_FORKED, and new ones can be made. Of the parent's threads none is there.
 *
 * SHUTDOWN. A context that the library was given may be terminated before its authenticator is destroyed, or after it: neither waits for the other.
 * Between the two, only destroy. The library stays loaded until the process ends, also after a dlclose().
 */

#ifndef IRONHOUSE_H
#define IRONHOUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifndef IRONHOUSE_WITHOUT_ZMQ_H
#include <zmq.h>
#endif

struct zmq_msg_t;
struct zmq_pollitem_t;

/** In the place of a text's length: a NUL ends the text, within 65536 bytes. */
#define IRONHOUSE_NUL ((size_t) -1)

/** A text that a NUL ends, as the two arguments that it takes. */
#define IRONHOUSE_TEXT(text) (text), IRONHOUSE_NUL


/**
 * The version of ironhouse_api_t's layout. Later ones add functions at its end.
 */
#define IRONHOUSE_API_VERSION 1

/**
 * In the place of a date: none.
 */
#define IRONHOUSE_NO_DATE -1

/**
 * Size of a buffer for a key as text (Z85, RFC 32): 40 characters and the NUL at the end.
 */
#define IRONHOUSE_KEY_SIZE 41

/**
 * Size of a buffer that takes any fingerprint of a key, with the NUL at the end.
 */
#define IRONHOUSE_FINGERPRINT_SIZE 64

/**
 * Limits: none, but that 10,000 requests may wait for their decision.
 */
#define IRONHOUSE_LIMITS_OFF 0

/**
 * Limits for networks where an address is one machine: who fails 20 times from it, or 10 times with one name or key, is locked out for about 10
 * minutes; from one address at most 256 connections, 64 of them half-open, 64 requests that wait and 4 callbacks or password hashes at a time;
 * 1024 half-open connections in all.
 */
#define IRONHOUSE_LIMITS_STANDARD 1

/**
 * Limits for networks where many machines come from one address: 1000 failures from it, or 10 with one name or key; from one address at most 512
 * half-open connections, 2500 requests that wait and 16 callbacks or password hashes at a time; 1024 half-open connections in all.
 */
#define IRONHOUSE_LIMITS_BEHIND_NAT 2

/**
 * A rule of a policy: the peer's address is refused.
 */
#define IRONHOUSE_RULE_DENY_LIST 1

/**
 * A rule of a policy: the peer's address is none of those that are allowed.
 */
#define IRONHOUSE_RULE_ALLOW_LIST 2

/**
 * A rule of a policy: the peer's mechanism is not taken.
 */
#define IRONHOUSE_RULE_MECHANISM 3

/**
 * A rule of a policy: who fails again and again is locked out.
 */
#define IRONHOUSE_RULE_LOCK_OUT 4

/**
 * A rule of a policy: the peer's credential must be good.
 */
#define IRONHOUSE_RULE_CREDENTIAL 5

/**
 * A decision: admit the peer.
 */
#define IRONHOUSE_ADMIT 200

/**
 * A decision: not now; the peer comes back.
 */
#define IRONHOUSE_RETRY 300

/**
 * A decision: refuse the peer.
 */
#define IRONHOUSE_REFUSE 400

/**
 * A decision: something broke; the peer does not come back by itself.
 */
#define IRONHOUSE_FAIL 500

/**
 * Size of a buffer for a verify key as text: "ed25519:", 40 characters and the NUL at the end.
 */
#define IRONHOUSE_VERIFY_KEY_SIZE 49

/**
 * What became of a call. A number keeps its meaning for ever; later versions may add some.
 */
typedef enum {
  /**
   * It did what it says.
   */
  IRONHOUSE_OK = 0,
  /**
   * A pointer that must not be NULL was.
   */
  IRONHOUSE_NULL_POINTER = 1,
  /**
   * Not a handle of the kind that the call takes, or one that was destroyed.
   */
  IRONHOUSE_BAD_HANDLE = 2,
  /**
   * A text that has no end, or is not UTF-8 where it must be.
   */
  IRONHOUSE_BAD_TEXT = 3,
  /**
   * The buffer is too small for the answer; nothing was written to it but an empty text.
   */
  IRONHOUSE_BUFFER_TOO_SMALL = 4,
  /**
   * A fault of the library itself: please report it.
   */
  IRONHOUSE_INTERNAL = 5,
  /**
   * The table of libzmq's functions has gaps, or was made for another layout.
   */
  IRONHOUSE_BAD_API = 6,
  /**
   * It would have to wait, or its time was over.
   */
  IRONHOUSE_AGAIN = 7,
  /**
   * The context was shut down.
   */
  IRONHOUSE_TERMINATED = 8,
  /**
   * A signal arrived during the call.
   */
  IRONHOUSE_INTERRUPTED = 9,
  /**
   * libzmq refused a call: ironhouse_last_errno() has its number.
   */
  IRONHOUSE_ZMQ = 10,
  /**
   * This process was forked off the one that made the handle.
   */
  IRONHOUSE_FORKED = 11,
  /**
   * A call of the operating system failed: ironhouse_last_errno() has its number.
   */
  IRONHOUSE_OS = 12,
  /**
   * This libzmq was built without what the call needs.
   */
  IRONHOUSE_UNSUPPORTED = 13,
  /**
   * The context has a ZAP handler already.
   */
  IRONHOUSE_HANDLER_EXISTS = 14,
  /**
   * An argument out of its range.
   */
  IRONHOUSE_INVALID_ARGUMENT = 15,
  /**
   * A policy that could refuse a peer over GSSAPI, where this libzmq would let it in all the same.
   */
  IRONHOUSE_GSSAPI_REFUSAL = 16,
  /**
   * Text that is not Z85.
   */
  IRONHOUSE_BAD_Z85 = 17,
  /**
   * A key that cannot be used.
   */
  IRONHOUSE_BAD_KEY = 18,
  /**
   * A certificate that no trusted administrator signed as it is.
   */
  IRONHOUSE_BAD_SIGNATURE = 19,
  /**
   * A file whose content, kind or permissions will not do.
   */
  IRONHOUSE_BAD_FILE = 20,
  /**
   * A file that cannot be read, written or watched: ironhouse_last_errno() has the number.
   */
  IRONHOUSE_IO = 21,
  /**
   * There is no such thing.
   */
  IRONHOUSE_NOT_FOUND = 22,
  /**
   * The certificate has no secret key, which the call needs.
   */
  IRONHOUSE_NO_SECRET_KEY = 23,
  /**
   * The socket was bound or connected before: libzmq would take a mechanism now, and not apply it.
   */
  IRONHOUSE_SOCKET_IN_USE = 24,
  /**
   * The socket belongs to another copy of libzmq than the table.
   */
  IRONHOUSE_FOREIGN_SOCKET = 25,
  /**
   * Something else: ironhouse_last_error() says what.
   */
  IRONHOUSE_OTHER = 26,
} ironhouse_result_t;

/**
 * What became of a connection, as a number. It keeps its meaning for ever; later versions may add some.
 */
typedef enum {
  /**
   * Messages can flow, by the socket's mechanism.
   */
  IRONHOUSE_VERDICT_SECURED = 0,
  /**
   * The endpoint's host name does not lead to an address.
   */
  IRONHOUSE_VERDICT_UNRESOLVED = 1,
  /**
   * Nobody accepted a connection in time.
   */
  IRONHOUSE_VERDICT_UNREACHABLE = 2,
  /**
   * Somebody accepted the connection, and then said nothing that ends the handshake.
   */
  IRONHOUSE_VERDICT_SILENT = 3,
  /**
   * The peer closed the connection during the handshake without a reason.
   */
  IRONHOUSE_VERDICT_CLOSED = 4,
  /**
   * Something else than ZeroMQ is at the endpoint.
   */
  IRONHOUSE_VERDICT_NOT_ZMTP = 5,
  /**
   * The peer speaks a version of ZMTP that knows no security.
   */
  IRONHOUSE_VERDICT_OLD_PROTOCOL = 6,
  /**
   * The two ends have different mechanisms. libzmq does not connect again.
   */
  IRONHOUSE_VERDICT_MECHANISM_MISMATCH = 7,
  /**
   * Both ends are servers of their mechanism.
   */
  IRONHOUSE_VERDICT_BOTH_SERVERS = 8,
  /**
   * Both ends are clients of their mechanism.
   */
  IRONHOUSE_VERDICT_BOTH_CLIENTS = 9,
  /**
   * The server did not prove to hold the key that this client was given for it (CURVE).
   */
  IRONHOUSE_VERDICT_WRONG_SERVER_KEY = 10,
  /**
   * The server said nothing of our credential: its authenticator failed for the moment, or there is none.
   */
  IRONHOUSE_VERDICT_NO_VERDICT = 11,
  /**
   * The server's authenticator refused us. libzmq does not connect again, unless by IRONHOUSE_RETRY.
   */
  IRONHOUSE_VERDICT_REFUSED = 12,
  /**
   * The two ends do not understand each other.
   */
  IRONHOUSE_VERDICT_PROTOCOL = 13,
  /**
   * Something else: the text says what.
   */
  IRONHOUSE_VERDICT_OTHER = 14,
} ironhouse_verdict_t;

/**
 * Decides, for all secured sockets of a context, who may connect: a ZAP handler on a thread of the library. May be used by several threads at
 * once.
 */
typedef struct ironhouse_authenticator_t ironhouse_authenticator_t;

/**
 * A certificate: a public key, metadata and dates, and where it was made or loaded with it, the secret key, which is wiped when the
 * certificate is destroyed. May be used by several threads at once. Files are those of CZMQ and pyzmq.
 */
typedef struct ironhouse_certificate_t ironhouse_certificate_t;

/**
 * What a program's own monitor of a socket tells, on its way to the library. libzmq has one monitor for a socket, and a second ends the first
 * without an error: a program that has its own hands its reports over here. May be used by several threads, but reports count in the order in
 * which they are handed over.
 */
typedef struct ironhouse_feed_t ironhouse_feed_t;

/**
 * Users and their passwords: in memory, or those of a file of lines `name=password` or `name=` and an Argon2id hash, which is followed.
 * May be used by several threads and policies at once, which keep it by themselves.
 */
typedef struct ironhouse_passwords_t ironhouse_passwords_t;

/**
 * Who may connect to the sockets of a domain: by address, mechanism and credential, in this order. A new one refuses everybody, and each
 * call opens one door. In force once it is given to an authenticator, which takes a copy: later calls change the handle alone.
 * May be used by several threads at once.
 */
typedef struct ironhouse_policy_t ironhouse_policy_t;

/**
 * The answer to one peer.
 */
typedef struct ironhouse_reply_t ironhouse_reply_t;

/**
 * The key by which an administrator signs certificates (Ed25519); wiped when it is destroyed.
 */
typedef struct ironhouse_signing_key_t ironhouse_signing_key_t;

/**
 * A set of certificates whose owners a policy may admit: in memory, or those of a directory or key file, which are followed change by change.
 * May be used by several threads and policies at once, which keep it by themselves.
 */
typedef struct ironhouse_store_t ironhouse_store_t;

/**
 * Which administrators a store believes, and what it asks for beside their signatures. A copy is taken by what uses it.
 */
typedef struct ironhouse_trust_t ironhouse_trust_t;

/**
 * The functions of one libzmq (4.3.0 or later): the host's, through which all of its contexts and sockets are used.
 *
 * Fill it by ironhouse_api_init(), which takes the functions of the libzmq that the calling program is linked with, or by
 * ironhouse_api_from_library(). It is copied by every call that takes it, and may go out of scope at once. The library whose functions are in it
 * must stay loaded.
 */
typedef struct {
  /**
   * Size of the table in bytes, as the program that fills it knows it.
   */
  size_t size;
  /**
   * IRONHOUSE_API_VERSION, as that program knows it.
   */
  uint32_t version;
  int (*zmq_errno)(void);
  const char *(*zmq_strerror)(int);
  void (*zmq_version)(int*, int*, int*);
  int (*zmq_has)(const char*);
  void *(*zmq_ctx_new)(void);
  int (*zmq_ctx_term)(void*);
  int (*zmq_ctx_shutdown)(void*);
  int (*zmq_ctx_set)(void*, int, int);
  int (*zmq_ctx_get)(void*, int);
  int (*zmq_msg_init)(struct zmq_msg_t*);
  int (*zmq_msg_init_size)(struct zmq_msg_t*, size_t);
  int (*zmq_msg_init_data)(struct zmq_msg_t*, void*, size_t, void(*)(void*, void*), void*);
  int (*zmq_msg_send)(struct zmq_msg_t*, void*, int);
  int (*zmq_msg_recv)(struct zmq_msg_t*, void*, int);
  int (*zmq_msg_close)(struct zmq_msg_t*);
  int (*zmq_msg_move)(struct zmq_msg_t*, struct zmq_msg_t*);
  int (*zmq_msg_copy)(struct zmq_msg_t*, struct zmq_msg_t*);
  void *(*zmq_msg_data)(struct zmq_msg_t*);
  size_t (*zmq_msg_size)(const struct zmq_msg_t*);
  int (*zmq_msg_more)(const struct zmq_msg_t*);
  int (*zmq_msg_get)(const struct zmq_msg_t*, int);
  int (*zmq_msg_set)(struct zmq_msg_t*, int, int);
  const char *(*zmq_msg_gets)(const struct zmq_msg_t*, const char*);
  void *(*zmq_socket)(void*, int);
  int (*zmq_close)(void*);
  int (*zmq_setsockopt)(void*, int, const void*, size_t);
  int (*zmq_getsockopt)(void*, int, void*, size_t*);
  int (*zmq_bind)(void*, const char*);
  int (*zmq_connect)(void*, const char*);
  int (*zmq_unbind)(void*, const char*);
  int (*zmq_disconnect)(void*, const char*);
  int (*zmq_send)(void*, const void*, size_t, int);
  int (*zmq_recv)(void*, void*, size_t, int);
  int (*zmq_socket_monitor)(void*, const char*, int);
  int (*zmq_poll)(struct zmq_pollitem_t*, int, long);
  int (*zmq_proxy)(void*, void*, void*);
  int (*zmq_proxy_steerable)(void*, void*, void*, void*);
  void *(*zmq_timers_new)(void);
  int (*zmq_timers_destroy)(void**);
  int (*zmq_timers_add)(void*, size_t, void(*)(int, void*), void*);
  int (*zmq_timers_cancel)(void*, int);
  int (*zmq_timers_set_interval)(void*, int, size_t);
  int (*zmq_timers_reset)(void*, int);
  long (*zmq_timers_timeout)(void*);
  int (*zmq_timers_execute)(void*);
} ironhouse_api_t;

/**
 * How wide and how long decisions may be, and how much of them one address may take up. What is 0 is as if it were not set: fill it with zeros, set
 * `size`, and then what is wanted.
 */
typedef struct {
  /**
   * Size of this structure in bytes, as the program knows it.
   */
  size_t size;
  /**
   * Milliseconds that a decision may take before its peer is told to try again; 0 for 10000. Keep it below the servers' ZMQ_HANDSHAKE_IVL.
   */
  uint32_t deadline;
  /**
   * How many callbacks may run at a time; 0 for 32.
   */
  uint32_t callback_threads;
  /**
   * IRONHOUSE_LIMITS_OFF (0), IRONHOUSE_LIMITS_STANDARD or IRONHOUSE_LIMITS_BEHIND_NAT: what the limits below are where they are 0. An address is
   * one of IPv4, or a block of 2^64 of IPv6; over ipc, a user of the system.
   */
  uint32_t limits;
  /**
   * Most connections in all. This limit and the next three hold for sockets that are watched (ironhouse_socket_watch()); above them, the oldest
   * connection is closed whose peer is not admitted yet, or else the new one.
   */
  uint32_t connections;
  /**
   * Most connections from one address.
   */
  uint32_t connections_per_address;
  /**
   * Most half-open connections in all: accepted, and their peer not admitted yet.
   */
  uint32_t half_open;
  /**
   * Most half-open connections from one address.
   */
  uint32_t half_open_per_address;
  /**
   * Most requests that may wait for their decision; their peers are told to try again above it.
   */
  uint32_t requests;
  /**
   * Most requests from one address that may wait for their decision.
   */
  uint32_t requests_per_address;
  /**
   * Most callbacks and password hashes of one address that may run at a time; the others wait for their turn.
   */
  uint32_t threads_per_address;
  /**
   * Failed attempts from one address that lock it out, 1 to 100000: whoever comes from there and was not admitted before.
   */
  uint32_t lockout_by_address;
  /**
   * Failed attempts with one name at an address, or with one key or principal, that lock it out, 1 to 100000.
   */
  uint32_t lockout_by_credential;
  /**
   * Seconds in which counts of failures halve, which is how long a lock-out lasts; 600, where a lock-out has no other.
   */
  uint32_t lockout_half_life;
} ironhouse_authenticator_options_t;

/**
 * A connection of an admitted peer. Texts are valid until the callback returns.
 */
typedef struct {
  /**
   * Size of this structure in bytes, as the library knows it: later versions add fields at its end.
   */
  size_t size;
  /**
   * The domain of the socket.
   */
  const char *domain;
  /**
   * Where the peer is.
   */
  const char *address;
  /**
   * When the connection was accepted, in seconds since 1970 (UTC).
   */
  int64_t since;
  /**
   * The user's name, public key in Z85 or principal; NULL where the peer presented none, or where it is not certain (yet) who it is.
   */
  const char *identity;
} ironhouse_connection_t;

/**
 * What is called for each connection. It must not unwind.
 */
typedef void (*ironhouse_connection_fn)(void *user_data, const ironhouse_connection_t *connection);

/**
 * What is called for each of several texts, which is valid until it returns. It must not unwind.
 */
typedef void (*ironhouse_text_fn)(void *user_data, const char *text);

/**
 * Something that an authenticator did. Texts are valid until the callback returns, and hold no secret.
 */
typedef struct {
  /**
   * Size of this structure in bytes, as the library knows it: later versions add fields at its end.
   */
  size_t size;
  /**
   * What happened, in a word for machines: "decision", "malformed", "closed", "clock_jumped", "locked_out", "config_changed", "config_refused",
   * "handler_died"; later versions may add some.
   */
  const char *name;
  /**
   * The same in a line for people.
   */
  const char *text;
  /**
   * Of a decision: IRONHOUSE_ADMIT, IRONHOUSE_RETRY, IRONHOUSE_REFUSE or IRONHOUSE_FAIL; else 0.
   */
  int status;
  /**
   * Of a decision: why, in a word for machines; else NULL.
   */
  const char *reason;
  /**
   * Of a decision: the domain; else NULL.
   */
  const char *domain;
  /**
   * Of a decision: where the peer is; else NULL.
   */
  const char *address;
  /**
   * Of a decision: "NULL", "PLAIN", "CURVE" or "GSSAPI"; else NULL.
   */
  const char *mechanism;
  /**
   * Of a decision: the user's name, public key in Z85 or principal; NULL, where the peer presented none.
   */
  const char *identity;
} ironhouse_event_t;

/**
 * Is told of an event. It must not unwind.
 */
typedef void (*ironhouse_event_fn)(void *user_data, const ironhouse_event_t *event);

/**
 * What frees a callback's user data. It is called once, after the last use of the data, by any thread, also where the call that took the data
 * failed. May be NULL. It must not unwind.
 */
typedef void (*ironhouse_free_fn)(void *user_data);

/**
 * What is called for each metadata value: its name and text, which are valid until it returns. It must not unwind.
 */
typedef void (*ironhouse_meta_fn)(void *user_data, const char *name, const char *value);

/**
 * What an authenticator has done since its start.
 */
typedef struct {
  /**
   * Size of this structure in bytes, as the program knows it: set it before the call.
   */
  size_t size;
  /**
   * Peers admitted.
   */
  uint64_t admitted;
  /**
   * Peers told to try again.
   */
  uint64_t deferred;
  /**
   * Peers refused.
   */
  uint64_t refused;
  /**
   * Messages that were no ZAP requests.
   */
  uint64_t malformed;
  /**
   * Decisions that are being waited for now.
   */
  uint64_t pending;
  /**
   * Audit events that a callback missed because it was too slow.
   */
  uint64_t dropped;
  /**
   * Connections closed because their peer was no longer admitted.
   */
  uint64_t closed;
  /**
   * Lock-outs that began.
   */
  uint64_t locked_out;
  /**
   * Connections closed because there was one too many.
   */
  uint64_t too_many_connections;
  /**
   * Handshakes with sockets that are watched that failed without a decision.
   */
  uint64_t failed_handshakes;
} ironhouse_counters_t;

/**
 * What a peer presents: see ironhouse_authenticator_explain().
 */
typedef struct {
  /**
   * Size of this structure in bytes, as the program knows it.
   */
  size_t size;
  /**
   * "NULL", "PLAIN", "CURVE" or "GSSAPI", ended by a NUL.
   */
  const char *mechanism;
  /**
   * The user's name (PLAIN), public key in Z85 (CURVE) or principal (GSSAPI).
   */
  const char *name;
  /**
   * Its length, or IRONHOUSE_NUL.
   */
  size_t name_length;
  /**
   * The password (PLAIN).
   */
  const char *password;
  /**
   * Its length, or IRONHOUSE_NUL.
   */
  size_t password_length;
} ironhouse_credential_t;

/**
 * What became of a connection that a socket made. Texts are valid until the callback returns.
 */
typedef struct {
  /**
   * Size of this structure in bytes, as the library knows it: later versions add fields at its end.
   */
  size_t size;
  /**
   * The endpoint connected to, as libzmq names it.
   */
  const char *endpoint;
  /**
   * Whether messages can flow, by the socket's mechanism.
   */
  bool secured;
  /**
   * Why not, in words, and how to mend it; NULL where they can.
   */
  const char *problem;
  /**
   * The same as a number.
   */
  ironhouse_verdict_t verdict;
} ironhouse_handshake_t;

/**
 * Is told of a handshake. It must not unwind.
 */
typedef void (*ironhouse_handshake_fn)(void *user_data, const ironhouse_handshake_t *handshake);

/**
 * Somebody who is locked out. Texts are valid until the callback returns.
 */
typedef struct {
  /**
   * Size of this structure in bytes, as the library knows it: later versions add fields at its end.
   */
  size_t size;
  /**
   * The domain; NULL where it holds in all of them.
   */
  const char *domain;
  /**
   * The address or block of addresses that it holds for; NULL where it holds wherever the peer comes from.
   */
  const char *address;
  /**
   * The user's name (PLAIN), public key in Z85 (CURVE) or principal (GSSAPI); NULL where it holds for whoever comes from the address and was not
   * admitted before.
   */
  const char *identity;
  /**
   * For how many milliseconds more, unless more attempts fail that are under way.
   */
  uint64_t remaining;
  /**
   * The same in a line for people.
   */
  const char *text;
} ironhouse_lockout_t;

/**
 * What is called for each lock-out. It must not unwind.
 */
typedef void (*ironhouse_lockout_fn)(void *user_data, const ironhouse_lockout_t *lockout);

/**
 * Who wants to be admitted. Texts are valid until the callback returns.
 */
typedef struct {
  /**
   * Size of this structure in bytes, as the library knows it: later versions add fields at its end.
   */
  size_t size;
  /**
   * The domain of the socket that the peer wants to connect to.
   */
  const char *domain;
  /**
   * Where it is: an IP address, or `localhost:uid:gid:pid`.
   */
  const char *address;
  /**
   * Its public key in Z85, which it has proven to be its own (CURVE); else NULL.
   */
  const char *public_key;
  /**
   * Its Kerberos principal, which it has proven to be (GSSAPI); else NULL.
   */
  const char *principal;
} ironhouse_peer_t;

/**
 * Decides on a peer: returns IRONHOUSE_ADMIT, IRONHOUSE_REFUSE, IRONHOUSE_RETRY or IRONHOUSE_FAIL; anything else refuses.
 *
 * It is called by threads of the library, several at a time, and delays its own peer alone. A peer whose decision takes longer than the
 * authenticator's deadline is told to try again, and an authenticator that is destroyed does not wait for longer either. `reply` takes what
 * an admitted peer's messages shall carry, and is destroyed when the callback returns. It must not unwind.
 */
typedef int (*ironhouse_decide_fn)(void *user_data, const ironhouse_peer_t *peer, ironhouse_reply_t *reply);

/**
 * Is told of a peer, and has the decision given later, by any thread, through ironhouse_reply_answer().
 *
 * It is called by threads of the library, several at a time. Each reply must be answered or destroyed, also when it is too late. It must not
 * unwind.
 */
typedef void (*ironhouse_ask_fn)(void *user_data, const ironhouse_peer_t *peer, ironhouse_reply_t *reply);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Fills a table with the functions of a libzmq that was loaded by dlopen(): for programs that have no zmq.h, as through ctypes.
 *
 * `library` is what dlopen() answered for the very library that the host's contexts were made by (on Linux the same path or SONAME gives the same
 * copy); it is looked at, not kept, and must stay loaded. May be called by any thread.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_API. Threads: any.
 */
ironhouse_result_t ironhouse_api_from_library(void *library, ironhouse_api_t *api);

/**
 * The version of the libzmq behind a table, which need not be that of the headers that the host was built with.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_API. Threads: any.
 */
ironhouse_result_t ironhouse_api_zmq_version(const ironhouse_api_t *api, int *major, int *minor, int *patch);

/**
 * Whether the libzmq behind a table has a capability, as zmq_has() names them: "curve", "gssapi", "ipc".
 *
 * Answers IRONHOUSE_UNSUPPORTED if not.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_UNSUPPORTED. Threads: any.
 */
ironhouse_result_t ironhouse_api_zmq_has(const ironhouse_api_t *api, const char *capability, size_t capability_length);

/**
 * The file that the libzmq behind a table was loaded from; for one that is linked statically, the program.
 *
 * Writes at most `size` bytes, the NUL at the end among them, and the text's length without it to `length`, if that is not NULL.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BUFFER_TOO_SMALL, IRONHOUSE_BAD_API, IRONHOUSE_NOT_FOUND. Threads: any.
 */
ironhouse_result_t ironhouse_api_zmq_file(const ironhouse_api_t *api, char *file, size_t size, size_t *length);

/**
 * Starts the authenticator of a context that the program owns.
 *
 * IRONHOUSE_HANDLER_EXISTS, if it has a ZAP handler already, ours or another (CZMQ's zauth, pyzmq's). Destroy it by
 * ironhouse_authenticator_destroy().
 *
 * Set the context's options before: its socket makes ZMQ_IO_THREADS final, and counts as one of ZMQ_MAX_SOCKETS. `options` may be NULL.
 *
 * The context may be terminated before the authenticator is destroyed, or after it; call nothing but that in between. As long as neither was done,
 * domains without a policy refuse everybody.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_HANDLER_EXISTS, IRONHOUSE_TERMINATED, IRONHOUSE_ZMQ,
 * IRONHOUSE_OS. Ownership: the program destroys the authenticator, which keeps nothing of its arguments but the context. Threads: any.
 */
ironhouse_result_t ironhouse_authenticator_start(ironhouse_authenticator_t **authenticator,
                                                 const ironhouse_api_t *api,
                                                 void *context,
                                                 const ironhouse_authenticator_options_t *options);

/**
 * As ironhouse_authenticator_start(), with the domains and policies of a file (ironhouse.toml), which is followed from now on.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_HANDLER_EXISTS, IRONHOUSE_TERMINATED,
 * IRONHOUSE_ZMQ, IRONHOUSE_OS, IRONHOUSE_GSSAPI_REFUSAL, IRONHOUSE_IO, IRONHOUSE_BAD_FILE. Ownership: the program destroys the authenticator by
 * ironhouse_authenticator_destroy(). Threads: any.
 */
ironhouse_result_t ironhouse_authenticator_load(ironhouse_authenticator_t **authenticator,
                                                const ironhouse_api_t *api,
                                                void *context,
                                                const char *path,
                                                size_t path_length);

/**
 * Ends an authenticator; the pointer is NULL afterwards.
 *
 * Does nothing if it is NULL.
 *
 * Sockets that it guards admit nobody from now on, but for those over GSSAPI: there libzmq admits every principal, so close these before. Waits for
 * a callback in progress at most until its deadline, and for an audit callback two seconds; not at all in a callback. User data is freed when this
 * returns, but that of a callback that goes on.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_authenticator_destroy(ironhouse_authenticator_t **authenticator);

/**
 * Sets the policy of a domain (1 to 255 ASCII characters), in the place of an earlier one.
 *
 * In force for every handshake from when this returns.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_GSSAPI_REFUSAL.
 * Ownership: the policy is copied. Threads: any, until the context is terminated.
 */
ironhouse_result_t ironhouse_authenticator_set_policy(ironhouse_authenticator_t *authenticator,
                                                      const char *domain,
                                                      size_t domain_length,
                                                      const ironhouse_policy_t *policy);

/**
 * Sets the policy of all domains that have none, as those of sockets that the program secured by itself.
 *
 * Without it, they refuse everybody.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_GSSAPI_REFUSAL. Ownership: the policy is copied. Threads: any,
 * until the context is terminated.
 */
ironhouse_result_t ironhouse_authenticator_set_fallback(ironhouse_authenticator_t *authenticator, const ironhouse_policy_t *policy);

/**
 * Refuses a public key from now on in every domain, whatever its policy says.
 *
 * Its connections are closed where the socket is watched (ironhouse_socket_watch()); else those that stand go on.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85,
 * IRONHOUSE_BAD_KEY. Threads: any, until the context is terminated.
 */
ironhouse_result_t ironhouse_authenticator_revoke(ironhouse_authenticator_t *authenticator, const char *key, size_t key_length);

/**
 * Takes ironhouse_authenticator_revoke() back; IRONHOUSE_NOT_FOUND, if the key was not revoked.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85,
 * IRONHOUSE_BAD_KEY, IRONHOUSE_NOT_FOUND. Threads: any, until the context is terminated.
 */
ironhouse_result_t ironhouse_authenticator_unrevoke(ironhouse_authenticator_t *authenticator, const char *key, size_t key_length);

/**
 * Closes the connections of a public key to sockets that are watched, and forbids nothing.
 *
 * The peer connects again, and is judged anew. For those whom a callback admitted, which does not tell when it would not any more.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85,
 * IRONHOUSE_BAD_KEY. Threads: any, until the context is terminated.
 */
ironhouse_result_t ironhouse_authenticator_disconnect(ironhouse_authenticator_t *authenticator, const char *key, size_t key_length);

/**
 * Calls `each` for every connection of an admitted peer to a socket that is watched (ironhouse_socket_watch()), oldest first.
 *
 * On this thread, and before it returns; `each` may use the authenticator. Who connects or leaves at this moment may be missing or listed.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any, until the context is terminated.
 */
ironhouse_result_t ironhouse_authenticator_each_peer(const ironhouse_authenticator_t *authenticator, ironhouse_connection_fn each, void *user_data);

/**
 * Puts the file of ironhouse_authenticator_load() into force as it is now, without waiting for it to be at rest; or not at all.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_GSSAPI_REFUSAL, IRONHOUSE_IO,
 * IRONHOUSE_BAD_FILE. Threads: any, until the context is terminated.
 */
ironhouse_result_t ironhouse_authenticator_reload(ironhouse_authenticator_t *authenticator);

/**
 * Calls `each` for everything that is wrong with its file and with the stores that its policies use, on this thread and before it returns.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any, until the context is terminated.
 */
ironhouse_result_t ironhouse_authenticator_each_problem(const ironhouse_authenticator_t *authenticator, ironhouse_text_fn each, void *user_data);

/**
 * Has `listen` told of every decision and of what else happens, from now on until the authenticator is destroyed.
 *
 * It is called on a thread of its own, one event at a time; decisions never wait for it, and where it is slow it misses what goes beyond 4096 events
 * (`dropped` counts them). `free_user_data` (or NULL) frees `user_data`, once, on any thread: after the last call of `listen`, or at once if this
 * call fails. An authenticator takes 64 of them.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_OS. Threads: any, until the context
 * is terminated.
 */
ironhouse_result_t ironhouse_authenticator_on_event(ironhouse_authenticator_t *authenticator,
                                                    ironhouse_event_fn listen,
                                                    void *user_data,
                                                    ironhouse_free_fn free_user_data);

/**
 * Why the last call that failed on this thread did: what was tried, on what, and how to mend it.
 *
 * Empty, if none did; never NULL, and never a secret. Ownership: the text is the library's, and valid until the next call of it on the same thread;
 * copy it to keep it. Threads: any, each with a reason of its own.
 */
const char *ironhouse_last_error(void);

/**
 * The errno of the operating system or of libzmq behind the last call that failed on this thread; 0 where there is none.
 *
 * Threads: any, each with a number of its own.
 */
int ironhouse_last_errno(void);

/**
 * Makes a certificate with a new key pair.
 *
 * Destroy it by ironhouse_certificate_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_OS. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_new(ironhouse_certificate_t **certificate);

/**
 * Makes a certificate of a public key, in Z85.
 *
 * Destroy it by ironhouse_certificate_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85, IRONHOUSE_BAD_KEY. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_from_public_key(ironhouse_certificate_t **certificate, const char *key, size_t key_length);

/**
 * Makes a certificate of a secret key, in Z85, and the public key that belongs to it.
 *
 * Destroy it by ironhouse_certificate_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85, IRONHOUSE_BAD_KEY. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_from_secret_key(ironhouse_certificate_t **certificate, const char *key, size_t key_length);

/**
 * Loads a public certificate from exactly this file.
 *
 * Destroy it by ironhouse_certificate_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_BAD_FILE, IRONHOUSE_BAD_Z85,
 * IRONHOUSE_BAD_KEY. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_load(ironhouse_certificate_t **certificate, const char *path, size_t path_length);

/**
 * Loads a certificate with its secret key from the file `path`_secret, which must be open to its owner alone.
 *
 * Destroy it by ironhouse_certificate_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_BAD_FILE, IRONHOUSE_BAD_Z85,
 * IRONHOUSE_BAD_KEY. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_load_secret(ironhouse_certificate_t **certificate, const char *path, size_t path_length);

/**
 * As ironhouse_certificate_load_secret(), from exactly this file, whatever it is called: what ironhouse_certificate_save_secret_file() wrote.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_BAD_FILE, IRONHOUSE_BAD_Z85,
 * IRONHOUSE_BAD_KEY. Ownership: the program destroys the certificate by ironhouse_certificate_destroy(). Threads: any.
 */
ironhouse_result_t ironhouse_certificate_load_secret_file(ironhouse_certificate_t **certificate, const char *path, size_t path_length);

/**
 * Destroys a certificate and wipes its secret key; the pointer is NULL afterwards.
 *
 * Does nothing if it is NULL.
 *
 * Sockets that were secured with it do not need it any more.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_destroy(ironhouse_certificate_t **certificate);

/**
 * Saves the certificate: its public part as `path`, and where it has a secret key, all of it as `path`_secret with mode 0600.
 *
 * Each file is written as a whole or not at all.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO,
 * IRONHOUSE_BAD_FILE. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_save(const ironhouse_certificate_t *certificate, const char *path, size_t path_length);

/**
 * Saves the public part alone, as `path`: for who is to know the key.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO,
 * IRONHOUSE_BAD_FILE. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_save_public(const ironhouse_certificate_t *certificate, const char *path, size_t path_length);

/**
 * Saves all of it as exactly this file, with mode 0600; IRONHOUSE_NO_SECRET_KEY, where it has none.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO,
 * IRONHOUSE_BAD_FILE, IRONHOUSE_NO_SECRET_KEY. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_save_secret_file(const ironhouse_certificate_t *certificate, const char *path, size_t path_length);

/**
 * Writes the public key, in Z85.
 *
 * The buffer takes IRONHOUSE_KEY_SIZE bytes.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_public_key(const ironhouse_certificate_t *certificate, char *key);

/**
 * Writes the secret key, in Z85.
 *
 * The buffer takes IRONHOUSE_KEY_SIZE bytes; wipe it after use, by ironhouse_wipe().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_NO_SECRET_KEY. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_secret_key(const ironhouse_certificate_t *certificate, char *key);

/**
 * Sets a metadata value, in the place of an earlier one of that name.
 *
 * Names are letters, digits and `$-_@.&+/`; values are one line of text.
 *
 * The metadata of an admitted peer's certificate are properties of every message that it sends (zmq_msg_gets()).
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_set_meta(ironhouse_certificate_t *certificate,
                                                  const char *name,
                                                  size_t name_length,
                                                  const char *value,
                                                  size_t value_length);

/**
 * Removes a metadata value, if there is one of that name.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_unset_meta(ironhouse_certificate_t *certificate, const char *name, size_t name_length);

/**
 * Writes the metadata value of this name; IRONHOUSE_NOT_FOUND, if there is none.
 *
 * Writes at most `size` bytes, the NUL at the end among them, and the text's length without it to `length`, if that is not NULL.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_BUFFER_TOO_SMALL,
 * IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_NOT_FOUND. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_meta(const ironhouse_certificate_t *certificate,
                                              const char *name,
                                              size_t name_length,
                                              char *value,
                                              size_t size,
                                              size_t *length);

/**
 * Calls `each` for every metadata value, in the order of the file, on this thread and before it returns.
 *
 * `each` may use the certificate.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_each_meta(const ironhouse_certificate_t *certificate, ironhouse_meta_fn each, void *user_data);

/**
 * Sets from when to when the certificate admits its owner, in the place of what was set before.
 *
 * Dates are seconds since 1970 (UTC): `not_before` is the first second, `not_after` the first at which it is over, and IRONHOUSE_NO_DATE stands for
 * none. A disabled one admits nobody.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_set_validity(ironhouse_certificate_t *certificate, int64_t not_before, int64_t not_after, bool disabled);

/**
 * Tells from when to when the certificate admits its owner, as ironhouse_certificate_set_validity() takes it.
 *
 * Each place may be NULL.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_validity(const ironhouse_certificate_t *certificate,
                                                  int64_t *not_before,
                                                  int64_t *not_after,
                                                  bool *disabled);

/**
 * Reads the counters: what the authenticator has done since its start.
 *
 * Set `counters->size` before.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Threads: any, until the context is terminated.
 */
ironhouse_result_t ironhouse_authenticator_counters(const ironhouse_authenticator_t *authenticator, ironhouse_counters_t *counters);

/**
 * Tells what would become of a peer of this domain, address and credential, and by which rules.
 *
 * There is no handshake, but the code that decides in earnest. Callbacks are asked, on threads of the library or on this one.
 *
 * `status`, if it is not NULL, gets IRONHOUSE_ADMIT, IRONHOUSE_RETRY, IRONHOUSE_REFUSE or IRONHOUSE_FAIL; `text` several lines for people.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_BUFFER_TOO_SMALL,
 * IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85, IRONHOUSE_BAD_KEY. Ownership: nothing is kept of the credential. Threads: any, until the context is
 * terminated.
 */
ironhouse_result_t ironhouse_authenticator_explain(const ironhouse_authenticator_t *authenticator,
                                                   const char *domain,
                                                   size_t domain_length,
                                                   const char *address,
                                                   size_t address_length,
                                                   const ironhouse_credential_t *credential,
                                                   int *status,
                                                   char *text,
                                                   size_t size,
                                                   size_t *length);

/**
 * As ironhouse_socket_on_handshake(), by the reports of the program's own monitor of the socket.
 *
 * The monitor must tell at least ZMQ_EVENT_CONNECTED, ZMQ_EVENT_CONNECT_DELAYED, ZMQ_EVENT_CONNECT_RETRIED, ZMQ_EVENT_DISCONNECTED and the four of
 * handshakes (ZMQ_EVENT_ALL does), from before the socket is connected on. To be called as ironhouse_socket_on_handshake().
 *
 * `listen` is called on a thread of its own until the feed is destroyed, or was handed ZMQ_EVENT_MONITOR_STOPPED; the end of the socket or of its
 * context does not end it. `free_user_data` (or NULL) frees `user_data`, once, on any thread: after the last call of `listen`, which may be moments
 * after that end, or at once if this call fails. Destroy the feed by ironhouse_feed_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_FOREIGN_SOCKET, IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_ZMQ,
 * IRONHOUSE_OS. Ownership: the program destroys the feed, and nothing is kept of the socket. Threads: the one that uses the socket.
 */
ironhouse_result_t ironhouse_feed_handshakes(ironhouse_feed_t **feed,
                                             void *socket,
                                             const ironhouse_api_t *api,
                                             ironhouse_handshake_fn listen,
                                             void *user_data,
                                             ironhouse_free_fn free_user_data);

/**
 * As ironhouse_socket_watch(), by the reports of the program's own monitor of the socket.
 *
 * The monitor must tell at least ZMQ_EVENT_ACCEPTED, ZMQ_EVENT_CONNECTED, ZMQ_EVENT_DISCONNECTED and the four of handshakes (ZMQ_EVENT_ALL does),
 * from before the socket is bound or connected on. To be called as ironhouse_socket_watch().
 *
 * Hand each report over as it comes: they name connections by file descriptors, which the system uses anew. Where one comes late, it may remain
 * unknown whose a connection is; one that has ended by then, or whose descriptor is another's now, is never closed in its place. Destroy the feed by
 * ironhouse_feed_destroy(), after which the connections are listed and closed no more.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_FOREIGN_SOCKET,
 * IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_NOT_FOUND, IRONHOUSE_ZMQ. Ownership: the program destroys the feed, and nothing is kept of the socket. Threads:
 * the one that uses the socket.
 */
ironhouse_result_t ironhouse_feed_watch(ironhouse_feed_t **feed,
                                        void *socket,
                                        ironhouse_authenticator_t *authenticator,
                                        const char *domain,
                                        size_t domain_length);

/**
 * Hands over a report: the event's number and value, and the endpoint, as zmq_socket_monitor() defines them.
 *
 * After ZMQ_EVENT_MONITOR_STOPPED there is nothing more to tell: later reports are ignored.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
 */
ironhouse_result_t ironhouse_feed_report(ironhouse_feed_t *feed, uint16_t event, uint32_t value, const char *endpoint, size_t endpoint_length);

/**
 * As ironhouse_feed_report(), of the two frames of a report as the program's monitor receives them.
 *
 * The first is event and value (6 bytes), the second the endpoint. IRONHOUSE_INVALID_ARGUMENT for another form, as that of
 * zmq_socket_monitor_versioned() is.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
 */
ironhouse_result_t ironhouse_feed_frames(ironhouse_feed_t *feed, const void *first, size_t first_size, const void *second, size_t second_size);

/**
 * Ends a feed; the pointer is NULL afterwards.
 *
 * Does nothing if it is NULL. May be called before or after the end of socket, context and authenticator.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_feed_destroy(ironhouse_feed_t **feed);

/**
 * Has `listen` told of each connection that a client's socket makes whether it is secured, and if not, why not.
 *
 * A trouble is told once, until it changes or passes, while libzmq tries again.
 *
 * To be called after the socket was secured, if it is, and before it is connected (IRONHOUSE_SOCKET_IN_USE), by the thread that uses it; the socket
 * is in `context`. To find out what libzmq does not tell, short connections of its own are made to an endpoint in trouble. This takes the one
 * monitor that libzmq has for the socket (zmq_socket_monitor()): where the program has its own, it gets no more reports; where it starts one later,
 * these end. ironhouse_feed_handshakes() does the same and leaves the monitor to the program.
 *
 * `listen` is called on a thread of its own until the socket is closed or its context terminated, a handshake at a time; where it is slow, it misses
 * what goes beyond 4096 of libzmq's reports. `free_user_data` (or NULL) frees `user_data`, once, on any thread: after the last call of `listen`,
 * which may be moments after the end of the context, or at once if this call fails.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_FOREIGN_SOCKET, IRONHOUSE_SOCKET_IN_USE,
 * IRONHOUSE_TERMINATED, IRONHOUSE_ZMQ, IRONHOUSE_OS. Ownership: the socket and the context stay the program's. Threads: the one that uses the
 * socket.
 */
ironhouse_result_t ironhouse_socket_on_handshake(void *socket,
                                                 const ironhouse_api_t *api,
                                                 void *context,
                                                 ironhouse_handshake_fn listen,
                                                 void *user_data,
                                                 ironhouse_free_fn free_user_data);

/**
 * Makes a new CURVE key pair, as texts.
 *
 * Both buffers take IRONHOUSE_KEY_SIZE bytes.
 *
 * Wipe the secret key after use, by ironhouse_wipe(). May be called by any thread.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_OS. Threads: any.
 */
ironhouse_result_t ironhouse_keypair(char *public_key, char *secret_key);

/**
 * Computes the public key that belongs to a secret one.
 *
 * The buffer takes IRONHOUSE_KEY_SIZE bytes.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85, IRONHOUSE_BAD_KEY. Threads: any.
 */
ironhouse_result_t ironhouse_public_key(const char *secret_key, size_t secret_key_length, char *public_key);

/**
 * Writes a key's 32 bytes as text.
 *
 * The buffer takes IRONHOUSE_KEY_SIZE bytes.
 *
 * Errors: IRONHOUSE_NULL_POINTER. Threads: any.
 */
ironhouse_result_t ironhouse_z85_encode(const uint8_t *key, char *encoded);

/**
 * Reads a key's 32 bytes from its text, which may be a secret key's.
 *
 * `key` takes 32 bytes.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85, IRONHOUSE_BAD_KEY. Threads: any.
 */
ironhouse_result_t ironhouse_z85_decode(const char *encoded, size_t encoded_length, uint8_t *key);

/**
 * Writes the fingerprint of a public key: short enough to be compared by people.
 *
 * IRONHOUSE_FINGERPRINT_SIZE bytes are enough.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_BUFFER_TOO_SMALL, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85, IRONHOUSE_BAD_KEY.
 * Threads: any.
 */
ironhouse_result_t ironhouse_fingerprint(const char *public_key, size_t public_key_length, char *fingerprint, size_t size, size_t *length);

/**
 * Overwrites a secret in a way that no compiler leaves out.
 *
 * Does nothing for NULL. Ownership: the memory is the program's, which nobody else uses meanwhile. Threads: any.
 */
void ironhouse_wipe(uint8_t *memory, size_t size);

/**
 * Calls `each` for everybody who is locked out, on this thread and before it returns: nobody, unless the authenticator was started with limits.
 *
 * Of users, keys and principals, 4096 are listed at most. `each` may use the authenticator.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any, until the context is terminated.
 */
ironhouse_result_t ironhouse_authenticator_each_lockout(const ironhouse_authenticator_t *authenticator, ironhouse_lockout_fn each, void *user_data);

/**
 * Ends the lock-out of the block of addresses that an address is in, and of all users there, and forgets their failures.
 *
 * IRONHOUSE_NOT_FOUND, if nobody was locked out.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_NOT_FOUND.
 * Threads: any, until the context is terminated.
 */
ironhouse_result_t ironhouse_authenticator_unlock_address(ironhouse_authenticator_t *authenticator, const char *address, size_t address_length);

/**
 * Ends the lock-out of a public key in every domain, and forgets its failures; IRONHOUSE_NOT_FOUND, if it was not locked out.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85,
 * IRONHOUSE_BAD_KEY, IRONHOUSE_NOT_FOUND. Threads: any, until the context is terminated.
 */
ironhouse_result_t ironhouse_authenticator_unlock_key(ironhouse_authenticator_t *authenticator, const char *key, size_t key_length);

/**
 * Makes an empty set of users in memory.
 *
 * Destroy it by ironhouse_passwords_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER. Threads: any.
 */
ironhouse_result_t ironhouse_passwords_memory(ironhouse_passwords_t **passwords);

/**
 * Opens a password file, which must be open to its owner alone; a changed one is read at the next handshake.
 *
 * Destroy it by ironhouse_passwords_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_BAD_FILE, IRONHOUSE_OS. Threads: any.
 */
ironhouse_result_t ironhouse_passwords_load(ironhouse_passwords_t **passwords, const char *path, size_t path_length);

/**
 * As ironhouse_passwords_load(), of a file that others than its owner may read, or that its group may change: for programs that make one so.
 *
 * Whoever can read such a file knows the passwords. IRONHOUSE_BAD_FILE, where everybody may change it.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_BAD_FILE, IRONHOUSE_OS. Ownership: the
 * program destroys the set by ironhouse_passwords_destroy(). Threads: any.
 */
ironhouse_result_t ironhouse_passwords_load_exposed(ironhouse_passwords_t **passwords, const char *path, size_t path_length);

/**
 * Destroys the handle; the pointer is NULL afterwards.
 *
 * Does nothing if it is NULL. Policies that use the users keep them.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_passwords_destroy(ironhouse_passwords_t **passwords);

/**
 * Adds a user in memory, or changes the password of one; both are 1 to 255 bytes.
 *
 * In force when this returns.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Ownership: both are
 * copied. Threads: any.
 */
ironhouse_result_t ironhouse_passwords_insert(ironhouse_passwords_t *passwords,
                                              const char *name,
                                              size_t name_length,
                                              const char *password,
                                              size_t password_length);

/**
 * Removes a user from memory; IRONHOUSE_NOT_FOUND, if there is none.
 *
 * In force when this returns.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_NOT_FOUND.
 * Threads: any.
 */
ironhouse_result_t ironhouse_passwords_remove(ironhouse_passwords_t *passwords, const char *name, size_t name_length);

/**
 * Calls `each` for everything that is wrong with the file, on this thread and before it returns: what, where, and how to mend it.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_passwords_each_problem(const ironhouse_passwords_t *passwords, ironhouse_text_fn each, void *user_data);

/**
 * Makes a policy that refuses everybody.
 *
 * Destroy it by ironhouse_policy_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER. Threads: any.
 */
ironhouse_result_t ironhouse_policy_new(ironhouse_policy_t **policy);

/**
 * Destroys the handle; the pointer is NULL afterwards.
 *
 * Does nothing if it is NULL. Authenticators that the policy was given to keep it.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_policy_destroy(ironhouse_policy_t **policy);

/**
 * Admits peers of this address or block only (192.0.2.7, 10.0.0.0/8, uid:1000), and of those that other calls allow.
 *
 * Without any, the address does not matter.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
 */
ironhouse_result_t ironhouse_policy_allow(ironhouse_policy_t *policy, const char *address, size_t address_length);

/**
 * Refuses peers of this address or block, whatever else allows them.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
 */
ironhouse_result_t ironhouse_policy_deny(ironhouse_policy_t *policy, const char *address, size_t address_length);

/**
 * Admits peers without any credential, by their address alone: the NULL mechanism.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_policy_null(ironhouse_policy_t *policy);

/**
 * Admits peers that know a name and its password (PLAIN).
 *
 * Both travel in clear text.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Ownership: the policy keeps the users by itself. Threads: any.
 */
ironhouse_result_t ironhouse_policy_plain(ironhouse_policy_t *policy, const ironhouse_passwords_t *passwords);

/**
 * Admits whoever encrypts by CURVE, without asking who it is.
 *
 * Replaces what other calls say of CURVE.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_policy_curve_any(ironhouse_policy_t *policy);

/**
 * Admits the owners of the certificates in any of `count` stores.
 *
 * Their metadata are properties of every message that they send. Replaces what other calls say of CURVE.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Ownership: the policy keeps the stores by
 * itself. Threads: any.
 */
ironhouse_result_t ironhouse_policy_curve_stores(ironhouse_policy_t *policy, const ironhouse_store_t *const *stores, size_t count);

/**
 * Admits the owners of the certificates in a store: ironhouse_policy_curve_stores() of one.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Ownership: the policy keeps the store by itself. Threads: any.
 */
ironhouse_result_t ironhouse_policy_curve_store(ironhouse_policy_t *policy, const ironhouse_store_t *store);

/**
 * Admits over CURVE whom `decide` admits.
 *
 * Replaces what other calls say of CURVE.
 *
 * `user_data` goes to every call of `decide`. `free_user_data` (or NULL) frees it, once, on any thread: after the last policy that has it is gone,
 * or at once if this call fails.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_policy_curve_callback(ironhouse_policy_t *policy,
                                                   ironhouse_decide_fn decide,
                                                   void *user_data,
                                                   ironhouse_free_fn free_user_data);

/**
 * As ironhouse_policy_curve_callback(), but the answer may be given later: for programs that ask another service.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Ownership: `user_data` is freed as ironhouse_policy_curve_callback() says.
 * Threads: any.
 */
ironhouse_result_t ironhouse_policy_curve_deferred(ironhouse_policy_t *policy,
                                                   ironhouse_ask_fn ask,
                                                   void *user_data,
                                                   ironhouse_free_fn free_user_data);

/**
 * Admits every Kerberos principal over GSSAPI: the only rule that libzmq up to 4.3.5 carries out.
 *
 * Replaces what other calls say of GSSAPI.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_policy_gssapi_any(ironhouse_policy_t *policy);

/**
 * Admits `count` Kerberos principals over GSSAPI.
 *
 * Each is a text that a NUL ends, written as Kerberos does: "ada@EXAMPLE.ORG". Replaces what other calls say of GSSAPI.
 *
 * An authenticator takes it only where libzmq, from 4.3.6 on, carries refusals out; else it answers IRONHOUSE_GSSAPI_REFUSAL.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Ownership: the texts are
 * copied. Threads: any.
 */
ironhouse_result_t ironhouse_policy_gssapi_principals(ironhouse_policy_t *policy, const char *const *principals, size_t count);

/**
 * Admits over GSSAPI whom `decide` admits, as ironhouse_policy_curve_callback().
 *
 * An authenticator takes it only where libzmq, from 4.3.6 on, carries refusals out.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Ownership: `user_data` is freed as ironhouse_policy_curve_callback() says.
 * Threads: any.
 */
ironhouse_result_t ironhouse_policy_gssapi_callback(ironhouse_policy_t *policy,
                                                    ironhouse_decide_fn decide,
                                                    void *user_data,
                                                    ironhouse_free_fn free_user_data);

/**
 * As ironhouse_policy_gssapi_callback(), but the answer may be given later: for programs that ask another service.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Ownership: `user_data` is freed as ironhouse_policy_curve_callback() says.
 * Threads: any.
 */
ironhouse_result_t ironhouse_policy_gssapi_deferred(ironhouse_policy_t *policy,
                                                    ironhouse_ask_fn ask,
                                                    void *user_data,
                                                    ironhouse_free_fn free_user_data);

/**
 * Sets what refused peers are told.
 *
 * IRONHOUSE_REFUSE, as long as nothing is set: libzmq's client does not come back by itself. IRONHOUSE_RETRY: it does once the server's
 * ZMQ_HANDSHAKE_IVL is over.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
 */
ironhouse_result_t ironhouse_policy_refusal(ironhouse_policy_t *policy, int status);

/**
 * Sets what peers are told that one rule refuses, in the place of what ironhouse_policy_refusal() says.
 *
 * Who is locked out is told IRONHOUSE_RETRY, whatever ironhouse_policy_refusal() says, as long as nothing is set here. `rule` is one of the
 * IRONHOUSE_RULE_ constants, and `status` as in ironhouse_policy_refusal().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
 */
ironhouse_result_t ironhouse_policy_refusal_by(ironhouse_policy_t *policy, int rule, int status);

/**
 * Sets the User-Id of an admitted peer's messages (zmq_msg_gets(message, "User-Id")), in the place of its key or principal.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
 */
ironhouse_result_t ironhouse_reply_set_user_id(ironhouse_reply_t *reply, const char *user_id, size_t user_id_length);

/**
 * Adds a property to an admitted peer's messages (zmq_msg_gets()).
 *
 * Names are 1 to 255 bytes and none of libzmq's own; all together take at most 64 KiB. A peer whose properties break that is told to try again.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Ownership: both are
 * copied. Threads: any.
 */
ironhouse_result_t ironhouse_reply_add_property(ironhouse_reply_t *reply,
                                                const char *name,
                                                size_t name_length,
                                                const char *value,
                                                size_t value_length);

/**
 * Answers a peer, and destroys the reply; the pointer is NULL afterwards.
 *
 * `status` is IRONHOUSE_ADMIT, IRONHOUSE_REFUSE, IRONHOUSE_RETRY or IRONHOUSE_FAIL; anything else refuses. An answer after the authenticator's
 * deadline comes too late: the peer was told to try again.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_reply_answer(ironhouse_reply_t **reply, int status);

/**
 * Destroys a reply without an answer, which tells the peer to try again; the pointer is NULL afterwards.
 *
 * Does nothing if it is NULL.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_reply_destroy(ironhouse_reply_t **reply);

/**
 * Makes a new signing key.
 *
 * Destroy it by ironhouse_signing_key_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_OS. Threads: any.
 */
ironhouse_result_t ironhouse_signing_key_new(ironhouse_signing_key_t **key);

/**
 * Loads a signing key from its file, which must be open to its owner alone.
 *
 * Destroy it by ironhouse_signing_key_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_BAD_FILE. Threads: any.
 */
ironhouse_result_t ironhouse_signing_key_load(ironhouse_signing_key_t **key, const char *path, size_t path_length);

/**
 * Destroys a signing key and wipes it; the pointer is NULL afterwards.
 *
 * Does nothing if it is NULL.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_signing_key_destroy(ironhouse_signing_key_t **key);

/**
 * Saves a signing key to a file of mode 0600.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO,
 * IRONHOUSE_BAD_FILE. Threads: any.
 */
ironhouse_result_t ironhouse_signing_key_save(const ironhouse_signing_key_t *key, const char *path, size_t path_length);

/**
 * Writes the key by which others verify what this one signs.
 *
 * The buffer takes IRONHOUSE_VERIFY_KEY_SIZE bytes.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_signing_key_verify_key(const ironhouse_signing_key_t *key, char *verify_key);

/**
 * Has an administrator sign a certificate with all its metadata.
 *
 * Whatever is changed afterwards breaks the signature.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Ownership: nothing is kept of the signing key. Threads: any.
 */
ironhouse_result_t ironhouse_certificate_sign(ironhouse_certificate_t *certificate, const ironhouse_signing_key_t *key);

/**
 * Whether the administrator with this verify key has signed the certificate as it is; IRONHOUSE_BAD_SIGNATURE if not.
 *
 * Looks at no revocation list: stores do.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_SIGNATURE.
 * Threads: any.
 */
ironhouse_result_t ironhouse_certificate_verify(const ironhouse_certificate_t *certificate, const char *verify_key, size_t verify_key_length);

/**
 * Makes a trust in nobody.
 *
 * Destroy it by ironhouse_trust_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER. Threads: any.
 */
ironhouse_result_t ironhouse_trust_new(ironhouse_trust_t **trust);

/**
 * Destroys the handle; the pointer is NULL afterwards.
 *
 * Does nothing if it is NULL.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_trust_destroy(ironhouse_trust_t **trust);

/**
 * Believes an administrator.
 *
 * `revocations` (or NULL) is the path of his revocation list, which is followed; while it is not in force, nobody is admitted.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_SIGNATURE.
 * Threads: any.
 */
ironhouse_result_t ironhouse_trust_believe(ironhouse_trust_t *trust,
                                           const char *verify_key,
                                           size_t verify_key_length,
                                           const char *revocations,
                                           size_t revocations_length);

/**
 * Keeps the serials of the newest revocation lists in a file, which the store writes, so that older ones are refused after a restart too.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
 */
ironhouse_result_t ironhouse_trust_remember(ironhouse_trust_t *trust, const char *path, size_t path_length);

/**
 * As ironhouse_store_directory(), of the certificates alone that administrators have signed whom `trust` names.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO,
 * IRONHOUSE_OS. Ownership: the trust is copied, and the program destroys the store by ironhouse_store_destroy(). Threads: any.
 */
ironhouse_result_t ironhouse_store_signed_directory(ironhouse_store_t **store, const char *path, size_t path_length, const ironhouse_trust_t *trust);

/**
 * As ironhouse_store_keyfile(), of the lines alone that administrators have signed whom `trust` names.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO,
 * IRONHOUSE_OS. Ownership: the trust is copied, and the program destroys the store by ironhouse_store_destroy(). Threads: any.
 */
ironhouse_result_t ironhouse_store_signed_keyfile(ironhouse_store_t **store, const char *path, size_t path_length, const ironhouse_trust_t *trust);

/**
 * Has a signed store believe other administrators from now on: in force once ironhouse_store_sync() returns.
 *
 * Who is admitted no more is refused.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Ownership: the trust is copied. Threads: any.
 */
ironhouse_result_t ironhouse_store_set_trust(ironhouse_store_t *store, const ironhouse_trust_t *trust);

/**
 * Guards a socket by a domain's policy, without encryption: its clients are judged by their address (NULL).
 *
 * The socket is the program's, in the context that the authenticator was started on; in another one it refuses everybody. Call this before it is
 * bound or connected: later, libzmq would leave it open to everybody, so that IRONHOUSE_SOCKET_IN_USE is answered. IRONHOUSE_FOREIGN_SOCKET, if
 * another copy of libzmq made it than that of the table. Afterwards leave its options of security alone, and ZMQ_HANDSHAKE_IVL above 0. If this
 * fails, close the socket: it may be secured in part. To be called by the thread that uses the socket.
 *
 * Connections that stand are not watched, unless ironhouse_socket_watch() is called too. The socket is used and closed by the program; nothing has
 * to be released. Close it before its authenticator is destroyed, or else it admits nobody from then on.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_FOREIGN_SOCKET,
 * IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_NOT_FOUND, IRONHOUSE_ZMQ. Ownership: the socket stays the program's. Threads: the one that uses the socket.
 */
ironhouse_result_t ironhouse_socket_null_server(void *socket, ironhouse_authenticator_t *authenticator, const char *domain, size_t domain_length);

/**
 * As ironhouse_socket_null_server(), for clients that are judged by their name and password (PLAIN), which travel in clear text.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_FOREIGN_SOCKET,
 * IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_NOT_FOUND, IRONHOUSE_ZMQ. Ownership: the socket stays the program's. Threads: the one that uses the socket.
 */
ironhouse_result_t ironhouse_socket_plain_server(void *socket, ironhouse_authenticator_t *authenticator, const char *domain, size_t domain_length);

/**
 * As ironhouse_socket_null_server(), encrypted, for clients that are judged by their public key (CURVE).
 *
 * `certificate` has the server's key pair.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_FOREIGN_SOCKET,
 * IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_NOT_FOUND, IRONHOUSE_ZMQ, IRONHOUSE_NO_SECRET_KEY, IRONHOUSE_UNSUPPORTED. Ownership: the socket stays the
 * program's, and the keys are copied. Threads: the one that uses the socket.
 */
ironhouse_result_t ironhouse_socket_curve_server(void *socket,
                                                 ironhouse_authenticator_t *authenticator,
                                                 const char *domain,
                                                 size_t domain_length,
                                                 const ironhouse_certificate_t *certificate);

/**
 * As ironhouse_socket_null_server(), encrypted, for clients that are judged by their Kerberos principal (GSSAPI).
 *
 * `principal` (or NULL) is the one service of the keytab that it takes tickets for, as "zmq@server.example".
 *
 * libzmq up to 4.3.5 lets in whomever a policy refuses, so that there the domain's policy must be one that refuses nobody
 * (IRONHOUSE_GSSAPI_REFUSAL); and it cannot be changed to another any more. Close the socket before its authenticator is destroyed.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_FOREIGN_SOCKET,
 * IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_NOT_FOUND, IRONHOUSE_ZMQ, IRONHOUSE_GSSAPI_REFUSAL, IRONHOUSE_UNSUPPORTED. Ownership: the socket stays the
 * program's. Threads: the one that uses the socket.
 */
ironhouse_result_t ironhouse_socket_gssapi_server(void *socket,
                                                  ironhouse_authenticator_t *authenticator,
                                                  const char *domain,
                                                  size_t domain_length,
                                                  const char *principal,
                                                  size_t principal_length);

/**
 * Has libzmq ask the authenticator about the peers of a server that the program has secured by itself, option by option.
 *
 * As long as the context has no authenticator, they are refused.
 *
 * For programs whose sockets get their options from other code: libzmq lets everybody in where it asks nobody, as without a domain and without an
 * authenticator. The socket is judged by the policy of its domain (ZMQ_ZAP_DOMAIN), or gets `domain`; where that has none, by
 * ironhouse_authenticator_set_fallback(). It may have any mechanism but GSSAPI, whose peers libzmq up to 4.3.5 lets in all the same.
 *
 * To be called after the options of security are set and before the socket is bound or connected (IRONHOUSE_SOCKET_IN_USE), by the thread that uses
 * it; again, it does nothing. IRONHOUSE_FOREIGN_SOCKET, if another copy of libzmq made it than that of the table.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_FOREIGN_SOCKET,
 * IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_ZMQ. Ownership: the socket stays the program's. Threads: the one that uses the socket.
 */
ironhouse_result_t ironhouse_socket_enforce(void *socket, const ironhouse_api_t *api, const char *domain, size_t domain_length);

/**
 * Has the authenticator watch the connections of a server's socket, which one of the calls above has secured for the same domain.
 *
 * They are listed by ironhouse_authenticator_each_peer(), and those of peers who are no longer admitted (revoked, certificate removed, password
 * changed, refused by a new policy) are closed. What such a peer sent before that is received all the same.
 *
 * This takes the one monitor that libzmq has for the socket (zmq_socket_monitor()): where the program has its own, it gets no more reports; where it
 * starts one later, the watch ends. ironhouse_feed_watch() does the same and leaves the monitor to the program. To be called before the socket is
 * bound or connected, by the thread that uses it. Nothing has to be released: a thread of the library reads until the socket is closed or its
 * context terminated.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_FOREIGN_SOCKET,
 * IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_NOT_FOUND, IRONHOUSE_ZMQ, IRONHOUSE_TERMINATED, IRONHOUSE_OS. Ownership: the socket stays the program's.
 * Threads: the one that uses the socket.
 */
ironhouse_result_t ironhouse_socket_watch(void *socket, ironhouse_authenticator_t *authenticator, const char *domain, size_t domain_length);

/**
 * Has a client's socket present a name and a password (PLAIN), in clear text.
 *
 * Both are 1 to 255 bytes.
 *
 * To be called before the socket is bound or connected, by the thread that uses it; the rest as for ironhouse_socket_null_server().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_FOREIGN_SOCKET,
 * IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_ZMQ. Ownership: the socket stays the program's, and the password is copied. Threads: the one that uses the
 * socket.
 */
ironhouse_result_t ironhouse_socket_plain_client(void *socket,
                                                 const ironhouse_api_t *api,
                                                 const char *name,
                                                 size_t name_length,
                                                 const char *password,
                                                 size_t password_length);

/**
 * Has a client's socket encrypt (CURVE), and talk to none but the server with the public key `server_key` (Z85).
 *
 * `certificate` has the client's key pair.
 *
 * To be called before the socket is bound or connected, by the thread that uses it; the rest as for ironhouse_socket_null_server().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API,
 * IRONHOUSE_FOREIGN_SOCKET, IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_ZMQ, IRONHOUSE_NO_SECRET_KEY, IRONHOUSE_UNSUPPORTED, IRONHOUSE_BAD_Z85,
 * IRONHOUSE_BAD_KEY. Ownership: the socket stays the program's, and the keys are copied. Threads: the one that uses the socket.
 */
ironhouse_result_t ironhouse_socket_curve_client(void *socket,
                                                 const ironhouse_api_t *api,
                                                 const ironhouse_certificate_t *certificate,
                                                 const char *server_key,
                                                 size_t server_key_length);

/**
 * Has a client's socket present a Kerberos ticket for `service`, as "zmq@server.example", and encrypt (GSSAPI).
 *
 * `principal` (or NULL) says whose, where the credential cache holds several.
 *
 * To be called before the socket is bound or connected, by the thread that uses it; the rest as for ironhouse_socket_null_server().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_FOREIGN_SOCKET,
 * IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_ZMQ, IRONHOUSE_UNSUPPORTED. Ownership: the socket stays the program's. Threads: the one that uses the socket.
 */
ironhouse_result_t ironhouse_socket_gssapi_client(void *socket,
                                                  const ironhouse_api_t *api,
                                                  const char *service,
                                                  size_t service_length,
                                                  const char *principal,
                                                  size_t principal_length);

/**
 * Makes an empty store in memory.
 *
 * Destroy it by ironhouse_store_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER. Threads: any.
 */
ironhouse_result_t ironhouse_store_memory(ironhouse_store_t **store);

/**
 * Opens the certificate files in a directory, which may come into being later.
 *
 * Loaded when this returns, and followed by a thread of the library; what cannot be used admits nobody, and ironhouse_store_each_problem() says why.
 * Destroy it by ironhouse_store_destroy().
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_OS. Threads: any.
 */
ironhouse_result_t ironhouse_store_directory(ironhouse_store_t **store, const char *path, size_t path_length);

/**
 * As ironhouse_store_directory(), of a key file: many certificates in one file, a line each.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_OS. Ownership: the program destroys the
 * store by ironhouse_store_destroy(). Threads: any.
 */
ironhouse_result_t ironhouse_store_keyfile(ironhouse_store_t **store, const char *path, size_t path_length);

/**
 * Destroys the handle; the pointer is NULL afterwards.
 *
 * Does nothing if it is NULL. Policies that use the store keep it.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_store_destroy(ironhouse_store_t **store);

/**
 * Adds a certificate's public part in memory, in the place of an earlier one of the same key.
 *
 * Also to a store of files, which it does not change. In force when this returns.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_SIGNATURE. Ownership: the certificate is copied. Threads:
 * any.
 */
ironhouse_result_t ironhouse_store_insert(ironhouse_store_t *store, const ironhouse_certificate_t *certificate);

/**
 * Removes the certificate of a public key that was added in memory; IRONHOUSE_NOT_FOUND, if there is none.
 *
 * In force when this returns.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85,
 * IRONHOUSE_BAD_KEY, IRONHOUSE_NOT_FOUND. Threads: any.
 */
ironhouse_result_t ironhouse_store_remove(ironhouse_store_t *store, const char *key, size_t key_length);

/**
 * Looks a public key up; its certificate is a copy, to be destroyed by ironhouse_certificate_destroy().
 *
 * IRONHOUSE_NOT_FOUND, if there is none.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85,
 * IRONHOUSE_BAD_KEY, IRONHOUSE_NOT_FOUND. Threads: any.
 */
ironhouse_result_t ironhouse_store_lookup(const ironhouse_store_t *store, const char *key, size_t key_length, ironhouse_certificate_t **certificate);

/**
 * Counts the certificates.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_store_size(const ironhouse_store_t *store, size_t *size);

/**
 * Calls `each` for the public key (Z85) of every certificate that it holds at this moment, in their order as texts.
 *
 * On this thread, and before it returns; `each` may use the store.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_store_each_key(const ironhouse_store_t *store, ironhouse_text_fn each, void *user_data);

/**
 * Returns once every change made on disk before the call is in force; IRONHOUSE_AGAIN, if that takes longer than `milliseconds`.
 *
 * Not needed for a peer to be admitted: a key that is not known is looked for in what has changed before its peer is refused.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_AGAIN. Threads: any.
 */
ironhouse_result_t ironhouse_store_sync(const ironhouse_store_t *store, uint32_t milliseconds);

/**
 * Calls `each` for everything that is wrong with the files, on this thread and before it returns: what, where, and how to mend it.
 *
 * Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
 */
ironhouse_result_t ironhouse_store_each_problem(const ironhouse_store_t *store, ironhouse_text_fn each, void *user_data);

/**
 * The version of this library, as "0.1.0".
 *
 * Ownership: the text is the library's, and lasts as long as it. Threads: any.
 */
const char *ironhouse_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#ifndef IRONHOUSE_WITHOUT_ZMQ_H
#ifdef __cplusplus
extern "C" {
#endif

/**
 * Fills a table with the functions of the libzmq that the calling program is linked with.
 */
static inline void ironhouse_api_init(ironhouse_api_t *api)
{
  api->size = sizeof *api;
  api->version = IRONHOUSE_API_VERSION;
  api->zmq_errno = zmq_errno;
  api->zmq_strerror = zmq_strerror;
  api->zmq_version = zmq_version;
  api->zmq_has = zmq_has;
  api->zmq_ctx_new = zmq_ctx_new;
  api->zmq_ctx_term = zmq_ctx_term;
  api->zmq_ctx_shutdown = zmq_ctx_shutdown;
  api->zmq_ctx_set = zmq_ctx_set;
  api->zmq_ctx_get = zmq_ctx_get;
  api->zmq_msg_init = zmq_msg_init;
  api->zmq_msg_init_size = zmq_msg_init_size;
  api->zmq_msg_init_data = zmq_msg_init_data;
  api->zmq_msg_send = zmq_msg_send;
  api->zmq_msg_recv = zmq_msg_recv;
  api->zmq_msg_close = zmq_msg_close;
  api->zmq_msg_move = zmq_msg_move;
  api->zmq_msg_copy = zmq_msg_copy;
  api->zmq_msg_data = zmq_msg_data;
  api->zmq_msg_size = zmq_msg_size;
  api->zmq_msg_more = zmq_msg_more;
  api->zmq_msg_get = zmq_msg_get;
  api->zmq_msg_set = zmq_msg_set;
  api->zmq_msg_gets = zmq_msg_gets;
  api->zmq_socket = zmq_socket;
  api->zmq_close = zmq_close;
  api->zmq_setsockopt = zmq_setsockopt;
  api->zmq_getsockopt = zmq_getsockopt;
  api->zmq_bind = zmq_bind;
  api->zmq_connect = zmq_connect;
  api->zmq_unbind = zmq_unbind;
  api->zmq_disconnect = zmq_disconnect;
  api->zmq_send = zmq_send;
  api->zmq_recv = zmq_recv;
  api->zmq_socket_monitor = zmq_socket_monitor;
  api->zmq_poll = zmq_poll;
  api->zmq_proxy = zmq_proxy;
  api->zmq_proxy_steerable = zmq_proxy_steerable;
  api->zmq_timers_new = zmq_timers_new;
  api->zmq_timers_destroy = zmq_timers_destroy;
  api->zmq_timers_add = zmq_timers_add;
  api->zmq_timers_cancel = zmq_timers_cancel;
  api->zmq_timers_set_interval = zmq_timers_set_interval;
  api->zmq_timers_reset = zmq_timers_reset;
  api->zmq_timers_timeout = zmq_timers_timeout;
  api->zmq_timers_execute = zmq_timers_execute;
}

#ifdef __cplusplus
}
#endif
#endif

#endif /* IRONHOUSE_H */
