#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod build_info;
pub mod error;
mod fanout;
mod ffi;
pub mod security;
pub mod socket;
#[cfg(doctest)]
#[doc = include_str!("../docs/migrating.md")]
mod migrating {}
#[cfg(doctest)]
mod wrong_use;

pub use error::{Errno, Error, Result};
pub use socket::{Context, Message, Socket, SocketType};
