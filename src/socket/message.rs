//! `Message`: one frame.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use zmq_sys_wrap::{Api, zmq};

use crate::error::Result;
use crate::ffi::c_string;
use crate::ffi::message::RawMessage;

/// One frame: what the program made, to send, or what a socket received, with what is known of its sender.
///
/// It is made without a copy from `Vec<u8>`, `String`, `Box<[u8]>`, `Arc<[u8]>`, [`Bytes`] and, by
/// [`from_static`](Self::from_static), constants; by one copy from slices. Nothing is allocated for it but by libzmq (and, for a
/// [`Bytes`] of 256 bytes or more, a small record of its owner). Below 256 bytes a copy is cheaper than to remember who is to free
/// what, so it is copied, up to 33 bytes into the message itself. A received one becomes a [`Bytes`] without a copy (`into`).
///
/// ```
/// use bytes::Bytes;
/// use ironhouse::Message;
///
/// let map = Message::from(vec![7; 1 << 20]); //         sent from where it is
/// let copy = map.clone(); //                             the same bytes, not copied
/// let ok = Message::from_static(b"OK");
/// let text = Message::from(format!("{} is fine", ok.as_str().unwrap_or("?")));
/// assert_eq!((map[0], copy.len(), text.as_str()), (7, 1 << 20, Some("OK is fine")));
/// let received = Bytes::from(map); //                    not copied either
/// assert_eq!(received.len(), 1 << 20);
/// ```
///
/// Cloning a message never copies its content. What a sent frame was made of is freed by whoever is the last to use it, often a
/// thread of libzmq: the owner behind a [`Bytes`] must neither panic nor be the last to hold a [`Context`](super::Context) when it
/// is dropped.
#[doc(alias = "zmq_msg_t")]
#[doc(alias = "zframe_t")]
#[derive(Default)]
pub struct Message(Content);

enum Content {
    /// Made by the program; the socket that sends it makes libzmq's message of it.
    Plain(Bytes),
    /// The same, of data that live as long as the program.
    Static(&'static [u8]),
    /// A message of the library of the socket that received it, or of the one this program is linked with.
    Native(RawMessage),
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

    /// A frame of constant data, which are neither copied nor freed.
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        Self(Content::Static(bytes))
    }

