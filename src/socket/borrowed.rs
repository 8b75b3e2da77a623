//! Sockets that a host made and goes on owning: secured here, used by it. For the C interface.

use std::any::Any;
use std::ffi::c_void;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Arc;

use zmq_sys_wrap::{Api, zmq};

use super::builder::{KeepAlive, Secured};
use super::options::{HANDSHAKE_IVL, LAST_ENDPOINT, ZAP_DOMAIN, ZAP_ENFORCE_DOMAIN};
use super::probe::{Asker, Expected, Proof};
use super::{
    Context, HandshakeWatch, Mechanism, Monitor, MonitorFeed, Role, SocketType, Watch, monitor,
};
use crate::error::{Error, Result};
use crate::ffi::origin;
use crate::ffi::socket::RawSocket;

/// Longest endpoint that is shown; there are longer ones over inproc.
const ENDPOINT: usize = 1024;

/// Gives a socket of a host's its mechanism, before the host binds or connects it; what is to be kept until the host has closed it.
///
/// Only the options are set: unless the domain watches it as well, a peer who is no longer admitted is refused when it comes again, but not
/// put out. The host must not set options of security, nor the handshake's time to 0, afterwards. After an error the socket may be
/// secured in part: it must be closed.
///
/// Whether the socket is in the context that the authenticator guards cannot be told: in another, everybody is refused.
///
/// # Safety
/// `socket` is an open socket of some libzmq in this process, which no other thread uses meanwhile; `api` has the functions of one.
///
/// # Errors
/// [`Error::ForeignSocket`]: another libzmq than that of `api` made it. [`Error::SocketInUse`]: it was bound or connected before.
/// [`Error::InvalidOption`]: a STREAM, or a socket whose handshakes may take for ever. [`Error::Zmq`]: it is closed (`ENOTSOCK`), or an
/// option was refused. Else as the mechanism's.
#[allow(unsafe_code)]
pub unsafe fn secure_borrowed(
    socket: NonNull<c_void>,
    api: &'static Api,
    mechanism: impl Mechanism,
) -> Result<Arc<dyn Any + Send + Sync>> {
    // SAFETY: our caller keeps the contract, which is the same.
    let raw = unsafe { borrow(socket, api) }?;
    check(&raw)?;
    let Secured {
        options,
        keep_alive,
        ..
    } = Secured::by(mechanism, api, None)?;
    for setting in options {
        raw.set(setting.option.id, &setting.value?)
            .map_err(|error| error.on(setting.option.name))?;
    }
    let keep_alive: KeepAlive = keep_alive;
    Ok(keep_alive)
}

/// Has libzmq ask an authenticator about the peers of a host's socket that the host secures by itself, and refuse them where nobody answers,
/// from the next bind or connect on. It gets this domain, if it has none.
///
/// # Safety
/// As [`secure_borrowed`].
///
/// # Errors
/// As [`secure_borrowed`]; what this has done already, or was done only within the process, does not stand against it.
#[allow(unsafe_code)]
pub(crate) unsafe fn enforce_borrowed(
    socket: NonNull<c_void>,
    api: &'static Api,
    domain: &str,
) -> Result<()> {
    // SAFETY: our caller keeps the contract, which is the same.
    let raw = unsafe { borrow(socket, api) }?;
    let (named, enforced) = (ZAP_DOMAIN.about, ZAP_ENFORCE_DOMAIN.about);
    let mut name = [0; 256];
    raw.get(named.id, &mut name)?;
    let has_domain = name.first() != Some(&0);
    if has_domain && number(&raw, enforced.id as u32)? != 0 {
        return Ok(());
    }
    match check(&raw) {
        Err(Error::SocketInUse { endpoint }) if endpoint.starts_with("inproc:") => {}
        checked => checked?,
    }
    if !has_domain {
        raw.set(named.id, domain.as_bytes())
            .map_err(|error| error.on(named.name))?;
    }
    raw.set(enforced.id, &1i32.to_ne_bytes())
        .map_err(|error| error.on(enforced.name))
}

/// Has `watch` see what happens to the connections of a host's socket, until the host closes it or its context ends. This takes libzmq's one
/// monitor of the socket: another that the host has, or starts later, is silently ended, or ends this one.
///
/// # Safety
/// As [`secure_borrowed`]; the socket is in `context`.
///
/// # Errors
/// As [`secure_borrowed`].
#[allow(unsafe_code)]
pub(crate) unsafe fn watch_borrowed(
    socket: NonNull<c_void>,
    context: &Context,
    watch: Arc<dyn Watch>,
) -> Result<()> {
    // SAFETY: our caller keeps the contract, which is the same.
    let raw = unsafe { borrow(socket, context.api()) }?;
    check(&raw)?;
    monitor::watch_borrowed(&raw, context, watch)
}

