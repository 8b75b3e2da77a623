//  A peer that speaks through CZMQ alone. See mod.rs for what it prints.

#include <czmq.h>

//  Makes a certificate and saves it. Prints its public key.
static void make (char **args)
{
    zcert_t *cert = zcert_new ();
    assert (cert);
    zcert_set_meta (cert, "name", "%s", args[1]);
    zcert_set_meta (cert, "organisation", "%s", "pump & valve, room #7");
    int rc = zcert_save (cert, args[0]);
    assert (rc == 0);
    puts (zcert_public_txt (cert));
    zcert_destroy (&cert);
}

//  Loads a certificate and saves it elsewhere. Prints its keys and metadata.
static void copy (char **args)
{
    zcert_t *cert = zcert_load (args[0]);
    assert (cert);
    puts (zcert_public_txt (cert));
    puts (zcert_secret_txt (cert));
    zlist_t *names = zcert_meta_keys (cert);
    zlist_sort (names, NULL);
    for (char *name = zlist_first (names); name; name = zlist_next (names))
        printf ("%s=%s\n", name, zcert_meta (cert, name));
    int rc = zcert_save (cert, args[1]);
    assert (rc == 0);
    zlist_destroy (&names);
    zcert_destroy (&cert);
}

//  Connects, prints how the handshake ended, and greets if it ended well.
static void greet (zsock_t *socket, const char *endpoint)
{
    zactor_t *monitor = zactor_new (zmonitor, socket);
    assert (monitor);
    zstr_sendx (monitor, "LISTEN", "ALL", NULL);
    zstr_send (monitor, "START");
    zsock_wait (monitor);
    int rc = zsock_connect (socket, "%s", endpoint);
    assert (rc == 0);

    bool succeeded = false;
    bool ended = false;
    while (!ended) {
        char *event, *value, *address;
        rc = zstr_recvx (monitor, &event, &value, &address, NULL);
        assert (rc >= 2);
        ended = strncmp (event, "HANDSHAKE_", 10) == 0;
        succeeded = streq (event, "HANDSHAKE_SUCCEEDED");
        if (ended)
            printf ("%s %s\n", event, value);
        zstr_free (&event);
        zstr_free (&value);
        zstr_free (&address);
    }
    if (succeeded) {
        zstr_send (socket, "Hello");
        char *reply = zstr_recv (socket);
        assert (reply);
        puts (reply);
        zstr_free (&reply);
    }
    zactor_destroy (&monitor);
    zsock_destroy (&socket);
}

//  Arguments: own certificate, the server's public one, endpoint.
static void curve_client (char **args)
{
    zcert_t *cert = zcert_load (args[0]);
    zcert_t *server = zcert_load (args[1]);
    assert (cert && server);
    zsock_t *socket = zsock_new (ZMQ_REQ);
    zcert_apply (cert, socket);
    zsock_set_curve_serverkey (socket, zcert_public_txt (server));
    greet (socket, args[2]);
    zcert_destroy (&cert);
    zcert_destroy (&server);
}

//  Arguments: name, password, endpoint.
static void plain_client (char **args)
{
    zsock_t *socket = zsock_new (ZMQ_REQ);
    zsock_set_plain_username (socket, args[0]);
    zsock_set_plain_password (socket, args[1]);
    greet (socket, args[2]);
}

//  Answers whom zauth admits by `mechanism` and `file`, until it is killed. Prints who said what.
static void serve (zsock_t *socket, const char *mechanism, const char *file)
{
    zactor_t *auth = zactor_new (zauth, NULL);
    assert (auth);
    zstr_sendx (auth, mechanism, file, NULL);
    zsock_wait (auth);
    zsock_set_zap_domain (socket, "global");
    int rc = zsock_bind (socket, "tcp://127.0.0.1:*");
    assert (rc > 0);
    puts (zsock_last_endpoint (socket));
    zframe_t *frame;
    while ((frame = zframe_recv (socket))) {
        const char *user = zframe_meta (frame, "User-Id");
        printf ("%s %.*s\n", user ? user : "?", (int) zframe_size (frame), (char *) zframe_data (frame));
        zframe_destroy (&frame);
        zstr_send (socket, "World");
    }
    zactor_destroy (&auth);
    zsock_destroy (&socket);
}

//  Arguments: own certificate, directory of the clients' ones.
static void curve_server (char **args)
{
    zcert_t *cert = zcert_load (args[0]);
    assert (cert);
    zsock_t *socket = zsock_new (ZMQ_REP);
    zcert_apply (cert, socket);
    zsock_set_curve_server (socket, 1);
    serve (socket, "CURVE", args[1]);
    zcert_destroy (&cert);
}

//  Arguments: password file.
static void plain_server (char **args)
{
    zsock_t *socket = zsock_new (ZMQ_REP);
    zsock_set_plain_server (socket, 1);
    serve (socket, "PLAIN", args[0]);
}

int main (int argc, char **argv)
{
    static const struct {
        const char *name;
        int args;
        void (*run) (char **args);
    } commands[] = {
        {"make", 2, make},
        {"copy", 2, copy},
        {"curve-client", 3, curve_client},
        {"plain-client", 3, plain_client},
        {"curve-server", 2, curve_server},
        {"plain-server", 1, plain_server},
    };
    alarm (120);                        //  Whoever started us may be gone.
    setvbuf (stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (argc == 2 + commands[i].args && streq (argv[1], commands[i].name)) {
            commands[i].run (argv + 2);
            return 0;
        }
    return 2;
}
