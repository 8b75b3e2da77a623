//! The C interface: `include/ironhouse.h` is made from this crate, and its comments are these doc comments.
//!
//! Every function runs inside `boundary`, takes handles that are numbers, not pointers into our memory, and texts with their lengths.
#![allow(unsafe_code, non_camel_case_types, clippy::missing_safety_doc)]

pub mod api;
pub mod arguments;
pub mod authenticator;
pub mod boundary;
pub mod callback;
pub mod certificate;
pub mod counters;
pub mod event;
pub mod explain;
pub mod feed;
pub mod handle;
pub mod handshake;
pub mod keys;
pub mod limits;
pub mod passwords;
pub mod policy;
pub mod reply;
pub mod result;
pub mod signing;
pub mod socket;
pub mod store;
pub mod version;
