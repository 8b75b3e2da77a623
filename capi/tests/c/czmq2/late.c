/* Security that is set too late ends the program. */
#include <czmq.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void
curve_server (void *socket)
{
    zsocket_set_curve_server (socket, 1);
}

static void
plain_server (void *socket)
{
    zsocket_set_plain_server (socket, 1);
}

static void
domain (void *socket)
{
    zsocket_set_zap_domain (socket, "global");
}

static void
certificate (void *socket)
{
    zcert_apply (zcert_new (), socket);
}

static void
server_key (void *socket)
{
    zsocket_set_curve_serverkey (socket, zcert_public_txt (zcert_new ()));
}

static void
bad_key (void *socket)
{
    (void) socket;
    zctx_t *ctx = zctx_new ();
    zsocket_set_curve_serverkey (zsocket_new (ctx, ZMQ_PULL), "no key");
}

static int
ends (void (*call) (void *socket), const char *bind)
{
    pid_t child = fork ();
    assert (child != -1);
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit (RLIMIT_CORE, &none);
        zctx_t *ctx = zctx_new ();
        void *socket = zsocket_new (ctx, ZMQ_PULL);
        assert (zsocket_bind (socket, "%s", bind) != -1);
        call (socket);
        _exit (0);
    }
    int status;
    pid_t ended = waitpid (child, &status, 0);
    assert (ended == child);
    return WIFSIGNALED (status) ? WTERMSIG (status) : 0;
}

int main (void)
{
    assert (ends (curve_server, "tcp://127.0.0.1:*") == SIGABRT);
    assert (ends (plain_server, "tcp://127.0.0.1:*") == SIGABRT);
    assert (ends (domain, "tcp://127.0.0.1:*") == SIGABRT);
    assert (ends (certificate, "tcp://127.0.0.1:*") == SIGABRT);
    assert (ends (server_key, "tcp://127.0.0.1:*") == SIGABRT);
    assert (ends (bad_key, "inproc://here") == SIGABRT);
    //  Within the process there is nothing to secure
    assert (ends (curve_server, "inproc://here") == 0);
    puts ("late test OK");
    return 0;
}
