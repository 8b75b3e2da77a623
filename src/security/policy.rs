//! `Policy`: who may connect to the sockets of one domain.

use std::fmt;
use std::sync::Arc;

use super::address::{AddressSet, Cidr, PeerAddress};
use super::audit::Reason;
use super::keys::PublicKey;
use super::passwords::PasswordFile;
use super::store::CertificateStore;
use super::zap::{Credential, Metadata, StatusCode, ZapProblem, ZapReply, ZapRequest};

/// Who may connect to the sockets of one domain, by address, mechanism and credential, in this order.
///
/// A new policy refuses everybody; each method opens one door:
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::{CurvePolicy, Policy};
/// let policy = Policy::new().allow("10.0.0.0/8".parse()?).curve(CurvePolicy::any_key());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Policy {
    allow: AddressSet,
    deny: AddressSet,
    null: bool,
    plain: Option<Arc<PasswordFile>>,
    curve: Option<CurvePolicy>,
    refusal: Refusal,
}

/// What a refused peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Refusal {
    /// Status 400: libzmq's client never connects again by itself, though its `send` goes on succeeding. A certificate added
    /// later helps only a client that disconnects and connects anew.
    #[default]
    Final,
    /// Status 300: the connection stays open and silent until the *server's* [`HANDSHAKE_IVL`](crate::socket::options::HANDSHAKE_IVL)
    /// ends; then libzmq's client connects again, for ever.
    Retry,
}

/// Which keys a [`Policy`] admits.
#[derive(Clone)]
pub struct CurvePolicy(Curve);

type Callback = dyn Fn(&Peer) -> Verdict + Send + Sync;

#[derive(Clone)]
enum Curve {
    AnyKey,
    Store(Arc<CertificateStore>),
    Callback(Arc<Callback>),
}

/// What a callback is told of a peer. Its key is proven: libzmq asks only after the peer has shown that it has the secret one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Peer {
    /// The domain of the socket that it wants to connect to.
    pub domain: String,
    /// Where it is.
    pub address: PeerAddress,
    /// Its public key.
    pub key: PublicKey,
}

/// What a callback decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    status: StatusCode,
    user_id: Option<String>,
    metadata: Vec<(String, String)>,
}

impl Policy {
    /// A policy that refuses everybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Admits peers of these addresses only, and of those that other calls allow. Without any, the address does not matter.
    ///
    /// A peer without an IP address (over ipc) is on no such list.
    pub fn allow(mut self, block: Cidr) -> Self {
        self.allow.insert(block);
        self
    }

    /// Refuses peers of these addresses, whatever else allows them.
    pub fn deny(mut self, block: Cidr) -> Self {
        self.deny.insert(block);
        self
    }

    /// Admits peers without any credential, by their address alone: the NULL mechanism.
    pub fn null(mut self) -> Self {
        self.null = true;
        self
    }

    /// Admits peers that know a name and its password. Both travel in clear text.
    pub fn plain(mut self, passwords: impl Into<Arc<PasswordFile>>) -> Self {
        self.plain = Some(passwords.into());
        self
    }

    /// Admits peers by their public key.
    pub fn curve(mut self, keys: CurvePolicy) -> Self {
        self.curve = Some(keys);
        self
    }

    /// What refused peers are told; [`Refusal::Final`] unless set.
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// Judges a request from what is in memory.
    pub(crate) fn judge(&self, request: &ZapRequest<'_>) -> Judgement {
        if self.deny.contains(&request.address) {
            return self.refuse(Reason::AddressDenied);
        }
        if !self.allow.is_empty() && !self.allow.contains(&request.address) {
            return self.refuse(Reason::AddressNotAllowed);
        }
        match (&request.credential, &self.plain, &self.curve) {
            (Credential::Null, ..) if self.null => {
                Judgement::admit(Vec::new(), Metadata::default())
            }
            (Credential::Plain { name, password }, Some(passwords), _) => {
                if passwords.check(name, password) {
                    Judgement::admit(name.to_vec(), Metadata::default())
                } else {
                    self.refuse(Reason::WrongPassword)
                }
            }
            (Credential::Curve(key), _, Some(CurvePolicy(keys))) => {
                self.judge_key(key, keys, request)
            }
            _ => self.refuse(Reason::MechanismNotAllowed),
        }
    }

    fn judge_key(&self, key: &PublicKey, keys: &Curve, request: &ZapRequest<'_>) -> Judgement {
        if key.usable().is_err() {
            return self.refuse(Reason::UnknownKey);
        }
        match keys {
            Curve::AnyKey => Judgement::admit(key.to_string().into_bytes(), Metadata::default()),
            Curve::Store(store) => match store.lookup(key) {
                Some(certificate) => {
                    let mut metadata = Metadata::default();
                    for (name, value) in certificate.metadata() {
                        // Names that libzmq keeps for itself are not for a certificate to set; the file's size bounds the rest.
                        let _ = metadata.push(name, value);
                    }
                    Judgement::admit(key.to_string().into_bytes(), metadata)
                }
                None => Judgement::NotInStore {
                    store: store.clone(),
                    refused: self.refused(Reason::UnknownKey),
                },
            },
            Curve::Callback(callback) => Judgement::Ask(Question {
                callback: callback.clone(),
                peer: Peer {
                    domain: request.domain.unwrap_or_default().to_owned(),
                    address: request.address.clone(),
                    key: *key,
                },
                refused: self.refused(Reason::CallbackRefused),
            }),
        }
    }

