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
 * unless its description says otherwise.
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
 * and sockets are used as libzmq allows: a socket by one thread at a time. Threads of the library block all signals.
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
 * A certificate: a public key, metadata and dates, and where it was made or loaded with it, the secret key, which is wiped when the
 * certificate is destroyed. May be used by several threads at once. Files are those of CZMQ and pyzmq.
 */
typedef struct ironhouse_certificate_t ironhouse_certificate_t;

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
 * What is called for each metadata value: its name and text, which are valid until it returns. It must not unwind.
 */
typedef void (*ironhouse_meta_fn)(void *user_data, const char *name, const char *value);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Fills a table with the functions of a libzmq that was loaded by dlopen(): for programs that have no zmq.h, as through ctypes.
 *
 * `library` is what dlopen() answered for the very library that the host's contexts were made by (on Linux the same path or SONAME gives the same
 * copy); it is looked at, not kept, and must stay loaded. May be called by any thread.
 */
ironhouse_result_t ironhouse_api_from_library(void *library, ironhouse_api_t *api);

/**
 * The version of the libzmq behind a table, which need not be that of the headers that the host was built with.
 */
ironhouse_result_t ironhouse_api_zmq_version(const ironhouse_api_t *api, int *major, int *minor, int *patch);

/**
 * Whether the libzmq behind a table has a capability, as zmq_has() names them: "curve", "gssapi", "ipc". Answers IRONHOUSE_UNSUPPORTED if not.
 */
ironhouse_result_t ironhouse_api_zmq_has(const ironhouse_api_t *api, const char *capability, size_t capability_length);

/**
 * The file that the libzmq behind a table was loaded from; for one that is linked statically, the program.
 *
 * Writes at most `size` bytes, the NUL at the end among them, and the text's length without it to `length`, if that is not NULL.
 */
ironhouse_result_t ironhouse_api_zmq_file(const ironhouse_api_t *api, char *file, size_t size, size_t *length);

/**
 * Why the last call that failed on this thread did: what was tried, on what, and how to mend it. Empty, if none did.
 *
 * Never NULL, and never a secret. It is valid until the next call of this library on the same thread; copy it to keep it.
 */
const char *ironhouse_last_error(void);

/**
 * The errno of the operating system or of libzmq behind the last call that failed on this thread; 0 where there is none.
 */
int ironhouse_last_errno(void);

/**
 * Makes a certificate with a new key pair. Destroy it by ironhouse_certificate_destroy().
 */
ironhouse_result_t ironhouse_certificate_new(ironhouse_certificate_t **certificate);

/**
 * Makes a certificate of a public key, in Z85. Destroy it by ironhouse_certificate_destroy().
 */
ironhouse_result_t ironhouse_certificate_from_public_key(ironhouse_certificate_t **certificate, const char *key, size_t key_length);

/**
 * Makes a certificate of a secret key, in Z85, and the public key that belongs to it. Destroy it by ironhouse_certificate_destroy().
 */
ironhouse_result_t ironhouse_certificate_from_secret_key(ironhouse_certificate_t **certificate, const char *key, size_t key_length);

/**
 * Loads a public certificate from exactly this file. Destroy it by ironhouse_certificate_destroy().
 */
ironhouse_result_t ironhouse_certificate_load(ironhouse_certificate_t **certificate, const char *path, size_t path_length);

/**
 * Loads a certificate with its secret key from the file `path`_secret, which must be open to its owner alone. Destroy it by
 * ironhouse_certificate_destroy().
 */
ironhouse_result_t ironhouse_certificate_load_secret(ironhouse_certificate_t **certificate, const char *path, size_t path_length);

/**
 * Destroys a certificate and wipes its secret key; the pointer is NULL afterwards. Does nothing if it is NULL.
 *
 * Sockets that were secured with it do not need it any more.
 */
ironhouse_result_t ironhouse_certificate_destroy(ironhouse_certificate_t **certificate);

/**
 * Saves the certificate: its public part as `path`, and where it has a secret key, all of it as `path`_secret with mode 0600. Each file is
 * written as a whole or not at all.
 */
ironhouse_result_t ironhouse_certificate_save(const ironhouse_certificate_t *certificate, const char *path, size_t path_length);

/**
 * Saves the public part alone, as `path`: for who is to know the key.
 */
