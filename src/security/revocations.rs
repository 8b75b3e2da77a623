//! Revocation lists: the keys that an administrator admits no more, in a signed file.
//!
//! ```text
//! revocations
//!     version = "1"
//!     serial = "1800000000"
//!     issued = "2027-01-15T08:00:00Z"
//!     valid-until = "2027-02-14T08:00:00Z"
//!     minimum-serial = "0"
//! revoked
//!     key = "+[2F}Z&f<:/K&o%w+>r2(N=m=[=aeE%3xVgV[esz"
//!         reason = "laptop stolen"
//!     key = "QcJ8nDvvKn0lict}$WMk/2SdGJ]J8S2a[WPC81Y["
//!         below = "1800000000"
//!         reason = "no writer any more"
//! signer = "ed25519:D9{W9KlfBqkZoKD>=6GrKrofq>9rWj&nY}cTPT@2"
//! signature = "…"
//! ```
//! The last two lines are always those, each written in just this way. The signature, 80 characters of Z85, is Ed25519 over
//! `ironhouse revocations 1`, a NUL, and the file up to the start of the last line. Nothing before it is read unless it holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::file::{self, Access, Fault, FileProblem};
use super::keys::PublicKey;
use super::signing::{SigningKey, VerifyKey, decode_signature, parse_serial, serial_now};
use super::validity::{self, Date};
use super::zpl::{Document, Node, Writer};
use crate::error::{Error, Result};

/// Largest list in bytes: some 150 000 keys, each with a reason.
const LIMIT: u64 = 16 << 20;
/// Longest reason in bytes.
const REASON_LIMIT: usize = 255;

/// What is signed starts with this: no other message that such a key signs does.
const PREFIX: &[u8] = b"ironhouse revocations 1\0";
const VERSION: &str = "1";

const SIGNER_START: &str = "\nsigner = \"";
const SIGNER_CHARS: usize = 48;
const SIGNATURE_START: &str = "signature = \"";
const SIGNATURE_CHARS: usize = 80;
const LINE_END: &str = "\"\n";

/// Why a revocation list does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationProblem {
    /// It does not end as such a list does.
    #[error(
        "does not end in the lines `signer` and `signature` of a revocation list: cut off, or something else, so put the whole list there"
    )]
    Unsigned,
    /// Signed by somebody else.
    #[error("signed by {signer}, where the list of {wanted} is wanted: put that one there")]
    Signer {
        /// Whose signature it says it has.
        signer: VerifyKey,
        /// Whose is wanted.
        wanted: VerifyKey,
    },
    /// Not what was signed.
    #[error(
        "the signature does not match: the list was changed since it was signed, so put it there again as it was"
    )]
    Mismatch,
    /// Written in a form that is not known here.
    #[error("not a revocation list of version 1: have it issued by the ironhouse that reads it")]
    Version,
    /// An entry that does not belong there.
    #[error("not an entry of a revocation list, or not in its place: have the list issued anew")]
    Entry,
    /// An entry that should be a number.
    #[error("`{0}` is not a number: have the list issued anew")]
    Number(&'static str),
    /// An entry that should be a time.
    #[error("`{0}` is not a time of the form `2027-01-31T12:00:00Z`: have the list issued anew")]
    Date(&'static str),
    /// A reason that is too long, or not one line of text.
    #[error("a reason has at most 255 bytes and no control characters: have the list issued anew")]
    Reason,
    /// Older than one that was seen.
    #[error(
        "its serial is {serial}, and {newest} was seen before: somebody put back an old list, so put the newest there, which counts until then"
    )]
    RolledBack {
        /// The list's serial.
        serial: u64,
        /// The highest of its administrator.
        newest: u64,
    },
    /// As old as the one in force, but another one.
    #[error(
        "its serial {serial} is that of the list in force, which says something else and counts: have it issued anew"
    )]
    SameSerial {
        /// The serial of both.
        serial: u64,
    },
    /// Not valid any more: there must be a newer one that did not arrive.
    #[error(
        "was valid until {}: nobody is admitted until a newer one of {by} is there", Date(*.until)
    )]
    Expired {
        /// Until when.
        until: SystemTime,
        /// Whose list it is.
        by: VerifyKey,
    },
    /// What was seen of lists cannot be told.
    #[error(
        "without it nobody is admitted, since an old list would not be noticed: restore the file, or remove it to begin anew"
    )]
    Forgotten,
    /// None has been read.
    #[error("no revocation list of {by} is in force: nobody is admitted until one is there")]
    NoneInForce {
        /// Whose list is wanted.
        by: VerifyKey,
    },
}

