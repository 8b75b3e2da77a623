//! Everything that needs a socket, in one binary.
// The names of types and helpers say what they are; tests are no API.
#![allow(missing_docs)]

mod authenticator;
mod common;
mod examples;
mod mechanism;
mod monitor;
mod options;
mod os;
mod patterns;
mod secrets;
mod shutdown;
mod socket;
mod zap;
