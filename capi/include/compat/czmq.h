/*
 * The calls of CZMQ 2 that programs use to authenticate and to encrypt, over ironhouse: source files of its time compile as they are.
 *
 *   cc program.c -I.../include/compat -lironhouse_c -lzmq        (and -lpthread, before glibc 2.34)
 *
 * The calls do what CZMQ 2's do. Where they differ, it is for the sake of safety:
 *
 * - A server that the program bound by zsocket_bind() is checked also if it sets no domain, and admits nobody where there is no authenticator: not
 *   yet, or not any more. Only sockets without any security, in a context without an authenticator, are open to everybody.
 * - What would come too late is refused: security that is set once a socket is bound or connected, which libzmq would accept and not apply, ends
 *   the program, as a failed assertion did; pgm, norm and udp, which carry no security, are not bound or connected by a socket that has it.
 * - zauth_configure_plain() and zauth_configure_curve() keep to the domain that they name; "*" is for all others. An address that is denied
 *   after it was allowed is denied.
 * - A file of passwords that others may read is used with a warning, and one that everybody may change is not. A file with a secret key must be
 *   closed to group and others.
 * - Passwords and secret keys are never printed. zcert_new_from() answers NULL for keys that do not belong together.
 * - What is not a format with arguments is taken as it is, percent signs and all: zstr_send(socket, text) sends any text.
 * - Messages get a second to leave when a socket is destroyed (zctx_set_linger() changes that). zctx_destroy() waits for sockets that other
 *   threads have open for five seconds more, and not for ever.
 * - Where nobody listens yet, a client tries again after 20 milliseconds, not 100, and then less often: programs of the time started both sides at
 *   once, and gave them 200.
 *
 * Why a call failed is said on stderr ("E: ..."); what zauth_set_verbose() turns on, on stdout ("I: ...").
 */
#ifndef IRONHOUSE_COMPAT_CZMQ_H
#define IRONHOUSE_COMPAT_CZMQ_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1
#endif

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "../ironhouse.h"

#define CZMQ_VERSION_MAJOR 2
#define CZMQ_VERSION_MINOR 2
#define CZMQ_VERSION_PATCH 0
#define CZMQ_MAKE_VERSION(major, minor, patch) ((major) * 10000 + (minor) * 100 + (patch))
#define CZMQ_VERSION CZMQ_MAKE_VERSION(CZMQ_VERSION_MAJOR, CZMQ_VERSION_MINOR, CZMQ_VERSION_PATCH)

#define streq(one, other) (strcmp((one), (other)) == 0)
#define strneq(one, other) (strcmp((one), (other)) != 0)

/* For zauth_configure_curve(): whoever encrypts, without asking who it is. */
#define CURVE_ALLOW_ANY "*"

typedef unsigned char byte;

typedef struct czmq2_ctx zctx_t;
typedef struct czmq2_auth zauth_t;
typedef struct czmq2_cert zcert_t;
typedef struct czmq2_certstore zcertstore_t;
typedef struct czmq2_list zlist_t;
typedef void *(zthread_detached_fn)(void *args);

#include "czmq/common.h"
#include "czmq/zsys.h"
#include "czmq/zsocket.h"
#include "czmq/zauth.h"
#include "czmq/zcert.h"
#include "czmq/zcertstore.h"

#endif /* IRONHOUSE_COMPAT_CZMQ_H */
