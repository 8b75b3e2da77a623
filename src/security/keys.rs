//! Curve25519 keys with their Z85 text, and passwords.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::str::FromStr;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::ffi::locked::LockedBytes;
use crate::ffi::sodium::{self, KEY_BYTES, SecretBytes};
use crate::security::file::FileProblem;

/// Characters of a key's Z85 text.
pub(crate) const TEXT_CHARS: usize = KEY_BYTES / 4 * 5;

/// Source: RFC 32/Z85.
const DIGITS: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// How many pairs of digits there are.
const PAIR: u32 = 85 * 85;

/// Every pair of digits: two at a time cost half the divisions.
static PAIRS: [[u8; 2]; PAIR as usize] = {
    let mut pairs = [[0; 2]; PAIR as usize];
    let mut n = 0;
    while n < pairs.len() {
        #[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
        {
            pairs[n] = [DIGITS[n / 85], DIGITS[n % 85]];
        }
        n += 1;
    }
    pairs
};

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// Not 40 characters of Z85.
    #[error("a key is 40 characters of Z85, not {0}")]
    Length(usize),
    /// All zero: what other software makes of a text that it could not decode.
    #[error("a key of zeros belongs to nobody: make a new pair")]
    Zero,
    /// The public key is not the one that belongs to the secret key.
    #[error(
        "the public key does not belong to the secret key: make a new pair, or restore the file"
    )]
    Mismatch,
    /// Not 20 digits of a fingerprint.
    #[error(
        "a fingerprint is 5 groups of 4 digits and letters, none of them U, such as eq3g-xrs3-wcg3-fcem-an2d"
    )]
    Fingerprint,
}

/// Why a text is no key; becomes an [`Error`] or, in a file, a [`FileProblem`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TextProblem {
    Key(KeyProblem),
    Z85 { position: usize },
}

impl From<TextProblem> for Error {
    fn from(problem: TextProblem) -> Self {
        match problem {
            TextProblem::Key(problem) => Self::Key(problem),
            TextProblem::Z85 { position } => Self::Z85 { position },
        }
    }
}

impl From<TextProblem> for FileProblem {
    fn from(problem: TextProblem) -> Self {
        match problem {
            TextProblem::Key(problem) => Self::Key(problem),
            TextProblem::Z85 { position } => Self::Z85 { position },
        }
    }
}

/// Decodes exactly 40 characters of Z85 that are not all zero.
fn decode(text: &str) -> Result<SecretBytes, TextProblem> {
    let mut key = Box::new(Zeroizing::new([0; KEY_BYTES]));
    decode_into(&mut key, text)?;
    Ok(key)
}

fn decode_into(key: &mut [u8; KEY_BYTES], text: &str) -> Result<(), TextProblem> {
    decode_z85(key, text)?;
    not_zero(key).map_err(TextProblem::Key)
}

/// Decodes Z85 of just as many characters as make these bytes, a multiple of 4.
pub(crate) fn decode_z85(bytes: &mut [u8], text: &str) -> Result<(), TextProblem> {
    let (length, wanted) = (text.chars().count(), bytes.len() / 4 * 5);
    if length != wanted {
        return Err(TextProblem::Key(KeyProblem::Length(length)));
    }
    if let Some(position) = text.chars().position(|c| !c.is_ascii()) {
        return Err(TextProblem::Z85 { position });
    }
    // The crate z85 takes a last group that begins with '#' as padding of its own making; in Z85 such a group
    // exceeds 32 bits.
    let last = wanted.saturating_sub(5);
    let decoded = Zeroizing::new(z85::decode(text).map_err(|problem| TextProblem::Z85 {
        position: match problem {
            z85::DecodeError::InvalidByte(position, _)
            | z85::DecodeError::InvalidChunk(position) => position.min(last + 4),
            _ => last,
        },
    })?);
    if decoded.len() != bytes.len() {
        return Err(TextProblem::Z85 { position: last });
    }
    bytes.copy_from_slice(&decoded);
    Ok(())
}

/// Refuses a key of zeros, in constant time.
pub(crate) fn not_zero(key: &[u8; KEY_BYTES]) -> Result<(), KeyProblem> {
    if key.ct_eq(&[0; KEY_BYTES]).into() {
        Err(KeyProblem::Zero)
    } else {
        Ok(())
    }
}

