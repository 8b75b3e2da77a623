/* Clients are told apart by name and password. */
#include <czmq.h>

int main (void)
{
    //  As an editor leaves it: open to all
    FILE *passwords = fopen ("passwords", "w");
    assert (passwords);
    fprintf (passwords, "guest=guest\nadmin=secret-of-admin\n");
    fclose (passwords);

    zctx_t *ctx = zctx_new ();
    zauth_t *auth = zauth_new (ctx);
    zauth_set_verbose (auth, true);
    zauth_allow (auth, "127.0.0.1");
    zauth_configure_plain (auth, "*", "passwords");

    void *server = zsocket_new (ctx, ZMQ_PUSH);
    zsocket_set_plain_server (server, 1);
    int port = zsocket_bind (server, "tcp://*:*");

    void *client = zsocket_new (ctx, ZMQ_PULL);
    zsocket_set_plain_username (client, "admin");
    zsocket_set_plain_password (client, "secret-of-admin");
    zsocket_connect (client, "tcp://127.0.0.1:%d", port);

    zstr_send (server, "Hello");
    char *message = zstr_recv (client);
    assert (streq (message, "Hello"));
    free (message);
    puts ("Woodhouse test OK");

    zauth_destroy (&auth);
    zctx_destroy (&ctx);
    return 0;
}
