//! ZAP requests and replies: frames ↔ values. `Source: RFC 27/ZAP`.

use std::cell::OnceCell;
use std::fmt;
use std::io::Write;
use std::ops::Deref;

use super::address::PeerAddress;
use super::certificate::Certificate;
use super::keys::PublicKey;
use super::meter::Since;
use crate::error::Result;
use crate::socket::{FrameList, Socket};

const VERSION: &[u8] = b"1.0";

/// Most metadata that a reply carries, in bytes as encoded.
const METADATA_LIMIT: usize = 64 * 1024;

/// Bytes of a property beside its name and value.
pub(crate) const PROPERTY_OVERHEAD: usize = 5;

/// The property by which every message of a connection repeats the number of its admission.
pub(crate) const ADMISSION: &str = "X-Ironhouse-Admission";

/// Names that belong to libzmq, which ignores some from a handler and closes the connection over others, and our own.
const RESERVED: [&str; 7] = [
    ADMISSION,
    "User-Id",
    "Peer-Address",
    "Socket-Type",
    "Identity",
    "Routing-Id",
    "Resource",
];

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

impl fmt::Display for ZapMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ZapMechanism::Null => "NULL",
            ZapMechanism::Plain => "PLAIN",
            ZapMechanism::Curve => "CURVE",
            ZapMechanism::Gssapi => "GSSAPI",
        })
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
    pub(crate) read: Since,
}

impl Frames {
    /// # Errors
    /// [`ZapProblem::FrameCount`] for what cannot even be answered: no delimiter, or no request id behind it.
    pub(crate) fn new(frames: FrameList) -> Result<Self, ZapProblem> {
        let delimiter = frames.from(1).position(<[u8]>::is_empty);
        match delimiter {
            Some(at) if frames.len() >= at + 4 => Ok(Self {
                frames,
                envelope: at + 2,
                read: Since::now(),
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
        let mut admission = Admission([0; 48]);
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

    /// Wipes the credentials where they may be a password; the list, for another request.
    pub(crate) fn wipe(mut self) -> FrameList {
        let mechanism = self.frames.from(self.envelope + 5).next();
        if mechanism != Some(b"CURVE") {
            self.frames.wipe(self.envelope + 6);
        }
        self.frames
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

/// Metadata of a reply: its own, or those of a certificate, which are kept as they are sent.
#[derive(Debug)]
pub(crate) enum Properties {
    Own(Metadata),
    Of(Certificate),
}

impl Properties {
    fn encoded(&self) -> &[u8] {
        match self {
            Properties::Own(metadata) => metadata.as_bytes(),
            Properties::Of(certificate) => certificate.encoded(),
        }
    }
}

impl From<Metadata> for Properties {
    fn from(metadata: Metadata) -> Self {
        Self::Own(metadata)
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

/// Properties that the reply attaches to every message of the connection, as ZMTP encodes them.
///
/// Source: RFC 23/ZMTP, metadata: `*(name-length name value-length value)`, lengths of 1 and 4 bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Metadata(Vec<u8>);

impl Metadata {
    /// Nothing.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// As encoded.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether libzmq keeps `name` for itself, or we do. Property names do not differ by case.
    pub(crate) fn is_reserved(name: &str) -> bool {
        RESERVED
            .iter()
            .any(|reserved| reserved.eq_ignore_ascii_case(name))
    }

    /// # Errors
    /// [`ZapProblem::MetadataName`], [`ZapProblem::MetadataSize`]: nothing is added then.
    pub(crate) fn push(&mut self, name: &str, value: &str) -> Result<(), ZapProblem> {
        if Self::is_reserved(name) {
            return Err(ZapProblem::MetadataName(name.chars().take(64).collect()));
        }
        self.add(name, value)
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), ZapProblem> {
        let size = self.0.len() + PROPERTY_OVERHEAD + name.len() + value.len();
        if size > METADATA_LIMIT {
            return Err(ZapProblem::MetadataSize(size));
        }
        if self.keep(name, value) {
            Ok(())
        } else {
            Err(ZapProblem::MetadataName(name.chars().take(64).collect()))
        }
    }

    /// Room for this many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds what is to be kept, whether it may be sent or not; false where it cannot be encoded.
    pub(crate) fn keep(&mut self, name: &str, value: &str) -> bool {
        let (Ok(name_len @ 1..), Ok(value_len)) =
            (u8::try_from(name.len()), u32::try_from(value.len()))
        else {
            return false;
        };
        self.0.reserve(PROPERTY_OVERHEAD + name.len() + value.len());
        self.0.push(name_len);
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(&value_len.to_be_bytes());
        self.0.extend_from_slice(value.as_bytes());
        true
    }

    /// Whether a reply can carry it all.
    pub(crate) fn fits(&self) -> bool {
        self.0.len() <= METADATA_LIMIT
    }

    /// Names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        properties(&self.0)
    }
}

/// Names and values of encoded metadata.
pub(crate) fn properties(encoded: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = encoded;
    std::iter::from_fn(move || {
        let (&length, tail) = rest.split_first()?;
        let (name, tail) = tail.split_at_checked(length.into())?;
        let (length, tail) = tail.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (value, tail) = tail.split_at_checked(length)?;
        rest = tail;
        // They were text when they were put in.
        let text = |bytes| std::str::from_utf8(bytes).ok();
        Some((text(name)?, text(value)?))
    })
}

/// The property that numbers an admission. A reply has room for it beyond the limit of other metadata: without it, nobody could tell
/// whose a message is.
struct Admission([u8; 48]);

impl Admission {
    /// As encoded.
    fn property(&mut self, number: u64) -> &[u8] {
        let digits = 1 + number.checked_ilog10().unwrap_or(0);
        let mut rest = &mut self.0[..];
        // Never too long: the name has 21 bytes, the longest number 20.
        let _ = rest.write_all(&[ADMISSION.len() as u8]);
        let _ = rest.write_all(ADMISSION.as_bytes());
        let _ = rest.write_all(&digits.to_be_bytes());
        let _ = write!(rest, "{number}");
        let unused = rest.len();
        self.0.get(..self.0.len() - unused).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
