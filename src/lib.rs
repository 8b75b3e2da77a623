//! ZeroMQ over the system libzmq, with the security layer done right.

pub mod build_info;
pub mod error;
mod ffi;
pub mod security;
pub mod socket;

pub use error::{Errno, Error, Result};
