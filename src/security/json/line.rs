//! Lines of JSON as they are written. Source: RFC 8259.

use std::fmt::{Display, Write};
use std::hint::black_box;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::security::audit::Decision;
use crate::security::fingerprint::Fingerprint;
use crate::security::keys::PublicKey;
use crate::security::validity::LAST;

/// An object on a line of its own.
pub(super) struct Line<'a> {
    text: &'a mut String,
    /// Whether a field has been written.
    any: bool,
}

impl<'a> Line<'a> {
    pub(super) fn begin(
        text: &'a mut String,
        recent: &mut Recent,
        time: SystemTime,
        event: &str,
    ) -> Self {
        text.push_str("{\"time\":\"");
        recent.stamp(time, text);
        text.push('"');
        let mut line = Self { text, any: true };
        line.word("event", event);
        line
    }

    pub(super) fn end(self) {
        self.text.push_str("}\n");
    }

    /// Names are our own, and need no escapes.
    #[inline]
    fn name(&mut self, name: &str) {
        let any = std::mem::replace(&mut self.any, true);
        self.text.push_str(if any { ",\"" } else { "\"" });
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    /// A field whose value is JSON as it displays: a number, `true`, `null`.
    pub(super) fn raw(&mut self, name: &str, value: impl Display) {
        self.name(name);
        // A `String` takes anything.
        let _ = write!(self.text, "{value}");
    }

    /// A field with a text of ours that has nothing to escape.
    pub(super) fn word(&mut self, name: &str, word: &str) {
        self.name(name);
        self.text.push('"');
        self.text.push_str(word);
        self.text.push('"');
    }

    /// The same, in ASCII.
    pub(super) fn ascii(&mut self, name: &str, word: &[u8]) {
        self.word(name, std::str::from_utf8(word).unwrap_or_default());
    }

    /// Fields that were written elsewhere.
    pub(super) fn append(&mut self, fields: &str) {
        self.text.push_str(fields);
    }

    /// A field with a text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.text.push('"');
        let _ = Escaped(self.text).write_str(text);
        self.text.push('"');
    }

    /// A field with the text that its value displays.
    pub(super) fn string(&mut self, name: &str, value: impl Display) {
        self.name(name);
        self.text.push('"');
        let _ = write!(Escaped(self.text), "{value}");
        self.text.push('"');
    }

    /// The same, or null.
    pub(super) fn optional(&mut self, name: &str, value: Option<impl Display>) {
        match value {
            Some(value) => self.string(name, value),
            None => self.raw(name, "null"),
        }
    }

    /// A field with a list of objects.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        values: &[T],
        mut fields: impl FnMut(&T, &mut Line<'_>),
    ) {
        self.name(name);
        self.text.push('[');
        for (number, value) in values.iter().enumerate() {
            self.text.push_str(if number > 0 { ",{" } else { "{" });
            let mut item = Line {
                text: self.text,
                any: false,
            };
            fields(value, &mut item);
            self.text.push('}');
        }
        self.text.push(']');
    }
}

/// Writes text between the quotes of a string. Whatever does not show as itself on a terminal is escaped too.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        // All of them are looked at, as that is many at a time.
        if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
            self.0.push_str(text);
            return Ok(());
        }
        for c in text.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                ' '..='~' => self.0.push(c),
                _ if c.escape_debug().len() == 1 => self.0.push(c),
                _ => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(self.0, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether a byte stands for itself, as most do.
fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) & (byte != b'"') & (byte != b'\\')
}

/// Keys whose fingerprints are remembered: so many sets of so many.
const SETS: usize = 1024;
const WAYS: usize = 4;

/// A key and its fingerprint, in a line of the processor's cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Known(PublicKey, Fingerprint);

/// What lines before had, and the next ones most often have too.
pub(in crate::security) struct Recent {
    second: Option<u64>,
    /// Up to the second, without the `Z`.
    text: String,
    /// Each in the set that its key says, the latest first. A hash costs as much as the rest of a line.
    fingerprints: Vec<[Known; WAYS]>,
    /// The last decision, and those of its fields that it had in common with the one before.
    last: Option<Decision>,
    common: String,
}

impl Recent {
    pub(in crate::security) fn new() -> Self {
        let key = PublicKey::from_bytes([0; 32]);
        Self {
            second: None,
            text: String::new(),
            fingerprints: vec![[Known(key, key.fingerprint()); WAYS]; SETS],
            last: None,
            common: String::new(),
        }
    }

