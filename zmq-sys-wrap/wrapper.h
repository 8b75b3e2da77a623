/* What bindgen reads: `cargo xtask bindings` makes src/bindings/ from these two headers. */
#include <sodium.h>
#include <zmq.h>