/// One entry of a [`RevocationList`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    below: Option<u64>,
    reason: Box<str>,
}

impl Revocation {
    /// Certificates with at least this serial count all the same; `None`: none does.
    pub const fn below(&self) -> Option<u64> {
        self.below
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether it revokes a certificate of this serial.
    pub(crate) fn covers(&self, serial: u64) -> bool {
        self.below.is_none_or(|below| serial < below)
    }
}

/// The keys that an administrator admits no more, whoever signed their certificates.
///
/// In a file it is signed, numbered by a serial, and valid until a given time: so that whoever distributes it can neither change it, nor
/// put back an old one unnoticed, nor keep new ones away for long. [`Trust`](super::Trust) says what a store makes of it.
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::{Keypair, RevocationList, SigningKey};
/// use std::time::Duration;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("revoked.list");
/// let administrator = SigningKey::generate()?;
/// let stolen = *Keypair::generate()?.public();
/// let month = Duration::from_secs(30 * 86_400);
/// RevocationList::new().revoke(stolen, "laptop stolen")?.issue(&path, &administrator, month)?;
///
/// // Weeks later: nothing new to revoke, but it must not run out.
/// let list = RevocationList::load(&path, administrator.verify_key())?;
/// assert_eq!(list.revocation(&stolen).map(|entry| entry.reason()), Some("laptop stolen"));
/// let newer = list.clone().issue(&path, &administrator, month)?;
/// assert!(newer.serial() > list.serial());
/// # Ok(())
/// # }
/// ```
#[doc(alias = "CRL")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    serial: u64,
    issued: SystemTime,
    valid_until: SystemTime,
    minimum_serial: u64,
    revoked: BTreeMap<PublicKey, Revocation>,
}

impl Default for RevocationList {
    fn default() -> Self {
        Self {
            serial: 0,
            issued: UNIX_EPOCH,
            valid_until: UNIX_EPOCH,
            minimum_serial: 0,
            revoked: BTreeMap::new(),
        }
    }
}

impl RevocationList {
    /// A list of nobody, to be [issued](Self::issue).
    pub fn new() -> Self {
        Self::default()
    }

    /// Revokes every certificate of a key, those not yet signed included; in the place of an earlier entry.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: a reason of more than 255 bytes, or with control characters or both kinds of quote.
    pub fn revoke(self, key: PublicKey, reason: &str) -> Result<Self> {
        self.add(key, None, reason)
    }

    /// Revokes the certificates of a key whose serial is lower, so that one signed since counts alone; in the place of an earlier entry.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: a reason of more than 255 bytes, or with control characters or both kinds of quote.
    pub fn revoke_below(self, key: PublicKey, serial: u64, reason: &str) -> Result<Self> {
        self.add(key, Some(serial), reason)
    }

    fn add(mut self, key: PublicKey, below: Option<u64>, reason: &str) -> Result<Self> {
        if !is_reason(reason) || ['"', '\''].iter().all(|quote| reason.contains(*quote)) {
            return Err(Error::InvalidOption {
                name: "reason",
                reason:
                    "at most 255 bytes, without control characters, nor with both kinds of quote"
                        .into(),
            });
        }
        let reason = reason.into();
        self.revoked.insert(key, Revocation { below, reason });
        Ok(self)
    }

    /// Takes back the entry of a key.
    pub fn reinstate(mut self, key: &PublicKey) -> Self {
        self.revoked.remove(key);
        self
    }

    /// Declares void every certificate that the list's own administrator signed with a lower serial: so that whoever is to stay has to be
    /// signed anew.
    pub fn with_minimum_serial(mut self, serial: u64) -> Self {
        self.minimum_serial = serial;
        self
    }

    /// Counts the time in seconds since 1970, or more where lists are issued faster; 0 before it is issued.
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// When it was issued.
    pub const fn issued(&self) -> SystemTime {
        self.issued
    }

    /// Until when it counts.
    pub const fn valid_until(&self) -> SystemTime {
        self.valid_until
    }

    /// The least serial of its administrator's certificates that count.
    pub const fn minimum_serial(&self) -> u64 {
        self.minimum_serial
    }

    /// The entry of a key.
    pub fn revocation(&self, key: &PublicKey) -> Option<&Revocation> {
        self.revoked.get(key)
    }

