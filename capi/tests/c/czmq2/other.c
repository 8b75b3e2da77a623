/* The other file of a program. */
#include <czmq.h>

void *other_file_socket (zctx_t *ctx);

void *
other_file_socket (zctx_t *ctx)
{
    return zsocket_new (ctx, ZMQ_PULL);
}
