#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod build_info;
pub mod error;
mod fanout;
mod ffi;
pub mod security;
pub mod socket;

pub use error::{Errno, Error, Result};
pub use socket::{Context, Message, Socket, SocketType};
