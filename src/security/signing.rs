//! Ed25519 signatures of certificates: the keys, what is signed, and how that is written.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::ffi::sodium::{self, SIGNATURE_BYTES, SigningBytes, VERIFY_KEY_BYTES};
use crate::security::certificate::Certificate;
use crate::security::file::{self, Access, CERTIFICATE_LIMIT, Fault, FileProblem};
use crate::security::keys::{KeyProblem, decode_z85, not_zero};
use crate::security::zpl::{Document, Writer};

/// The metadata that a signature consists of.
pub(crate) const SIGNATURE: &str = "signature";
const SIGNER: &str = "signer";
const SERIAL: &str = "signature-serial";

/// What a certificate's canonical form starts with: no other message that such a key signs does.
const CERTIFICATE_PREFIX: &[u8] = b"ironhouse certificate 1\0";

/// What the text of a key starts with, so that none can be taken for a CURVE key.
const VERIFY_PREFIX: &str = "ed25519:";
const SIGNING_PREFIX: &str = "ed25519-secret:";

/// Section and entries of the key files. No entry may start with `public-key` or `secret-key`: pyzmq would read it as a CURVE key.
const VERIFY_SECTION: &str = "ironhouse-verify-key";
const SIGNING_SECTION: &str = "ironhouse-signing-key";
const VERIFY_KEY: &str = "verify-key";
const SIGNING_KEY: &str = "signing-key";

/// Why a certificate does not count as signed, or a text is no verify key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureProblem {
    /// Not the text of a verify key.
    #[error("a verify key is `ed25519:` and 40 characters of Z85: copy it whole")]
    VerifyKey,
    /// A certificate without signature.
    #[error("not signed by any administrator: have one of those trusted sign it")]
    Unsigned,
    /// The signature is no signature, whatever it is of.
    #[error(
        "`signature`, `signer` or `signature-serial` is not what a signature consists of: have the certificate signed again"
    )]
    Malformed,
    /// Signed by somebody who is not trusted.
    #[error(
        "signed by {signer}, an administrator who is not trusted: have one of those trusted sign it"
    )]
    UnknownSigner {
        /// Whose signature it says it has.
        signer: VerifyKey,
    },
    /// Not what was signed.
    #[error(
        "the signature does not match: the key or its metadata were changed since, so restore the file, or have it signed again"
    )]
    Mismatch,
    /// On the revocation list of an administrator.
    #[error("revoked by {by} ({}): remove it", .reason.escape_debug())]
    Revoked {
        /// The administrator.
        by: VerifyKey,
        /// Why.
        reason: String,
    },
    /// Of a time whose certificates their administrator declared void.
    #[error(
        "its serial is {serial}, and {by} declared all below {minimum} void: have it signed again"
    )]
    Void {
        /// The certificate's serial.
        serial: u64,
        /// The least that counts.
        minimum: u64,
        /// The administrator who signed it and said so.
        by: VerifyKey,
    },
    /// Older than a certificate of the same key that was seen.
    #[error(
        "its serial is {serial}, older than {newest} of the same key's newest: put that one back, or have this one signed again"
    )]
    Superseded {
        /// The certificate's serial.
        serial: u64,
        /// The highest that was seen for this key.
        newest: u64,
    },
}

/// An administrator's public key: whoever has it can tell which certificates the administrator signed, and make none.
///
/// 32 bytes of Ed25519, written as `ed25519:` and 40 characters of Z85, so that nobody takes it for the key of a peer.
///
/// Source: RFC 8032, Ed25519.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VerifyKey([u8; VERIFY_KEY_BYTES]);

impl VerifyKey {
    /// Takes the key's 32 bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As [`FromStr`], for text in a file.
    pub(crate) fn parse(text: &str) -> Result<Self, SignatureProblem> {
        let mut key = [0; VERIFY_KEY_BYTES];
        text.strip_prefix(VERIFY_PREFIX)
            .and_then(|text| decode_z85(&mut key, text).ok())
            .filter(|()| key != [0; VERIFY_KEY_BYTES])
            .map(|()| Self(key))
            .ok_or(SignatureProblem::VerifyKey)
    }

    /// Whether `signature` is that of `message` by this administrator. The messages of this library are the
    /// [canonical forms](Certificate::canonical_form) of certificates.
    pub fn verifies(&self, signature: &[u8; 64], message: &[u8]) -> bool {
        sodium::verifies(signature, message, &self.0)
    }

