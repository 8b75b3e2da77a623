//! Handshakes of sockets that a host made and goes on owning. For the C interface.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use zmq_sys_wrap::Api;

use super::authenticator::is_domain;
use super::keys::PublicKey;
use super::probe::ServerProof;
use crate::error::{Error, Result};
use crate::ffi::os;
use crate::socket::probe::Proof;
use crate::socket::{
    Context, HandshakeEvent, HandshakeWatch, MonitorFeed, enforce_borrowed, handshakes_borrowed,
    handshakes_fed,
};

/// Has libzmq ask an authenticator about the peers of a host's socket that the host secures by itself, and refuse them where nobody answers: to be
/// called before the socket is bound or connected. It gets this domain, if it has none.
///
/// # Safety
/// `socket` is an open socket of the libzmq behind `api`, which no other thread uses meanwhile.
///
/// # Errors
/// As [`secure_borrowed`](crate::socket::secure_borrowed); [`Error::InvalidDomain`].
#[doc(hidden)]
#[allow(unsafe_code)]
pub unsafe fn enforce(socket: NonNull<c_void>, api: &'static Api, domain: &str) -> Result<()> {
    if !is_domain(domain) {
        return Err(Error::InvalidDomain(domain.to_owned()));
    }
    // SAFETY: our caller keeps the contract, which is the same.
    unsafe { enforce_borrowed(socket, api, domain) }
}

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
    listen: impl FnMut(HandshakeEvent) + Send + 'static,
) -> Result<()> {
    // SAFETY: our caller keeps the contract, which is the same.
    let watch = unsafe { handshakes_borrowed(socket, context, proof) }?;
    hand_on(watch, listen)
}

/// The same by what the host's own monitor of the socket tells, which it hands to the feed, and until that is dropped.
///
/// # Safety
/// `socket` is an open socket of the libzmq behind `api`, which no other thread uses meanwhile.
///
/// # Errors
/// As [`listen_to_handshakes`].
#[doc(hidden)]
#[allow(unsafe_code)]
pub unsafe fn listen_to_fed_handshakes(
    socket: NonNull<c_void>,
    api: &'static Api,
    listen: impl FnMut(HandshakeEvent) + Send + 'static,
) -> Result<MonitorFeed> {
    // SAFETY: our caller keeps the contract, which is the same.
    let (feed, watch) = unsafe { handshakes_fed(socket, api, proof) }?;
    hand_on(watch, listen)?;
    Ok(feed)
}

/// Has a thread of ours tell what it sees, until there is no more of it.
fn hand_on(
    mut watch: HandshakeWatch,
    mut listen: impl FnMut(HandshakeEvent) + Send + 'static,
) -> Result<()> {
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
