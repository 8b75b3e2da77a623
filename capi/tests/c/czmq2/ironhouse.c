/* All is encrypted, and the server knows its clients: by a directory that is there only after it was named. */
#include <czmq.h>

int main (void)
{
    zctx_t *ctx = zctx_new ();
    zauth_t *auth = zauth_new (ctx);
    zauth_set_verbose (auth, true);
    zauth_allow (auth, "127.0.0.1");
    zauth_configure_curve (auth, "*", ".curve");

    zcert_t *server_cert = zcert_new ();
    char *server_key = zcert_public_txt (server_cert);
    void *server = zsocket_new (ctx, ZMQ_PUSH);
    zcert_apply (server_cert, server);
    zsocket_set_curve_server (server, 1);
    int port = zsocket_bind (server, "tcp://*:*");

    zcert_t *client_cert = zcert_new ();
    zsys_dir_create (".curve");
    zcert_set_meta (client_cert, "name", "Client test certificate");
    zcert_save_public (client_cert, ".curve/testcert.pub");

    void *client = zsocket_new (ctx, ZMQ_PULL);
    zcert_apply (client_cert, client);
    zsocket_set_curve_serverkey (client, server_key);
    zsocket_connect (client, "tcp://127.0.0.1:%d", port);

    zstr_send (server, "Hello");
    char *message = zstr_recv (client);
    assert (streq (message, "Hello"));
    free (message);

    //  So does the next one, whose certificate comes into a directory that is there
    void *sink = zsocket_new (ctx, ZMQ_PULL);
    zcert_apply (server_cert, sink);
    zsocket_set_curve_server (sink, 1);
    port = zsocket_bind (sink, "tcp://*:*");
    zcert_destroy (&client_cert);
    client_cert = zcert_new ();
    zcert_save_public (client_cert, "%s/client-%d.pub", ".curve", 2);
    void *source = zsocket_new (ctx, ZMQ_PUSH);
    zcert_apply (client_cert, source);
    zsocket_set_curve_serverkey (source, server_key);
    zsocket_connect (source, "tcp://127.0.0.1:%d", port);
    zstr_send (source, "Hello");
    message = zstr_recv (sink);
    assert (streq (message, "Hello"));
    free (message);
    puts ("Ironhouse test OK");

    zcert_destroy (&client_cert);
    zcert_destroy (&server_cert);
    zauth_destroy (&auth);
    zctx_destroy (&ctx);
    return 0;
}