/// A CURVE public key: 32 bytes, written as 40 characters of Z85.
///
/// [`FromStr`] refuses what is not exactly 40 characters of Z85, and the key of zeros.
///
/// Source: RFC 26/CURVEZMQ; RFC 32/Z85.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// Takes the key's 32 bytes as they are, such as a peer presented them.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Refuses the key of zeros, which must never be admitted: whoever failed to decode a key has it.
    ///
    /// # Errors
    /// [`KeyProblem::Zero`].
    pub fn usable(self) -> Result<Self, KeyProblem> {
        if self.0 == [0; KEY_BYTES] {
            return Err(KeyProblem::Zero);
        }
        Ok(self)
    }

    /// The key's text, without an allocation: the reply to everybody who is admitted has it.
    pub(crate) fn to_z85(self) -> [u8; TEXT_CHARS] {
        let mut text = [0; TEXT_CHARS];
        let pair = |n: u32| PAIRS.get(n as usize).copied().unwrap_or_default();
        for (group, digits) in self.0.chunks_exact(4).zip(text.chunks_exact_mut(5)) {
            let group = group.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
            let [_, a] = pair(group / PAIR / PAIR);
            let [b, c] = pair(group / PAIR % PAIR);
            let [d, e] = pair(group % PAIR);
            digits.copy_from_slice(&[a, b, c, d, e]);
        }
        text
    }

    /// As [`FromStr`], for text in a file.
    pub(crate) fn parse(text: &str) -> Result<Self, TextProblem> {
        let mut key = [0; KEY_BYTES];
        decode_into(&mut key, text)?;
        Ok(Self(key))
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(Self::parse(text)?)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.to_z85()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A CURVE secret key: 32 bytes, wiped when dropped; compared by [`SecretKey::ct_eq`] only.
///
/// Source: RFC 26/CURVEZMQ.
pub struct SecretKey(Bytes);

/// Where the bytes of a secret key are.
enum Bytes {
    Heap(SecretBytes),
    Locked(LockedBytes),
}

impl Deref for Bytes {
    type Target = [u8; KEY_BYTES];

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Locked(bytes) => bytes,
        }
    }
}

impl SecretKey {
    /// Reads 40 characters of Z85.
    ///
    /// # Errors
    /// [`Error::Key`]: not 40 characters, or the key of zeros. [`Error::Z85`]: not Z85.
    pub fn from_z85(text: &str) -> Result<Self> {
        Ok(Self::parse(text)?)
    }

    /// Copies the key's 32 bytes; wiping the original is the caller's part.
    ///
    /// # Errors
    /// [`Error::Key`]: the key of zeros.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self> {
        not_zero(bytes)?;
        let mut key = Box::new(Zeroizing::new([0; KEY_BYTES]));
        key.copy_from_slice(bytes);
        Ok(Self(Bytes::Heap(key)))
    }

    /// As [`SecretKey::from_z85`], for text in a file.
    pub(crate) fn parse(text: &str) -> Result<Self, TextProblem> {
        decode(text).map(|key| Self(Bytes::Heap(key)))
    }

    /// The same key on a page of memory of its own, which is never written to swap space or a core dump; the place where it was is wiped.
    ///
    /// That holds for this value. Copies made of it, such as libzmq's own for an open socket, lie in ordinary memory; `mlockall(2)`, or a
    /// machine without swap space or with an encrypted one, protects those too.
    ///
    /// # Errors
    /// [`Error::Os`]: more than `RLIMIT_MEMLOCK` allows; a key takes a page, most often 4 KiB.
    #[doc(alias = "sodium_mlock")]
    #[doc(alias = "mlock")]
    pub fn locked(self) -> Result<Self> {
        match self.0 {
            Bytes::Heap(bytes) => Ok(Self(Bytes::Locked(
                LockedBytes::new(&bytes).map_err(not_locked)?,
            ))),
            locked => Ok(Self(locked)),
        }
    }

    /// The key as 40 characters of Z85.
    pub fn expose_z85(&self) -> Zeroizing<String> {
        Zeroizing::new(z85::encode(self.0.as_slice()))
    }

    /// The key's 32 bytes, in place: whoever copies them must wipe the copy.
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public key that belongs to this one.
    ///
    /// # Errors
    /// [`Error::Os`]: libsodium failed.
    pub fn public_key(&self) -> Result<PublicKey> {
        sodium::public_from_secret(&self.0).map(PublicKey)
    }

    /// Whether both are the same key, in constant time.
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_slice()).into()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

fn not_locked(error: io::Error) -> Error {
    Error::Os {
        call: "mlock",
        source: io::Error::new(
            error.kind(),
            format!(
                "no page of memory can be locked for a secret key: {error}; raise RLIMIT_MEMLOCK (`ulimit -l`, or `LimitMEMLOCK=` in a systemd unit)"
            ),
        ),
    }
}

