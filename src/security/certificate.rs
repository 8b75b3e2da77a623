//! Certificates: a public key with what is known of its owner, and the secret key beside it.
//!
//! The files are those of CZMQ and pyzmq: ZPL text with the sections `metadata` and `curve`. The public certificate
//! is `<path>`, the secret one (both keys) `<path>_secret`.

use std::fmt;
use std::path::{Path, PathBuf};

use triomphe::ThinArc;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::security::file::{self, Access, CERTIFICATE_LIMIT, Fault, FileProblem};
use crate::security::keys::{KeyProblem, Keypair, PublicKey, SecretKey};
use crate::security::signing::SigningKey;
use crate::security::validity::{self, Validity, ValidityProblem};
use crate::security::zap::{self, Metadata, PROPERTY_OVERHEAD, Properties};
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
    /// Metadata as they are sent: one allocation for each of a million certificates, none for one without, and nothing to encode
    /// for a decision.
    metadata: Option<ThinArc<Traits, u8>>,
}

/// What is known of a certificate's metadata.
#[derive(PartialEq, Eq)]
struct Traits {
    /// All of them may be sent.
    sendable: bool,
    /// Where some of them tell its life: read once, not at every decision.
    life: Option<Box<Validity>>,
}

/// A certificate in the making.
pub(crate) struct Draft {
    key: PublicKey,
    metadata: Metadata,
    sendable: bool,
    tells_its_life: bool,
}

impl Draft {
    /// Without metadata yet, but with room for this many bytes of it: names, values, and [`PROPERTY_OVERHEAD`] for each.
    pub(crate) fn new(key: PublicKey, bytes: usize) -> Self {
        Self {
            key,
            metadata: Metadata::with_capacity(bytes),
            sendable: true,
            tells_its_life: false,
        }
    }

    /// The metadata value of this name.
    pub(crate) fn meta(&self, name: &str) -> Option<&str> {
        let mut metadata = self.metadata.iter();
        metadata.find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Adds metadata that was checked: the name is new, and no longer than it may be.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.metadata.keep(name, value);
        self.sendable &= !Metadata::is_reserved(name) && self.metadata.fits();
        self.tells_its_life |= Validity::name(name).is_some();
    }

    /// The certificate.
    pub(crate) fn finish(self) -> Certificate {
        let metadata = || {
            let life = || Box::new(Validity::of(self.metadata.iter()));
            let traits = Traits {
                sendable: self.sendable,
                life: self.tells_its_life.then(life),
            };
            ThinArc::from_header_and_slice(traits, self.metadata.as_bytes())
        };
        Certificate {
            key: self.key,
            metadata: (!self.metadata.as_bytes().is_empty()).then(metadata),
        }
    }
}

impl Certificate {
    /// A certificate without metadata.
    pub const fn new(key: PublicKey) -> Self {
        Self {
            key,
            metadata: None,
        }
    }

    /// What a reply carries: all metadata, but for names that libzmq keeps for itself and what exceeds a reply.
    pub(crate) fn properties(&self) -> Properties {
        if self.traits().is_none_or(|traits| traits.sendable) {
            return Properties::Of(self.clone());
        }
        let mut sent = Metadata::new();
        for (name, value) in self.metadata() {
            let _ = sent.push(name, value);
        }
        Properties::Own(sent)
    }

    /// All metadata, encoded.
    pub(super) fn encoded(&self) -> &[u8] {
        self.metadata.as_ref().map_or(&[], |it| &it.slice)
    }

    fn traits(&self) -> Option<&Traits> {
        self.metadata.as_ref().map(|it| &it.header.header)
    }

