//! ZAP requests and replies: frames ↔ values. `Source: RFC 27/ZAP`.

use std::fmt;

use super::address::PeerAddress;
use super::keys::PublicKey;
use crate::error::Result;
use crate::socket::{Message, Socket};

const VERSION: &[u8] = b"1.0";

/// Most metadata that a reply carries, in bytes as encoded.
const METADATA_LIMIT: usize = 64 * 1024;

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
            Credential::Curve(key) => Some(key.to_string()),
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
    pub(crate) address: PeerAddress,
    pub(crate) credential: Credential<'a>,
}

/// A request as it came, with the return address that a ROUTER puts before it.
pub(crate) struct Frames {
    frames: Vec<Message>,
    /// How many frames are return address, the empty delimiter included.
    envelope: usize,
}

impl Frames {
    /// # Errors
    /// [`ZapProblem::FrameCount`] for what cannot even be answered: no delimiter, or no request id behind it.
    pub(crate) fn new(frames: Vec<Message>) -> Result<Self, ZapProblem> {
        match frames.iter().skip(1).position(|frame| frame.is_empty()) {
            Some(at) if frames.len() >= at + 4 => Ok(Self {
                frames,
                envelope: at + 2,
            }),
            _ => Err(ZapProblem::FrameCount(frames.len())),
        }
    }

    /// # Errors
    /// [`ZapProblem`].
    pub(crate) fn request(&self) -> Result<ZapRequest<'_>, ZapProblem> {
        let (_, body) = self.frames.split_at(self.envelope);
        let [
            version,
            _id,
            domain,
            address,
            _routing_id,
            mechanism,
            credentials @ ..,
        ] = body
        else {
            return Err(ZapProblem::FrameCount(body.len()));
        };
        if version != VERSION {
            return Err(ZapProblem::Version);
        }
        if domain.len() > 255 {
            return Err(ZapProblem::TooLong("domain"));
        }
        if address.len() > 255 {
            return Err(ZapProblem::TooLong("address"));
        }
        let credential = match (&mechanism[..], credentials) {
            (b"NULL", []) => Credential::Null,
            (b"PLAIN", [name, password]) if name.len() <= 255 && password.len() <= 255 => {
                Credential::Plain { name, password }
            }
            (b"CURVE", [key]) => match <[u8; 32]>::try_from(&key[..]) {
                Ok(key) => Credential::Curve(PublicKey::from_bytes(key)),
                Err(_) => return Err(ZapProblem::Credentials(ZapMechanism::Curve)),
            },
            (b"GSSAPI", [principal]) => Credential::Gssapi { principal },
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
            // What is no text is no address, and no rule admits it.
            address: PeerAddress::parse(std::str::from_utf8(address).unwrap_or("?")),
            credential,
        })
    }

    /// Sends `reply` to who sent this request, through the ROUTER that received it.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub(crate) fn answer(&mut self, reply: &ZapReply, socket: &Socket) -> Result<()> {
        for at in 0..self.envelope {
            socket.send_more(self.take(at))?;
        }
        socket.send_copy(VERSION, true)?;
        socket.send_more(self.take(self.envelope + 1))?;
        socket.send_copy(reply.status.digits().as_bytes(), true)?;
        socket.send_copy(reply.status.text().as_bytes(), true)?;
        socket.send_copy(&reply.user_id, true)?;
        socket.send_copy(reply.metadata.as_bytes(), false)
    }

    fn take(&mut self, at: usize) -> Message {
        self.frames
            .get_mut(at)
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Wipes the credentials, which may be a password; the list, empty, for another request.
    pub(crate) fn wipe(mut self) -> Vec<Message> {
        let credentials = (self.envelope + 6).min(self.frames.len());
        self.frames.drain(credentials..).for_each(Message::wipe);
        self.frames.clear();
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
    pub(crate) user_id: Vec<u8>,
    pub(crate) metadata: Metadata,
}

impl ZapReply {
    /// A reply that admits nobody.
    pub(crate) fn refusal(status: StatusCode) -> Self {
        Self {
            status,
            user_id: Vec::new(),
            metadata: Metadata::default(),
        }
    }
}

/// Properties that the reply attaches to every message of the connection, as ZMTP encodes them.
///
/// Source: RFC 23/ZMTP, metadata: `*(name-length name value-length value)`, lengths of 1 and 4 bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Metadata(Vec<u8>);

impl Metadata {
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

    /// Adds the number of the admission. Left out where there is no room.
    pub(crate) fn push_admission(&mut self, number: u64) {
        let _ = self.add(ADMISSION, &number.to_string());
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), ZapProblem> {
        let name_len = u8::try_from(name.len()).unwrap_or(0);
        if name_len == 0 {
            return Err(ZapProblem::MetadataName(name.chars().take(64).collect()));
        }
        let size = self.0.len() + 1 + name.len() + 4 + value.len();
        let value_len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        if size > METADATA_LIMIT {
            return Err(ZapProblem::MetadataSize(size));
        }
        self.0.reserve(1 + name.len() + 4 + value.len());
        self.0.push(name_len);
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(&value_len.to_be_bytes());
        self.0.extend_from_slice(value.as_bytes());
        Ok(())
    }
}
