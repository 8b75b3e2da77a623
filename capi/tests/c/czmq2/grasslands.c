/* No security at all: anybody may connect. */
#include <czmq.h>

int main (void)
{
    zctx_t *ctx = zctx_new ();
    assert (ctx);

    void *server = zsocket_new (ctx, ZMQ_PUSH);
    int port = zsocket_bind (server, "tcp://127.0.0.1:*");
    assert (port > 0);

    void *client = zsocket_new (ctx, ZMQ_PULL);
    int rc = zsocket_connect (client, "tcp://127.0.0.1:%d", port);
    assert (rc == 0);

    //  A text is sent as it is, a format with what it is given
    zstr_send (server, "100% Hello");
    zstr_send (server, "Hello %s, %d", "again", 2);
    char *message = zstr_recv (client);
    assert (streq (message, "100% Hello"));
    free (message);
    message = zstr_recv (client);
    assert (streq (message, "Hello again, 2"));
    free (message);

    zsocket_destroy (ctx, client);
    zctx_destroy (&ctx);
    assert (ctx == NULL);
    puts ("Grasslands test OK");
    return 0;
}
