//! Everything that needs a socket, in one binary.
// What is denied in the library is how a test fails.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod abuse;
mod authenticator;
mod bad_input;
mod common;
mod config;
mod czmq_scenarios;
mod deployment;
#[cfg(feature = "draft")]
mod draft;
mod examples;
mod gssapi;
mod handshake;
mod innocent;
mod interop;
mod intruder;
mod kerberos;
mod life;
mod limits;
mod meanwhile;
mod mechanism;
mod monitor;
mod multipart;
mod names;
mod observe;
mod options;
mod os;
mod passwords;
mod patterns;
mod pins;
mod policy;
mod revoke;
mod revoke_exact;
mod revoke_users;
mod rotation;
mod secret_source;
mod secrets;
mod shortage;
mod shutdown;
mod signing;
mod socket;
mod steerable;
mod store;
mod timers;
#[cfg(feature = "tokio")]
mod tokio;
mod typed;
mod zap;
