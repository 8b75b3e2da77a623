//! Certificates with the secret key, and the two files that they make.

use std::path::{Path, PathBuf};

use super::Certificate;
use super::text::Parts;
use crate::error::{Error, Result};
use crate::security::file::{self, Access, CERTIFICATE_LIMIT, Fault, FileProblem};
use crate::security::keys::{KeyProblem, Keypair, PublicKey, SecretKey};
use crate::security::signing::SigningKey;
use crate::security::validity::Validity;

/// What is appended to a certificate's path for the file with the secret key.
const SECRET_SUFFIX: &str = "_secret";

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

    /// Reads just `path`, whatever it is called: what [`SecretCertificate::save_file`] wrote.
    ///
    /// # Errors
    /// As [`SecretCertificate::load`].
    pub fn load_file(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(path.as_ref(), Access::OwnerOnly)
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
        self.save_file(secret)?;
        self.certificate.save(public)
    }

    /// Writes all of it as just `path` (mode 0600), whole or not at all.
    ///
    /// # Errors
    /// As [`SecretCertificate::save`].
    #[doc(alias = "zcert_save_secret")]
    pub fn save_file(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = self
            .certificate
            .text(Some(self.keypair.secret()))
            .map_err(|problem| Fault::new(None, problem).at(path))?;
        file::write_atomically(path, text.as_bytes(), file::SECRET_MODE)
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
