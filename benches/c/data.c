/* libzmq's own loop, as benches/data.rs measures it: data KIND TRANSPORT MECHANISM SIZE COUNT
 *
 * KIND is throughput (PUSH to PULL) or latency (REQ and REP); prints seconds, CPU seconds and libzmq's version. The same steps as in
 * benches/common/datapath.rs. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static int latency, curve;
static size_t size;
static long count, warm;
static char *content, server_key[41], server_secret[41], client_key[41], client_secret[41];
static pthread_barrier_t started;

static void must (int good, const char *what)
{
    if (good)
        return;
    fprintf (stderr, "%s: %s\n", what, zmq_strerror (zmq_errno ()));
    exit (1);
}

static double now (clockid_t clock)
{
    struct timespec t;
    clock_gettime (clock, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void set (void *socket, int option, const void *value, size_t len)
{
    must (zmq_setsockopt (socket, option, value, len) == 0, "zmq_setsockopt");
}

static void *open_socket (void *context, int kind, int is_server)
{
    void *socket = zmq_socket (context, kind);
    must (socket != NULL, "zmq_socket");
    long most = (32L << 20) / (long) size;
    int limit = most > 1000 ? 1000 : most < 1 ? 1 : (int) most, one = 1;
    set (socket, ZMQ_SNDHWM, &limit, sizeof limit);
    set (socket, ZMQ_RCVHWM, &limit, sizeof limit);
    if (curve && is_server) {
        set (socket, ZMQ_CURVE_SERVER, &one, sizeof one);
        set (socket, ZMQ_CURVE_SECRETKEY, server_secret, 41);
    } else if (curve) {
        set (socket, ZMQ_CURVE_SERVERKEY, server_key, 41);
        set (socket, ZMQ_CURVE_PUBLICKEY, client_key, 41);
        set (socket, ZMQ_CURVE_SECRETKEY, client_secret, 41);
    }
    return socket;
}

static void send_content (void *socket)
{
    must (zmq_send (socket, content, size, 0) >= 0, "zmq_send");
}

static void receive (void *socket, zmq_msg_t *message)
{
    must (zmq_msg_recv (message, socket, 0) == (int) size, "zmq_msg_recv");
}

/* The client that sends, or the server that answers. */
static void *other_side (void *socket)
{
    zmq_msg_t message;
    if (latency) {
        zmq_msg_init (&message);
        for (long n = 0; n < warm + count; n++) {
            receive (socket, &message);
            must (zmq_msg_send (&message, socket, 0) >= 0, "zmq_msg_send");
        }
    } else {
        send_content (socket);
        pthread_barrier_wait (&started);
        for (long n = 0; n < count; n++)
            send_content (socket);
    }
    return NULL;
}

int main (int argc, char **argv)
{
    if (argc != 6)
        return 2;
    latency = !strcmp (argv[1], "latency"), curve = !strcmp (argv[3], "CURVE");
    size = strtoul (argv[4], NULL, 10), count = atol (argv[5]), warm = count / 10 + 1;
    content = malloc (size + 1);
    memset (content, 7, size + 1);
    zmq_curve_keypair (server_key, server_secret), zmq_curve_keypair (client_key, client_secret);
    pthread_barrier_init (&started, NULL, 2);

    char endpoint[256];
    size_t len = sizeof endpoint;
    int inproc = !strcmp (argv[2], "inproc");
    if (!strcmp (argv[2], "tcp"))
        strcpy (endpoint, "tcp://127.0.0.1:*");
    else
        snprintf (endpoint, sizeof endpoint, "%s://@ironhouse-data-%d", argv[2], (int) getpid ());
    void *context = zmq_ctx_new (), *other = inproc ? context : zmq_ctx_new ();
    void *server = open_socket (context, latency ? ZMQ_REP : ZMQ_PULL, 1);
    void *client = open_socket (other, latency ? ZMQ_REQ : ZMQ_PUSH, 0);
    must (zmq_bind (server, endpoint) == 0, "zmq_bind");
    zmq_getsockopt (server, ZMQ_LAST_ENDPOINT, endpoint, &len);
    must (zmq_connect (client, endpoint) == 0, "zmq_connect");

    pthread_t thread;
    pthread_create (&thread, NULL, other_side, latency ? server : client);
    zmq_msg_t message;
    zmq_msg_init (&message);
    if (latency)
        for (long n = 0; n < warm; n++) {
            send_content (client);
            receive (client, &message);
        }
    else
        receive (server, &message);
    double start = now (CLOCK_MONOTONIC), cpu = now (CLOCK_PROCESS_CPUTIME_ID);
    if (latency)
        for (long n = 0; n < count; n++) {
            send_content (client);
            receive (client, &message);
        }
    else {
        pthread_barrier_wait (&started);
        for (long n = 0; n < count; n++)
            receive (server, &message);
    }
    double took = now (CLOCK_MONOTONIC) - start;
    cpu = now (CLOCK_PROCESS_CPUTIME_ID) - cpu;
    int major, minor, patch;
    zmq_version (&major, &minor, &patch);
    printf ("%.9f %.9f %d.%d.%d\n", took, cpu, major, minor, patch);
    pthread_join (thread, NULL);
    return 0; /* the system takes the rest */
}