/// Watches the handshakes of connections that a host's socket will make, until the host closes it or its context ends. What the socket's peer
/// must be able to answer, `proof` knows. This takes libzmq's one monitor of the socket, as [`watch_borrowed`] does.
///
/// # Safety
/// As [`secure_borrowed`]; the socket is in `context`.
///
/// # Errors
/// As [`secure_borrowed`].
#[allow(unsafe_code)]
pub(crate) unsafe fn handshakes_borrowed(
    socket: NonNull<c_void>,
    context: &Context,
    proof: impl FnOnce(&[u8]) -> Option<Arc<dyn Proof>>,
) -> Result<HandshakeWatch> {
    // SAFETY: our caller keeps the contract, which is the same.
    let raw = unsafe { borrow(socket, context.api()) }?;
    let asker = asker(&raw, proof)?;
    let monitor = Monitor::of_borrowed(&raw, context)?;
    Ok(HandshakeWatch::new(monitor, asker))
}

/// The same by what the host's own monitor of the socket tells, and until it ends the feed.
///
/// # Safety
/// As [`secure_borrowed`].
///
/// # Errors
/// As [`secure_borrowed`].
#[allow(unsafe_code)]
pub(crate) unsafe fn handshakes_fed(
    socket: NonNull<c_void>,
    api: &'static Api,
    proof: impl FnOnce(&[u8]) -> Option<Arc<dyn Proof>>,
) -> Result<(MonitorFeed, HandshakeWatch)> {
    // SAFETY: our caller keeps the contract, which is the same.
    let raw = unsafe { borrow(socket, api) }?;
    let asker = asker(&raw, proof)?;
    let (feed, monitor) = MonitorFeed::to_monitor();
    Ok((feed, HandshakeWatch::new(monitor, asker)))
}

/// Whether a host's socket can be watched: it is new.
///
/// # Safety
/// As [`secure_borrowed`].
///
/// # Errors
/// As [`secure_borrowed`].
#[allow(unsafe_code)]
pub(crate) unsafe fn check_borrowed(socket: NonNull<c_void>, api: &'static Api) -> Result<()> {
    // SAFETY: our caller keeps the contract, which is the same.
    let raw = unsafe { borrow(socket, api) }?;
    check(&raw)
}

/// Who finds out for a new socket what libzmq does not tell, and the socket's part in a handshake.
fn asker(
    raw: &RawSocket,
    proof: impl FnOnce(&[u8]) -> Option<Arc<dyn Proof>>,
) -> Result<(Asker, Role)> {
    check(raw)?;
    let mut key = [0; 32];
    let is_client_of = |key: &mut [u8]| {
        let is_curve = number(raw, zmq::ZMQ_MECHANISM)? as u32 == zmq::ZMQ_CURVE;
        let is_server = is_curve && number(raw, zmq::ZMQ_CURVE_SERVER)? != 0;
        Ok::<_, Error>(
            is_curve && !is_server && raw.get(zmq::ZMQ_CURVE_SERVERKEY as i32, key)? == 32,
        )
    };
    let proof = if is_client_of(&mut key)? {
        proof(&key)
    } else {
        None
    };
    Asker::of_raw(raw, proof.map(Expected::new).map(Arc::new))
}

/// # Safety
/// As [`secure_borrowed`], as long as the result is used.
#[allow(unsafe_code)]
unsafe fn borrow(
    socket: NonNull<c_void>,
    api: &'static Api,
) -> Result<std::mem::ManuallyDrop<RawSocket>> {
    if !socket.cast::<usize>().is_aligned() {
        return Err(Error::InvalidOption {
            name: "socket",
            reason: "the pointer is not aligned as that of a socket is".into(),
        });
    }
    // SAFETY: our caller keeps the contract, which is the same.
    unsafe { origin::check(socket, api) }?;
    // SAFETY: our caller keeps the contract, and the library is the right one as far as anybody knows.
    Ok(unsafe { RawSocket::borrow(socket, api) })
}

/// Whether a mechanism would guard the socket.
fn check(raw: &RawSocket) -> Result<()> {
    if number(raw, zmq::ZMQ_TYPE)? == SocketType::Stream as i32 {
        return Err(Error::InvalidOption {
            name: "socket type",
            reason: "a STREAM speaks plain TCP, which no security mechanism guards".into(),
        });
    }
    let mut endpoint = [0; ENDPOINT];
    let endpoint = match raw.get(LAST_ENDPOINT.about.id, &mut endpoint) {
        Ok(length) => {
            let text = endpoint.get(..length).unwrap_or_default();
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(text).into_owned()
        }
        // Only a long one does not fit.
        Err(Error::Zmq { errno, .. }) if errno.0 == libc::EINVAL => "a long endpoint".to_owned(),
        Err(error) => return Err(error),
    };
    if !endpoint.is_empty() {
        return Err(Error::SocketInUse { endpoint });
    }
    if number(raw, HANDSHAKE_IVL.about.id as u32)? == 0 {
        return Err(Error::InvalidOption {
            name: HANDSHAKE_IVL.about.name,
            reason:
                "0 would let unauthenticated peers stay for ever; set what a handshake may take"
                    .into(),
        });
    }
    Ok(())
}

fn number(raw: &RawSocket, option: u32) -> Result<i32> {
    let mut value = [0; size_of::<i32>()];
    raw.get(option as i32, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

/// The file that the libzmq behind `api` was loaded from, or the program it is linked into; `None` where the system does not know.
///
/// # Errors
/// [`Error::Zmq`]: a socket, which is made to find out, cannot be had.
pub fn library_of(api: &'static Api) -> Result<Option<PathBuf>> {
    Ok(origin::of_api(api)?.map(|image| image.path))
}
