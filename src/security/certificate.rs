//! Certificates: a public key with what is known of its owner, and the secret key beside it.
//!
//! The files are those of CZMQ and pyzmq: ZPL text with the sections `metadata` and `curve`. The public certificate
//! is `<path>`, the secret one (both keys) `<path>_secret`.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::security::file::{self, Access, CERTIFICATE_LIMIT, Fault, FileProblem};
use crate::security::keys::{KeyProblem, Keypair, PublicKey, SecretKey};
use crate::security::zpl::{self, Document, SyntaxProblem, Writer};

/// What is appended to a certificate's path for the file with the secret key.
const SECRET_SUFFIX: &str = "_secret";
const PUBLIC_KEY: &str = "public-key";
const SECRET_KEY: &str = "secret-key";

/// Longest metadata name in bytes.
///
/// Source: RFC 23/ZMTP, `name = OCTET 1*255name-char`.
const NAME_LIMIT: usize = 255;

/// A public key and metadata on its owner, such as a name or a role: what a server stores of a client.
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::{Certificate, Keypair};
///
/// let keys = Keypair::generate()?;
/// let certificate = Certificate::new(*keys.public()).with_meta("name", "pump 7")?;
/// assert_eq!(certificate.meta("name"), Some("pump 7"));
/// # Ok(())
/// # }
/// ```
#[doc(alias = "zcert")]
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    key: PublicKey,
    metadata: Vec<(Box<str>, Box<str>)>,
}

impl Certificate {
    /// A certificate without metadata.
    pub const fn new(key: PublicKey) -> Self {
        Self {
            key,
            metadata: Vec::new(),
        }
    }

    /// Sets one metadata value, in the place of an earlier one of that name.
    ///
    /// Names are 1 to 255 letters, digits and `$ - _ @ . & + /` without a slash at an end, and start neither with
    /// `public-key` nor `secret-key`, which pyzmq would take for the key. Values are free text of one line, without
    /// control characters. Mind CZMQ's authenticator: above 512 bytes of metadata it writes beyond its buffer.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: a name or value that some reader would not find again.
    #[doc(alias = "zcert_set_meta")]
    pub fn with_meta(mut self, name: &str, value: &str) -> Result<Self> {
        let refuse = |name: &'static str, reason: &dyn fmt::Display| {
            Err(Error::InvalidOption {
                name,
                reason: reason.to_string(),
            })
        };
        if !zpl::is_name(name) {
            return refuse("metadata name", &SyntaxProblem::UnwritableName);
        }
        if !can_be_sent(name) {
            return refuse("metadata name", &FileProblem::MetadataName);
        }
        if let Err(problem) = zpl::quotes(value) {
            return refuse("metadata value", &problem);
        }
        if value.chars().any(char::is_control) {
            return refuse("metadata value", &"a value holds no control characters");
        }
        match self.metadata.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, old)) => *old = value.into(),
            None => self.metadata.push((name.into(), value.into())),
        }
        Ok(self)
    }

    /// The public key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The metadata value of this name.
    #[doc(alias = "zcert_meta")]
    pub fn meta(&self, name: &str) -> Option<&str> {
        self.metadata()
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// All metadata, names and values, in the order of the file.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata
            .iter()
            .map(|(name, value)| (&**name, &**value))
    }

    /// Reads a public certificate, as CZMQ, pyzmq or [`Certificate::save`] wrote it.
    ///
    /// # Errors
    /// [`Error::Io`]: not there, or not readable. [`Error::File`]: not a file, larger than 64 KiB, no certificate, a
    /// key that cannot be used, or a secret key in it.
    #[doc(alias = "zcert_load")]
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let content = file::read(path, CERTIFICATE_LIMIT, Access::Public)?;
        Self::parse(&content.bytes).map_err(|fault| fault.at(path))
    }

    /// Reads the bytes of a public certificate's file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let parts = Parts::parse(file::text(bytes)?)?;
        match parts.secret {
            Some((line, _)) => Err(Fault::new(Some(line), FileProblem::SecretKey)),
            None => Ok(parts.certificate),
        }
    }

    /// Writes the certificate, mode 0644 under the umask, in a form that CZMQ and pyzmq read.
    ///
    /// # Errors
    /// [`Error::Io`]: no such directory, no permission, no space; what was there before stays.
    /// [`Error::File`]: not a file, or larger than 64 KiB. [`Error::Key`]: the key of zeros.
    #[doc(alias = "zcert_save_public")]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = self
            .text(None)
            .map_err(|problem| Fault::new(None, problem).at(path))?;
        file::write_atomically(path, text.as_bytes(), file::PUBLIC_MODE)
    }

    /// The file's text: public without `secret`, secret with it.
    fn text(&self, secret: Option<&SecretKey>) -> Result<Zeroizing<String>, FileProblem> {
        self.key.usable()?;
        let mut text = Writer::new();
        text.comment("****  Generated by ironhouse  ****");
        if secret.is_some() {
            text.comment("ZeroMQ CURVE **Secret** Certificate");
            text.comment("Whoever reads this file can act as its owner: keep it at mode 0600.");
        } else {
            text.comment("ZeroMQ CURVE Public Certificate");
            text.comment(
                "No secret in it; but check with its owner that the key is the right one.",
            );
        }
        text.comment("");
        text.section(0, "metadata")?;
        for (name, value) in self.metadata() {
            text.entry(1, name, value)?;
        }
        text.section(0, "curve")?;
        text.entry(1, PUBLIC_KEY, &self.key.to_string())?;
        if let Some(secret) = secret {
            text.entry(1, SECRET_KEY, &secret.expose_z85())?;
        }
        let text = text.finish();
        if text.len() as u64 > CERTIFICATE_LIMIT {
            return Err(FileProblem::TooLarge {
                limit: CERTIFICATE_LIMIT,
            });
        }
        Ok(text)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, ", self.key)?;
        f.debug_map().entries(self.metadata()).finish()?;
        f.write_str(")")
    }
}

