//! The mechanisms that a socket can be secured with: a server's need a [`Domain`], and so a running authenticator.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;
use zmq_sys_wrap::zmq;

use super::authenticator::Domain;
use super::certificate::SecretCertificate;
use super::keys::{PLAIN_LIMIT, Password, PublicKey};
use super::pins::{Pinned, ServerKeys};
use super::probe::ServerProof;
use crate::error::{Error, Result};
use crate::socket::options::{
    CURVE_PUBLIC_KEY, CURVE_SECRET_KEY, CURVE_SERVER, CURVE_SERVER_KEY, GSSAPI_PLAINTEXT,
    GSSAPI_PRINCIPAL, GSSAPI_PRINCIPAL_NAMETYPE, GSSAPI_SERVER, GSSAPI_SERVICE_PRINCIPAL,
    GSSAPI_SERVICE_PRINCIPAL_NAMETYPE, PLAIN_PASSWORD, PLAIN_SERVER, PLAIN_USERNAME, SocketOption,
    ZAP_DOMAIN, ZAP_ENFORCE_DOMAIN,
};
use crate::socket::{Capability, Context, Mechanism, Secured, sealed};

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

/// A server that admits by Kerberos ticket, and encrypts.
///
/// Its key comes from the process's keytab (`KRB5_KTNAME`, else the system's). libzmq up to 4.3.5 lets in whomever the policy refuses, so
/// [`open`](crate::socket::SocketBuilder::open) answers [`Error::GssapiRefusal`] there unless the domain's policy takes every principal from
/// everywhere: by [`GssapiPolicy::any_principal`](super::GssapiPolicy::any_principal), and without rules on addresses. As long as the
/// socket is open, the domain's policy cannot be changed to another.
///
/// libzmq's GSSAPI has another hole, which no policy closes: with 4.3.4 and 4.3.5 a peer that holds a ticket can have the server's process
/// abort, by a message that is wrapped without being encrypted, or is wrapped empty. Offer it to principals that you trust that far, or use
/// [`CurveServer`].
///
/// Source: RFC 38/ZMTP-GSSAPI, `zmq_gssapi(7)`.
#[derive(Debug)]
pub struct GssapiServer {
    domain: Domain,
    principal: Option<GssapiName>,
    plaintext: bool,
}

impl GssapiServer {
    /// A server guarded by `domain`'s policy, with every key of the keytab: it takes tickets for any of their principals.
    pub fn new(domain: &Domain) -> Self {
        Self {
            domain: domain.clone(),
            principal: None,
            plaintext: false,
        }
    }

    /// Takes tickets for this service only, such as `zmq@server.example`.
    ///
    /// libzmq asks for a credential that serves both roles: beside the key in the keytab, `principal` needs a ticket of its own, from the
    /// credential cache (`KRB5CCNAME`) or a client keytab (`KRB5_CLIENT_KTNAME`). Without one nobody is admitted.
    pub fn principal(mut self, principal: impl Into<GssapiName>) -> Self {
        self.principal = Some(principal.into());
        self
    }

    /// Sends and receives without encryption, as its clients must too: who can alter what travels can take an admitted connection over.
    pub fn plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }
}

/// A client that presents a Kerberos ticket, and encrypts.
///
/// libzmq gets the ticket on an I/O thread, which waits for the Kerberos server meanwhile, with all the sockets that it serves. A client
/// without a ticket stays silent until a [`HANDSHAKE_IVL`](crate::socket::options::HANDSHAKE_IVL) ends, and tries again.
///
/// Source: RFC 38/ZMTP-GSSAPI, `zmq_gssapi(7)`.
#[derive(Debug)]
pub struct GssapiClient {
    service: GssapiName,
    principal: Option<GssapiName>,
    plaintext: bool,
}