    /// Sets one metadata value, in the place of an earlier one of that name.
    ///
    /// Names are 1 to 255 letters, digits and `$ - _ @ . & + /` without a slash at an end, and start neither with
    /// `public-key` nor `secret-key`, which pyzmq would take for the key. Values are free text of one line, without
    /// control characters; those of `not-before`, `not-after` and `disabled` are as [`Validity`] says. Mind CZMQ's authenticator: above 512
    /// bytes of metadata it writes beyond its buffer.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: a name or value that some reader would not find again.
    #[doc(alias = "zcert_set_meta")]
    pub fn with_meta(self, name: &str, value: &str) -> Result<Self> {
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
        let room = self.encoded().len() + name.len() + value.len() + PROPERTY_OVERHEAD;
        let mut changed = Draft::new(self.key, room);
        for (known, old) in self.metadata() {
            let value = if known == name { value } else { old };
            changed.push(known, value);
        }
        if changed.meta(name).is_none() {
            changed.push(name, value);
        }
        let changed = changed.finish();
        let mut life = Validity::new();
        let read = changed.metadata().try_for_each(|(n, v)| life.read(n, v));
        match read {
            Ok(()) => Ok(changed),
            Err(problem) => refuse("metadata", &problem),
        }
    }

    /// Removes the metadata value of this name, if there is one.
    #[doc(alias = "zcert_unset_meta")]
    pub fn without_meta(self, name: &str) -> Self {
        let mut changed = Draft::new(self.key, self.encoded().len());
        for (known, value) in self.metadata().filter(|(known, _)| *known != name) {
            changed.push(known, value);
        }
        changed.finish()
    }

    /// Sets from when to when the certificate admits its owner, in the place of what was set before.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: an end that is not behind the start, or a date beyond the years 1970 to 9999.
    pub fn with_validity(self, validity: Validity) -> Result<Self> {
        let bare = validity::NAMES.into_iter().fold(self, Self::without_meta);
        validity
            .metadata()
            .try_fold(bare, |changed, (name, value)| {
                changed.with_meta(name, &value)
            })
    }

    /// From when to when the certificate admits its owner.
    pub fn validity(&self) -> Validity {
        let life = self.traits().and_then(|traits| traits.life.as_deref());
        life.copied().unwrap_or_default()
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
    #[doc(alias = "zcert_meta_keys")]
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        zap::properties(self.encoded())
    }

    /// Reads a public certificate, as CZMQ, pyzmq or [`Certificate::save`] wrote it.
    ///
    /// # Errors
    /// [`Error::Io`]: not there, or not readable. [`Error::File`]: not a file, larger than 64 KiB, no certificate, a
    /// key that cannot be used, or a secret key in it.
    #[doc(alias = "zcert_load")]
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = file::read(path, CERTIFICATE_LIMIT, Access::Public)?;
        Self::parse(&bytes).map_err(|fault| fault.at(path))
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
        text.comment(if secret.is_some() {
            "ZeroMQ CURVE **Secret** Certificate\n\
             Whoever reads this file can act as its owner: keep it at mode 0600.\n"
        } else {
            "ZeroMQ CURVE Public Certificate\n\
             Nothing in it is secret; but ask its owner whether the key is the right one.\n"
        });
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

/// The key's fingerprint, then the metadata, names and values.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fingerprint().fmt(f)?;
        self.metadata()
            .try_for_each(|(name, value)| write!(f, " {name}={value:?}"))
    }
}

/// Whether the mechanism can carry a metadata name, and every reader tells it from a key.
pub(crate) fn can_be_sent(name: &str) -> bool {
    name.len() <= NAME_LIMIT && !name.starts_with(PUBLIC_KEY) && !name.starts_with(SECRET_KEY)
}

/// What a certificate file holds: the lines of the keys, and the text of the secret one.
struct Parts<'a> {
    certificate: Certificate,
    public_line: u32,
    secret: Option<(u32, &'a str)>,
}

