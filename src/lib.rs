//! ZeroMQ over the system libzmq, with the security layer done right.

pub mod error;
mod fanout;
mod ffi;
pub mod security;
pub mod socket;

pub use error::{Errno, Error, Result};
