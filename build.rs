//! Passes on to `src/build_info.rs`, and to the tests, what the build of zmq-sys-wrap found out.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for (told, passed_on) in [
        ("DEP_ZMQ_VERSION", "IRONHOUSE_LIBZMQ_VERSION"),
        ("DEP_ZMQ_ORIGIN", "IRONHOUSE_LIBZMQ_ORIGIN"),
        ("DEP_ZMQ_INCLUDE", "IRONHOUSE_LIBZMQ_INCLUDE"),
    ] {
        if let Ok(value) = env::var(told) {
            println!("cargo::rustc-env={passed_on}={value}");
        }
    }
}
