//! ZAP requests and replies: frames ↔ values. `Source: RFC 27/ZAP`.

mod metadata;

use std::cell::OnceCell;
use std::fmt;
use std::ops::Deref;
use std::time::Instant;

use super::address::PeerAddress;
use super::keys::PublicKey;
use crate::error::Result;
use crate::socket::{FrameList, Socket};
use metadata::Admission;
pub(crate) use metadata::{ADMISSION, Metadata, PROPERTY_OVERHEAD, Properties, properties};

const VERSION: &[u8] = b"1.0";

/// A ZAP message that breaks RFC 27.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZapProblem {
    /// Fewer frames than any request has, or none that ends the return address.
    #[error("a ZAP request of {0} frames")]
    FrameCount(usize),
    /// Another version of the protocol.
    #[error("a ZAP request of another version than 1.0")]
    Version,
    /// More bytes than the protocol allows.
    #[error("a ZAP request whose {0} is longer than 255 bytes")]
    TooLong(&'static str),
    /// A mechanism that RFC 27 does not know.
    #[error("a ZAP request for the unknown mechanism {0:?}")]
    UnknownMechanism(String),
    /// Credentials that do not fit the mechanism.
    #[error("a ZAP request with malformed {0} credentials")]
    Credentials(ZapMechanism),
    /// A metadata name that is empty, longer than 255 bytes, or libzmq's own.
    #[error(
        "{0:?} cannot be the name of a metadata property: it is empty, longer than 255 bytes, or libzmq's own"
    )]
    MetadataName(String),
    /// More metadata than a reply may carry.
    #[error("metadata of {0} bytes: a reply carries at most 65536")]
    MetadataSize(usize),
}

/// A security mechanism, as ZMTP names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ZapMechanism {
    /// No security; a handler may still judge the address.
    Null,
    /// A name and a password, in clear text.
    Plain,
    /// Encryption, with the client's public key.
    Curve,
    /// Kerberos, with the client's principal.
    Gssapi,
}

impl ZapMechanism {
    /// As it is called on the wire, such as `CURVE`.
    pub const fn name(self) -> &'static str {
        match self {
            ZapMechanism::Null => "NULL",
            ZapMechanism::Plain => "PLAIN",
            ZapMechanism::Curve => "CURVE",
            ZapMechanism::Gssapi => "GSSAPI",
        }
    }
}

impl fmt::Display for ZapMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a peer presents to be admitted.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// Nothing (NULL).
    Null,
    /// A name and a password (PLAIN), at most 255 bytes each.
    Plain {
        /// The user's name.
        name: &'a [u8],
        /// The password that the peer claims is that user's.
        password: &'a [u8],
    },
    /// A public key (CURVE), whose secret half the peer has proven to hold.
    Curve(PublicKey),
    /// A Kerberos principal (GSSAPI).
    Gssapi {
        /// Its name.
        principal: &'a [u8],
    },
}

/// Shows who, never the password.
impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mechanism())?;
        self.identity()
            .map_or(Ok(()), |identity| write!(f, "({identity:?}, ..)"))
    }
}

impl Credential<'_> {
    pub(crate) fn mechanism(&self) -> ZapMechanism {
        match self {
            Credential::Null => ZapMechanism::Null,
            Credential::Plain { .. } => ZapMechanism::Plain,
            Credential::Curve(_) => ZapMechanism::Curve,
            Credential::Gssapi { .. } => ZapMechanism::Gssapi,
        }
    }

    /// Who the peer says it is: a user name, a public key in Z85, a principal. Nothing that proves it.
    pub(crate) fn identity(&self) -> Option<String> {
        match self {
            Credential::Null => None,
            Credential::Plain { name, .. } => Some(String::from_utf8_lossy(name).into_owned()),
            Credential::Curve(key) => String::from_utf8(key.to_z85().to_vec()).ok(),
            Credential::Gssapi { principal } => {
                Some(String::from_utf8_lossy(principal).into_owned())
            }
        }
    }
}

/// A request, borrowed from its frames.
pub(crate) struct ZapRequest<'a> {
    /// The policy to apply, without the NUL that C programs leave at its end. `None` where it is not UTF-8.
    pub(crate) domain: Option<&'a str>,
    pub(crate) address: Whence<'a>,
    pub(crate) credential: Credential<'a>,
}

