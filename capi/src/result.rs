//! `ironhouse_result_t`: what became of a call, as a number.

use ironhouse::Error;

/// What became of a call. A number keeps its meaning for ever; later versions may add some.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ironhouse_result_t {
    /// It did what it says.
    IRONHOUSE_OK = 0,
    /// A pointer that must not be NULL was.
    IRONHOUSE_NULL_POINTER = 1,
    /// Not a handle of the kind that the call takes, or one that was destroyed.
    IRONHOUSE_BAD_HANDLE = 2,
    /// A text that has no end, or is not UTF-8 where it must be.
    IRONHOUSE_BAD_TEXT = 3,
    /// The buffer is too small for the answer; nothing was written to it but an empty text.
    IRONHOUSE_BUFFER_TOO_SMALL = 4,
    /// A fault of the library itself: please report it.
    IRONHOUSE_INTERNAL = 5,
    /// The table of libzmq's functions has gaps, or was made for another layout.
    IRONHOUSE_BAD_API = 6,
    /// It would have to wait, or its time was over.
    IRONHOUSE_AGAIN = 7,
    /// The context was shut down.
    IRONHOUSE_TERMINATED = 8,
    /// A signal arrived during the call.
    IRONHOUSE_INTERRUPTED = 9,
    /// libzmq refused a call: ironhouse_last_errno() has its number.
    IRONHOUSE_ZMQ = 10,
    /// This process was forked off the one that made the handle.
    IRONHOUSE_FORKED = 11,
    /// A call of the operating system failed: ironhouse_last_errno() has its number.
    IRONHOUSE_OS = 12,
    /// This libzmq was built without what the call needs.
    IRONHOUSE_UNSUPPORTED = 13,
    /// The context has a ZAP handler already.
    IRONHOUSE_HANDLER_EXISTS = 14,
    /// An argument out of its range.
    IRONHOUSE_INVALID_ARGUMENT = 15,
    /// A policy that could refuse a peer over GSSAPI, where this libzmq would let it in all the same.
    IRONHOUSE_GSSAPI_REFUSAL = 16,
    /// Text that is not Z85.
    IRONHOUSE_BAD_Z85 = 17,
    /// A key that cannot be used.
    IRONHOUSE_BAD_KEY = 18,
    /// A certificate that no trusted administrator signed as it is.
    IRONHOUSE_BAD_SIGNATURE = 19,
    /// A file whose content, kind or permissions will not do.
    IRONHOUSE_BAD_FILE = 20,
    /// A file that cannot be read, written or watched: ironhouse_last_errno() has the number.
    IRONHOUSE_IO = 21,
    /// There is no such thing.
    IRONHOUSE_NOT_FOUND = 22,
    /// The certificate has no secret key, which the call needs.
    IRONHOUSE_NO_SECRET_KEY = 23,
    /// The socket was bound or connected before: libzmq would take a mechanism now, and not apply it.
    IRONHOUSE_SOCKET_IN_USE = 24,
    /// The socket belongs to another copy of libzmq than the table.
    IRONHOUSE_FOREIGN_SOCKET = 25,
    /// Something else: ironhouse_last_error() says what.
    IRONHOUSE_OTHER = 26,
}

use ironhouse_result_t::*;

/// Why a call failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) result: ironhouse_result_t,
    /// A number of libzmq or the operating system; 0 where there is none.
    pub(crate) errno: i32,
    pub(crate) text: String,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(result: ironhouse_result_t, text: impl Into<String>) -> Self {
        Self {
            result,
            errno: 0,
            text: text.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (result, errno) = match &error {
            Error::Again => (IRONHOUSE_AGAIN, libc::EAGAIN),
            Error::Terminated => (IRONHOUSE_TERMINATED, 0),
            Error::Interrupted => (IRONHOUSE_INTERRUPTED, libc::EINTR),
            Error::Zmq { errno, .. } => (IRONHOUSE_ZMQ, errno.0),
            Error::Forked { .. } => (IRONHOUSE_FORKED, 0),
            Error::Os { source, .. } => (IRONHOUSE_OS, source.raw_os_error().unwrap_or(0)),
            Error::Unsupported(_) => (IRONHOUSE_UNSUPPORTED, 0),
            Error::HandlerExists => (IRONHOUSE_HANDLER_EXISTS, 0),
            Error::InvalidDomain(_) | Error::InvalidOption { .. } | Error::Address(_) => {
                (IRONHOUSE_INVALID_ARGUMENT, 0)
            }
            Error::GssapiRefusal { .. } => (IRONHOUSE_GSSAPI_REFUSAL, 0),
            Error::SocketInUse { .. } => (IRONHOUSE_SOCKET_IN_USE, 0),
            Error::ForeignSocket { .. } => (IRONHOUSE_FOREIGN_SOCKET, 0),
            Error::Z85 { .. } => (IRONHOUSE_BAD_Z85, 0),
            Error::Key(_) => (IRONHOUSE_BAD_KEY, 0),
            Error::Signature(_) => (IRONHOUSE_BAD_SIGNATURE, 0),
            Error::File { .. } => (IRONHOUSE_BAD_FILE, 0),
            Error::Io { source, .. } => (IRONHOUSE_IO, source.raw_os_error().unwrap_or(0)),
            Error::NotPinned { .. } => (IRONHOUSE_NOT_FOUND, 0),
            _ => (IRONHOUSE_OTHER, 0),
        };
        Self {
            result,
            errno,
            text: error.to_string(),
        }
    }
}