impl GssapiClient {
    /// A client of `service`, such as `zmq@server.example`, with the ticket of the process's credential cache (`KRB5CCNAME`, else the
    /// user's).
    pub fn new(service: impl Into<GssapiName>) -> Self {
        Self {
            service: service.into(),
            principal: None,
            plaintext: false,
        }
    }

    /// Presents the ticket of this principal, where the credential cache holds several.
    ///
    /// libzmq asks for a credential that serves both roles, so the keytab (`KRB5_KTNAME`) must have a key of `principal` too. Without one
    /// it presents nothing.
    pub fn principal(mut self, principal: impl Into<GssapiName>) -> Self {
        self.principal = Some(principal.into());
        self
    }

    /// Sends and receives without encryption, as its server must too: who can alter what travels can take the connection over.
    pub fn plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }
}

/// A name for Kerberos, 1 to 255 bytes without NUL, and how it is to be read. Text alone is [`HostBased`](Self::HostBased).
///
/// Source: `zmq_gssapi(7)`, Principal names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GssapiName {
    /// A service and its host, as `zmq@server.example`, or a service of this host, as `zmq`: the principal `zmq/server.example`.
    HostBased(String),
    /// A user of the local realm, as `ada`.
    User(String),
    /// A principal in full, as `ada@EXAMPLE.ORG`.
    Principal(String),
}

impl From<&str> for GssapiName {
    fn from(name: &str) -> Self {
        Self::HostBased(name.to_owned())
    }
}

impl From<String> for GssapiName {
    fn from(name: String) -> Self {
        Self::HostBased(name)
    }
}

impl GssapiName {
    fn set(
        self,
        socket: &mut Secured,
        option: SocketOption<String>,
        name_type: SocketOption<i32>,
    ) -> Result<()> {
        let (number, name) = match self {
            Self::HostBased(name) => (zmq::ZMQ_GSSAPI_NT_HOSTBASED, name),
            Self::User(name) => (zmq::ZMQ_GSSAPI_NT_USER_NAME, name),
            Self::Principal(name) => (zmq::ZMQ_GSSAPI_NT_KRB5_PRINCIPAL, name),
        };
        if name.is_empty() || name.len() > 255 || name.contains('\0') {
            return Err(Error::InvalidOption {
                name: option.about.name,
                reason: format!("{name:?} is no name: it takes 1 to 255 bytes, none of them NUL"),
            });
        }
        socket.set(option, name);
        socket.set(name_type, number as i32);
        Ok(())
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
    let another = |context: &Context| context.as_raw() != domain.context().as_raw();
    if socket.context().is_some_and(another) {
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

impl Mechanism for GssapiServer {}
impl sealed::Mechanism for GssapiServer {
    fn secure(self, socket: &mut Secured) -> Result<()> {
        socket.require(Capability::Gssapi)?;
        socket.set(GSSAPI_SERVER, true);
        socket.set(GSSAPI_PLAINTEXT, self.plaintext);
        if let Some(principal) = self.principal {
            principal.set(socket, GSSAPI_PRINCIPAL, GSSAPI_PRINCIPAL_NAMETYPE)?;
        }
        guard(socket, self.domain.clone())?;
        // In this order they go: while the domain may be asked, its policy stays one that libzmq carries out.
        let held = self.domain.hold_for_gssapi()?;
        socket.keep_alive(Arc::new((held, self.domain)));
        Ok(())
    }
}

impl Mechanism for GssapiClient {}
impl sealed::Mechanism for GssapiClient {
    fn secure(self, socket: &mut Secured) -> Result<()> {
        socket.require(Capability::Gssapi)?;
        socket.set(GSSAPI_PLAINTEXT, self.plaintext);
        self.service.set(
            socket,
            GSSAPI_SERVICE_PRINCIPAL,
            GSSAPI_SERVICE_PRINCIPAL_NAMETYPE,
        )?;
        self.principal.map_or(Ok(()), |principal| {
            principal.set(socket, GSSAPI_PRINCIPAL, GSSAPI_PRINCIPAL_NAMETYPE)
        })
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