    /// What `fields` writes of all about a decision but its time and its identity.
    pub(super) fn common(
        &mut self,
        decision: &Decision,
        fields: impl FnOnce(&Decision, &mut Line<'_>),
    ) -> &str {
        let alike = |last: &Decision| {
            (last.status, last.reason, last.mechanism)
                == (decision.status, decision.reason, decision.mechanism)
                && last.address == decision.address
                && last.domain == decision.domain
        };
        if !self.last.as_ref().is_some_and(alike) {
            self.last = Some(decision.clone());
            self.common.clear();
            let text = &mut self.common;
            fields(decision, &mut Line { text, any: true });
        }
        &self.common
    }

    /// Has the fingerprints of these keys fetched from memory all at once: each line would wait for its own.
    pub(super) fn fetch<'k>(&self, keys: impl Iterator<Item = &'k PublicKey>) {
        for key in keys {
            black_box(self.known(key));
        }
    }

    pub(super) fn fingerprint(&mut self, key: &PublicKey) -> Fingerprint {
        if let Some(fingerprint) = self.known(key) {
            return fingerprint;
        }
        let fingerprint = key.fingerprint();
        if let Some(set) = self.fingerprints.get_mut(set_of(key)) {
            set.rotate_right(1);
            set[0] = Known(*key, fingerprint);
        }
        fingerprint
    }

    fn known(&self, key: &PublicKey) -> Option<Fingerprint> {
        let set = self.fingerprints.get(set_of(key))?;
        let found = set.iter().find(|known| known.0 == *key);
        found.map(|Known(_, fingerprint)| *fingerprint)
    }

    /// Appends a time as [`Micros`] displays it.
    pub(super) fn stamp(&mut self, time: SystemTime, text: &mut String) {
        let since = nearest(time).duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = Some(since.as_secs());
        if self.second != second {
            self.second = second;
            self.text = Seconds(time).to_string();
            self.text.pop();
        }
        text.push_str(&self.text);
        text.push('.');
        for unit in [100_000, 10_000, 1000, 100, 10, 1] {
            text.push(char::from(b'0' + (since.subsec_micros() / unit % 10) as u8));
        }
        text.push('Z');
    }
}

fn set_of(key: &PublicKey) -> usize {
    let [first, second, ..] = *key.as_bytes();
    usize::from(u16::from_ne_bytes([first, second])) % SETS
}

/// A time in UTC with microseconds, as RFC 3339 writes it; the nearest one that it can write.
pub(super) struct Micros(pub(super) SystemTime);

impl Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_rfc3339_micros(nearest(self.0)).fmt(f)
    }
}

/// The same, to the second.
pub(in crate::security) struct Seconds(pub(in crate::security) SystemTime);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_rfc3339_seconds(nearest(self.0)).fmt(f)
    }
}

fn nearest(time: SystemTime) -> SystemTime {
    time.clamp(UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(LAST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_that_cannot_be_written_are_the_nearest_that_can() {
        let early = UNIX_EPOCH - Duration::from_secs(1);
        let late = UNIX_EPOCH + Duration::from_secs(LAST + 1);
        assert_eq!(Micros(early).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Micros(late).to_string(), "9999-12-31T23:59:59.000000Z");
    }

    #[test]
    fn fingerprint_is_that_of_the_key_also_where_another_had_its_place() {
        let mut recent = Recent::new();
        let key = |first, last| {
            let mut bytes = [0; 32];
            (bytes[0], bytes[31]) = (first, last);
            PublicKey::from_bytes(bytes)
        };
        let many = (1..=9).chain([9, 8, 1, 5]).map(|last| key(7, last));
        for key in [key(0, 0)].into_iter().chain(many) {
            recent.fetch([&key].into_iter());
            assert_eq!(recent.fingerprint(&key), key.fingerprint());
        }
    }

    proptest! {
        #[test]
        fn stamps_are_as_they_display(
            times in proptest::collection::vec((0..LAST, 0_u32..1_000_000_000), 1..4),
        ) {
            let mut recent = Recent::new();
            for (second, nanos) in times {
                // Twice in the same second, and then perhaps in another.
                for nanos in [0, nanos] {
                    let time = UNIX_EPOCH + Duration::new(second, nanos);
                    let mut text = String::new();
                    recent.stamp(time, &mut text);
                    prop_assert_eq!(text, Micros(time).to_string());
                }
            }
        }
    }
}
