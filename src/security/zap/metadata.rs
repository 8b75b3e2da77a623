//! Metadata of a reply. `Source: RFC 27/ZAP; RFC 23/ZMTP, metadata`.

use std::io::Write;

use super::ZapProblem;
use crate::security::certificate::Kept;

/// Most metadata that a reply carries, in bytes as encoded.
const METADATA_LIMIT: usize = 64 * 1024;

/// Bytes of a property beside its name and value.
pub(crate) const PROPERTY_OVERHEAD: usize = 5;

/// The property by which every message of a connection repeats the number of its admission.
pub(crate) const ADMISSION: &str = "X-Ironhouse-Admission";

/// Names that belong to libzmq, which ignores some from a handler and closes the connection over others, and our own.
const RESERVED: [&str; 7] = [
    ADMISSION,
    "User-Id",
    "Peer-Address",
    "Socket-Type",
    "Identity",
    "Routing-Id",
    "Resource",
];

/// Metadata of a reply: its own, or those of a certificate, which are kept as they are sent.
#[derive(Debug)]
pub(crate) enum Properties {
    Own(Metadata),
    Of(Kept),
}

impl Properties {
    pub(in crate::security) fn encoded(&self) -> &[u8] {
        match self {
            Properties::Own(metadata) => metadata.as_bytes(),
            Properties::Of(kept) => kept.sent(),
        }
    }
}

impl From<Metadata> for Properties {
    fn from(metadata: Metadata) -> Self {
        Self::Own(metadata)
    }
}

/// Properties that the reply attaches to every message of the connection, as ZMTP encodes them.
///
/// Source: RFC 23/ZMTP, metadata: `*(name-length name value-length value)`, lengths of 1 and 4 bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Metadata(Vec<u8>);

impl Metadata {
    /// Nothing.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// As encoded.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether libzmq keeps `name` for itself, or we do. Property names do not differ by case.
    pub(crate) fn is_reserved(name: &str) -> bool {
        RESERVED
            .iter()
            .any(|reserved| reserved.eq_ignore_ascii_case(name))
    }

    /// # Errors
    /// [`ZapProblem::MetadataName`], [`ZapProblem::MetadataSize`]: nothing is added then.
    pub(crate) fn push(&mut self, name: &str, value: &str) -> Result<(), ZapProblem> {
        if Self::is_reserved(name) {
            return Err(ZapProblem::MetadataName(name.chars().take(64).collect()));
        }
        self.add(name, value)
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), ZapProblem> {
        let size = self.0.len() + PROPERTY_OVERHEAD + name.len() + value.len();
        if size > METADATA_LIMIT {
            return Err(ZapProblem::MetadataSize(size));
        }
        if self.keep(name, value) {
            Ok(())
        } else {
            Err(ZapProblem::MetadataName(name.chars().take(64).collect()))
        }
    }

    /// Room for this many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds what is to be kept, whether it may be sent or not; false where it cannot be encoded.
    pub(crate) fn keep(&mut self, name: &str, value: &str) -> bool {
        let (Ok(name_len @ 1..), Ok(value_len)) =
            (u8::try_from(name.len()), u32::try_from(value.len()))
        else {
            return false;
        };
        self.0.reserve(PROPERTY_OVERHEAD + name.len() + value.len());
        self.0.push(name_len);
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(&value_len.to_be_bytes());
        self.0.extend_from_slice(value.as_bytes());
        true
    }

    /// Whether a reply can carry it all.
    pub(crate) fn fits(&self) -> bool {
        self.0.len() <= METADATA_LIMIT
    }

    /// Names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        properties(&self.0)
    }
}

/// Names and values of encoded metadata.
pub(crate) fn properties(encoded: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = encoded;
    std::iter::from_fn(move || {
        let (&length, tail) = rest.split_first()?;
        let (name, tail) = tail.split_at_checked(length.into())?;
        let (length, tail) = tail.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (value, tail) = tail.split_at_checked(length)?;
        rest = tail;
        // They were text when they were put in.
        let text = |bytes| std::str::from_utf8(bytes).ok();
        Some((text(name)?, text(value)?))
    })
}

/// The property that numbers an admission. A reply has room for it beyond the limit of other metadata: without it, nobody could tell
/// whose a message is.
pub(super) struct Admission([u8; 48]);

impl Admission {
    pub(super) const fn new() -> Self {
        Self([0; 48])
    }

    /// As encoded.
    pub(super) fn property(&mut self, number: u64) -> &[u8] {
        let digits = 1 + number.checked_ilog10().unwrap_or(0);
        let mut rest = &mut self.0[..];
        // Never too long: the name has 21 bytes, the longest number 20.
        let _ = rest.write_all(&[ADMISSION.len() as u8]);
        let _ = rest.write_all(ADMISSION.as_bytes());
        let _ = rest.write_all(&digits.to_be_bytes());
        let _ = write!(rest, "{number}");
        let unused = rest.len();
        self.0.get(..self.0.len() - unused).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_have_names_that_are_theirs_to_give() {
        let long = "n".repeat(255);
        let mut metadata = Metadata::new();
        for name in ["n", "role", "X-Mine", &long] {
            metadata.push(name, "value").unwrap();
        }
        let kept: Vec<_> = metadata.iter().collect();
        let before = metadata.as_bytes().to_vec();
        assert_eq!(kept[3], (&*long, "value"));
        let too_long = "n".repeat(256);
        let reserved = RESERVED
            .iter()
            .flat_map(|name| [name.to_string(), name.to_lowercase(), name.to_uppercase()]);
        for name in [String::new(), too_long].into_iter().chain(reserved) {
            let refused = metadata.push(&name, "value");
            assert!(
                matches!(refused, Err(ZapProblem::MetadataName(_))),
                "{name}"
            );
        }
        assert_eq!(metadata.as_bytes(), before);
    }

    #[test]
    fn metadata_are_bounded_and_the_admission_has_room_beyond() {
        let mut metadata = Metadata::new();
        metadata
            .push("a", &"x".repeat(METADATA_LIMIT - 6 - 12))
            .unwrap();
        let most = "y".repeat(12 - 6);
        let refused = metadata.push("b", &format!("{most}y"));
        assert_eq!(refused, Err(ZapProblem::MetadataSize(METADATA_LIMIT + 1)));
        metadata.push("b", &most).unwrap();
        assert_eq!(metadata.as_bytes().len(), METADATA_LIMIT);
        for number in [0, 9, 10, u64::MAX] {
            let mut admission = Admission([0; 48]);
            let read: Vec<_> = properties(admission.property(number)).collect();
            assert_eq!(read, [(ADMISSION, &*number.to_string())]);
        }
    }
}