ironhouse_result_t ironhouse_certificate_save_public(const ironhouse_certificate_t *certificate, const char *path, size_t path_length);

/**
 * Writes the public key, in Z85. The buffer takes IRONHOUSE_KEY_SIZE bytes.
 */
ironhouse_result_t ironhouse_certificate_public_key(const ironhouse_certificate_t *certificate, char *key);

/**
 * Writes the secret key, in Z85. The buffer takes IRONHOUSE_KEY_SIZE bytes; wipe it after use, by ironhouse_wipe().
 */
ironhouse_result_t ironhouse_certificate_secret_key(const ironhouse_certificate_t *certificate, char *key);

/**
 * Sets a metadata value, in the place of an earlier one of that name. Names are letters, digits and `$-_@.&+/`; values are one line of text.
 *
 * The metadata of an admitted peer's certificate are properties of every message that it sends (zmq_msg_gets()).
 */
ironhouse_result_t ironhouse_certificate_set_meta(ironhouse_certificate_t *certificate,
                                                  const char *name,
                                                  size_t name_length,
                                                  const char *value,
                                                  size_t value_length);

/**
 * Removes a metadata value, if there is one of that name.
 */
ironhouse_result_t ironhouse_certificate_unset_meta(ironhouse_certificate_t *certificate, const char *name, size_t name_length);

/**
 * Writes the metadata value of this name; IRONHOUSE_NOT_FOUND, if there is none.
 *
 * Writes at most `size` bytes, the NUL at the end among them, and the text's length without it to `length`, if that is not NULL.
 */
ironhouse_result_t ironhouse_certificate_meta(const ironhouse_certificate_t *certificate,
                                              const char *name,
                                              size_t name_length,
                                              char *value,
                                              size_t size,
                                              size_t *length);

/**
 * Calls `each` for every metadata value, in the order of the file, on this thread and before it returns. `each` may use the certificate.
 */
ironhouse_result_t ironhouse_certificate_each_meta(const ironhouse_certificate_t *certificate, ironhouse_meta_fn each, void *user_data);

/**
 * Sets from when to when the certificate admits its owner, in seconds since 1970 (UTC), in the place of what was set before: `not_before` is the
 * first second, `not_after` the first at which it is over, and IRONHOUSE_NO_DATE stands for none. A disabled one admits nobody.
 */
ironhouse_result_t ironhouse_certificate_set_validity(ironhouse_certificate_t *certificate, int64_t not_before, int64_t not_after, bool disabled);

/**
 * Tells from when to when the certificate admits its owner, as ironhouse_certificate_set_validity() takes it. Each place may be NULL.
 */
ironhouse_result_t ironhouse_certificate_validity(const ironhouse_certificate_t *certificate,
                                                  int64_t *not_before,
                                                  int64_t *not_after,
                                                  bool *disabled);

/**
 * Makes a new CURVE key pair, as texts. Both buffers take IRONHOUSE_KEY_SIZE bytes.
 *
 * Wipe the secret key after use, by ironhouse_wipe(). May be called by any thread.
 */
ironhouse_result_t ironhouse_keypair(char *public_key, char *secret_key);

/**
 * Computes the public key that belongs to a secret one. The buffer takes IRONHOUSE_KEY_SIZE bytes.
 */
ironhouse_result_t ironhouse_public_key(const char *secret_key, size_t secret_key_length, char *public_key);

/**
 * Writes a key's 32 bytes as text. The buffer takes IRONHOUSE_KEY_SIZE bytes.
 */
ironhouse_result_t ironhouse_z85_encode(const uint8_t *key, char *encoded);

/**
 * Reads a key's 32 bytes from its text, which may be a secret key's. `key` takes 32 bytes.
 */
ironhouse_result_t ironhouse_z85_decode(const char *encoded, size_t encoded_length, uint8_t *key);

/**
 * Writes the fingerprint of a public key: short enough to be compared by people. IRONHOUSE_FINGERPRINT_SIZE bytes are enough.
 */
ironhouse_result_t ironhouse_fingerprint(const char *public_key, size_t public_key_length, char *fingerprint, size_t size, size_t *length);

/**
 * Overwrites a secret in a way that no compiler leaves out. Does nothing for NULL.
 */
void ironhouse_wipe(uint8_t *memory, size_t size);

/**
 * The version of this library, as "0.1.0".
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
