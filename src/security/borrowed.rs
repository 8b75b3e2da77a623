//! Handshakes of sockets that a host made and goes on owning. For the C interface.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use super::keys::PublicKey;
use super::probe::ServerProof;
use crate::error::Result;
use crate::ffi::os;
use crate::socket::probe::Proof;
use crate::socket::{Context, HandshakeEvent, handshakes_borrowed};

/// Calls `listen` with what becomes of each connection that a host's socket makes, on a thread of ours, until the host closes the socket or
/// its context ends: to be called after the socket was secured, and before it is connected. This takes libzmq's one monitor of it.
///
/// # Safety
/// `socket` is an open socket in `context`, which no other thread uses meanwhile.
///
/// # Errors
/// As [`secure_borrowed`](crate::socket::secure_borrowed); [`Error::Os`](crate::Error::Os): no thread can be started.
#[doc(hidden)]
#[allow(unsafe_code)]
pub unsafe fn listen_to_handshakes(
    socket: NonNull<c_void>,
    context: &Context,
    mut listen: impl FnMut(HandshakeEvent) + Send + 'static,
) -> Result<()> {
    // SAFETY: our caller keeps the contract, which is the same.
    let watch = unsafe { handshakes_borrowed(socket, context, proof) };
    let mut watch = watch?;
    let thread = os::spawn("ironhouse-shake", move || {
        while let Ok(event) = watch.next(None) {
            event.into_iter().for_each(&mut listen);
        }
    })?;
    drop(thread);
    Ok(())
}

/// What the holder of a server key can answer.
fn proof(key: &[u8]) -> Option<Arc<dyn Proof>> {
    let key = PublicKey::from_bytes(key.try_into().ok()?);
    Some(Arc::new(ServerProof { key, origin: None }))
}
