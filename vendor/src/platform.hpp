/* Included by every source of the embedded libzmq; zeromq-src sets the rest on the command line. */
#ifndef IRONHOUSE_PLATFORM_HPP
#define IRONHOUSE_PLATFORM_HPP

/* Known and harmless; they would fill the terminal of every build that is not ours to mend. */
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wunused-parameter"

#if defined __linux__
#define HAVE_ACCEPT4
#define HAVE_CLOCK_GETTIME
#define HAVE_FORK
#define HAVE_IF_NAMETOINDEX
#define HAVE_MKDTEMP
#define ZMQ_HAVE_EVENTFD
#define ZMQ_HAVE_EVENTFD_CLOEXEC
#define ZMQ_HAVE_IFADDRS
#define ZMQ_HAVE_NOEXCEPT
#define ZMQ_HAVE_PTHREAD_SETNAME_2
#define ZMQ_HAVE_SOCK_CLOEXEC
#define ZMQ_HAVE_SO_BINDTODEVICE
#define ZMQ_HAVE_SO_KEEPALIVE
#define ZMQ_HAVE_SO_PEERCRED
#define ZMQ_HAVE_TCP_KEEPCNT
#define ZMQ_HAVE_TCP_KEEPIDLE
#define ZMQ_HAVE_TCP_KEEPINTVL
#define ZMQ_IOTHREAD_POLLER_USE_EPOLL_CLOEXEC
#endif

#endif
