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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::strategy::Strategy;

    use super::*;

    thread_local! {
        static LEFT_BEHIND: Cell<c_int> = const { Cell::new(0) };
    }

    unsafe extern "C" fn left_behind() -> c_int {
        LEFT_BEHIND.get()
    }

    proptest::proptest! {
        #[test]
        fn any_error_number_of_any_call_is_an_error_that_can_be_shown(
            errno in proptest::prop_oneof![
                proptest::num::i32::ANY,
                0..200,
                (0..60).prop_map(|n| zmq_sys_wrap::zmq::ZMQ_HAUSNUMERO as i32 + n),
            ],
            call in proptest::sample::select(vec![
                "zmq_bind", "zmq_connect", "zmq_unbind", "zmq_disconnect", "zmq_socket", "zmq_msg_send", "zmq_send", "zmq_msg_recv",
                "zmq_join", "zmq_leave", "zmq_connect_peer", "zmq_socket_get_peer_state", "zmq_poll", "zmq_proxy",
            ]),
            on in ".*",
        ) {
            let api = Api { errno: left_behind, ..*Api::linked() };
            LEFT_BEHIND.set(errno);
            let error = check(&api, -1, call).unwrap_err().on(&on);
            let shown = error.to_string();
            match error {
                Error::Zmq { errno: kept, .. } => {
                    assert_eq!(kept.0, errno);
                    assert!(shown.starts_with(call) && shown.contains(&*on), "{shown}");
                }
                Error::Again => assert_eq!(errno, libc::EAGAIN),
                Error::Interrupted => assert_eq!(errno, libc::EINTR),
                Error::Terminated => assert_eq!(errno, ETERM),
                other => panic!("{other}"),
            }
            // Any other answer is a success, whatever an earlier call left behind.
            assert_eq!(check(&api, errno & 0xFFFF, call).unwrap(), errno & 0xFFFF);
        }
    }
}
