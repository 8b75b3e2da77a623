//! `RawMessage`: owns a `zmq_msg_t`.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int, c_void};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::sync::Arc;

use bytes::Bytes;
use zeroize::Zeroize;
use zmq_sys_wrap::Api;
use zmq_sys_wrap::zmq::{self, zmq_msg_t};

use super::check;
use crate::error::Result;

/// From this size on a message of libzmq's is made around our bytes; below, copying them is cheaper than the
/// allocation that the release of a shared buffer costs.
const ZERO_COPY_FROM: usize = 256;

/// A message of one libzmq.
///
/// The `zmq_msg_t` may move in memory: libzmq's own `zmq_msg_move` is a copy of its bytes, and it keeps no address of it.
pub(crate) struct RawMessage {
    api: &'static Api,
    /// `zmq_msg_copy` writes a flag into its *source*, so a shared reference must permit that; it also makes the type `!Sync`.
    msg: UnsafeCell<zmq_msg_t>,
    /// Its size, which is known whenever it changes: so nobody need ask libzmq.
    len: usize,
}

// SAFETY: a message is plain memory, bound to no thread; libzmq itself hands messages from thread to thread.
unsafe impl Send for RawMessage {}

impl RawMessage {
    /// An empty message, ready to receive into.
    pub(crate) fn new(api: &'static Api) -> Self {
        let mut msg = MaybeUninit::uninit();
        // SAFETY: zmq_msg_init initialises the memory behind a valid pointer and always answers 0.
        unsafe { (api.msg_init)(msg.as_mut_ptr()) };
        // SAFETY: initialised by the call above.
        let msg = unsafe { msg.assume_init() };
        Self::own(api, msg, 0)
    }

    fn own(api: &'static Api, msg: zmq_msg_t, len: usize) -> Self {
        Self {
            api,
            msg: UnsafeCell::new(msg),
            len,
        }
    }

    /// A message that holds a copy of `bytes`.
    pub(crate) fn copy_of(api: &'static Api, bytes: &[u8]) -> Result<Self> {
        Self::joined(api, [bytes])
    }

    /// A message that holds a copy of each of these, one after the other.
    pub(crate) fn joined<const N: usize>(api: &'static Api, pieces: [&[u8]; N]) -> Result<Self> {
        let len = pieces.iter().map(|piece| piece.len()).sum();
        let mut msg = MaybeUninit::uninit();
        // SAFETY: zmq_msg_init_size initialises the memory behind a valid pointer, unless it answers -1.
        let rc = unsafe { (api.msg_init_size)(msg.as_mut_ptr(), len) };
        check(api, rc, "zmq_msg_init_size")?;
        // SAFETY: initialised by the call above.
        let msg = unsafe { msg.assume_init() };
        let this = Self::own(api, msg, len);
        let mut to = this.data();
        for piece in pieces {
            // SAFETY: the message has as many bytes as all pieces together, freshly allocated, so they overlap nothing.
            unsafe { std::ptr::copy_nonoverlapping(piece.as_ptr(), to, piece.len()) };
            // SAFETY: as far as this piece goes, and so no further than the message's end.
            to = unsafe { to.add(piece.len()) };
        }
        Ok(this)
    }

    /// A message around `bytes`, which it keeps alive instead of copying them where that pays.
    pub(crate) fn from_bytes(api: &'static Api, bytes: Bytes) -> Result<Self> {
        if bytes.len() < ZERO_COPY_FROM {
            return Self::copy_of(api, &bytes);
        }
        // Over inproc the receiver gets this very memory and may wipe it: so it must be ours alone, and writable.
        match bytes.try_into_mut() {
            Ok(mut bytes) => Self::around(api, bytes.as_mut_ptr(), bytes.len(), bytes),
            // The mark of a copy tells the receiver that others may read the memory too.
            Err(bytes) => {
                Self::around(api, bytes.as_ptr().cast_mut(), bytes.len(), bytes)?.try_clone()
            }
        }
    }

