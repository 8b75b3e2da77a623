//  A peer that calls libzmq itself: bare sockets and zmq_setsockopt. See mod.rs for what it prints.

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

static void *context;

static void set (void *socket, int option, const void *value, size_t size)
{
    int rc = zmq_setsockopt (socket, option, value, size);
    assert (rc == 0);
}

static void print_text (void *socket)
{
    char text[256];
    int size = zmq_recv (socket, text, sizeof text, 0);
    assert (size >= 0);
    printf ("%.*s\n", size, text);
}

//  The next event that ends a handshake, and its value.
static uint16_t outcome (void *monitor, uint32_t *value)
{
    for (;;) {
        uint8_t report[6];
        int size = zmq_recv (monitor, report, sizeof report, 0);
        assert (size == sizeof report);
        size = zmq_recv (monitor, NULL, 0, 0);      //  the endpoint
        assert (size >= 0);
        uint16_t event;
        memcpy (&event, report, sizeof event);
        memcpy (value, report + sizeof event, sizeof *value);
        if (event >= ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
            return event;
    }
}

//  Connects, prints how the handshake ended, and greets if it ended well.
static void greet (void *socket, const char *endpoint)
{
    int rc = zmq_socket_monitor (socket, "inproc://monitor", ZMQ_EVENT_ALL);
    assert (rc == 0);
    void *monitor = zmq_socket (context, ZMQ_PAIR);
    rc = zmq_connect (monitor, "inproc://monitor");
    assert (rc == 0);
    rc = zmq_connect (socket, endpoint);
    assert (rc == 0);

    uint32_t value;
    uint16_t event = outcome (monitor, &value);
    printf ("%s %u\n",
            event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED ? "HANDSHAKE_SUCCEEDED" :
            event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH ? "HANDSHAKE_FAILED_AUTH" :
            event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ? "HANDSHAKE_FAILED_PROTOCOL" :
            "HANDSHAKE_FAILED_NO_DETAIL",
            (unsigned) value);
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        zmq_send (socket, "Hello", 5, 0);
        print_text (socket);
    }
    zmq_close (monitor);
    zmq_close (socket);
}

//  Arguments: form of the keys, own public, own secret, the server's public key, endpoint.
static void curve_client (char **args)
{
    static const int options[] = {ZMQ_CURVE_PUBLICKEY, ZMQ_CURVE_SECRETKEY, ZMQ_CURVE_SERVERKEY};
    void *socket = zmq_socket (context, ZMQ_REQ);
    for (int i = 0; i < 3; i++) {
        uint8_t key[32];
        if (strcmp (args[0], "binary") == 0) {
            assert (zmq_z85_decode (key, args[1 + i]));
            set (socket, options[i], key, sizeof key);
        } else
            set (socket, options[i], args[1 + i], 41);
    }
    greet (socket, args[4]);
}

//  Arguments: name, password, endpoint.
static void plain_client (char **args)
{
    void *socket = zmq_socket (context, ZMQ_REQ);
    set (socket, ZMQ_PLAIN_USERNAME, args[0], strlen (args[0]));
    set (socket, ZMQ_PLAIN_PASSWORD, args[1], strlen (args[1]));
    greet (socket, args[2]);
}

//  Arguments: endpoint.
static void null_client (char **args)
{
    greet (zmq_socket (context, ZMQ_REQ), args[0]);
}

//  A CURVE server that nobody guards: no domain, no handler. Arguments: its secret key.
static void open_server (char **args)
{
    void *socket = zmq_socket (context, ZMQ_REP);
    int server = 1;
    set (socket, ZMQ_CURVE_SERVER, &server, sizeof server);
    set (socket, ZMQ_CURVE_SECRETKEY, args[0], 41);
    int rc = zmq_bind (socket, "tcp://127.0.0.1:*");
    assert (rc == 0);
    char endpoint[256];
    size_t size = sizeof endpoint;
    rc = zmq_getsockopt (socket, ZMQ_LAST_ENDPOINT, endpoint, &size);
    assert (rc == 0);
    puts (endpoint);
    for (;;) {
        print_text (socket);
        zmq_send (socket, "World", 5, 0);
    }
}

int main (int argc, char **argv)
{
    static const struct {
        const char *name;
        int args;
        void (*run) (char **args);
    } commands[] = {
        {"curve-client", 5, curve_client},
        {"plain-client", 3, plain_client},
        {"null-client", 1, null_client},
        {"open-server", 1, open_server},
    };
    alarm (120);                        //  Whoever started us may be gone.
    setvbuf (stdout, NULL, _IOLBF, 0);
    context = zmq_ctx_new ();
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (argc == 2 + commands[i].args && strcmp (argv[1], commands[i].name) == 0) {
            commands[i].run (argv + 2);
            zmq_ctx_term (context);
            return 0;
        }
    return 2;
}