    /// How many bytes it has.
    #[doc(alias = "zmq_msg_size")]
    pub fn len(&self) -> usize {
        match &self.0 {
            Content::Plain(bytes) => bytes.len(),
            Content::Static(bytes) => bytes.len(),
            Content::Native(message) => message.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether more frames of the same message follow. Always false for one that was not received.
    #[doc(alias = "zmq_msg_more")]
    pub fn more(&self) -> bool {
        matches!(&self.0, Content::Native(message) if message.more())
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
        let Content::Native(message) = &self.0 else {
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

    /// Whether its content may be shared with other messages: with clones of it, or with who sent it over inproc.
    ///
    /// Source: `zmq_msg_get(3)`, `ZMQ_SHARED`.
    #[doc(alias = "ZMQ_SHARED")]
    pub fn is_shared(&self) -> bool {
        match &self.0 {
            Content::Plain(bytes) => !bytes.is_unique(),
            Content::Static(_) => true,
            Content::Native(message) => message.get(zmq::ZMQ_SHARED) == 1,
        }
    }

    /// The descriptor of the connection it came by, which may be closed and used anew by now; `None` over inproc.
    ///
    /// libzmq calls it deprecated, because nothing keeps the descriptor open: only compare it with those of
    /// [`MonitorEvent`](super::MonitorEvent)s.
    ///
    /// Source: `zmq_msg_get(3)`, `ZMQ_SRCFD`.
    #[doc(alias = "ZMQ_SRCFD")]
    pub fn source_fd(&self) -> Option<i32> {
        match &self.0 {
            Content::Native(message) => Some(message.get(zmq::ZMQ_SRCFD)).filter(|fd| *fd >= 0),
            Content::Plain(_) | Content::Static(_) => None,
        }
    }

    /// As libzmq has it, if it has.
    #[cfg(feature = "draft")]
    pub(super) fn raw(&self) -> Option<&RawMessage> {
        match &self.0 {
            Content::Native(message) => Some(message),
            Content::Plain(_) | Content::Static(_) => None,
        }
    }

    pub(crate) fn received(message: RawMessage) -> Self {
        Self(Content::Native(message))
    }

    /// Has `recv` put a message of the library behind `api` in the place of what this one held.
    pub(super) fn replace(
        &mut self,
        api: &'static Api,
        recv: impl FnOnce(&mut RawMessage) -> Result<()>,
    ) -> Result<()> {
        match &mut self.0 {
            Content::Native(message) if std::ptr::eq(message.api(), api) => recv(message),
            other => {
                let mut message = RawMessage::new(api);
                recv(&mut message)?;
                *other = Content::Native(message);
                Ok(())
            }
        }
    }

    /// As the library behind `api` takes it, if it is one of its messages already.
    pub(super) fn native(&mut self, api: &'static Api) -> Option<&mut RawMessage> {
        match &mut self.0 {
            Content::Native(message) if std::ptr::eq(message.api(), api) => Some(message),
            _ => None,
        }
    }

    /// The message as the library behind `api` takes it.
    #[inline]
    pub(crate) fn into_raw(self, api: &'static Api) -> Result<RawMessage> {
        match self.0 {
            Content::Plain(bytes) => RawMessage::from_bytes(api, bytes),
            Content::Static(bytes) => RawMessage::from_static(api, bytes),
            Content::Native(message) if std::ptr::eq(message.api(), api) => Ok(message),
            Content::Native(message) => RawMessage::copy_of(api, message.bytes()),
        }
    }
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Content::Plain(bytes) => bytes,
            Content::Static(bytes) => bytes,
            Content::Native(message) => message.bytes(),
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
            Content::Static(bytes) => Self::from_static(bytes),
            // zmq_msg_copy can only fail for an invalid message, which ours is not; a copy of the bytes would do as well.
            Content::Native(message) => message
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

/// Without a copy, from 256 bytes on.
impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        #[cfg(feature = "linked")]
        let bytes = match RawMessage::from_vec(Api::linked(), bytes) {
            Ok(message) => return Self(Content::Native(message)),
            Err(bytes) => bytes,
        };
        Bytes::from(bytes).into()
    }
}

/// Without a copy, from 256 bytes on.
impl From<Box<[u8]>> for Message {
    fn from(bytes: Box<[u8]>) -> Self {
        bytes.into_vec().into()
    }
}

/// Without a copy, from 256 bytes on.
impl From<Arc<[u8]>> for Message {
    fn from(bytes: Arc<[u8]>) -> Self {
        #[cfg(feature = "linked")]
        let bytes = match RawMessage::from_arc(Api::linked(), bytes) {
            Ok(message) => return Self(Content::Native(message)),
            Err(bytes) => bytes,
        };
        Bytes::from_owner(bytes).into()
    }
}

/// Without a copy, from 256 bytes on.
impl From<String> for Message {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

/// Copies.
impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        // Straight into libzmq's memory, where it is known whose.
        #[cfg(feature = "linked")]
        if let Ok(message) = RawMessage::copy_of(Api::linked(), bytes) {
            return Self(Content::Native(message));
        }
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
impl<const N: usize> From<[u8; N]> for Message {
    fn from(bytes: [u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

/// Copies.
impl From<&str> for Message {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

/// Without a copy, but for the few bytes that libzmq keeps in the message itself.
impl From<Message> for Bytes {
    fn from(message: Message) -> Self {
        match message.0 {
            Content::Plain(bytes) => bytes,
            Content::Static(bytes) => Bytes::from_static(bytes),
            Content::Native(message) if message.len() <= INLINE => {
                Bytes::copy_from_slice(message.bytes())
            }
            Content::Native(message) => Bytes::from_owner(Owner(message)),
        }
    }
}

/// Up to this size libzmq keeps the content in the message itself, at most.
const INLINE: usize = 33;

struct Owner(RawMessage);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}
