//! Raw declarations of libzmq and libsodium: no logic, no `Result`, no names of our own but [`Api`].
//!
//! The declarations in `src/bindings/` are made by `cargo xtask bindings` and committed, so that a build needs no
//! libclang; `tests/abi.rs` compares them with the installed headers.
#![allow(unsafe_code)]

mod api;

pub use api::Api;

/// Whether this build made libzmq and libsodium itself; else they are the system's.
pub const VENDORED: bool = cfg!(embedded);

/// Declarations of `zmq.h`, and the constants its stable part hides (two of which every stock build since 4.3.0 takes:
/// `ZMQ_ZAP_ENFORCE_DOMAIN` and `ZMQ_ZERO_COPY_RECV`).
#[allow(missing_docs, non_camel_case_types, non_upper_case_globals, dead_code)]
pub mod zmq {
    include!("bindings/zmq.rs");

    include!("bindings/draft.rs");
}

/// Declarations of `sodium.h`.
#[allow(missing_docs, non_camel_case_types, non_upper_case_globals, dead_code)]
pub mod sodium {
    include!("bindings/sodium.rs");
}
