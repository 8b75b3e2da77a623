//! The one folder of the library where `unsafe` is allowed: libzmq, libsodium and the operating system behind safe functions.
//!
//! A raw pointer made here never leaves it. Every call of libzmq goes through the [`Api`] that its context carries.
#![allow(unsafe_code)]

pub(crate) mod context;
mod cure;
pub(crate) mod dir;
#[cfg(feature = "draft")]
pub(crate) mod draft;
pub(crate) mod fd;
pub(crate) mod locked;
pub(crate) mod message;
pub(crate) mod origin;
pub(crate) mod os;
pub(crate) mod poll;
pub(crate) mod socket;
pub(crate) mod sodium;
pub(crate) mod timers;

use std::ffi::{CStr, CString, c_int};

use zmq_sys_wrap::Api;

use crate::error::{Errno, Error, Result};

const ETERM: c_int = zmq_sys_wrap::zmq::ZMQ_HAUSNUMERO as c_int + 53;

/// Turns libzmq's -1 into an error of `call`: the only place where its errno is read.
fn check(api: &Api, rc: c_int, call: &'static str) -> Result<c_int> {
    if rc == -1 {
        Err(last_error(api, call))
    } else {
        Ok(rc)
    }
}

/// The error that the last call of libzmq on this thread left behind.
#[cold]
fn last_error(api: &Api, call: &'static str) -> Error {
    // SAFETY: zmq_errno reads a thread-local number and has no precondition.
    match unsafe { (api.errno)() } {
        libc::EAGAIN => Error::Again,
        libc::EINTR => Error::Interrupted,
        ETERM => Error::Terminated,
        errno => Error::Zmq {
            call,
            on: "".into(),
            errno: Errno(errno),
            cure: cure::cure(call, errno),
        },
    }
}

/// How to mend a failed `call`; empty where nothing is known.
pub(crate) fn cure(call: &str, errno: Errno) -> &'static str {
    cure::cure(call, errno.0)
}

/// Text as libzmq takes it; `name` says what the text is.
pub(crate) fn c_string(name: &'static str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|e| Error::InvalidOption {
        name,
        reason: format!(
            "byte {} of {text:?} is NUL, which libzmq cannot take",
            e.nul_position()
        ),
    })
}

/// Whether the library behind `api` was built with `capability` (`zmq_has(3)`).
pub(crate) fn has(api: &Api, capability: &CStr) -> bool {
    // SAFETY: zmq_has reads a NUL-terminated string and keeps nothing of it.
    unsafe { (api.has)(capability.as_ptr()) == 1 }
}

/// Major, minor and patch number of the library behind `api` (`zmq_version(3)`).
pub(crate) fn version(api: &Api) -> (i32, i32, i32) {
    let (mut major, mut minor, mut patch) = (0, 0, 0);
    // SAFETY: zmq_version writes three ints, each through a valid pointer.
    unsafe { (api.version)(&mut major, &mut minor, &mut patch) };
    (major, minor, patch)
}