    /// A message around `bytes`, or a copy where that is cheaper; gives them back where libzmq has no memory.
    #[cfg_attr(not(feature = "linked"), allow(dead_code))] // messages are plain bytes then
    pub(crate) fn from_vec(api: &'static Api, bytes: Vec<u8>) -> Result<Self, Vec<u8>> {
        if bytes.len() < ZERO_COPY_FROM {
            return Self::copy_of(api, &bytes).map_err(|_| bytes);
        }
        let mut bytes = ManuallyDrop::new(bytes);
        // All that the owner is besides its address: no memory need be had for it.
        let capacity = std::ptr::without_provenance_mut(bytes.capacity());
        Self::around_raw(api, bytes.as_mut_ptr(), bytes.len(), release_vec, capacity)
            .map_err(|_| ManuallyDrop::into_inner(bytes))
    }

    /// The same of `bytes` that others may go on reading.
    #[cfg_attr(not(feature = "linked"), allow(dead_code))] // messages are plain bytes then
    pub(crate) fn from_arc(api: &'static Api, bytes: Arc<[u8]>) -> Result<Self, Arc<[u8]>> {
        if bytes.len() < ZERO_COPY_FROM {
            return Self::copy_of(api, &bytes).map_err(|_| bytes);
        }
        let (len, data) = (bytes.len(), Arc::into_raw(bytes));
        let hint = std::ptr::without_provenance_mut(len);
        let made = Self::around_raw(api, data.cast_mut().cast(), len, release_arc, hint);
        let Ok(made) = made else {
            // SAFETY: from `Arc::into_raw` above, and libzmq kept nothing.
            return Err(unsafe { Arc::from_raw(data) });
        };
        // The mark of a copy tells the receiver that others may read the memory too. It cannot fail for a valid message.
        Ok(made.try_clone().unwrap_or(made))
    }

    /// A message around constant data.
    pub(crate) fn from_static(api: &'static Api, bytes: &'static [u8]) -> Result<Self> {
        let mut msg = MaybeUninit::uninit();
        let data = bytes.as_ptr().cast_mut().cast();
        // SAFETY: the data are there for ever, libzmq only reads them (it marks them as constant), and without a function to
        // free them it does not.
        let rc = unsafe {
            (api.msg_init_data)(
                msg.as_mut_ptr(),
                data,
                bytes.len(),
                None,
                std::ptr::null_mut(),
            )
        };
        check(api, rc, "zmq_msg_init_data")?;
        // SAFETY: initialised by the successful call above.
        let msg = unsafe { msg.assume_init() };
        Ok(Self::own(api, msg, bytes.len()))
    }