/// A peer's address as it came, read once somebody asks: most policies do not.
pub(crate) struct Whence<'a> {
    text: &'a [u8],
    address: OnceCell<PeerAddress>,
}

impl Deref for Whence<'_> {
    type Target = PeerAddress;

    fn deref(&self) -> &PeerAddress {
        self.address.get_or_init(|| {
            // What is no text is no address, and no rule admits it.
            PeerAddress::parse(std::str::from_utf8(self.text).unwrap_or("?"))
        })
    }
}

impl fmt::Display for Whence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl From<PeerAddress> for Whence<'_> {
    fn from(address: PeerAddress) -> Self {
        Self {
            text: &[],
            address: address.into(),
        }
    }
}

/// A request as it came, with the return address that a ROUTER puts before it.
pub(crate) struct Frames {
    frames: FrameList,
    /// How many frames are return address, the empty delimiter included.
    envelope: usize,
    /// When it was read.
    pub(crate) read: Instant,
}

impl Frames {
    /// # Errors
    /// [`ZapProblem::FrameCount`] for what cannot even be answered: no delimiter, or no request id behind it.
    pub(crate) fn new(frames: FrameList, read: Instant) -> Result<Self, ZapProblem> {
        let delimiter = frames.from(1).position(<[u8]>::is_empty);
        match delimiter {
            Some(at) if frames.len() >= at + 4 => Ok(Self {
                frames,
                envelope: at + 2,
                read,
            }),
            _ => Err(ZapProblem::FrameCount(frames.len())),
        }
    }

    /// # Errors
    /// [`ZapProblem`].
    pub(crate) fn request(&self) -> Result<ZapRequest<'_>, ZapProblem> {
        let count = self.frames.len() - self.envelope;
        let mut body = self.frames.from(self.envelope);
        let mut next = || body.next().ok_or(ZapProblem::FrameCount(count));
        let [version, _id, domain, address, _routing_id, mechanism] =
            [next()?, next()?, next()?, next()?, next()?, next()?];
        let credentials = (body.next(), body.next(), body.next());
        if version != VERSION {
            return Err(ZapProblem::Version);
        }
        if domain.len() > 255 {
            return Err(ZapProblem::TooLong("domain"));
        }
        if address.len() > 255 {
            return Err(ZapProblem::TooLong("address"));
        }
        let credential = match (mechanism, credentials) {
            (b"NULL", (None, ..)) => Credential::Null,
            (b"PLAIN", (Some(name), Some(password), None))
                if name.len() <= 255 && password.len() <= 255 =>
            {
                Credential::Plain { name, password }
            }
            (b"CURVE", (Some(key), None, _)) => match <[u8; 32]>::try_from(key) {
                Ok(key) => Credential::Curve(PublicKey::from_bytes(key)),
                Err(_) => return Err(ZapProblem::Credentials(ZapMechanism::Curve)),
            },
            (b"GSSAPI", (Some(principal), None, _)) => Credential::Gssapi { principal },
            (b"NULL", _) => return Err(ZapProblem::Credentials(ZapMechanism::Null)),
            (b"PLAIN", _) => return Err(ZapProblem::Credentials(ZapMechanism::Plain)),
            (b"CURVE", _) => return Err(ZapProblem::Credentials(ZapMechanism::Curve)),
            (b"GSSAPI", _) => return Err(ZapProblem::Credentials(ZapMechanism::Gssapi)),
            (unknown, _) => {
                let name = String::from_utf8_lossy(unknown.get(..32).unwrap_or(unknown));
                return Err(ZapProblem::UnknownMechanism(name.into_owned()));
            }
        };
        let domain = domain.strip_suffix(&[0]).unwrap_or(domain);
        Ok(ZapRequest {
            domain: std::str::from_utf8(domain).ok(),
            address: Whence {
                text: address,
                address: OnceCell::new(),
            },
            credential,
        })
    }

    /// Sends `reply` to who sent this request, through the ROUTER that received it.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub(crate) fn answer(&mut self, reply: &ZapReply, socket: &Socket) -> Result<()> {
        for at in 0..self.envelope {
            socket.send_frame_more(&mut self.frames, at)?;
        }
        socket.send_copy(VERSION, true)?;
        socket.send_frame_more(&mut self.frames, self.envelope + 1)?;
        socket.send_copy(reply.status.digits().as_bytes(), true)?;
        socket.send_copy(reply.status.text().as_bytes(), true)?;
        match &reply.user_id {
            UserId::Key(key) => socket.send_copy(&key.to_z85(), true)?,
            UserId::Text(text) => socket.send_copy(text, true)?,
        }
        let mut admission = Admission::new();
        let admission = reply.admission.map(|number| admission.property(number));
        socket.send_joined([reply.metadata.encoded(), admission.unwrap_or_default()])
    }

    /// The domain, without the NUL that C programs leave at its end, and the key, if it is a request over CURVE.
    pub(crate) fn curve_key(&self) -> Option<(&[u8], PublicKey)> {
        let mut body = self.frames.from(self.envelope + 2);
        let domain = body.next()?;
        let (mechanism, key) = (body.nth(2)?, body.next()?);
        let key = PublicKey::from_bytes(key.try_into().ok()?);
        let domain = domain.strip_suffix(&[0]).unwrap_or(domain);
        (mechanism == b"CURVE").then_some((domain, key))
    }

    /// The list, wiped, for another request.
    pub(crate) fn wipe(mut self) -> FrameList {
        self.wipe_credentials();
        std::mem::take(&mut self.frames)
    }

    /// Wipes the credentials where they may be a password.
    fn wipe_credentials(&mut self) {
        let mechanism = self.frames.from(self.envelope + 5).next();
        if mechanism != Some(b"CURVE") {
            self.frames.wipe(self.envelope + 6);
        }
    }
}

