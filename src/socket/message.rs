//! `Message`: one frame.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use zmq_sys_wrap::{Api, zmq};

use crate::error::Result;
use crate::ffi::c_string;
use crate::ffi::message::RawMessage;

/// One frame: what the program made, to send, or what a socket received, with what is known of its sender.
///
/// A frame made here is plain bytes, taken over without a copy from `Vec<u8>`, `String` or [`Bytes`]. Cloning a message
/// never copies its content. What a sent frame was made of is freed by whoever is the last to use it, often a thread of libzmq: the
/// owner behind a [`Bytes`] must neither panic nor be the last to hold a [`Context`](super::Context) when it is dropped.
#[doc(alias = "zmq_msg_t")]
#[doc(alias = "zframe_t")]
#[derive(Default)]
pub struct Message(Content);

enum Content {
    /// Made by the program; the socket that sends it makes libzmq's message of it.
    Plain(Bytes),
    /// Received; belongs to the library of the socket that received it.
    Received(RawMessage),
}

impl Default for Content {
    fn default() -> Self {
        Content::Plain(Bytes::new())
    }
}

impl Message {
    /// An empty frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes it has.
    #[doc(alias = "zmq_msg_size")]
    pub fn len(&self) -> usize {
        match &self.0 {
            Content::Plain(bytes) => bytes.len(),
            Content::Received(message) => message.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether more frames of the same message follow. Always false for one that was not received.
    #[doc(alias = "zmq_msg_more")]
    pub fn more(&self) -> bool {
        matches!(&self.0, Content::Received(message) if message.more())
    }

    /// The content as text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self).ok()
    }

    /// A property of the connection that the frame came by: what its handshake and the authenticator said of the sender.
    ///
    /// Such as `"Peer-Address"`, `"Socket-Type"`, or a metadata name of the sender's certificate. `None` where there is no such
    /// property, where its value is not UTF-8, and for a frame that was not received over a network.
    ///
    /// Source: `zmq_msg_gets(3)`.
    #[doc(alias = "zmq_msg_gets")]
    pub fn property(&self, name: &str) -> Option<&str> {
        let Content::Received(message) = &self.0 else {
            return None;
        };
        message
            .property(&c_string("property", name).ok()?)?
            .to_str()
            .ok()
    }

    /// Who sent it, as the authenticator says: the user's name after PLAIN, the client's public key in Z85 after CURVE.
    ///
    /// Source: RFC 27/ZAP, user id.
    pub fn user_id(&self) -> Option<&str> {
        self.property("User-Id").filter(|id| !id.is_empty())
    }

    /// Where it came from: the sender's IP address, without a port.
    pub fn peer_address(&self) -> Option<&str> {
        self.property("Peer-Address")
    }

    /// The descriptor of the connection it came by, which may be closed and used anew by now.
    pub(crate) fn source(&self) -> Option<i32> {
        match &self.0 {
            Content::Received(message) => Some(message.get(zmq::ZMQ_SRCFD)).filter(|fd| *fd >= 0),
            Content::Plain(_) => None,
        }
    }

    pub(crate) fn received(message: RawMessage) -> Self {
        Self(Content::Received(message))
    }

    /// The message as the library behind `api` takes it.
    pub(crate) fn into_raw(self, api: &'static Api) -> Result<RawMessage> {
        match self.0 {
            Content::Plain(bytes) => RawMessage::from_bytes(api, bytes),
            Content::Received(message) if std::ptr::eq(message.api(), api) => Ok(message),
            Content::Received(message) => RawMessage::copy_of(api, message.bytes()),
        }
    }
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Content::Plain(bytes) => bytes,
            Content::Received(message) => message.bytes(),
        }
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Clone for Message {
    fn clone(&self) -> Self {
        match &self.0 {
            Content::Plain(bytes) => Self(Content::Plain(bytes.clone())),
            // zmq_msg_copy can only fail for an invalid message, which ours is not; a copy of the bytes would do as well.
            Content::Received(message) => message
                .try_clone()
                .map_or_else(|_| Self::from(message.bytes()), Self::received),
        }
    }
}

/// Shows the length only: the content may be a secret.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Message({} bytes{})",
            self.len(),
            if self.more() { ", more" } else { "" }
        )
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Message {
    fn eq(&self, other: &T) -> bool {
        self[..] == *other.as_ref()
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self(Content::Plain(bytes))
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

/// Copies.
impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Bytes::copy_from_slice(bytes).into()
    }
}

/// Copies.
impl<const N: usize> From<&[u8; N]> for Message {
    fn from(bytes: &[u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

/// Copies.
impl From<&str> for Message {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}