    /// Reads the file that [`VerifyKey::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`]: not there, or not readable. [`Error::File`]: not a file, larger than 64 KiB, or no verify key in it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = file::read(path, CERTIFICATE_LIMIT, Access::Public)?;
        Self::read(&bytes).map_err(|fault| fault.at(path))
    }

    /// Reads the bytes of such a file.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let document = Document::parse(file::text(bytes)?)?;
        let (line, text) = entry(
            &document,
            VERIFY_SECTION,
            VERIFY_KEY,
            "section `ironhouse-verify-key` with a `verify-key`",
        )?;
        Self::parse(text).map_err(|problem| Fault::new(Some(line), problem))
    }

    /// Writes the key to a file, mode 0644 under the umask.
    ///
    /// # Errors
    /// [`Error::Io`]: no such directory, no permission, no space. [`Error::File`]: something else than a file is there.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = || {
            let mut text = Writer::new();
            text.comment("****  Generated by ironhouse  ****");
            text.comment(
                "The key by which an administrator's signatures are verified (Ed25519).\n\
                 Nothing in it is secret; but who changes it decides who is admitted.\n",
            );
            text.section(0, VERIFY_SECTION)?;
            text.entry(1, VERIFY_KEY, &self.to_string())?;
            Ok(text.finish())
        };
        let text = text().map_err(|problem: FileProblem| Fault::new(None, problem).at(path))?;
        file::write_atomically(path, text.as_bytes(), file::PUBLIC_MODE)
    }
}

impl FromStr for VerifyKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(Self::parse(text)?)
    }
}

impl fmt::Display for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{VERIFY_PREFIX}{}", z85::encode(self.0)))
    }
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyKey({self})")
    }
}

/// An administrator's secret key, which signs certificates and revocation lists; wiped when dropped.
///
/// Whoever has it admits whom he likes to every store that trusts its [`VerifyKey`]: keep it off the servers, which need the latter alone.
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::{Certificate, Keypair, SigningKey};
///
/// let administrator = SigningKey::generate()?;
/// let certificate = Certificate::new(*Keypair::generate()?.public()).with_meta("role", "reader")?;
/// let certificate = certificate.sign(&administrator)?;
/// certificate.verify(&[*administrator.verify_key()])?;
/// assert!(certificate.with_meta("role", "writer")?.verify(&[*administrator.verify_key()]).is_err());
/// # Ok(())
/// # }
/// ```
///
/// Source: RFC 8032, Ed25519.
pub struct SigningKey {
    secret: SigningBytes,
    verify: VerifyKey,
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// [`Error::Os`]: libsodium found no random numbers.
    pub fn generate() -> Result<Self> {
        let mut seed = Box::new(Zeroizing::new([0; VERIFY_KEY_BYTES]));
        sodium::random(seed.as_mut_slice())?;
        Self::from_seed(&seed)
    }