    /// A message around `len` bytes at `data`, which `owner` keeps alive and in place, even when it is itself moved.
    fn around<T: Send + 'static>(
        api: &'static Api,
        data: *mut u8,
        len: usize,
        owner: T,
    ) -> Result<Self> {
        let hint = Box::into_raw(Box::new(owner)).cast::<c_void>();
        let made = Self::around_raw(api, data, len, release::<T>, hint);
        if made.is_err() {
            // SAFETY: the call failed, so libzmq kept nothing and will not release `hint`.
            unsafe { release::<T>(std::ptr::null_mut(), hint) };
        }
        made
    }

    /// A message around `len` bytes at `data`, which stay alive and in place until `release` is called with `data` and `hint`. The
    /// three callers pair them so; after an error it is not called.
    fn around_raw(
        api: &'static Api,
        data: *mut u8,
        len: usize,
        release: Release,
        hint: *mut c_void,
    ) -> Result<Self> {
        let mut msg = MaybeUninit::uninit();
        // SAFETY: `data` and `len` name memory that lives until `release` is called; libzmq only reads it (see `wipe`).
        let rc =
            unsafe { (api.msg_init_data)(msg.as_mut_ptr(), data.cast(), len, Some(release), hint) };
        check(api, rc, "zmq_msg_init_data")?;
        // SAFETY: initialised by the successful call above.
        let msg = unsafe { msg.assume_init() };
        Ok(Self::own(api, msg, len))
    }

    /// Another reference to the same content, properties included (`zmq_msg_copy(3)`).
    pub(crate) fn try_clone(&self) -> Result<Self> {
        let mut copy = Self::new(self.api);
        // SAFETY: both messages are initialised; the cell permits the write to the source's flags, and the type is
        // `!Sync`, so nobody else looks at them meanwhile.
        let rc = unsafe { (self.api.msg_copy)(copy.msg.get(), self.msg.get()) };
        check(self.api, rc, "zmq_msg_copy")?;
        copy.len = self.len;
        Ok(copy)
    }

    pub(crate) fn api(&self) -> &'static Api {
        self.api
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Another content of `len` bytes has taken the place of what it held, or nothing has; `None` where the caller cannot tell.
    pub(super) fn changed(&mut self, len: Option<usize>) {
        // SAFETY: the message is initialised.
        self.len = len.unwrap_or_else(|| unsafe { (self.api.msg_size)(self.msg.get()) });
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        let len = self.len();
        if len == 0 {
            return &[]; // libzmq may answer a null pointer for no data
        }
        // SAFETY: libzmq's data are `len` initialised bytes that stay where they are while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.data(), len) }
    }

    /// Whether more frames of the same message follow.
    pub(crate) fn more(&self) -> bool {
        // SAFETY: the message is initialised.
        unsafe { (self.api.msg_more)(self.msg.get()) == 1 }
    }

    /// An integer property (`zmq_msg_get(3)`); -1 where it has none.
    pub(crate) fn get(&self, property: u32) -> c_int {
        // SAFETY: the message is initialised.
        unsafe { (self.api.msg_get)(self.msg.get(), property as c_int) }
    }

    /// A property that the connection's handshake left on the message (`zmq_msg_gets(3)`).
    pub(crate) fn property(&self, name: &CStr) -> Option<&CStr> {
        // SAFETY: the message is initialised and `name` ends in NUL.
        let text = unsafe { (self.api.msg_gets)(self.msg.get(), name.as_ptr()) };
        if text.is_null() {
            return None;
        }
        // SAFETY: a NUL-terminated string that the message's metadata own, and the message keeps its metadata.
        Some(unsafe { CStr::from_ptr(text) })
    }

    /// Overwrites the content with zeros.
    ///
    /// Memory that anybody else may still read is left alone: what libzmq calls shared (copies, constant data) and, by
    /// `from_bytes`, whatever a sender in this process kept a share of.
    pub(crate) fn wipe(&mut self) {
        let len = self.len();
        if len == 0 || self.get(zmq::ZMQ_SHARED) != 0 {
            return;
        }
        // SAFETY: `len` initialised bytes at `data`; ours is the only message that refers to them, borrowed mutably, and it is not
        // marked as shared, so nobody else reads them.
        unsafe { std::slice::from_raw_parts_mut(self.data(), len) }.zeroize();
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut zmq_msg_t {
        self.msg.get()
    }

    /// For functions that take a mutable message and do not change it.
    #[cfg(feature = "draft")]
    pub(super) fn as_ptr(&self) -> *mut zmq_msg_t {
        self.msg.get()
    }

    fn data(&self) -> *mut u8 {
        // SAFETY: the message is initialised.
        unsafe { (self.api.msg_data)(self.msg.get()) }.cast()
    }
}

impl Drop for RawMessage {
    fn drop(&mut self) {
        // SAFETY: the message is initialised and is not used again.
        unsafe { (self.api.msg_close)(self.msg.get()) };
    }
}

/// What libzmq calls, once, on whichever thread is the last to use a message's data.
type Release = unsafe extern "C" fn(data: *mut c_void, hint: *mut c_void);

#[cfg_attr(not(feature = "linked"), allow(dead_code))] // messages are plain bytes then
unsafe extern "C" fn release_vec(data: *mut c_void, capacity: *mut c_void) {
    // SAFETY: `from_vec` gave up a vector of this address and capacity. Its bytes need no drop, so its length does not matter.
    drop(unsafe { Vec::from_raw_parts(data.cast::<u8>(), 0, capacity.addr()) });
}

#[cfg_attr(not(feature = "linked"), allow(dead_code))] // messages are plain bytes then
unsafe extern "C" fn release_arc(data: *mut c_void, len: *mut c_void) {
    let bytes = std::ptr::slice_from_raw_parts(data.cast::<u8>(), len.addr());
    // SAFETY: `from_arc` gave up one share of the slice of this address and length.
    drop(unsafe { Arc::from_raw(bytes) });
}

/// Drops the owner of a zero-copy message's bytes. libzmq calls it once, on whichever thread is the last to use them.
unsafe extern "C" fn release<T: Send + 'static>(_data: *mut c_void, hint: *mut c_void) {
    // SAFETY: `hint` came from `Box::into_raw` in `around`, for the same `T`, and is given back here, once.
    drop(unsafe { Box::from_raw(hint.cast::<T>()) });
}
