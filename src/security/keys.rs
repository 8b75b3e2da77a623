//! Keys.

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// Not 40 characters of Z85.
    #[error("a key is 40 characters of Z85, not {0}")]
    Length(usize),
}
