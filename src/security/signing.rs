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
use crate::security::keys::{KeyProblem, decode_z85};
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
        if *seed == [0; VERIFY_KEY_BYTES] {
            return Err(KeyProblem::Zero.into());
        }
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
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;
    use crate::security::keys::PublicKey;
    use crate::security::{Keypair, SecretCertificate};

    fn administrator(n: u8) -> SigningKey {
        SigningKey::from_seed(&[n; 32]).unwrap()
    }

    fn certificate() -> Certificate {
        let key: PublicKey = "HelloWorld".repeat(4).parse().unwrap();
        Certificate::new(key)
            .with_meta("role", "Zoë's \"reader\"")
            .unwrap()
            .with_meta("name", "pump 7")
            .unwrap()
    }

    fn problem(error: Error) -> SignatureProblem {
        match error {
            Error::Signature(problem) => problem,
            other => panic!("{other:?}"),
        }
    }

    /// The signature was made by another implementation of Ed25519 (OpenSSL's), over bytes put together by hand.
    #[test]
    fn canonical_form_and_signature_are_those_of_another_implementation() {
        let key = SigningKey::from_seed(&std::array::from_fn(|at| at as u8 + 1)).unwrap();
        let signer = "ed25519:D9{W9KlfBqkZoKD>=6GrKrofq>9rWj&nY}cTPT@2";
        assert_eq!(key.verify_key().to_string(), signer);
        let signed = certificate().sign_with_serial(&key, 1_700_000_000).unwrap();
        let form = [
            &b"ironhouse certificate 1\0"[..],
            &[0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b].repeat(4),
            b"\0\0\0\x04",
            b"\0\0\0\x04name\0\0\0\x06pump 7",
            b"\0\0\0\x04role\0\0\0\x0fZo\xc3\xab's \"reader\"",
            b"\0\0\0\x10signature-serial\0\0\0\x0a1700000000",
            b"\0\0\0\x06signer\0\0\0\x30",
            signer.as_bytes(),
        ]
        .concat();
        assert_eq!(signed.canonical_form(), form);
        let signature =
            "cf2<(4PLnz8eIU0cRdd*7eQo*U{(9(5D7@bTVhts+]AItZkkra]B]mmm&R&F7f=oFBQ9e^(U/G7IRO*M";
        assert_eq!(signed.meta("signature"), Some(signature));
        assert_eq!(signed.verify(&[key.verify]).unwrap(), key.verify);
        assert!(
            key.verify
                .verifies(&decode_signature(signature).unwrap(), &form)
        );
    }

    #[test]
    fn signed_certificate_is_its_administrators_alone() {
        let (ours, theirs) = (administrator(1), administrator(2));
        let signed = certificate().sign(&ours).unwrap();
        let trusted = [theirs.verify, ours.verify];
        assert_eq!(signed.verify(&trusted).unwrap(), ours.verify);
        let refused = problem(signed.verify(&[theirs.verify]).unwrap_err());
        let signer = ours.verify;
        assert_eq!(refused, SignatureProblem::UnknownSigner { signer });
        let forged = signed
            .with_meta(SIGNER, &theirs.verify.to_string())
            .unwrap();
        let refused = problem(forged.verify(&trusted).unwrap_err());
        assert_eq!(refused, SignatureProblem::Mismatch);
        let refused = problem(certificate().verify(&trusted).unwrap_err());
        assert_eq!(refused, SignatureProblem::Unsigned);
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let ours = administrator(1);
        let signed = certificate().sign(&ours).unwrap();
        let long = "1".repeat(79);
        for (name, value) in [
            (SIGNATURE, ""),
            (SIGNATURE, "x"),
            (SIGNATURE, &long),
            (SIGNER, "nobody"),
            (SERIAL, ""),
            (SERIAL, "-1"),
            (SERIAL, "+1"),
            (SERIAL, "01"),
            (SERIAL, "99999999999999999999"),
        ] {
            let bad = signed.clone().with_meta(name, value).unwrap();
            let refused = problem(bad.verify(&[ours.verify]).unwrap_err());
            assert_eq!(refused, SignatureProblem::Malformed, "{name} {value}");
        }
        for name in [SIGNER, SERIAL] {
            let bad = signed.clone().without_meta(name);
            assert!(bad.verify(&[ours.verify]).is_err(), "{name}");
        }
    }

    #[test]
    fn signing_again_gives_a_higher_serial_and_replaces_the_signature() {
        let (ours, theirs) = (administrator(1), administrator(2));
        let first = certificate().sign(&ours).unwrap();
        let now = serial_now();
        assert!(first.serial().unwrap().abs_diff(now) < 60);
        let ahead = first.sign_with_serial(&ours, now + 1000).unwrap();
        let again = ahead.clone().sign(&theirs).unwrap();
        assert_eq!(again.serial(), Some(now + 1001));
        assert_eq!(again.verify(&[theirs.verify]).unwrap(), theirs.verify);
        assert_eq!(again.metadata().count(), ahead.metadata().count());
        let last = ahead.sign_with_serial(&ours, u64::MAX).unwrap();
        assert_eq!(last.sign(&ours).unwrap().serial(), Some(u64::MAX));
        let zeros = Certificate::new(PublicKey::from_bytes([0; 32]));
        assert!(matches!(zeros.sign(&ours), Err(Error::Key(_))));
    }

    #[test]
    fn signature_survives_files_and_their_layout() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client");
        let ours = administrator(1);
        let made = SecretCertificate::generate().unwrap();
        let made = made.with_meta("name", "#1 'pump'").unwrap();
        let made = made.sign(&ours).unwrap();
        made.save(&path).unwrap();
        let read = Certificate::load(&path).unwrap();
        assert_eq!(read.verify(&[ours.verify]).unwrap(), ours.verify);
        // Another order, quoting and comments, as other writers have.
        let mut text = String::from("curve\n    public-key = \"");
        text.push_str(&format!("{}\" # comment\nmetadata\n", read.public_key()));
        let metadata: Vec<_> = read.metadata().collect();
        for (name, value) in metadata.iter().rev() {
            text.push_str(&format!("    {name}=\"{value}\"\r\n"));
        }
        let other = Certificate::parse(text.as_bytes()).unwrap();
        assert_ne!(other, read);
        assert_eq!(other.verify(&[ours.verify]).unwrap(), ours.verify);
    }

    #[test]
    fn keys_survive_their_files_and_are_not_taken_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let key = SigningKey::generate().unwrap();
        key.save(path("admin")).unwrap();
        key.verify_key().save(path("admin.pub")).unwrap();
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("admin"), 0o600);
        let again = SigningKey::load(path("admin")).unwrap();
        assert_eq!(again.expose_seed(), key.expose_seed());
        assert_eq!(VerifyKey::load(path("admin.pub")).unwrap(), key.verify);

        for name in ["admin", "admin.pub"] {
            assert!(Certificate::load(path(name)).is_err());
            let secret = path(&format!("{name}_secret"));
            fs::copy(path(name), &secret).unwrap();
            fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(SecretCertificate::load(&secret).is_err());
            // pyzmq takes any line that begins so for a CURVE key.
            let text = fs::read_to_string(path(name)).unwrap();
            let taken = |line: &str| {
                let line = line.trim();
                line.starts_with("public-key") || line.starts_with("secret-key")
            };
            assert!(!text.lines().any(taken));
        }
        assert!(VerifyKey::load(path("admin")).is_err());
        assert!(SigningKey::load(path("admin.pub")).is_err());
        let curve = SecretCertificate::generate().unwrap();
        curve.save(path("curve")).unwrap();
        assert!(SigningKey::load(path("curve_secret")).is_err());
        assert!(VerifyKey::load(path("curve")).is_err());
        let text = key.verify.to_string();
        assert!(text.parse::<PublicKey>().is_err());
        assert!(curve.public_key().to_string().parse::<VerifyKey>().is_err());

        fs::set_permissions(path("admin"), fs::Permissions::from_mode(0o640)).unwrap();
        let exposed = SigningKey::load(path("admin")).unwrap_err().to_string();
        assert!(exposed.contains("chmod 600"), "{exposed}");
    }

    #[test]
    fn broken_key_files_are_refused_with_the_line_and_without_the_secret() {
        let key = administrator(1);
        let folder = tempfile::tempdir().unwrap();
        key.save(folder.path().join("admin")).unwrap();
        let text = fs::read_to_string(folder.path().join("admin")).unwrap();
        let secret = z85::encode(key.expose_seed().as_slice());
        let fault = |text: &str| SigningKey::read(text.as_bytes()).unwrap_err();
        let other = administrator(2).verify.to_string();
        for bad in [
            text.replace("ed25519-secret:", ""),
            text.replace(&secret, &secret[..39]),
            text.replace(&secret, &"0".repeat(40)),
            text.replace(&secret, &"~".repeat(40)),
        ] {
            let fault = fault(&bad);
            assert_eq!(fault.problem, FileProblem::SigningKey);
            assert!(fault.line.is_some());
            let shown = fault.at(Path::new("admin")).to_string();
            assert!(!shown.contains(&secret[..8]), "{shown}");
        }
        let mismatch = fault(&text.replace(&key.verify.to_string(), &other));
        assert_eq!(mismatch.problem, KeyProblem::Mismatch.into());
        for gone in ["verify-key", "signing-key", "ironhouse-signing-key"] {
            let fault = fault(&text.replace(gone, "x"));
            assert!(matches!(fault.problem, FileProblem::Missing(_)), "{gone}");
        }
        assert!(!format!("{key:?}").contains(&secret));
    }

    #[test]
    fn verify_key_is_read_whole_or_not_at_all() {
        let text = administrator(1).verify.to_string();
        assert_eq!(text.len(), 48);
        assert_eq!(text.parse::<VerifyKey>().unwrap().to_string(), text);
        let zeros = format!("ed25519:{}", "0".repeat(40));
        for bad in [
            "",
            "ed25519:",
            &text[8..],
            &text[..47],
            &format!("{text} "),
            &text.replace("ed25519", "ED25519"),
            &zeros,
        ] {
            let refused = problem(bad.parse::<VerifyKey>().unwrap_err());
            assert_eq!(refused, SignatureProblem::VerifyKey, "{bad}");
        }
    }

    /// Each case is costly.
    fn few() -> ProptestConfig {
        let mut config = ProptestConfig::default();
        config.cases = config.cases.min(64);
        config
    }

    proptest! {
        #![proptest_config(few())]

        #[test]
        fn any_change_of_a_signed_certificate_breaks_it(
            metadata in prop::collection::btree_map("[a-f]{1,3}", "[ -!#-~é]{0,12}", 0..5),
            name in "[a-f]{1,3}|signer|signature-serial|signature",
            value in "[ -!#-~é]{0,12}",
            at in 0usize..32,
            flip in 1u8..,
        ) {
            let ours = administrator(1);
            let mut made = Certificate::new(*Keypair::generate().unwrap().public());
            for (name, value) in &metadata {
                made = made.with_meta(name, value).unwrap();
            }
            let signed = made.sign(&ours).unwrap();
            prop_assert!(signed.verify(&[ours.verify]).is_ok());

            let altered = signed.clone().with_meta(&name, &value).unwrap();
            prop_assert_eq!(altered.verify(&[ours.verify]).is_ok(), altered == signed);
            let removed = signed.clone().without_meta(&name);
            prop_assert_eq!(removed.verify(&[ours.verify]).is_ok(), removed == signed);
            let mut key = *signed.public_key().as_bytes();
            key[at] ^= flip;
            let mut other = Certificate::new(PublicKey::from_bytes(key));
            for (name, value) in signed.metadata() {
                other = other.with_meta(name, value).unwrap();
            }
            prop_assert!(other.verify(&[ours.verify]).is_err());
            let mut signature = decode_signature(signed.meta(SIGNATURE).unwrap()).unwrap();
            signature[2 * at + usize::from(flip & 1)] ^= flip;
            let forged = signed.with_meta(SIGNATURE, &z85::encode(signature)).unwrap();
            prop_assert!(forged.verify(&[ours.verify]).is_err());
        }

        /// Bytes cannot move between names and values, nor from one pair to the next.
        #[test]
        fn different_certificates_have_different_canonical_forms(
            first in prop::collection::btree_map("[ab]{1,3}", "[ab]{0,3}", 0..4),
            second in prop::collection::btree_map("[ab]{1,3}", "[ab]{0,3}", 0..4),
        ) {
            let make = |metadata: &std::collections::BTreeMap<String, String>| {
                let mut made = certificate();
                for (name, value) in metadata {
                    made = made.with_meta(name, value).unwrap();
                }
                made.canonical_form()
            };
            prop_assert_eq!(make(&first) == make(&second), first == second);
        }

        #[test]
        fn any_text_is_a_verify_key_or_refused(text in ".{0,60}", tail in "[0-9a-zA-Z.:+=^!/*?&<>()@%$#-]{40}") {
            for text in [text, format!("ed25519:{tail}")] {
                if let Ok(key) = text.parse::<VerifyKey>() {
                    prop_assert_eq!(key.to_string(), text);
                }
            }
        }
    }
}
