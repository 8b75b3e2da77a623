/* What the authenticator admits and refuses. */
#include <czmq.h>

//  How long anything may take that is expected to happen
#define SOON 20000

static zctx_t *ctx;
static void *server, *client;

static void
fresh (void)
{
    server = zsocket_new (ctx, ZMQ_PULL);
    client = zsocket_new (ctx, ZMQ_PUSH);
    assert (server && client);
}

//  What libzmq reports of the client's handshake: whether it was admitted
static bool
verdict (void *monitor, int line)
{
    zmq_msg_t event;
    zmq_msg_init (&event);
    int size = zmq_msg_recv (&event, monitor, 0);
    if (size != 6) {
        fprintf (stderr, "%s:%d: no report: %s\n", __FILE__, line, zmq_strerror (zmq_errno ()));
        exit (1);
    }
    uint16_t number;
    memcpy (&number, zmq_msg_data (&event), sizeof number);
    zmq_msg_close (&event);
    free (zstr_recv (monitor));
    return number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
}

static bool
connects (int port, int line)
{
    static int count = 0;
    char reports [64];
    snprintf (reports, sizeof reports, "inproc://reports-%d", count++);
    int rc = zmq_socket_monitor (server, reports,
        ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
        | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL);
    assert (rc == 0);
    void *monitor = zsocket_new (ctx, ZMQ_PAIR);
    zsocket_set_rcvtimeo (monitor, SOON);
    rc = zsocket_connect (monitor, "%s", reports);
    assert (rc == 0);

    if (port == 0)
        port = zsocket_bind (server, "tcp://127.0.0.1:*");
    assert (port > 0);
    rc = zsocket_connect (client, "tcp://127.0.0.1:%d", port);
    assert (rc == 0);
    rc = zstr_send (client, "Hello, World");
    assert (rc == 0);
    bool success = verdict (monitor, line);
    if (success) {
        zsocket_set_rcvtimeo (server, SOON);
        char *message = zstr_recv (server);
        assert (message && streq (message, "Hello, World"));
        zstr_free (&message);
    }
    else
        assert (!zsocket_poll (server, 0));
    //  The reports end before their reader does: libzmq would wait for another
    rc = zmq_socket_monitor (server, NULL, 0);
    assert (rc == 0);
    zsocket_destroy (ctx, monitor);
    zsocket_destroy (ctx, client);
    zsocket_destroy (ctx, server);
    fresh ();
    return success;
}

static void
expect (bool admitted, int port, int line)
{
    if (connects (port, line) != admitted) {
        fprintf (stderr, "%s:%d: %s\n", __FILE__, line, admitted? "not admitted": "not refused");
        exit (1);
    }
}

#define ADMITTED expect (true, 0, __LINE__)
#define REFUSED expect (false, 0, __LINE__)

static void
users (const char *text)
{
    FILE *file = fopen ("password-file", "w");
    assert (file);
    fputs (text, file);
    fclose (file);
}

static void
plain (const char *name, const char *password)
{
    zsocket_set_plain_server (server, 1);
    zsocket_set_plain_username (client, name);
    zsocket_set_plain_password (client, password);
}

static void
curve (zcert_t *server_cert, zcert_t *client_cert)
{
    zcert_apply (server_cert, server);
    zsocket_set_curve_server (server, 1);
    zcert_apply (client_cert, client);
    zsocket_set_curve_serverkey (client, zcert_public_txt (server_cert));
}

