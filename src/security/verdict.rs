//! Decisions by the application: what its callback is told, and what it answers.

use std::fmt;
use std::sync::Arc;

use super::address::PeerAddress;
use super::audit::Reason;
use super::keys::PublicKey;
use super::passwords::Proof;
use super::zap::{Metadata, Properties, StatusCode, UserId, ZapProblem, ZapReply};

/// What a callback is told of a peer that comes by CURVE. Its key is proven: libzmq asks only after the peer has shown that it has the secret one.
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
#[must_use]
pub struct Verdict {
    status: StatusCode,
    user_id: Option<String>,
    metadata: Vec<(String, String)>,
}

impl Verdict {
    /// Admit (200); the User-Id is the peer's public key in Z85, or its principal, unless set.
    pub fn admit() -> Self {
        Self::new(StatusCode::Success)
    }

    /// Refuse: 400, or 300 where the policy's [`Refusal`](super::Refusal) says so.
    pub fn refuse() -> Self {
        Self::new(StatusCode::AuthenticationFailure)
    }

    /// Not now (300): the peer comes back.
    pub fn retry() -> Self {
        Self::new(StatusCode::TemporaryError)
    }

    /// Something broke (500): libzmq's client does not come back by itself.
    pub fn fail() -> Self {
        Self::new(StatusCode::InternalError)
    }

    fn new(status: StatusCode) -> Self {
        Self {
            status,
            user_id: None,
            metadata: Vec::new(),
        }
    }

    /// Sets the User-Id that [`Message::user_id`](crate::socket::Message::user_id) shows.
    pub fn user_id(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }

    /// Adds a property that [`Message::property`](crate::socket::Message::property) shows.
    ///
    /// A name takes 1 to 255 bytes and must not be libzmq's own (`User-Id`, `Socket-Type` …), all together at most 64 KiB; else the
    /// peer is told to try again, and the audit says why.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((name.into(), value.into()));
        self
    }
}

/// A reply, and the reason for the audit.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) reply: ZapReply,
    pub(crate) reason: Reason,
    /// By what a user was admitted.
    pub(crate) proof: Option<Box<Proof>>,
}

impl Outcome {
    pub(crate) fn admitted(user_id: UserId, metadata: impl Into<Properties>) -> Self {
        let reply = ZapReply {
            status: StatusCode::Success,
            user_id,
            metadata: metadata.into(),
            admission: None,
        };
        Self {
            reply,
            reason: Reason::Admitted,
            proof: None,
        }
    }

    pub(crate) fn refused(status: StatusCode, reason: Reason) -> Self {
        Self {
            reply: ZapReply::refusal(status),
            reason,
            proof: None,
        }
    }

    /// A fault of ours: the peer may come back.
    pub(crate) fn fault(reason: Reason) -> Self {
        Self::refused(StatusCode::TemporaryError, reason)
    }
}

/// Decides on a peer `P`.
pub(crate) type Callback<P> = Arc<dyn Fn(P, Reply) + Send + Sync>;

/// The answer to one peer, to be given now or later, by any thread. Dropped without an answer, it tells the peer to try again.
///
/// An answer after the authenticator's deadline comes too late: the peer was told to try again.
#[must_use = "a reply that is dropped tells the peer to try again"]
pub struct Reply {
    sink: Option<Box<dyn FnOnce(Outcome) + Send>>,
    /// The peer's, unless the verdict says otherwise.
    user_id: UserId,
    /// What a refusal is, by the policy.
    refused: Option<Outcome>,
}

impl Reply {
    pub(crate) fn new(
        user_id: UserId,
        refused: Outcome,
        sink: impl FnOnce(Outcome) + Send + 'static,
    ) -> Self {
        Self {
            sink: Some(Box::new(sink)),
            user_id,
            refused: Some(refused),
        }
    }

    /// Answers.
    pub fn answer(mut self, verdict: Verdict) {
        let outcome = match verdict.status {
            StatusCode::Success => self
                .admission(verdict)
                .unwrap_or_else(|_| Outcome::fault(Reason::CallbackMetadata)),
            StatusCode::TemporaryError => Outcome::fault(Reason::CallbackDeferred),
            StatusCode::InternalError => {
                Outcome::refused(StatusCode::InternalError, Reason::CallbackFailed)
            }
            StatusCode::AuthenticationFailure => self
                .refused
                .take()
                .unwrap_or_else(|| Outcome::fault(Reason::CallbackSilent)),
        };
        self.give(outcome);
    }

    fn admission(&mut self, verdict: Verdict) -> Result<Outcome, ZapProblem> {
        let mut metadata = Metadata::default();
        for (name, value) in &verdict.metadata {
            metadata.push(name, value)?;
        }
        let user_id = match verdict.user_id {
            Some(text) => UserId::Text(text.into_bytes()),
            None => std::mem::take(&mut self.user_id),
        };
        Ok(Outcome::admitted(user_id, metadata))
    }

    fn give(&mut self, outcome: Outcome) {
        if let Some(sink) = self.sink.take() {
            sink(outcome);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        self.give(Outcome::fault(if panicked {
            Reason::CallbackPanicked
        } else {
            Reason::CallbackSilent
        }));
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user_id = match &self.user_id {
            UserId::Key(key) => key.to_string(),
            UserId::Text(text) => String::from_utf8_lossy(text).into_owned(),
        };
        write!(f, "Reply({user_id:?}, ..)")
    }
}
