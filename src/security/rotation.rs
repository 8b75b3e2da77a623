//! New keys for sockets that are in use, so that a key can be replaced without an outage.
//!
//! libzmq copies a socket's options whenever it binds or connects: connections that stand keep the keys that they were made with, and what
//! is bound or connected afterwards uses the new ones. So one socket can serve two endpoints under two keys, and nobody is put out.
//!
//! **A server's key**, when its clients cannot all be told at once:
//!
//! 1. Announce: make the next pair, and let the clients have its public key, as [`Certificate::with_next_key`] of the server's present
//!    certificate or as a second key in their [`ServerKeys`](super::ServerKeys).
//! 2. Overlap: [`use_keys`] on the server's socket, and bind a second endpoint. It now answers under both keys.
//! 3. Move: each client, when it suits it: [`expect_server`] with the next key, connect to the second endpoint, and disconnect from the first
//!    once no reply is outstanding.
//! 4. End: unbind the first endpoint, and end what is still connected under the old key by closing its clients or, for a key that was stolen,
//!    the whole socket.
//!
//! **A client's key**: put its next certificate into the store beside the present one (both are admitted), [`use_keys`] on its socket,
//! disconnect and connect once no reply is outstanding, and take the old certificate out of the store: who still uses it is put out.
//!
//! Messages that are queued for an endpoint when it is disconnected may be lost, as with every `zmq_disconnect`; those that came, or that wait for
//! another endpoint, are not.

use std::sync::Arc;

use zmq_sys_wrap::zmq::ZMQ_CURVE;

use super::certificate::{Certificate, SecretCertificate};
use super::keys::PublicKey;
use super::probe::ServerProof;
use crate::error::{Error, Result};
use crate::socket::Socket;
use crate::socket::options::{
    CURVE_PUBLIC_KEY, CURVE_SECRET_KEY, CURVE_SERVER, CURVE_SERVER_KEY, MECHANISM,
};

/// The metadata name under which a certificate announces the key that follows.
const NEXT_KEY: &str = "next-key";

/// Has the socket use this key pair for what it binds and connects from now on; connections that stand keep theirs.
///
/// The socket must have been opened as a [`CurveServer`](super::CurveServer) or [`CurveClient`](super::CurveClient), and stays one, of the same
/// domain: nobody gets in who would not before.
///
/// # Errors
/// [`Error::InvalidOption`]: the socket has another mechanism, or none.
///
/// Source: `zmq_setsockopt(3)`, ZMQ_CURVE_SECRETKEY.
pub fn use_keys(socket: &Socket, certificate: &SecretCertificate) -> Result<()> {
    require_curve(socket, "ZMQ_CURVE_SECRETKEY")?;
    let pair = certificate.keypair();
    socket.set(CURVE_PUBLIC_KEY, pair.public().as_bytes().to_vec())?;
    socket.set(CURVE_SECRET_KEY, pair.secret().expose_bytes().to_vec())
}

/// Has the socket expect a server with this public key at what it connects to from now on.
///
/// # Errors
/// [`Error::InvalidOption`]: the socket was not opened as a [`CurveClient`](super::CurveClient). [`Error::Key`]: the key of zeros.
///
/// Source: `zmq_setsockopt(3)`, ZMQ_CURVE_SERVERKEY.
pub fn expect_server(socket: &Socket, key: PublicKey) -> Result<()> {
    const NAME: &str = "ZMQ_CURVE_SERVERKEY";
    require_curve(socket, NAME)?;
    // Setting it would make a client of a server.
    if socket.get(CURVE_SERVER)? {
        return refuse(NAME, "the socket is a server");
    }
    socket.set(CURVE_SERVER_KEY, key.usable()?.as_bytes().to_vec())?;
    let origin = None;
    socket.expect(Arc::new(ServerProof { key, origin }));
    Ok(())
}

/// Options of CURVE make any socket one of CURVE, a guarded one of another mechanism too.
fn require_curve(socket: &Socket, name: &'static str) -> Result<()> {
    if socket.get(MECHANISM)? == ZMQ_CURVE as i32 {
        return Ok(());
    }
    refuse(name, "the socket was not opened with CURVE")
}

fn refuse(name: &'static str, found: &str) -> Result<()> {
    Err(Error::InvalidOption {
        name,
        reason: format!(
            "{found}: only keys change on an open socket; open another one with the mechanism it needs"
        ),
    })
}

impl Certificate {
    /// Announces the key that will follow this one, as metadata `next-key`.
    ///
    /// # Errors
    /// [`Error::Key`]: the key of zeros.
    pub fn with_next_key(self, key: PublicKey) -> Result<Self> {
        self.with_meta(NEXT_KEY, &key.usable()?.to_string())
    }

    /// The key that will follow this one, where the certificate announces one.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::Z85`]: the metadata `next-key` holds no key.
    pub fn next_key(&self) -> Result<Option<PublicKey>> {
        self.meta(NEXT_KEY).map(str::parse).transpose()
    }
}