/// One that is never answered, as when the thread ends, leaves no password behind either.
impl Drop for Frames {
    fn drop(&mut self) {
        self.wipe_credentials();
    }
}

/// What a handler may answer.
///
/// Source: RFC 27/ZAP, status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusCode {
    /// 200: admitted.
    Success,
    /// 300: not now. libzmq's client comes back after the server's `ZMQ_HANDSHAKE_IVL`.
    TemporaryError,
    /// 400: refused. libzmq's client never comes back by itself.
    AuthenticationFailure,
    /// 500: something broke. libzmq's client never comes back by itself.
    InternalError,
}

impl StatusCode {
    /// The three digits as a number.
    pub const fn number(self) -> u16 {
        match self {
            StatusCode::Success => 200,
            StatusCode::TemporaryError => 300,
            StatusCode::AuthenticationFailure => 400,
            StatusCode::InternalError => 500,
        }
    }

    fn digits(self) -> &'static str {
        match self {
            StatusCode::Success => "200",
            StatusCode::TemporaryError => "300",
            StatusCode::AuthenticationFailure => "400",
            StatusCode::InternalError => "500",
        }
    }

    /// One word for every refusal: the peer learns no more.
    fn text(self) -> &'static str {
        match self {
            StatusCode::Success => "OK",
            StatusCode::TemporaryError => "Try again",
            StatusCode::AuthenticationFailure => "Refused",
            StatusCode::InternalError => "Error",
        }
    }
}

/// The three digits.
impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits())
    }
}

/// A reply.
#[derive(Debug)]
pub(crate) struct ZapReply {
    pub(crate) status: StatusCode,
    pub(crate) user_id: UserId,
    pub(crate) metadata: Properties,
    /// The number of the admission, to be repeated by every message of the connection.
    pub(crate) admission: Option<u64>,
}

/// Who a reply says it is; by default nobody.
#[derive(Debug)]
pub(crate) enum UserId {
    /// A key, sent in Z85.
    Key(PublicKey),
    /// A name, or nothing.
    Text(Vec<u8>),
}

impl Default for UserId {
    fn default() -> Self {
        Self::Text(Vec::new())
    }
}

impl ZapReply {
    /// A reply that admits nobody.
    pub(crate) fn refusal(status: StatusCode) -> Self {
        Self {
            status,
            user_id: UserId::default(),
            metadata: Metadata::default().into(),
            admission: None,
        }
    }
}

#[cfg(test)]
mod tests;
