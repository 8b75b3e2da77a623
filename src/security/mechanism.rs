//! The mechanisms that a socket can be secured with: a server's need a [`Domain`], and so a running authenticator.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::authenticator::Domain;
use super::certificate::SecretCertificate;
use super::keys::{PLAIN_LIMIT, Password, PublicKey};
use super::pins::{Pinned, ServerKeys};
use super::probe::ServerProof;
use crate::error::{Error, Result};
use crate::socket::options::{
    CURVE_PUBLIC_KEY, CURVE_SECRET_KEY, CURVE_SERVER, CURVE_SERVER_KEY, PLAIN_PASSWORD,
    PLAIN_SERVER, PLAIN_USERNAME, ZAP_DOMAIN, ZAP_ENFORCE_DOMAIN,
};
use crate::socket::{Capability, Mechanism, Secured, sealed};

/// A server without encryption that admits by address ("Strawhouse").
///
/// Source: RFC 23/ZMTP, The NULL Security Mechanism.
#[derive(Debug)]
pub struct NullServer {
    domain: Domain,
}

impl NullServer {
    /// A server guarded by `domain`'s policy.
    pub fn new(domain: &Domain) -> Self {
        Self {
            domain: domain.clone(),
        }
    }
}

/// A server without encryption that admits by name and password ("Woodhouse").
///
/// Source: RFC 24/PLAIN.
#[derive(Debug)]
pub struct PlainServer {
    domain: Domain,
}

impl PlainServer {
    /// A server guarded by `domain`'s policy.
    pub fn new(domain: &Domain) -> Self {
        Self {
            domain: domain.clone(),
        }
    }
}

/// A client that presents a name and a password, both in clear text.
///
/// Source: RFC 24/PLAIN.
#[derive(Debug)]
pub struct PlainClient {
    name: String,
    password: Password,
}

impl PlainClient {
    /// A client of this name, 1 to 255 bytes without NUL; another is an error when the socket is opened.
    pub fn new(name: impl Into<String>, password: Password) -> Self {
        Self {
            name: name.into(),
            password,
        }
    }
}

/// A server that encrypts, and admits by its clients' public keys ("Stonehouse", "Ironhouse").
///
/// Source: RFC 26/CURVEZMQ.
#[derive(Debug)]
pub struct CurveServer {
    domain: Domain,
    keys: Keys,
}

impl CurveServer {
    /// A server with this key pair, guarded by `domain`'s policy.
    pub fn new(certificate: &SecretCertificate, domain: &Domain) -> Self {
        Self {
            domain: domain.clone(),
            keys: Keys::new(certificate),
        }
    }
}

/// A client that encrypts, and talks to none but the server whose public key it was given.
///
/// Source: RFC 26/CURVEZMQ.
#[derive(Debug)]
pub struct CurveClient {
    keys: Keys,
    server: PublicKey,
    /// Where the server's key was taken from, for people.
    origin: Option<String>,
}

impl CurveClient {
    /// A client with this key pair, for the server with the public key `server`.
    pub fn new(certificate: &SecretCertificate, server: PublicKey) -> Self {
        Self {
            keys: Keys::new(certificate),
            server,
            origin: None,
        }
    }

    /// A client with this key pair, for the server whose public key is pinned for `endpoint`.
    ///
    /// Where several keys are, because the server is changing from one to the next, the one that it holds at this moment is found out
    /// ([`ServerKeys::prove`]) within `timeout`; with a single one no connection is made. A server that does not hold the key shows at the
    /// handshake: [`connect_checked`](crate::socket::SocketBuilder::connect_checked) names the key that was expected, and its file and line.
    ///
    /// # Errors
    /// As [`ServerKeys::keys_for`] and, where several keys are pinned, [`ServerKeys::prove`].
    pub fn pinned(
        certificate: &SecretCertificate,
        servers: &ServerKeys,
        endpoint: &str,
        timeout: Duration,
    ) -> Result<Self> {
        let Pinned { key, origin } = servers.choose(endpoint, timeout)?;
        Ok(Self {
            origin,
            ..Self::new(certificate, key)
        })
    }
}

/// A key pair on its way to a socket.
struct Keys {
    public: PublicKey,
    secret: Zeroizing<Vec<u8>>,
}

impl Keys {
    fn new(certificate: &SecretCertificate) -> Self {
        let pair = certificate.keypair();
        Self {
            public: *pair.public(),
            secret: Zeroizing::new(pair.secret().expose_bytes().to_vec()),
        }
    }

    fn set(mut self, socket: &mut Secured) -> Result<()> {
        socket.require(Capability::Curve)?;
        socket.set(CURVE_PUBLIC_KEY, self.public.as_bytes().to_vec());
        // Moved, not copied: the option's value is wiped after use as well.
        socket.set(CURVE_SECRET_KEY, std::mem::take(&mut *self.secret));
        Ok(())
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({}, ..)", self.public)
    }
}

/// What makes a server fail closed: a domain that is never empty, refusal where no handler answers, and a handler that lives as long as
/// the socket.
fn guard(socket: &mut Secured, domain: Domain) -> Result<()> {
    if domain.context().as_raw() != socket.context().as_raw() {
        return Err(Error::InvalidOption {
            name: "ZMQ_ZAP_DOMAIN",
            reason: format!(
                "{domain:?} belongs to the authenticator of another context, which this socket cannot reach"
            ),
        });
    }
    socket.set(ZAP_DOMAIN, domain.name().to_owned());
    socket.set(ZAP_ENFORCE_DOMAIN, true);
    let (watch, alarm) = domain.watch();
    socket.watch(Arc::new(watch), alarm);
    socket.keep_alive(Arc::new(domain));
    Ok(())
}

impl Mechanism for NullServer {}
impl sealed::Mechanism for NullServer {
    fn secure(self, socket: &mut Secured) -> Result<()> {
        guard(socket, self.domain)
    }
}

impl Mechanism for PlainServer {}
impl sealed::Mechanism for PlainServer {
    fn secure(self, socket: &mut Secured) -> Result<()> {
        socket.set(PLAIN_SERVER, true);
        guard(socket, self.domain)
    }
}

impl Mechanism for CurveServer {}
impl sealed::Mechanism for CurveServer {
    fn secure(self, socket: &mut Secured) -> Result<()> {
        socket.set(CURVE_SERVER, true);
        self.keys.set(socket)?;
        guard(socket, self.domain)
    }
}

impl Mechanism for PlainClient {}
impl sealed::Mechanism for PlainClient {
    fn secure(self, socket: &mut Secured) -> Result<()> {
        if self.name.is_empty() || self.name.len() > PLAIN_LIMIT || self.name.contains('\0') {
            return Err(Error::InvalidOption {
                name: "ZMQ_PLAIN_USERNAME",
                reason: format!(
                    "{:?} is no user name: it takes 1 to 255 bytes, none of them NUL",
                    self.name
                ),
            });
        }
        socket.set(PLAIN_USERNAME, self.name.into_bytes());
        socket.set(PLAIN_PASSWORD, self.password.expose_bytes().to_vec());
        Ok(())
    }
}

impl Mechanism for CurveClient {}
impl sealed::Mechanism for CurveClient {
    fn secure(self, socket: &mut Secured) -> Result<()> {
        self.server.usable()?;
        socket.set(CURVE_SERVER_KEY, self.server.as_bytes().to_vec());
        socket.expect(Arc::new(ServerProof {
            key: self.server,
            origin: self.origin,
        }));
        self.keys.set(socket)
    }
}
