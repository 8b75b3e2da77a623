/* A program of two files: what one of them makes, the other knows. */
#include <czmq.h>

void *other_file_socket (zctx_t *ctx);

int main (void)
{
    zctx_t *ctx = zctx_new ();
    void *socket = other_file_socket (ctx);
    zauth_t *auth = zauth_new (ctx);
    int port = zsocket_bind (socket, "tcp://127.0.0.1:*");
    assert (port > 0);

    //  It was bound in a context with an authenticator: so it is checked, though it sets no domain
    char domain [256] = "";
    size_t size = sizeof domain;
    int rc = zmq_getsockopt (socket, ZMQ_ZAP_DOMAIN, domain, &size);
    assert (rc == 0);
    assert (streq (domain, "*"));

    zauth_destroy (&auth);
    zctx_destroy (&ctx);
    puts ("files test OK");
    return 0;
}