/// Whether the mechanism can carry a metadata name, and every reader tells it from a key.
fn can_be_sent(name: &str) -> bool {
    name.len() <= NAME_LIMIT && !name.starts_with(PUBLIC_KEY) && !name.starts_with(SECRET_KEY)
}

/// What a certificate file holds; the secret key with its line.
struct Parts {
    certificate: Certificate,
    secret: Option<(u32, SecretKey)>,
    public_line: u32,
}

impl Parts {
    /// Reads the first `curve` and `metadata` sections; of duplicates in them the first counts, as in CZMQ.
    fn parse(text: &str) -> Result<Self, Fault> {
        let document = Document::parse(text)?;
        let curve = document
            .section("curve")
            .ok_or(Fault::new(None, FileProblem::Missing("section `curve`")))?;
        let public = document.child(curve, PUBLIC_KEY).ok_or(Fault::new(
            Some(curve.line()),
            FileProblem::Missing("`public-key` in the section `curve`"),
        ))?;
        let key = PublicKey::parse(public.value())
            .map_err(|problem| Fault::new(Some(public.line()), problem))?;
        let secret = document
            .child(curve, SECRET_KEY)
            .map(|node| match SecretKey::parse(node.value()) {
                Ok(secret) => Ok((node.line(), secret)),
                Err(problem) => Err(Fault::new(Some(node.line()), problem)),
            })
            .transpose()?;

        let mut certificate = Certificate::new(key);
        if let Some(section) = document.section("metadata") {
            for node in document.children(section) {
                if !can_be_sent(node.name()) {
                    return Err(Fault::new(Some(node.line()), FileProblem::MetadataName));
                }
                if certificate.meta(node.name()).is_none() {
                    certificate
                        .metadata
                        .push((node.name().into(), node.value().into()));
                }
            }
        }
        Ok(Self {
            certificate,
            secret,
            public_line: public.line(),
        })
    }
}