int main (void)
{
    ctx = zctx_new ();
    assert (ctx);
    zctx_set_linger (ctx, 0);
    fresh ();

    //  Whoever asks for security, and has nobody who decides, gets nobody in
    zcert_t *server_cert = zcert_new ();
    zcert_t *client_cert = zcert_new ();
    ADMITTED;
    curve (server_cert, client_cert);
    REFUSED;
    plain ("admin", "Password");
    REFUSED;
    zsocket_set_zap_domain (server, "global");
    REFUSED;

    zauth_t *auth = zauth_new (ctx);
    assert (auth);
    assert (zauth_new (ctx) == NULL);
    zauth_set_verbose (auth, true);

    //  Without rules: anybody without a credential, and nobody with one
    ADMITTED;
    zsocket_set_zap_domain (server, "global");
    ADMITTED;
    plain ("admin", "Password");
    REFUSED;
    curve (server_cert, client_cert);
    REFUSED;

    //  Addresses, whether there is a domain or not
    zauth_deny (auth, "127.0.0.1");
    REFUSED;
    zsocket_set_zap_domain (server, "global");
    REFUSED;
    zauth_allow (auth, "127.0.0.1");
    ADMITTED;
    zsocket_set_zap_domain (server, "global");
    ADMITTED;

    //  Names and passwords, which may change
    users ("admin=Password\n");
    zauth_configure_plain (auth, "*", "%s-file", "password");
    plain ("admin", "Password");
    ADMITTED;
    plain ("admin", "Bogus-password");
    REFUSED;
    users ("admin=Another-password\nada=\n");
    plain ("admin", "Password");
    REFUSED;
    plain ("admin", "Another-password");
    ADMITTED;
    //  The file is the program's: it stays as open as it was, unless everybody may add users
    struct stat found;
    assert (chmod ("password-file", 0644) == 0);
    zauth_configure_plain (auth, "*", "password-file");
    plain ("admin", "Another-password");
    ADMITTED;
    assert (stat ("password-file", &found) == 0 && (found.st_mode & 0777) == 0644);
    assert (chmod ("password-file", 0666) == 0);
    plain ("admin", "Another-password");
    REFUSED;
    zauth_configure_plain (auth, "*", "no-such-file");
    plain ("admin", "Another-password");
    REFUSED;

    //  Keys: any, none, those of a directory, by text
    zauth_configure_curve (auth, "*", CURVE_ALLOW_ANY);
    curve (server_cert, client_cert);
    ADMITTED;
    zauth_configure_curve (auth, "*", "%s", "certificates");
    curve (server_cert, client_cert);
    REFUSED;
    assert (zsys_dir_create ("certificates") == 0);
    zcert_set_meta (client_cert, "name", "Ada");
    assert (zcert_save_public (client_cert, "certificates/ada.txt") == 0);
    curve (server_cert, client_cert);
    ADMITTED;
    zsocket_set_curve_server (server, 1);
    zsocket_set_curve_publickey (server, zcert_public_txt (server_cert));
    zsocket_set_curve_secretkey (server, zcert_secret_txt (server_cert));
    zsocket_set_curve_publickey (client, zcert_public_txt (client_cert));
    zsocket_set_curve_secretkey (client, zcert_secret_txt (client_cert));
    zsocket_set_curve_serverkey (client, zcert_public_txt (server_cert));
    ADMITTED;
    assert (zsys_file_delete ("certificates/ada.txt") == 0);
    //  Its holder may still get in until the directory's watcher has heard of it
    int tries = 0;
    do
        curve (server_cert, client_cert);
    while (connects (0, __LINE__) && ++tries < 100);
    assert (tries < 100);

    //  A domain of its own
    zauth_configure_curve (auth, "lab", CURVE_ALLOW_ANY);
    curve (server_cert, client_cert);
    REFUSED;
    curve (server_cert, client_cert);
    zsocket_set_zap_domain (server, "lab");
    ADMITTED;
    zauth_deny (auth, "127.0.0.1");
    curve (server_cert, client_cert);
    zsocket_set_zap_domain (server, "lab");
    REFUSED;
    zauth_allow (auth, "127.0.0.1");

    //  A server is checked before it is bound, or never; transports without security are none
    curve (server_cert, client_cert);
    assert (zsocket_bind (server, "udp://127.0.0.1:*") == -1);
    assert (zsocket_bind (server, "nonsense") == -1);
    zsocket_set_zap_domain (server, "lab");
    ADMITTED;

    //  What is no address lets nobody in
    zauth_deny (auth, "pumps.example.org");
    REFUSED;
    zauth_destroy (&auth);
    assert (auth == NULL);
    ADMITTED;
    auth = zauth_new (ctx);
    zauth_allow (auth, "pumps.example.org");
    REFUSED;

    //  A server outlives its authenticator, and admits nobody from then on
    zauth_destroy (&auth);
    auth = zauth_new (ctx);
    zauth_configure_curve (auth, "*", CURVE_ALLOW_ANY);
    curve (server_cert, client_cert);
    int port = zsocket_bind (server, "tcp://127.0.0.1:*");
    zauth_destroy (&auth);
    expect (false, port, __LINE__);

    //  Either may go first
    auth = zauth_new (ctx);
    zauth_set_verbose (auth, true);
    zctx_destroy (&ctx);
    zauth_destroy (&auth);
    zcert_destroy (&server_cert);
    zcert_destroy (&client_cert);
    puts ("zauth test OK");
    return 0;
}
