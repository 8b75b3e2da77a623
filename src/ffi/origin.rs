//! Whose a socket is: the file of the libzmq that made it. A process may hold several copies, and one must not be handed another's.

use std::ffi::{CStr, OsStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use zmq_sys_wrap::Api;
use zmq_sys_wrap::zmq::{ZMQ_LINGER, ZMQ_PAIR};

use super::last_error;
use crate::error::{Error, Result};

/// A file that is loaded into this process, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    base: usize,
    pub(crate) path: PathBuf,
}

/// Which library the socket is of: that of its vtable, which is its first word. Of a function's address the system would name the
/// program, where that is not position-independent. `None` where the system does not know.
///
/// # Safety
/// `socket` is a socket of some libzmq, and open; the first word behind it can be read.
pub(crate) unsafe fn of_socket(socket: NonNull<c_void>) -> Option<Image> {
    // SAFETY: a socket is a C++ object with virtual functions, whose first word points to their table; our caller answers for the socket.
    let vtable = unsafe { socket.cast::<*const c_void>().read() };
    let mut about = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: dladdr takes any address, and writes to a valid pointer.
    let known = unsafe { libc::dladdr(vtable, about.as_mut_ptr()) };
    // SAFETY: all zeros is a valid value, and dladdr has written a better one where it knows the address.
    let about = unsafe { about.assume_init() };
    if known == 0 || about.dli_fname.is_null() {
        return None;
    }
    // SAFETY: a C string that stays as long as the library is loaded.
    let path = unsafe { CStr::from_ptr(about.dli_fname) };
    Some(Image {
        base: about.dli_fbase as usize,
        path: OsStr::from_bytes(path.to_bytes()).into(),
    })
}

/// Which library the functions in `api` are of: that of a socket that they make.
///
/// # Errors
/// [`Error::Zmq`]: no descriptors or memory left.
pub(crate) fn of_api(api: &'static Api) -> Result<Option<Image>> {
    /// What is known already, by the table's address: a socket of its own costs two threads.
    static KNOWN: Mutex<Vec<(usize, Option<Image>)>> = Mutex::new(Vec::new());
    let address = std::ptr::from_ref(api) as usize;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, image)) = known.iter().find(|(of, _)| *of == address) {
        return Ok(image.clone());
    }
    let image = of_new_socket(api)?;
    known.push((address, image.clone()));
    Ok(image)
}

fn of_new_socket(api: &'static Api) -> Result<Option<Image>> {
    let context = super::context::RawContext::new(api)?;
    let socket = super::socket::RawSocket::open(&context, ZMQ_PAIR as c_int)?;
    socket.set(ZMQ_LINGER as c_int, &0_i32.to_ne_bytes())?;
    let Some(pointer) = NonNull::new(socket.as_ptr()) else {
        return Err(last_error(api, "zmq_socket"));
    };
    // SAFETY: it was just made, and is open.
    Ok(unsafe { of_socket(pointer) })
}

/// # Safety
/// As [`of_socket`].
///
/// # Errors
/// [`Error::ForeignSocket`] where the socket is known to be of another library than the functions.
pub(crate) unsafe fn check(socket: NonNull<c_void>, api: &'static Api) -> Result<()> {
    // SAFETY: as our caller says.
    let theirs = unsafe { of_socket(socket) };
    match (theirs, of_api(api)?) {
        (Some(theirs), Some(ours)) if theirs != ours => Err(Error::ForeignSocket {
            socket: theirs.path,
            api: ours.path,
        }),
        _ => Ok(()),
    }
}