impl<'a> Parts<'a> {
    /// Reads the first `curve` and `metadata` sections; of duplicates in them the first counts, as in CZMQ.
    fn parse(text: &'a str) -> Result<Self, Fault> {
        let document = Document::parse(text)?;
        let curve = document
            .section("curve")
            .ok_or_else(|| Fault::new(None, FileProblem::Missing("section `curve`")))?;
        let public = document.child(curve, PUBLIC_KEY).ok_or_else(|| {
            let problem = FileProblem::Missing("`public-key` in the section `curve`");
            Fault::new(Some(curve.line()), problem)
        })?;
        let key = PublicKey::parse(public.value())
            .map_err(|problem| Fault::new(Some(public.line()), problem))?;

        let mut certificate = Draft::new(key, 0);
        let metadata = document.section("metadata");
        if let Some(section) = metadata {
            let size =
                |node: &zpl::Node<'_>| node.name().len() + node.value().len() + PROPERTY_OVERHEAD;
            let room = document.children(section).map(size).sum();
            certificate = Draft::new(key, room);
            let mut validity = Validity::new();
            for node in document.children(section) {
                if !can_be_sent(node.name()) {
                    return Err(Fault::new(Some(node.line()), FileProblem::MetadataName));
                }
                let at = |problem| Fault::new(Some(node.line()), problem);
                if certificate.meta(node.name()).is_none() {
                    let read = validity.read(node.name(), node.value());
                    read.map_err(|problem| at(problem.into()))?;
                    certificate.push(node.name(), node.value());
                } else if Validity::name(node.name()).is_some() {
                    return Err(at(FileProblem::SameName));
                }
            }
        }
        for node in document.nodes() {
            let counts = |section| document.children(section).any(|n| n.line() == node.line());
            match Validity::name(node.name()) {
                Some(name) if !metadata.is_some_and(counts) => {
                    let problem = ValidityProblem::Misplaced(name);
                    return Err(Fault::new(Some(node.line()), problem));
                }
                _ => {}
            }
        }
        Ok(Self {
            certificate: certificate.finish(),
            public_line: public.line(),
            secret: document
                .child(curve, SECRET_KEY)
                .map(|node| (node.line(), node.value())),
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

    /// Sets from when to when the certificate admits its owner, as [`Certificate::with_validity`] does.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: an end that is not behind the start, or a date beyond the years 1970 to 9999.
    pub fn with_validity(self, validity: Validity) -> Result<Self> {
        Ok(Self {
            certificate: self.certificate.with_validity(validity)?,
            keypair: self.keypair,
        })
    }

    /// Removes one metadata value, as [`Certificate::without_meta`] does.
    pub fn without_meta(self, name: &str) -> Self {
        Self {
            certificate: self.certificate.without_meta(name),
            keypair: self.keypair,
        }
    }

    /// Has an administrator sign the public part, as [`Certificate::sign`] does.
    ///
    /// # Errors
    /// [`Error::Key`]: the key of zeros. [`Error::Os`]: libsodium failed.
    pub fn sign(self, key: &SigningKey) -> Result<Self> {
        Ok(Self {
            certificate: self.certificate.sign(key)?,
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
        Self::read(&path, Access::OwnerOnly)
    }

    /// Reads just this file.
    pub(crate) fn read(path: &Path, access: Access) -> Result<Self> {
        let bytes = file::read(path, CERTIFICATE_LIMIT, access)?;
        Self::parse(&bytes, |fault| fault.at(path))
    }

    /// The certificate in a text from a place that `at` names.
    pub(crate) fn parse(bytes: &[u8], at: impl Fn(Fault) -> Error) -> Result<Self> {
        let parts = file::text(bytes).and_then(Parts::parse).map_err(&at)?;
        let (line, secret) = parts.secret.ok_or_else(|| {
            at(Fault::new(
                None,
                FileProblem::Missing("`secret-key` in the section `curve`"),
            ))
        })?;
        let secret =
            SecretKey::parse(secret).map_err(|problem| at(Fault::new(Some(line), problem)))?;
        let keypair = Keypair::from_secret(secret)?;
        if keypair.public() != parts.certificate.public_key() {
            let line = Some(parts.public_line);
            return Err(at(Fault::new(line, KeyProblem::Mismatch)));
        }
        Ok(Self {
            certificate: parts.certificate,
            keypair,
        })
    }

    /// The same certificate, its secret key in locked memory: see [`SecretKey::locked`].
    ///
    /// # Errors
    /// [`Error::Os`]: more than `RLIMIT_MEMLOCK` allows.
    pub fn locked(self) -> Result<Self> {
        Ok(Self {
            certificate: self.certificate,
            keypair: self.keypair.locked()?,
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

#[cfg(test)]
mod tests;
