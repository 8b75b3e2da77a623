//! `ProtocolError`: how a handshake breaks the protocol.

use std::fmt;

use zmq_sys_wrap::zmq;

/// How a handshake broke the protocol, as a number of `zmq.h` (`ZMQ_PROTOCOL_ERROR_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProtocolError(pub u32);

impl ProtocolError {
    /// What the peer sent is no ZMTP.
    pub const ZMTP_UNSPECIFIED: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_UNSPECIFIED);
    /// A command came out of order.
    pub const UNEXPECTED_COMMAND: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_UNEXPECTED_COMMAND);
    /// Commands came in a wrong sequence.
    pub const INVALID_SEQUENCE: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_INVALID_SEQUENCE);
    /// The key exchange failed.
    pub const KEY_EXCHANGE: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE);
    /// A command is malformed.
    pub const MALFORMED_COMMAND: Self =
        Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_UNSPECIFIED);
    /// A MESSAGE command is malformed.
    pub const MALFORMED_MESSAGE: Self =
        Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_MESSAGE);
    /// A HELLO command is malformed.
    pub const MALFORMED_HELLO: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_HELLO);
    /// An INITIATE command is malformed.
    pub const MALFORMED_INITIATE: Self =
        Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_INITIATE);
    /// An ERROR command is malformed.
    pub const MALFORMED_ERROR: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_ERROR);
    /// A READY command is malformed.
    pub const MALFORMED_READY: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_READY);
    /// A WELCOME command is malformed.
    pub const MALFORMED_WELCOME: Self =
        Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_WELCOME);
    /// The peer's metadata are malformed, or its socket type does not go with ours.
    pub const INVALID_METADATA: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_INVALID_METADATA);
    /// What was encrypted could not be opened: a wrong key.
    pub const CRYPTOGRAPHIC: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC);
    /// The two peers have different mechanisms.
    pub const MECHANISM_MISMATCH: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH);
    /// The authenticator's answer is no ZAP reply.
    pub const ZAP_UNSPECIFIED: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZAP_UNSPECIFIED);
    /// The authenticator's answer has another number of frames.
    pub const ZAP_MALFORMED_REPLY: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZAP_MALFORMED_REPLY);
    /// The authenticator's answer is to another request.
    pub const ZAP_BAD_REQUEST_ID: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZAP_BAD_REQUEST_ID);
    /// The authenticator's answer is of another version of ZAP.
    pub const ZAP_BAD_VERSION: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZAP_BAD_VERSION);
    /// The authenticator answered a status that ZAP does not have.
    pub const ZAP_INVALID_STATUS_CODE: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZAP_INVALID_STATUS_CODE);
    /// The authenticator's metadata are malformed.
    pub const ZAP_INVALID_METADATA: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_ZAP_INVALID_METADATA);
    /// The peer speaks no WebSocket.
    pub const WS_UNSPECIFIED: Self = Self(zmq::ZMQ_PROTOCOL_ERROR_WS_UNSPECIFIED);
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            zmq::ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH => {
                "the peers have different security mechanisms"
            }
            zmq::ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC => {
                "what the peer encrypted cannot be opened: a wrong key"
            }
            zmq::ZMQ_PROTOCOL_ERROR_ZMTP_UNEXPECTED_COMMAND => "a command out of order",
            zmq::ZMQ_PROTOCOL_ERROR_ZMTP_INVALID_SEQUENCE => "commands in a wrong sequence",
            zmq::ZMQ_PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE => "the key exchange failed",
            zmq::ZMQ_PROTOCOL_ERROR_ZMTP_INVALID_METADATA => "malformed metadata",
            n if n >> 28 == 2 => return write!(f, "a bad answer of the authenticator (0x{n:08x})"),
            n => return write!(f, "a malformed command (0x{n:08x})"),
        };
        f.write_str(text)
    }
}