    /// The key of this seed, RFC 8032's private key: 32 random bytes. Wiping the original is the caller's part.
    ///
    /// # Errors
    /// [`Error::Key`]: zeros. [`Error::Os`]: libsodium failed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self> {
        not_zero(seed)?;
        let (verify, secret) = sodium::signing_pair(seed)?;
        Ok(Self {
            secret,
            verify: VerifyKey(verify),
        })
    }

    /// The seed that [`SigningKey::from_seed`] makes this key from.
    pub fn expose_seed(&self) -> Zeroizing<[u8; 32]> {
        let mut seed = Zeroizing::new([0; VERIFY_KEY_BYTES]);
        for (to, from) in seed.iter_mut().zip(self.secret.iter()) {
            *to = *from;
        }
        seed
    }

    /// The key by which others verify what this one signs.
    pub const fn verify_key(&self) -> &VerifyKey {
        &self.verify
    }

    /// The signature of a message as 80 characters of Z85.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<String> {
        Ok(z85::encode(sodium::sign(message, &self.secret)?))
    }

    /// Reads the file that [`SigningKey::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`]: not there, or not readable. [`Error::File`]: open to group or others, not a file, larger than 64 KiB, no signing key
    /// in it, or a verify key that does not belong to it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = file::read(path, CERTIFICATE_LIMIT, Access::OwnerOnly)?;
        Self::read(&bytes).map_err(|fault| fault.at(path))
    }

    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        const MISSING: &str =
            "section `ironhouse-signing-key` with a `signing-key` and its `verify-key`";
        let document = Document::parse(file::text(bytes)?)?;
        let (line, text) = entry(&document, SIGNING_SECTION, SIGNING_KEY, MISSING)?;
        let malformed = || Fault::new(Some(line), FileProblem::SigningKey);
        let mut seed = Box::new(Zeroizing::new([0; VERIFY_KEY_BYTES]));
        let text = text.strip_prefix(SIGNING_PREFIX).ok_or_else(malformed)?;
        decode_z85(seed.as_mut_slice(), text).map_err(|_| malformed())?;
        let key = Self::from_seed(&seed).map_err(|_| malformed())?;
        let (line, text) = entry(&document, SIGNING_SECTION, VERIFY_KEY, MISSING)?;
        let fault = |problem: FileProblem| Fault::new(Some(line), problem);
        if VerifyKey::parse(text).map_err(|problem| fault(problem.into()))? != key.verify {
            return Err(fault(KeyProblem::Mismatch.into()));
        }
        Ok(key)
    }

    /// Writes the key to a file, mode 0600. The verify key is in it too; for others, [save](VerifyKey::save) that one beside it.
    ///
    /// # Errors
    /// [`Error::Io`]: no such directory, no permission, no space. [`Error::File`]: something else than a file is there.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = || {
            let seed = Zeroizing::new(z85::encode(self.expose_seed().as_slice()));
            let secret = Zeroizing::new([SIGNING_PREFIX, seed.as_str()].concat());
            let mut text = Writer::new();
            text.comment("****  Generated by ironhouse  ****");
            text.comment(
                "The key by which an administrator signs certificates (Ed25519).\n\
                 Whoever reads this file can admit anybody: keep it at mode 0600, and off the servers.\n",
            );
            text.section(0, SIGNING_SECTION)?;
            text.entry(1, VERIFY_KEY, &self.verify.to_string())?;
            text.entry(1, SIGNING_KEY, &secret)?;
            Ok(text.finish())
        };
        let text = text().map_err(|problem: FileProblem| Fault::new(None, problem).at(path))?;
        file::write_atomically(path, text.as_bytes(), file::SECRET_MODE)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(.., {})", self.verify)
    }
}

/// The line and value of an entry of a section.
fn entry<'a>(
    document: &Document<'a>,
    section: &str,
    name: &str,
    missing: &'static str,
) -> Result<(u32, &'a str), Fault> {
    document
        .section(section)
        .and_then(|section| document.child(section, name))
        .map(|node| (node.line(), node.value()))
        .ok_or_else(|| Fault::new(None, FileProblem::Missing(missing)))
}

/// Now, as a serial: seconds since 1970.
pub(crate) fn serial_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}

