/* The same with a thread, and a context, for either side; keys come from files. */
#include <czmq.h>

#define ENDPOINT "ipc://house.ipc"

static void *
client_task (void *args)
{
    zcert_t *client_cert = zcert_load ("client_cert.txt");
    assert (client_cert);

    zctx_t *ctx = zctx_new ();
    assert (ctx);
    void *client = zsocket_new (ctx, ZMQ_PULL);
    assert (client);
    zcert_apply (client_cert, client);
    zsocket_set_curve_serverkey (client, (char *) args);
    int rc = zsocket_connect (client, ENDPOINT);
    assert (rc == 0);

    char *message = zstr_recv (client);
    assert (streq (message, "Hello"));
    free (message);

    //  Tells that all went well
    zcert_save_public (client_cert, "done");
    zcert_destroy (&client_cert);
    zctx_destroy (&ctx);
    return NULL;
}

static void *
server_task (void *args)
{
    zctx_t *ctx = zctx_new ();
    assert (ctx);

    zauth_t *auth = zauth_new (ctx);
    assert (auth);
    zauth_set_verbose (auth, true);
    zauth_configure_curve (auth, "*", ".curve");

    void *server = zsocket_new (ctx, ZMQ_PUSH);
    assert (server);
    zcert_apply ((zcert_t *) args, server);
    zsocket_set_curve_server (server, 1);
    int rc = zsocket_bind (server, ENDPOINT);
    assert (rc != -1);

    zstr_send (server, "Hello");
    while (!zsys_file_exists ("done"))
        zclock_sleep (1);

    zauth_destroy (&auth);
    zctx_destroy (&ctx);
    zsys_dir_create ("over");
    return NULL;
}

int main (void)
{
    zcert_t *client_cert = zcert_new ();
    int rc = zsys_dir_create (".curve");
    assert (rc == 0);
    zcert_set_meta (client_cert, "name", "Client test certificate");
    zcert_save_public (client_cert, ".curve/testcert.pub");
    rc = zcert_save (client_cert, "client_cert.txt");
    assert (rc == 0);
    zcert_destroy (&client_cert);

    zcert_t *server_cert = zcert_new ();
    zthread_new (server_task, server_cert);
    zthread_new (client_task, zcert_public_txt (server_cert));

    while (!zsys_file_exists ("over"))
        zclock_sleep (1);
    zcert_destroy (&server_cert);
    puts ("Ironhouse test OK");
    return 0;
}
