/* A context ends, whatever is open in it. */
#include <czmq.h>

static void *
receive (void *socket)
{
    char *message = zstr_recv (socket);
    assert (message == NULL);
    zmq_close (socket);
    return NULL;
}

int main (void)
{
    //  Sockets with messages that nobody takes
    zctx_t *ctx = zctx_new ();
    zctx_set_iothreads (ctx, 2);
    zctx_set_linger (ctx, 0);
    zauth_t *auth = zauth_new (ctx);
    for (int i = 0; i < 10; i++) {
        void *socket = zsocket_new (ctx, ZMQ_DEALER);
        assert (zsocket_connect (socket, "tcp://127.0.0.1:1") == 0);
        zsocket_set_linger (socket, -1);
        zstr_send (socket, "Anybody?");
    }
    zctx_destroy (&ctx);
    assert (ctx == NULL);
    zctx_destroy (&ctx);
    zauth_destroy (&auth);

    //  An authenticator that outlives its context may still be told what to do
    ctx = zctx_new ();
    auth = zauth_new (ctx);
    zauth_set_verbose (auth, true);
    zctx_destroy (&ctx);
    zclock_sleep (50);
    zauth_allow (auth, "127.0.0.1");
    zauth_configure_curve (auth, "*", CURVE_ALLOW_ANY);
    zauth_set_verbose (auth, false);
    zauth_destroy (&auth);

    //  A socket of libzmq's own that another thread waits at
    ctx = zctx_new ();
    void *socket = zmq_socket (zctx_underlying (ctx), ZMQ_PULL);
    int rc = zthread_new (receive, socket);
    assert (rc == 0);
    zctx_destroy (&ctx);

    //  And one that nobody closes
    ctx = zctx_new ();
    zctx_set_linger (ctx, 0);
    socket = zmq_socket (zctx_underlying (ctx), ZMQ_PULL);
    zctx_destroy (&ctx);
    assert (ctx == NULL);
    zmq_close (socket);
    puts ("shutdown test OK");
    return 0;
}
