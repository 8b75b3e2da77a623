//! Who a peer says it is.

use std::borrow::Cow;
use std::fmt;

use crate::security::keys::PublicKey;
use crate::security::zap::Credential;

/// Who a peer is, as its credential says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerIdentity {
    /// Nobody in particular (NULL).
    Anonymous,
    /// A user with a password (PLAIN).
    User(String),
    /// The holder of a key (CURVE).
    Key(PublicKey),
    /// A Kerberos principal (GSSAPI).
    Principal(String),
}

impl PeerIdentity {
    /// The user's name, the public key in Z85, or the principal; `None` for nobody in particular.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        match self {
            PeerIdentity::Anonymous => None,
            PeerIdentity::User(name) | PeerIdentity::Principal(name) => Some(name.into()),
            PeerIdentity::Key(key) => Some(key.to_string().into()),
        }
    }

    pub(in crate::security) fn of(credential: &Credential<'_>) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match credential {
            Credential::Null => Self::Anonymous,
            Credential::Plain { name, .. } => Self::User(text(name)),
            Credential::Curve(key) => Self::Key(*key),
            Credential::Gssapi { principal } => Self::Principal(text(principal)),
        }
    }
}

/// The name, the key in Z85 and its fingerprint, or "anonymous".
impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Key(key) => write!(f, "{key} ({})", key.fingerprint()),
            Self::User(name) | Self::Principal(name) => name.escape_debug().fmt(f),
        }
    }
}