/// A certificate with its secret key: what its owner keeps, as client or as server.
#[doc(alias = "zcert")]
#[derive(Debug)]
pub struct SecretCertificate {
    certificate: Certificate,
    keypair: Keypair,
}

impl SecretCertificate {
    /// A new key pair without metadata.
    ///
    /// # Errors
    /// [`Error::Os`]: libsodium found no random numbers.
    #[doc(alias = "zcert_new")]
    pub fn generate() -> Result<Self> {
        Keypair::generate().map(Self::from_keypair)
    }

    /// A certificate of these keys, without metadata.
    #[doc(alias = "zcert_new_from")]
    pub const fn from_keypair(keypair: Keypair) -> Self {
        Self {
            certificate: Certificate::new(*keypair.public()),
            keypair,
        }
    }

    /// Sets one metadata value, as [`Certificate::with_meta`] does.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: a name or value that some reader would not find again.
    pub fn with_meta(self, name: &str, value: &str) -> Result<Self> {
        Ok(Self {
            certificate: self.certificate.with_meta(name, value)?,
            keypair: self.keypair,
        })
    }

    /// Reads `<path>_secret`, or `path` itself where it ends so; the public file is not needed.
    ///
    /// # Errors
    /// [`Error::Io`]: not there, or not readable. [`Error::File`]: open to group or others, not a file, larger than
    /// 64 KiB, no certificate, without a secret key, or with a public key that does not belong to the secret one.
    #[doc(alias = "zcert_load")]
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let (_, path) = paths(path.as_ref());
        let content = file::read(&path, CERTIFICATE_LIMIT, Access::OwnerOnly)?;
        let at = |fault: Fault| fault.at(&path);

        let parts = file::text(&content.bytes)
            .and_then(Parts::parse)
            .map_err(at)?;
        let (_, secret) = parts.secret.ok_or_else(|| {
            at(Fault::new(
                None,
                FileProblem::Missing("`secret-key` in the section `curve`"),
            ))
        })?;
        let keypair = Keypair::from_secret(secret)?;
        if keypair.public() != parts.certificate.public_key() {
            return Err(at(Fault::new(
                Some(parts.public_line),
                KeyProblem::Mismatch,
            )));
        }
        Ok(Self {
            certificate: parts.certificate,
            keypair,
        })
    }

    /// Writes `<path>_secret` (mode 0600) and `<path>` (mode 0644 under the umask), each whole or not at all.
    ///
    /// The secret file comes first: a public certificate that is there can be given away, so its secret key is on
    /// the disk by then.
    ///
    /// # Errors
    /// [`Error::Io`]: no such directory, no permission, no space. [`Error::File`]: not a file, or larger than 64 KiB.
    #[doc(alias = "zcert_save")]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let (public, secret) = paths(path.as_ref());
        let text = self
            .certificate
            .text(Some(self.keypair.secret()))
            .map_err(|problem| Fault::new(None, problem).at(&secret))?;
        file::write_atomically(&secret, text.as_bytes(), file::SECRET_MODE)?;
        self.certificate.save(public)
    }

    /// The public part.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The public key.
    pub const fn public_key(&self) -> &PublicKey {
        self.keypair.public()
    }

    /// Both keys.
    pub const fn keypair(&self) -> &Keypair {
        &self.keypair
    }

    /// The secret key.
    pub const fn secret(&self) -> &SecretKey {
        self.keypair.secret()
    }
}

/// The public and the secret file of a certificate, given either.
fn paths(path: &Path) -> (PathBuf, PathBuf) {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    let bytes = path.as_os_str().as_bytes();
    match bytes.strip_suffix(SECRET_SUFFIX.as_bytes()) {
        Some(public) => (OsString::from_vec(public.to_vec()).into(), path.into()),
        None => {
            let mut secret = path.as_os_str().to_os_string();
            secret.push(SECRET_SUFFIX);
            (path.into(), secret.into())
        }
    }
}
