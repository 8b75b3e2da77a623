//! Everything that needs a socket, in one binary.
// The names of types and helpers say what they are; tests are no API.
#![allow(missing_docs)]

mod common;
mod monitor;
mod options;
mod os;
mod patterns;
mod shutdown;
mod socket;
