//! Certificates: a public key with what is known of its owner, and the secret key beside it.
//!
//! The files are those of CZMQ and pyzmq: ZPL text with the sections `metadata` and `curve`. The public certificate
//! is `<path>`, the secret one (both keys) `<path>_secret`.

mod secret;
mod text;

use std::collections::HashSet;
use std::fmt;

use triomphe::ThinArc;

use crate::error::{Error, Result};
use crate::security::file::FileProblem;
use crate::security::keys::PublicKey;
use crate::security::signing::SIGNATURE;
use crate::security::validity::{self, Validity};
use crate::security::zap::{self, Metadata, PROPERTY_OVERHEAD, Properties};
use crate::security::zpl::{self, SyntaxProblem};
pub use secret::SecretCertificate;
pub(crate) use text::can_be_sent;

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
    metadata: Option<Kept>,
}

/// A certificate's metadata, encoded, with what is known of them. Copies share them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Kept(ThinArc<Traits, u8>);

/// What is known of a certificate's metadata.
#[derive(PartialEq, Eq)]
struct Traits {
    /// As many of their bytes are sent as they are; `None` where some may not be.
    sent: Option<u32>,
    /// Where some of them tell its life: read once, not at every decision.
    life: Option<Box<Validity>>,
}

/// A certificate in the making.
pub(crate) struct Draft {
    key: PublicKey,
    metadata: Metadata,
    sendable: bool,
    /// Where the signature begins, which is sent to nobody.
    signature: Option<usize>,
    tells_its_life: bool,
    /// The names, where there are many.
    names: Option<HashSet<Box<str>>>,
}

/// From so many bytes of metadata on, names are looked for in a table: else who makes a file could make us look for hours.
const MANY: usize = 2048;

impl Draft {
    /// Without metadata yet, but with room for this many bytes of it: names, values, and [`PROPERTY_OVERHEAD`] for each.
    pub(crate) fn new(key: PublicKey, bytes: usize) -> Self {
        Self {
            key,
            metadata: Metadata::with_capacity(bytes),
            sendable: true,
            signature: None,
            tells_its_life: false,
            names: None,
        }
    }

    /// Whether there is metadata of this name.
    pub(crate) fn has(&mut self, name: &str) -> bool {
        let mut names = self.metadata.iter().map(|(known, _)| known);
        if self.metadata.as_bytes().len() < MANY {
            return names.any(|known| known == name);
        }
        let table = self
            .names
            .get_or_insert_with(|| names.map(Into::into).collect());
        table.contains(name)
    }

    /// Adds metadata that was checked: the name is new, and no longer than it may be.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        let begin = self.metadata.as_bytes().len();
        self.metadata.keep(name, value);
        if let Some(names) = &mut self.names {
            names.insert(name.into());
        }
        // Nothing is to stand behind it.
        self.sendable &= self.signature.is_none();
        if name == SIGNATURE {
            self.signature = Some(begin);
        } else {
            self.sendable &= !Metadata::is_reserved(name) && self.metadata.fits();
        }
        self.tells_its_life |= Validity::name(name).is_some();
    }

    /// The certificate.
    pub(crate) fn finish(self) -> Certificate {
        let metadata = || {
            let life = || Box::new(Validity::of(self.metadata.iter()));
            let sent = self.signature.unwrap_or(self.metadata.as_bytes().len());
            let traits = Traits {
                sent: u32::try_from(sent).ok().filter(|_| self.sendable),
                life: self.tells_its_life.then(life),
            };
            Kept(ThinArc::from_header_and_slice(
                traits,
                self.metadata.as_bytes(),
            ))
        };
        Certificate {
            key: self.key,
            metadata: (!self.metadata.as_bytes().is_empty()).then(metadata),
        }
    }
}

impl Kept {
    fn traits(&self) -> &Traits {
        &self.0.header.header
    }

    /// Those that a reply carries, encoded, where they are sent as they are.
    pub(super) fn sent(&self) -> &[u8] {
        let sent = self.traits().sent.unwrap_or(0);
        self.0.slice.get(..sent as usize).unwrap_or_default()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(zap::properties(&self.0.slice))
            .finish()
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

    /// What a reply carries: all metadata, but for names that libzmq keeps for itself, what exceeds a reply, and the signature: nobody can
    /// verify it but who has the certificate.
    pub(crate) fn properties(&self) -> Properties {
        match &self.metadata {
            None => return Properties::Own(Metadata::new()),
            Some(kept) if kept.traits().sent.is_some() => return Properties::Of(kept.clone()),
            Some(_) => {}
        }
        let mut sent = Metadata::new();
        for (name, value) in self.metadata().filter(|(name, _)| *name != SIGNATURE) {
            let _ = sent.push(name, value);
        }
        Properties::Own(sent)
    }

    /// All metadata, encoded.
    fn encoded(&self) -> &[u8] {
        self.metadata.as_ref().map_or(&[], |kept| &kept.0.slice)
    }

    /// Touches what a decision on this key needs.
    pub(super) fn fetch(&self) -> Option<(bool, u8)> {
        let kept = self.metadata.as_ref()?;
        // Wherever they begin, each line of the processor's cache is touched.
        let sent = kept.sent();
        let touched = sent.iter().step_by(64).chain(sent.last());
        let touched = touched.fold(0, |all, byte| all ^ byte);
        Some((self.validity().is_disabled(), touched))
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
        if !changed.has(name) {
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
        let kept = self.metadata.as_ref();
        let life = kept.and_then(|kept| kept.traits().life.as_deref());
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

#[cfg(test)]
mod tests;