    /// All entries, ordered by key.
    pub fn revoked(&self) -> impl ExactSizeIterator<Item = (&PublicKey, &Revocation)> {
        self.revoked.iter()
    }

    /// Writes the list to a file, signed, with a higher serial than before and valid from now on for so long; returns it as written.
    ///
    /// `valid_for` bounds how long it can stay unnoticed that newer lists are kept away. Issue the next one well before it ends: a store
    /// whose list has run out admits nobody.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: `valid_for` is less than a second, or ends after the year 9999. [`Error::File`]: more than 16 MiB, or
    /// something else than a file is there. [`Error::Io`]: no such directory, no permission, no space. [`Error::Os`]: libsodium failed.
    pub fn issue(
        mut self,
        path: impl AsRef<Path>,
        key: &SigningKey,
        valid_for: Duration,
    ) -> Result<Self> {
        let path = path.as_ref();
        let now = serial_now();
        self.serial = now.max(self.serial.saturating_add(1));
        let end = now.saturating_add(valid_for.as_secs());
        self.issued = UNIX_EPOCH + Duration::from_secs(now);
        self.valid_until = UNIX_EPOCH
            .checked_add(Duration::from_secs(end))
            .filter(|end| *end > self.issued && validity::parse(&Date(*end).to_string()).is_some())
            .ok_or_else(|| Error::InvalidOption {
                name: "valid_for",
                reason: "at least a second, and to the end of the year 9999 at most".into(),
            })?;
        let text = self.text(key, path)?;
        file::write_atomically(path, text.as_bytes(), file::PUBLIC_MODE)?;
        Ok(self)
    }

    /// As [`issue`](Self::issue), at any time.
    #[cfg(test)]
    pub(crate) fn issue_as(
        mut self,
        path: &Path,
        key: &SigningKey,
        serial: u64,
        valid_until: SystemTime,
    ) {
        self.serial = serial;
        self.valid_until = valid_until;
        let text = self.text(key, path).unwrap();
        file::write_atomically(path, text.as_bytes(), file::PUBLIC_MODE).unwrap();
    }

    /// The file's text.
    pub(crate) fn text(&self, key: &SigningKey, path: &Path) -> Result<String> {
        let body = self.body(key.verify_key());
        let mut text = body.map_err(|problem| Fault::new(None, problem).at(path))?;
        let signature = key.sign(&signed(&text))?;
        text.extend([SIGNATURE_START, &signature, LINE_END]);
        if text.len() as u64 > LIMIT {
            return Err(Fault::new(None, FileProblem::TooLarge { limit: LIMIT }).at(path));
        }
        Ok(text)
    }

    /// The text up to the signature.
    fn body(&self, signer: &VerifyKey) -> Result<String, FileProblem> {
        let mut text = Writer::new();
        text.comment("****  Generated by ironhouse  ****");
        text.comment(
            "Keys that an administrator admits no more.\n\
             Nothing in it is secret; but whoever changes anything in this file makes it void.\n",
        );
        text.section(0, "revocations")?;
        text.entry(1, "version", VERSION)?;
        text.entry(1, "serial", &self.serial.to_string())?;
        text.entry(1, "issued", &Date(self.issued).to_string())?;
        text.entry(1, "valid-until", &Date(self.valid_until).to_string())?;
        text.entry(1, "minimum-serial", &self.minimum_serial.to_string())?;
        text.section(0, "revoked")?;
        for (key, entry) in &self.revoked {
            text.entry(1, "key", &key.to_string())?;
            if let Some(below) = entry.below {
                text.entry(2, "below", &below.to_string())?;
            }
            text.entry(2, "reason", &entry.reason)?;
        }
        text.entry(0, "signer", &signer.to_string())?;
        Ok(text.finish().to_string())
    }

    /// Reads the list of an administrator, if nobody has changed it since. Whether it still is valid is for the reader to see.
    ///
    /// # Errors
    /// [`Error::Io`]: not there, or not readable. [`Error::File`]: not a file, larger than 16 MiB, or not such a list.
    pub fn load(path: impl AsRef<Path>, administrator: &VerifyKey) -> Result<Self> {
        let path = path.as_ref();
        let bytes = file::read(path, LIMIT, Access::Public)?;
        Self::read(&bytes, administrator).map_err(|fault| fault.at(path))
    }

