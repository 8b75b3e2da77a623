//! What a policy makes of a request, at once or by asking others.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::security::lockouts::Guard;
use crate::security::passwords::PasswordFile;
use crate::security::store::CertificateStore;
use crate::security::verdict::{Callback, Outcome, Reply};
use crate::security::zap::{Metadata, UserId};

/// What a policy makes of a request.
pub(crate) enum Judgement {
    Decided(Outcome),
    /// The key is in none of the stores, or its certificates do not admit now: `refused`, once they are known to be current.
    NotInStores {
        stores: Vec<Arc<CertificateStore>>,
        refused: Outcome,
    },
    /// Something decides that may take its time.
    Ask(Box<Question>),
}

/// A decision that may take its time.
pub(crate) enum Question {
    /// Another, which is not asked if its peer is locked out by then.
    Guarded {
        guard: Guard,
        question: Box<Question>,
    },
    /// Does the application admit this peer?
    Callback {
        ask: Box<dyn FnOnce(Reply) + Send>,
        /// The peer's, unless the application says otherwise.
        user_id: UserId,
        refused: Outcome,
    },
    /// Is this the user's password? Takes a hash, or asks the disk whether the file has changed.
    Password {
        passwords: Arc<PasswordFile>,
        name: Vec<u8>,
        password: Zeroizing<Vec<u8>>,
        refused: Outcome,
    },
}

impl Question {
    pub(crate) fn callback<P: Send + 'static>(
        callback: &Callback<P>,
        peer: P,
        user_id: UserId,
        refused: Outcome,
    ) -> Box<Self> {
        let callback = callback.clone();
        Box::new(Self::Callback {
            ask: Box::new(move |reply| callback(peer, reply)),
            user_id,
            refused,
        })
    }

    /// Asks. May block, and may panic. `sink` gets the answer in any case, once, now or later.
    pub(crate) fn ask(self, sink: impl FnOnce(Outcome) + Send + 'static) {
        match self {
            Question::Guarded { guard, question } => guard.ask(*question, Box::new(sink)),
            Question::Callback {
                ask,
                user_id,
                refused,
            } => ask(Reply::new(user_id, refused, sink)),
            Question::Password {
                passwords,
                name,
                password,
                refused,
            } => {
                sink(check_password(&passwords, name, &password, refused));
            }
        }
    }
}

/// Asks for a password.
pub(super) fn check_password(
    passwords: &PasswordFile,
    name: Vec<u8>,
    password: &[u8],
    refused: Outcome,
) -> Outcome {
    match passwords.prove(&name, password) {
        None => refused,
        proof => Outcome {
            proof,
            ..Outcome::admitted(UserId::Text(name), Metadata::new())
        },
    }
}
