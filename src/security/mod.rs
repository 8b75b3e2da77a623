//! Keys, certificates, stores, policies, and the authenticator that applies them.

pub mod certificate;
mod directory;
mod events;
pub mod file;
mod generation;
mod holders;
pub mod keys;
pub mod store;
mod trail;
mod watcher;
pub mod zpl;

pub use certificate::{Certificate, SecretCertificate};
pub use file::{FileKind, FileProblem};
pub use keys::{KeyProblem, Keypair, Password, PasswordProblem, PublicKey, SecretKey};
pub use store::{CertificateStore, Watching};
pub use zpl::SyntaxProblem;

/// A ZAP message that breaks RFC 27.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZapProblem {
    /// Wrong number of frames.
    #[error("a ZAP request of {0} frames")]
    FrameCount(usize),
}