    /// Reads the bytes of a list's file.
    pub(crate) fn read(bytes: &[u8], wanted: &VerifyKey) -> Result<Self, Fault> {
        let fault = |problem: RevocationProblem| Fault::new(None, problem);
        let text = file::text(bytes)?;
        let (body, signer, signature) =
            split(text).ok_or_else(|| fault(RevocationProblem::Unsigned))?;
        if signer != *wanted {
            let wanted = *wanted;
            return Err(fault(RevocationProblem::Signer { signer, wanted }));
        }
        let signature = decode_signature(signature)
            .filter(|signature| wanted.verifies(signature, &signed(body)));
        if signature.is_none() {
            return Err(fault(RevocationProblem::Mismatch));
        }
        Self::interpret(body)
    }

    /// Reads what was signed.
    pub(crate) fn interpret(body: &str) -> Result<Self, Fault> {
        let document = Document::parse(body)?;
        let at =
            |node: &Node<'_>, problem: RevocationProblem| Fault::new(Some(node.line()), problem);
        let (mut head, mut list) = (None, Self::new());
        for section in document.top() {
            match section.name() {
                "revocations" if head.is_none() => head = Some(section),
                "revoked" => {
                    for node in document.children(section) {
                        let (key, entry) = read_entry(&document, node)?;
                        if list.revoked.insert(key, entry).is_some() {
                            return Err(at(node, RevocationProblem::Entry));
                        }
                    }
                }
                "signer" => {}
                _ => return Err(at(section, RevocationProblem::Entry)),
            }
        }
        let head = head.ok_or_else(|| Fault::new(None, RevocationProblem::Version))?;
        // First of all: what else there is may be of another version.
        match document.child(head, "version").map(Node::value) {
            Some(VERSION) => {}
            _ => return Err(at(head, RevocationProblem::Version)),
        }
        let number = |name: &'static str| {
            let node = document.child(head, name);
            node.and_then(|node| parse_serial(node.value()))
                .ok_or_else(|| at(node.unwrap_or(head), RevocationProblem::Number(name)))
        };
        let time = |name: &'static str| {
            let node = document.child(head, name);
            node.and_then(|node| validity::parse(node.value()))
                .ok_or_else(|| at(node.unwrap_or(head), RevocationProblem::Date(name)))
        };
        list.serial = number("serial")?;
        list.issued = time("issued")?;
        list.valid_until = time("valid-until")?;
        list.minimum_serial = number("minimum-serial")?;
        Ok(list)
    }
}

/// What is signed.
fn signed(body: &str) -> Vec<u8> {
    [PREFIX, body.as_bytes()].concat()
}

/// What precedes the signature, the signer it names, and the signature.
fn split(text: &str) -> Option<(&str, VerifyKey, &str)> {
    let line = SIGNATURE_START.len() + SIGNATURE_CHARS + LINE_END.len();
    let (body, line) = text.split_at_checked(text.len().checked_sub(line)?)?;
    let signature = line.strip_prefix(SIGNATURE_START)?.strip_suffix(LINE_END)?;
    let line = SIGNER_START.len() + SIGNER_CHARS + LINE_END.len();
    let line = body.get(body.len().checked_sub(line)?..)?;
    let signer = line.strip_prefix(SIGNER_START)?.strip_suffix(LINE_END)?;
    Some((body, VerifyKey::parse(signer).ok()?, signature))
}

fn read_entry(document: &Document<'_>, node: &Node<'_>) -> Result<(PublicKey, Revocation), Fault> {
    if node.name() != "key" {
        return Err(Fault::new(Some(node.line()), RevocationProblem::Entry));
    }
    let key =
        PublicKey::parse(node.value()).map_err(|problem| Fault::new(Some(node.line()), problem))?;
    let (mut below, mut reason) = (None, "");
    for node in document.children(node) {
        let fault = |problem| Fault::new(Some(node.line()), problem);
        match node.name() {
            "below" => {
                let serial = parse_serial(node.value());
                let problem = RevocationProblem::Number("below");
                below = Some(serial.ok_or_else(|| fault(problem))?);
            }
            "reason" if is_reason(node.value()) => reason = node.value(),
            "reason" => return Err(fault(RevocationProblem::Reason)),
            _ => return Err(fault(RevocationProblem::Entry)),
        }
    }
    let reason = reason.into();
    Ok((key, Revocation { below, reason }))
}

fn is_reason(text: &str) -> bool {
    text.len() <= REASON_LIMIT && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
