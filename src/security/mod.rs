//! Keys, certificates, stores, policies, and the authenticator that applies them.

pub mod file;
pub mod keys;

pub use file::FileProblem;
pub use keys::KeyProblem;

/// A ZAP message that breaks RFC 27.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZapProblem {
    /// Wrong number of frames.
    #[error("a ZAP request of {0} frames")]
    FrameCount(usize),
}