/// A public key and the secret key that belongs to it.
#[derive(Debug)]
pub struct Keypair {
    public: PublicKey,
    secret: SecretKey,
}

impl Keypair {
    /// Makes a new pair.
    ///
    /// # Errors
    /// [`Error::Os`]: libsodium found no random numbers.
    ///
    /// Source: `zmq_curve_keypair(3)`.
    #[doc(alias = "zmq_curve_keypair")]
    pub fn generate() -> Result<Self> {
        let (public, secret) = sodium::keypair()?;
        Ok(Self {
            public: PublicKey(public),
            secret: SecretKey(Bytes::Heap(secret)),
        })
    }

    /// Completes a secret key with its public key.
    ///
    /// # Errors
    /// [`Error::Os`]: libsodium failed.
    ///
    /// Source: `zmq_curve_public(3)`.
    #[doc(alias = "zmq_curve_public")]
    pub fn from_secret(secret: SecretKey) -> Result<Self> {
        Ok(Self {
            public: secret.public_key()?,
            secret,
        })
    }

    /// The same pair, the secret key in locked memory: see [`SecretKey::locked`].
    ///
    /// # Errors
    /// [`Error::Os`]: more than `RLIMIT_MEMLOCK` allows.
    pub fn locked(self) -> Result<Self> {
        Ok(Self {
            public: self.public,
            secret: self.secret.locked()?,
        })
    }

    /// The public key.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The secret key.
    pub const fn secret(&self) -> &SecretKey {
        &self.secret
    }
}

/// Longest user name and password in bytes.
///
/// Source: RFC 24/PLAIN; `zmq_setsockopt(3)`, `ZMQ_PLAIN_PASSWORD`.
pub(crate) const PLAIN_LIMIT: usize = 255;

/// Why a text cannot be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordProblem {
    /// Nothing to know, so nothing that proves anything.
    #[error("an empty password lets anybody in: set one")]
    Empty,
    /// Longer than the mechanism can carry.
    #[error("a password has at most 255 bytes: choose a shorter one")]
    TooLong,
    /// A NUL, where libzmq would end the password.
    #[error("a password holds no NUL byte: leave it out")]
    Nul,
}

/// A password of the PLAIN mechanism: 1 to 255 bytes without NUL, wiped when dropped.
///
/// Source: RFC 24/PLAIN.
pub struct Password(Zeroizing<Box<[u8]>>);

impl Password {
    /// Takes the password; a buffer that is handed over (`String`, `Vec<u8>`) is wiped, a borrowed one is copied.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: empty, longer than 255 bytes, or with a NUL.
    pub fn new(password: impl Into<Vec<u8>>) -> Result<Self> {
        let bytes = Zeroizing::new(password.into());
        Self::parse(&bytes).map_err(|problem| Error::InvalidOption {
            name: "password",
            reason: problem.to_string(),
        })
    }

    /// As [`Password::new`], for bytes in a file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, PasswordProblem> {
        if bytes.is_empty() {
            Err(PasswordProblem::Empty)
        } else if bytes.len() > PLAIN_LIMIT {
            Err(PasswordProblem::TooLong)
        } else if bytes.contains(&0) {
            Err(PasswordProblem::Nul)
        } else {
            Ok(Self(Zeroizing::new(bytes.into())))
        }
    }

    /// Something to compare with where there is no password; what it equals never admits anybody.
    pub(crate) fn dummy() -> Self {
        Self(Zeroizing::new([b'-'; PLAIN_LIMIT].into()))
    }

    /// The password's bytes, in place: whoever copies them must wipe the copy.
    pub fn expose_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `candidate` is this password. Compares blocks of one size, so that the time taken tells neither where
    /// they differ nor how long the password is.
    pub(crate) fn ct_eq(&self, candidate: &[u8]) -> bool {
        let mut own = Zeroizing::new([0; PLAIN_LIMIT]);
        let mut other = Zeroizing::new([0; PLAIN_LIMIT]);
        pad(&mut own, &self.0);
        pad(&mut other, candidate);
        let same_length = (self.0.len() as u64).ct_eq(&(candidate.len() as u64));
        (same_length & own.ct_eq(other.as_slice())).into()
    }
}

/// Copies the start of `bytes` into `block`; the rest stays zero.
fn pad(block: &mut [u8; PLAIN_LIMIT], bytes: &[u8]) {
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests;
