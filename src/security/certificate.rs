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
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use proptest::prelude::*;

    use super::*;
    use std::time::{Duration, SystemTime};

    use crate::security::file::FileKind;

    /// A pair made for these tests.
    const PUBLIC: &str = "+[2F}Z&f<:/K&o%w+>r2(N=m=[=aeE%3xVgV[esz";
    const SECRET: &str = "A}rLet-]Nvzqv-4w}EC.!:qUpQ0bvRIkJ?:4Nyqu";

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn write_secret(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn parse(text: &str) -> Certificate {
        Certificate::parse(text.as_bytes()).unwrap()
    }

    fn fault(text: &str) -> (Option<u32>, FileProblem) {
        let fault = Certificate::parse(text.as_bytes()).unwrap_err();
        (fault.line, fault.problem)
    }

    /// The problem of a secret certificate with this text, and its line.
    fn secret_fault(text: &str) -> (Option<u32>, FileProblem) {
        let folder = folder();
        let path = folder.path().join("x_secret");
        write_secret(&path, text);
        file_error(SecretCertificate::load(&path).unwrap_err(), &path)
    }

    fn file_error(error: Error, wanted: &Path) -> (Option<u32>, FileProblem) {
        match error {
            Error::File {
                path,
                line,
                problem,
            } => {
                assert_eq!(path, wanted);
                (line, problem)
            }
            other => panic!("{other:?}"),
        }
    }

    fn metadata(certificate: &Certificate) -> Vec<(&str, &str)> {
        certificate.metadata().collect()
    }

    #[test]
    fn certificate_survives_its_file_with_metadata_in_order() {
        let folder = folder();
        let path = folder.path().join("a.cert");
        let certificate = Certificate::new(PUBLIC.parse().unwrap())
            .with_meta("name", "Zoë \"Z\" # 1")
            .and_then(|c| c.with_meta("a.b/c", "it's"))
            .and_then(|c| c.with_meta("empty", ""))
            .unwrap();
        certificate.save(&path).unwrap();
        let again = Certificate::load(&path).unwrap();
        assert_eq!(again, certificate);
        let wanted = [("name", "Zoë \"Z\" # 1"), ("a.b/c", "it's"), ("empty", "")];
        assert_eq!(metadata(&again), wanted);
        assert_eq!(again.meta("empty"), Some(""));
        assert_eq!(again.meta("other"), None);
        assert!(!fs::read_to_string(&path).unwrap().contains("secret-key"));
    }

    #[test]
    fn secret_certificate_survives_its_files_given_either_path() {
        let folder = folder();
        let (path, secret) = (folder.path().join("a"), folder.path().join("a_secret"));
        let certificate = SecretCertificate::generate()
            .unwrap()
            .with_meta("role", "server")
            .unwrap();
        certificate.save(&path).unwrap();
        assert_eq!(mode(&secret), 0o600);
        assert_eq!(mode(&path) & 0o600, 0o600);
        for given in [&path, &secret] {
            let again = SecretCertificate::load(given).unwrap();
            assert_eq!(again.certificate(), certificate.certificate());
            assert!(again.secret().ct_eq(certificate.secret()));
        }
        assert_eq!(
            &Certificate::load(&path).unwrap(),
            certificate.certificate()
        );
        fs::remove_file(&path).unwrap();
        certificate.save(&secret).unwrap();
        assert!(path.exists() && !folder.path().join("a_secret_secret").exists());
        fs::remove_file(&path).unwrap();
        assert!(SecretCertificate::load(&path).is_ok());
    }

    #[test]
    fn saving_closes_a_secret_file_that_was_open_to_others() {
        let folder = folder();
        let (path, secret) = (folder.path().join("a"), folder.path().join("a_secret"));
        fs::write(&secret, "").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o666)).unwrap();
        SecretCertificate::generate().unwrap().save(&path).unwrap();
        assert_eq!(mode(&secret), 0o600);
    }

    #[test]
    fn secret_certificate_open_to_others_is_refused_with_the_cure() {
        let folder = folder();
        let (path, secret) = (folder.path().join("a"), folder.path().join("a_secret"));
        SecretCertificate::generate().unwrap().save(&path).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
        let error = SecretCertificate::load(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 600"));
        let (_, problem) = file_error(error, &secret);
        assert!(matches!(problem, FileProblem::Exposed { mode: 0o640, .. }));
    }

    #[test]
    fn when_the_public_file_cannot_be_written_the_secret_one_is_there() {
        let folder = folder();
        let path = folder.path().join("a");
        fs::create_dir(&path).unwrap();
        let certificate = SecretCertificate::generate().unwrap();
        assert!(certificate.save(&path).is_err());
        assert!(SecretCertificate::load(&path).is_ok());
        // And the other way round: no secret file, no public one.
        let path = folder.path().join("b");
        fs::create_dir(folder.path().join("b_secret")).unwrap();
        assert!(certificate.save(&path).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn file_in_the_shape_of_czmq_is_read() {
        let text = format!(
            "#   ****  Generated on 2024-02-29 12:00:00 by CZMQ  ****\n#   More\n\nmetadata\n    \
             email = \"x@example.org\"\n    name = \"J # 1\"\ncurve\n    public-key = \"{PUBLIC}\"\n"
        );
        let certificate = parse(&text);
        assert_eq!(certificate.public_key().to_string(), PUBLIC);
        let wanted = [("email", "x@example.org"), ("name", "J # 1")];
        assert_eq!(metadata(&certificate), wanted);
    }

    #[test]
    fn file_in_the_shape_of_pyzmq_is_read() {
        let text = format!(
            "#   ****  Generated on 2024-02-29 12:00:00.123456 by pyzmq  ****\n#   More\n\nmetadata\n    \
             name = Jo Doe\n    note = a # b\ncurve\n    public-key = \"{PUBLIC}\"\n    \
             secret-key = \"{SECRET}\"\n"
        );
        let folder = folder();
        let path = folder.path().join("x.key_secret");
        write_secret(&path, &text);
        let certificate = SecretCertificate::load(folder.path().join("x.key")).unwrap();
        assert_eq!(certificate.secret().expose_z85().as_str(), SECRET);
        let wanted = [("name", "Jo Doe"), ("note", "a")];
        assert_eq!(metadata(certificate.certificate()), wanted);
    }

    #[test]
    fn variants_that_czmq_reads_are_read() {
        for text in [
            format!("curve\n    public-key = \"{PUBLIC}\""),
            format!("curve\n    public-key = '{PUBLIC}'\n"),
            format!("curve\n    public-key={PUBLIC}\n"),
            format!("curve # x\n\n    public-key = \"{PUBLIC}\" # comment\n"),
            format!("\n\nother\n    x = y\ncurve\n    more = 1\n    public-key = \"{PUBLIC}\"\n"),
            format!("metadata\r\n    name = \"x\"\r\ncurve\r\n    public-key = \"{PUBLIC}\"\r\n"),
            format!("curve\n    public-key = {PUBLIC}\n    public-key = \"short\"\n"),
        ] {
            assert_eq!(parse(&text).public_key().to_string(), PUBLIC, "{text}");
        }
    }

    #[test]
    fn first_metadata_value_counts_and_nested_ones_are_ignored() {
        let text = format!(
            "metadata\n    name = first\n        deep = x\n    name = second\n    group\n        a = b\n\
             curve\n    public-key = \"{PUBLIC}\"\nmetadata\n    late = x\n"
        );
        assert_eq!(metadata(&parse(&text)), [("name", "first"), ("group", "")]);
    }

    #[test]
    fn malformed_file_is_refused_with_the_line() {
        let zeros = "0".repeat(40);
        let mut cut = PUBLIC.to_string();
        cut.replace_range(10..11, "#");
        for (text, line, problem) in [
            (String::new(), None, FileProblem::Missing("section `curve`")),
            (
                "metadata\n".into(),
                None,
                FileProblem::Missing("section `curve`"),
            ),
            (
                "metadata\ncurve\n".into(),
                Some(2),
                FileProblem::Missing("`public-key` in the section `curve`"),
            ),
            (
                format!("curve\n    x = y\ncurve\n    public-key = \"{PUBLIC}\"\n"),
                Some(1),
                FileProblem::Missing("`public-key` in the section `curve`"),
            ),
            (
                format!("curve\npublic-key = \"{PUBLIC}\"\n"),
                Some(1),
                FileProblem::Missing("`public-key` in the section `curve`"),
            ),
            (
                "curve\n    public-key\n".into(),
                Some(2),
                KeyProblem::Length(0).into(),
            ),
            (
                format!("curve\n    public-key = \"{}\"\n", &PUBLIC[1..]),
                Some(2),
                KeyProblem::Length(39).into(),
            ),
            (
                format!("curve\n    public-key = {cut}\n"),
                Some(2),
                KeyProblem::Length(10).into(),
            ),
            (
                format!("curve\n    public-key = \"{}~\"\n", &PUBLIC[1..]),
                Some(2),
                FileProblem::Z85 { position: 39 },
            ),
            (
                format!("curve\n    public-key = \"{zeros}\"\n"),
                Some(2),
                KeyProblem::Zero.into(),
            ),
            (
                format!("curve\n    public-key = \"{PUBLIC}\n"),
                Some(2),
                SyntaxProblem::Quote.into(),
            ),
            (
                format!("curve\n\tpublic-key = \"{PUBLIC}\"\n"),
                Some(2),
                SyntaxProblem::Tab.into(),
            ),
            (
                format!("\u{feff}curve\n    public-key = \"{PUBLIC}\"\n"),
                Some(1),
                SyntaxProblem::Junk.into(),
            ),
            (
                format!("curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{SECRET}\"\n"),
                Some(3),
                FileProblem::SecretKey,
            ),
            (
                format!(
                    "metadata\n    {} = x\ncurve\n    public-key = \"{PUBLIC}\"\n",
                    "n".repeat(256)
                ),
                Some(2),
                FileProblem::MetadataName,
            ),
            (
                format!(
                    "metadata\n    public-key-owner = x\ncurve\n    public-key = \"{PUBLIC}\"\n"
                ),
                Some(2),
                FileProblem::MetadataName,
            ),
        ] {
            assert_eq!(fault(&text), (line, problem), "{text}");
        }
        let latin = b"metadata\n    name = \"J\xF6\"\n";
        let fault = Certificate::parse(latin).unwrap_err();
        assert_eq!(fault, Fault::new(Some(2), FileProblem::Encoding));
    }

    #[test]
    fn truncated_file_is_refused_at_every_length_without_its_key() {
        let certificate = Certificate::new(PUBLIC.parse().unwrap());
        let text = certificate
            .with_meta("name", "x")
            .unwrap()
            .text(None)
            .unwrap();
        let whole = text.find(PUBLIC).unwrap() + PUBLIC.len() + 1;
        for length in 0..text.len() {
            let read = Certificate::parse(&text.as_bytes()[..length]);
            assert_eq!(read.is_ok(), length >= whole, "{}", &text[..length]);
        }
    }

    #[test]
    fn secret_certificate_needs_both_keys_and_they_must_belong_together() {
        let other = Keypair::generate().unwrap();
        let curve = |public: &str, secret: &str| {
            format!("curve\n    public-key = \"{public}\"\n    secret-key = \"{secret}\"\n")
        };
        for (text, line, problem) in [
            (
                format!("curve\n    public-key = \"{PUBLIC}\"\n"),
                None,
                FileProblem::Missing("`secret-key` in the section `curve`"),
            ),
            (
                format!("curve\n    secret-key = \"{SECRET}\"\n"),
                Some(1),
                FileProblem::Missing("`public-key` in the section `curve`"),
            ),
            (
                curve(&other.public().to_string(), SECRET),
                Some(2),
                KeyProblem::Mismatch.into(),
            ),
            (
                curve(PUBLIC, "short"),
                Some(3),
                KeyProblem::Length(5).into(),
            ),
            (
                curve(PUBLIC, &"0".repeat(40)),
                Some(3),
                KeyProblem::Zero.into(),
            ),
            (
                curve(PUBLIC, &format!("~{}", &SECRET[1..])),
                Some(3),
                FileProblem::Z85 { position: 0 },
            ),
        ] {
            assert_eq!(secret_fault(&text), (line, problem), "{text}");
        }
    }

    #[test]
    fn no_error_shows_a_secret_key() {
        let broken = format!("{}~", &SECRET[1..]);
        for text in [
            format!("curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{broken}\"\n"),
            format!("curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{SECRET}\" x\n"),
            format!("curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{SECRET}\n"),
            format!("{SECRET}\n"),
        ] {
            let folder = folder();
            let path = folder.path().join("x_secret");
            write_secret(&path, &text);
            let error = SecretCertificate::load(&path).unwrap_err();
            for shown in [error.to_string(), format!("{error:?}")] {
                assert!(
                    !shown.contains(&SECRET[1..12]) && !shown.contains(&SECRET[25..37]),
                    "{shown}"
                );
            }
        }
        let certificate = SecretCertificate::from_keypair(
            Keypair::from_secret(SecretKey::from_z85(SECRET).unwrap()).unwrap(),
        );
        assert!(!format!("{certificate:?}").contains(SECRET));
    }

    #[test]
    fn metadata_of_100_kib_is_neither_read_nor_written() {
        let folder = folder();
        let path = folder.path().join("a");
        let value = "x".repeat(100 * 1024);
        let text = format!("metadata\n    name = {value}\ncurve\n    public-key = \"{PUBLIC}\"\n");
        fs::write(&path, text).unwrap();
        let too_large = FileProblem::TooLarge {
            limit: CERTIFICATE_LIMIT,
        };
        let error = Certificate::load(&path).unwrap_err();
        assert_eq!(file_error(error, &path), (None, too_large.clone()));

        let path = folder.path().join("b");
        let certificate = SecretCertificate::generate()
            .unwrap()
            .with_meta("name", &value)
            .unwrap();
        let secret = folder.path().join("b_secret");
        let error = certificate.save(&path).unwrap_err();
        assert_eq!(file_error(error, &secret), (None, too_large.clone()));
        let error = certificate.certificate().save(&path).unwrap_err();
        assert_eq!(file_error(error, &path), (None, too_large));
        assert!(!path.exists() && !secret.exists());
    }

    #[test]
    fn directory_and_fifo_are_refused_and_links_followed() {
        let folder = folder();
        let fifo = folder.path().join("fifo_secret");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        let error = SecretCertificate::load(folder.path().join("fifo")).unwrap_err();
        assert_eq!(
            file_error(error, &fifo),
            (None, FileProblem::NotAFile(FileKind::Fifo))
        );
        let error = Certificate::load(folder.path()).unwrap_err();
        let directory = FileProblem::NotAFile(FileKind::Directory);
        assert_eq!(file_error(error, folder.path()), (None, directory));
        let certificate = Certificate::new(PUBLIC.parse().unwrap());
        certificate.save(folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("link")).unwrap();
        assert_eq!(
            Certificate::load(folder.path().join("link")).unwrap(),
            certificate
        );
    }

    #[test]
    fn unusable_metadata_is_refused_when_it_is_set() {
        let certificate = Certificate::new(PUBLIC.parse().unwrap());
        let long = "n".repeat(256);
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("/a", "x"),
            ("ä", "x"),
            (&*long, "x"),
            ("public-key", "x"),
            ("secret-key2", "x"),
            ("a", "two\nlines"),
            ("a", "cr\r"),
            ("a", "nul\0"),
            ("a", "\u{1b}[31m"),
            ("a", "\"'"),
        ] {
            let refused = certificate.clone().with_meta(name, value);
            assert!(
                matches!(refused, Err(Error::InvalidOption { .. })),
                "{name:?} {value:?}"
            );
        }
        let changed = certificate
            .with_meta("a", "1")
            .and_then(|c| c.with_meta("a", "2"))
            .unwrap();
        assert_eq!(metadata(&changed), [("a", "2")]);
    }

    #[test]
    fn life_that_cannot_be_told_is_refused_with_the_line() {
        let with = |lines: &str| {
            let lines = lines.replace(';', "\n    ");
            format!("metadata\n    name = x\n    {lines}\ncurve\n    public-key = \"{PUBLIC}\"\n")
        };
        for (lines, line, problem) in [
            (
                "not-after = 2027-01-31T12:00:00",
                3,
                ValidityProblem::NoZone("not-after").into(),
            ),
            (
                "role = y;not-before = soon",
                4,
                ValidityProblem::Date("not-before").into(),
            ),
            ("disabled", 3, ValidityProblem::Disabled.into()),
            (
                "not-after = 2027-01-31T12:00:00Z;not-before = 2028-01-31T12:00:00Z",
                4,
                ValidityProblem::Reversed.into(),
            ),
            (
                "not_after = 2027-01-31T12:00:00Z",
                3,
                ValidityProblem::Misspelt("not-after").into(),
            ),
            (
                "not-after = 2027-01-31T12:00:00Z;not-after = 2028-01-31T12:00:00Z",
                4,
                FileProblem::SameName,
            ),
        ] {
            assert_eq!(fault(&with(lines)), (Some(line), problem), "{lines}");
        }
        let misplaced = FileProblem::from(ValidityProblem::Misplaced("disabled"));
        let curve = format!("curve\n    public-key = \"{PUBLIC}\"\n");
        for (text, line) in [
            (format!("{curve}    disabled = true\n"), 3),
            (format!("{curve}disabled = true\n"), 3),
            (
                format!("metadata\n    name = x\n        disabled = true\n{curve}"),
                3,
            ),
            (
                format!("metadata\n{curve}metadata\n    disabled = true\n"),
                5,
            ),
        ] {
            assert_eq!(fault(&text), (Some(line), misplaced.clone()), "{text}");
        }
        let life = parse(&with("disabled = false;not-after = 2027-01-31T12:00:00Z")).validity();
        assert_eq!(life.to_string(), "until 2027-01-31T12:00:00Z");
    }

    #[test]
    fn life_is_set_as_a_whole_or_by_its_metadata() {
        let certificate = Certificate::new(PUBLIC.parse().unwrap())
            .with_meta("name", "x")
            .unwrap();
        assert_eq!(certificate.validity(), Validity::new());
        let [start, end] = [1, 2].map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        let life = Validity::new().with_not_before(start).with_not_after(end);
        let with_life = certificate.clone().with_validity(life).unwrap();
        assert_eq!(with_life.validity(), life);
        let wanted = [
            ("name", "x"),
            ("not-before", "1970-01-01T00:00:01Z"),
            ("not-after", "1970-01-01T00:00:02Z"),
        ];
        assert_eq!(metadata(&with_life), wanted);
        let later = Validity::new()
            .with_not_before(end)
            .with_disabled(true)
            .with_not_after(end + Duration::from_nanos(1));
        let moved = with_life.clone().with_validity(later).unwrap();
        assert_eq!(moved.validity(), later);
        assert_eq!(moved.with_validity(Validity::new()).unwrap(), certificate);
        for (name, value) in [
            ("not-before", "1970-01-01T00:00:02Z"),
            ("not-after", "1970-01-01T00:00:02"),
            ("disabled", "perhaps"),
            ("NOT-AFTER", "1970-01-01T00:00:02Z"),
        ] {
            let refused = with_life.clone().with_meta(name, value);
            assert!(
                matches!(refused, Err(Error::InvalidOption { .. })),
                "{name}"
            );
        }
        for life in [
            Validity::new().with_not_before(end).with_not_after(start),
            Validity::new().with_not_after(start - Duration::from_secs(2)),
            Validity::new().with_not_after(end + Duration::from_secs(1 << 40)),
        ] {
            assert!(certificate.clone().with_validity(life).is_err(), "{life}");
        }
    }

    #[test]
    fn certificate_is_shown_by_its_fingerprint_and_what_it_says_of_its_owner() {
        let certificate = parse(&format!(
            "metadata\n    name = pump \u{1b} 7\ncurve\n    public-key = \"{PUBLIC}\"\n"
        ));
        let fingerprint = certificate.public_key().fingerprint();
        let wanted = format!("{fingerprint} name=\"pump \\u{{1b}} 7\"");
        assert_eq!(certificate.to_string(), wanted);
        assert!(!wanted.contains(PUBLIC));
    }

    #[test]
    fn key_of_zeros_is_not_written() {
        let folder = folder();
        let path = folder.path().join("a");
        let error = Certificate::new(PublicKey::from_bytes([0; 32]))
            .save(&path)
            .unwrap_err();
        assert_eq!(file_error(error, &path), (None, KeyProblem::Zero.into()));
        assert!(!path.exists());
    }

    #[test]
    fn path_that_is_no_utf_8_or_has_the_longest_name_keeps_its_two_files_apart() {
        use std::os::unix::ffi::OsStrExt;

        let folder = folder();
        let odd = std::ffi::OsStr::from_bytes(b"k\xFFy");
        let certificate = SecretCertificate::generate().unwrap();
        certificate.save(folder.path().join(odd)).unwrap();
        assert!(SecretCertificate::load(folder.path().join(odd)).is_ok());
        // The secret file's name would be too long for the file system: nothing is written.
        let long = folder.path().join("x".repeat(255));
        assert!(certificate.save(&long).is_err());
        assert!(!long.exists());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes: Vec<u8>) {
            let _ = Certificate::parse(&bytes);
        }

        #[test]
        fn any_damage_to_a_certificate_is_read_or_refused_without_panic(at in 0usize..300, byte: u8) {
            let certificate = Certificate::new(PUBLIC.parse().unwrap()).with_meta("name", "x").unwrap();
            let mut bytes = certificate.text(None).unwrap().as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(read) = Certificate::parse(&bytes) {
                prop_assert!(read.public_key().usable().is_ok());
                prop_assert!(read.text(None).is_ok());
            }
        }

        #[test]
        fn any_metadata_that_can_be_set_is_read_back(
            entries in proptest::collection::vec(("[a-z.]{1,3}", "\\PC{0,20}|[ \"'#=\\\\]{0,6}"), 0..6)
        ) {
            let mut certificate = Certificate::new(PUBLIC.parse().unwrap());
            for (name, value) in entries {
                certificate = certificate.clone().with_meta(&name, &value).unwrap_or(certificate);
            }
            let text = certificate.text(None).unwrap();
            prop_assert_eq!(Certificate::parse(text.as_bytes()).unwrap(), certificate);
        }
    }
}