    fn refuse(&self, reason: Reason) -> Judgement {
        Judgement::Decided(self.refused(reason))
    }

    fn refused(&self, reason: Reason) -> Outcome {
        let status = match self.refusal {
            Refusal::Final => StatusCode::AuthenticationFailure,
            Refusal::Retry => StatusCode::TemporaryError,
        };
        Outcome {
            reply: ZapReply::refusal(status),
            reason,
        }
    }
}

impl CurvePolicy {
    /// Admits whoever encrypts, without asking who it is ("Stonehouse").
    pub fn any_key() -> Self {
        Self(Curve::AnyKey)
    }

    /// Admits the keys of the certificates in `store` ("Ironhouse"). The certificate's metadata are properties of every message
    /// the peer sends.
    pub fn store(store: impl Into<Arc<CertificateStore>>) -> Self {
        Self(Curve::Store(store.into()))
    }

    /// Admits whom `callback` admits. It runs on a thread of the authenticator's pool and delays nobody but its own peer; one that
    /// panics admits nobody.
    pub fn callback(callback: impl Fn(&Peer) -> Verdict + Send + Sync + 'static) -> Self {
        Self(Curve::Callback(Arc::new(callback)))
    }
}

impl fmt::Debug for CurvePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Curve::AnyKey => "CurvePolicy::any_key()",
            Curve::Store(_) => "CurvePolicy::store(..)",
            Curve::Callback(_) => "CurvePolicy::callback(..)",
        })
    }
}

impl Verdict {
    /// Admit; the User-Id is the peer's public key in Z85 unless set.
    pub fn admit() -> Self {
        Self {
            status: StatusCode::Success,
            user_id: None,
            metadata: Vec::new(),
        }
    }

    /// Refuse, as the policy's [`Refusal`] says.
    pub fn refuse() -> Self {
        Self {
            status: StatusCode::AuthenticationFailure,
            ..Self::admit()
        }
    }

    /// Not now: status 300, whatever the policy's [`Refusal`].
    pub fn retry() -> Self {
        Self {
            status: StatusCode::TemporaryError,
            ..Self::admit()
        }
    }

    /// Sets the User-Id that [`Message::user_id`](crate::socket::Message::user_id) shows.
    pub fn user_id(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }

    /// Adds a property that [`Message::property`](crate::socket::Message::property) shows.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((name.into(), value.into()));
        self
    }
}

/// What a policy makes of a request.
pub(crate) enum Judgement {
    Decided(Outcome),
    /// The key is not in the store: `refused`, once the store is known to be current.
    NotInStore {
        store: Arc<CertificateStore>,
        refused: Outcome,
    },
    /// The application decides.
    Ask(Question),
}

impl Judgement {
    fn admit(user_id: Vec<u8>, metadata: Metadata) -> Self {
        let reply = ZapReply {
            status: StatusCode::Success,
            user_id,
            metadata,
        };
        Self::Decided(Outcome {
            reply,
            reason: Reason::Admitted,
        })
    }
}

/// A reply, and the reason for the audit.
pub(crate) struct Outcome {
    pub(crate) reply: ZapReply,
    pub(crate) reason: Reason,
}

impl Outcome {
    /// A fault of ours: the peer may come back.
    pub(crate) fn fault(reason: Reason) -> Self {
        Self {
            reply: ZapReply::refusal(StatusCode::TemporaryError),
            reason,
        }
    }
}

/// A decision that the application's callback makes, which may take its time.
pub(crate) struct Question {
    callback: Arc<Callback>,
    peer: Peer,
    refused: Outcome,
}

impl Question {
    /// Asks. May block, and may panic.
    pub(crate) fn ask(self) -> Outcome {
        let verdict = (self.callback)(&self.peer);
        match verdict.status {
            StatusCode::Success => Self::admission(verdict, &self.peer)
                .unwrap_or_else(|_| Outcome::fault(Reason::CallbackMetadata)),
            StatusCode::TemporaryError => Outcome::fault(Reason::CallbackDeferred),
            StatusCode::AuthenticationFailure => self.refused,
        }
    }

    fn admission(verdict: Verdict, peer: &Peer) -> Result<Outcome, ZapProblem> {
        let mut metadata = Metadata::default();
        for (name, value) in &verdict.metadata {
            metadata.push(name, value)?;
        }
        let user_id = verdict
            .user_id
            .unwrap_or_else(|| peer.key.to_string())
            .into_bytes();
        let reply = ZapReply {
            status: StatusCode::Success,
            user_id,
            metadata,
        };
        Ok(Outcome {
            reply,
            reason: Reason::Admitted,
        })
    }
}