/// A serial as it is written: a number without sign or leading zeros.
pub(crate) fn parse_serial(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = plain && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

impl Certificate {
    /// Signs the key and all metadata, in the place of an earlier signature. Whatever is changed afterwards makes the signature void.
    ///
    /// Sets three metadata values: `signer`, the administrator's [`VerifyKey`]; `signature-serial`, the time in seconds since 1970, but
    /// above the serial that the certificate had; and `signature`, 80 characters of Z85. They take 184 of the 512 bytes of metadata that
    /// CZMQ's authenticator has room for. CZMQ and pyzmq read such certificates as any others, and do not verify them.
    ///
    /// # What is signed
    /// Ed25519 (RFC 8032) over the [canonical form](Certificate::canonical_form), which is, each number a `u32`, big-endian:
    ///
    /// ```text
    /// "ironhouse certificate 1" NUL
    /// public key, 32 bytes
    /// how many metadata there are, without `signature`
    /// for each of them, ordered by the bytes of the name:
    ///     length of the name in bytes, name, length of the value in bytes, value (UTF-8)
    /// ```
    ///
    /// So layout, comments and the order of metadata in a file do not count; everything that a reader of the certificate learns does.
    ///
    /// # Errors
    /// [`Error::Key`]: the key of zeros. [`Error::Os`]: libsodium failed.
    pub fn sign(self, key: &SigningKey) -> Result<Self> {
        let next = self.serial().map_or(0, |serial| serial.saturating_add(1));
        self.sign_with_serial(key, next.max(serial_now()))
    }

    /// As [`sign`](Self::sign), with a serial of the caller's choice. Of two certificates of one key the higher serial counts, so all
    /// administrators of a store must count alike.
    ///
    /// # Errors
    /// [`Error::Key`]: the key of zeros. [`Error::Os`]: libsodium failed.
    pub fn sign_with_serial(self, key: &SigningKey, serial: u64) -> Result<Self> {
        self.public_key().usable()?;
        let unsigned = self
            .with_meta(SIGNER, &key.verify.to_string())?
            .with_meta(SERIAL, &serial.to_string())?;
        let signature = key.sign(&unsigned.canonical_form())?;
        unsigned.with_meta(SIGNATURE, &signature)
    }

    /// The bytes that a signature is over, as [`sign`](Self::sign) describes them: for keys that are kept elsewhere, in a hardware
    /// module for example. Set `signer` and `signature-serial` before, and `signature` after.
    pub fn canonical_form(&self) -> Vec<u8> {
        let mut metadata: Vec<_> = self
            .metadata()
            .filter(|(name, _)| *name != SIGNATURE)
            .collect();
        metadata.sort_unstable();
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
        let mut form = Vec::with_capacity(512);
        form.extend_from_slice(CERTIFICATE_PREFIX);
        form.extend_from_slice(self.public_key().as_bytes());
        form.extend_from_slice(&length(metadata.len()));
        for part in metadata.iter().flat_map(|(name, value)| [name, value]) {
            form.extend_from_slice(&length(part.len()));
            form.extend_from_slice(part.as_bytes());
        }
        form
    }

    /// Whether one of these administrators signed the certificate as it is, and who. Looks at no revocation list: stores do.
    ///
    /// # Errors
    /// [`Error::Signature`]: not signed, by somebody else, or changed since.
    pub fn verify(&self, trusted: &[VerifyKey]) -> Result<VerifyKey> {
        let signed = Signed::of(self)?;
        let signer = VerifyKey::parse(signed.signer).map_err(|_| SignatureProblem::Malformed)?;
        if !trusted.contains(&signer) {
            return Err(SignatureProblem::UnknownSigner { signer }.into());
        }
        signed.verify(self, &signer)?;
        Ok(signer)
    }

    /// The serial of the signature, if there is one. It tells nothing unless the certificate was [verified](Self::verify).
    pub fn serial(&self) -> Option<u64> {
        parse_serial(self.meta(SERIAL)?)
    }
}

/// What a certificate says of its signature; nothing of it is verified.
pub(crate) struct Signed<'a> {
    /// The text of a verify key: there is only one for each.
    pub(crate) signer: &'a str,
    pub(crate) serial: u64,
    signature: &'a str,
}

impl<'a> Signed<'a> {
    pub(crate) fn of(certificate: &'a Certificate) -> Result<Self, SignatureProblem> {
        let (mut signature, mut signer, mut serial) = (None, None, None);
        for (name, value) in certificate.metadata() {
            match name {
                SIGNATURE => signature = Some(value),
                SIGNER => signer = Some(value),
                SERIAL => serial = Some(value),
                _ => {}
            }
        }
        let signature = signature.ok_or(SignatureProblem::Unsigned)?;
        let signer = signer.ok_or(SignatureProblem::Malformed)?;
        let serial = serial.and_then(parse_serial);
        Ok(Self {
            signer,
            serial: serial.ok_or(SignatureProblem::Malformed)?,
            signature,
        })
    }

    /// Whether the certificate is what `signer` signed.
    pub(crate) fn verify(
        &self,
        certificate: &Certificate,
        signer: &VerifyKey,
    ) -> Result<(), SignatureProblem> {
        let signature = decode_signature(self.signature).ok_or(SignatureProblem::Malformed)?;
        if signer.verifies(&signature, &certificate.canonical_form()) {
            Ok(())
        } else {
            Err(SignatureProblem::Mismatch)
        }
    }
}

/// A signature out of its text.
pub(crate) fn decode_signature(text: &str) -> Option<[u8; SIGNATURE_BYTES]> {
    let mut signature = [0; SIGNATURE_BYTES];
    decode_z85(&mut signature, text).ok()?;
    Some(signature)
}

#[cfg(test)]
mod tests;
