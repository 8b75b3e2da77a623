//! Which ironhouse this is.

use std::ffi::c_char;

/// The version of this library, as "0.1.0".
///
/// Ownership: the text is the library's, and lasts as long as it. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn ironhouse_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
