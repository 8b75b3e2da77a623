//! The one folder of the library where `unsafe` is allowed: libzmq, libsodium and the operating system behind safe functions.
#![allow(unsafe_code)]

pub(crate) mod sodium;
