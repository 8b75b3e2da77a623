//! Key files: many certificates in one file, a line each, as SSH's `authorized_keys`.
//!
//! ```text
//! line  = blank / comment / entry
//! entry = key *(1*WS name "=" value)
//! value = DQUOTE … DQUOTE / "'" … "'" / 1*(no WS, no quote at its start)
//! ```
//! A line whose first character that is no white space is `#` is a comment: no key starts with `#`, since five digits of Z85 that do
//! exceed 32 bits. Each line stands for itself: a bad one admits nobody and hinders no other.

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::bulk;
use super::certificate::{Certificate, Draft, can_be_sent};
use super::file::{self, Access, CERTIFICATE_LIMIT, Fault, FileProblem, Stamp};
use super::generation::{Builder, KeyMap};
use super::keys::PublicKey;
use super::trust::Vet;
use super::validity::Validity;
use super::zpl::{self, SyntaxProblem};
use crate::error::{Error, Result};

/// Largest key file in bytes: ten million lines of keys and names.
const LIMIT: u64 = 1 << 30;
/// Longest line in bytes.
const LINE_LIMIT: u64 = CERTIFICATE_LIMIT;
/// Bytes of a line with some metadata, to guess how many there are: too many, and the tables are too large; too few, and they grow.
const LINE: u64 = 100;
/// Bytes read at once, and those that one thread takes at once, roughly.
const BLOCK: usize = 4 << 20;
const PIECE: usize = 64 << 10;
/// Bad lines reported one by one.
const MAX_FAULTS: usize = 1000;

/// What a key file holds.
pub(crate) struct Content {
    /// The state of the file before it was read.
    pub(crate) stamp: Stamp,
    /// Whether a change since would show in it.
    pub(crate) settled: bool,
    pub(crate) keys: KeyMap,
    /// What is wrong, line by line; the other lines count.
    pub(crate) faults: Vec<Fault>,
}

/// Reads a key file; of its lines those that `vet` admits, where there is one.
///
/// # Errors
/// [`Error::Io`]: not there, not readable. [`Error::File`]: not a regular file, or too large.
pub(crate) fn read(path: &Path, stopping: &AtomicBool, vet: Option<&Vet>) -> Result<Content> {
    let (file, metadata) = file::open(path, Access::Public)?;
    let stamp = Stamp::from(&metadata);
    let settled = stamp.is_settled();
    let mut lines = Lines::new(metadata.len(), stopping, vet);
    let whole = lines.read(file, LIMIT).map_err(|source| Error::Io {
        path: path.into(),
        source,
    })?;
    if !whole {
        return Err(Fault::new(None, FileProblem::TooLarge { limit: LIMIT }).at(path));
    }
    Ok(Content {
        stamp,
        settled,
        keys: lines.keys.finish(),
        faults: lines.faults,
    })
}

struct Lines<'a> {
    keys: Builder,
    faults: Vec<Fault>,
    /// Lines done with.
    count: u32,
    stopping: &'a AtomicBool,
    vet: Option<&'a Vet>,
}

impl<'a> Lines<'a> {
    /// For a file of this size in bytes.
    fn new(size: u64, stopping: &'a AtomicBool, vet: Option<&'a Vet>) -> Self {
        let lines = usize::try_from(size.min(LIMIT) / LINE).unwrap_or(0);
        Self {
            keys: Builder::with_capacity(lines),
            faults: Vec::new(),
            count: 0,
            stopping,
            vet,
        }
    }

    /// Reads to the end; false beyond `limit` bytes.
    fn read(&mut self, source: impl Read, limit: u64) -> io::Result<bool> {
        let mut source = source.take(limit.saturating_add(1));
        let mut block = Vec::with_capacity(BLOCK);
        let mut total = 0;
        let mut bad = 0;
        // Within a line that is too long to be kept.
        let mut skipping = false;
        loop {
            let room = BLOCK - block.len();
            let got = source.by_ref().take(room as u64).read_to_end(&mut block)?;
            total += got as u64;
            if total > limit {
                return Ok(false);
            }
            let ended = got < room;
            if std::mem::take(&mut skipping) {
                let rest = block.iter().position(|&byte| byte == b'\n');
                skipping = rest.is_none();
                block.drain(..rest.map_or(block.len(), |end| end + 1));
            }
            let whole = match block.iter().rposition(|&byte| byte == b'\n') {
                _ if ended => block.len(),
                Some(end) => end + 1,
                None => 0,
            };
            bad += self.take(block.get(..whole).unwrap_or_default());
            block.drain(..whole);
            if ended {
                break;
            }
            if block.len() == BLOCK {
                self.count += 1;
                bad += self.blame(self.count, FileProblem::LongLine { limit: LINE_LIMIT });
                block.clear();
                skipping = true;
            }
        }
        if bad > self.faults.len() {
            let lines = bad - self.faults.len();
            self.faults
                .push(Fault::new(None, FileProblem::More { lines }));
        }
        Ok(true)
    }

    /// Notes a bad line, if there are not too many already. Returns how many bad lines that is.
    fn blame(&mut self, line: u32, problem: FileProblem) -> usize {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault::new(Some(line), problem));
        }
        1
    }

    /// Of several lines with one key, the one of the highest serial counts, or the first of these.
    fn add_newest(&mut self, certificate: Certificate, vet: &Vet) -> Result<(), FileProblem> {
        let key = certificate.public_key();
        vet.refuse_older(&certificate, vet.known.get(key))?;
        match self.keys.get_mut(key) {
            Some(other) if other.serial() < certificate.serial() => {
                *other = certificate;
                return Err(FileProblem::NewerKey);
            }
            Some(_) => return Err(FileProblem::SameKey),
            None => {}
        }
        self.keys.add(certificate);
        Ok(())
    }

    /// Takes whole lines. Returns how many are bad.
    fn take(&mut self, text: &[u8]) -> usize {
        let pieces = pieces(text);
        let (stopping, vet) = (self.stopping, self.vet);
        let mut bad = 0;
        let threads = vet.map_or(bulk::READERS, |_| bulk::ALL_CORES);
        let parse = |pieces: &[&[u8]]| parse(pieces, vet);
        bulk::spread(&pieces, 1, threads, stopping, parse, |parsed| {
            for piece in parsed {
                for (line, outcome) in piece.lines {
                    let line = self.count.saturating_add(line);
                    let outcome = outcome.and_then(|certificate| match vet {
                        Some(vet) => self.add_newest(certificate, vet),
                        None if self.keys.add(certificate) => Ok(()),
                        None => Err(FileProblem::SameKey),
                    });
                    if let Err(problem) = outcome {
                        bad += self.blame(line, problem);
                    }
                }
                self.count = self.count.saturating_add(piece.count);
            }
        });
        bad
    }
}

/// Cuts a text between lines.
fn pieces(mut text: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some(rest) = text.get(PIECE..) {
        let end = rest.iter().position(|&byte| byte == b'\n');
        let (piece, rest) = text.split_at(end.map_or(text.len(), |end| PIECE + end + 1));
        pieces.push(piece);
        text = rest;
    }
    if !text.is_empty() {
        pieces.push(text);
    }
    pieces
}

type Outcome = Result<Certificate, FileProblem>;

/// What lines hold, each with its number from 1 on.
struct Parsed {
    lines: Vec<(u32, Outcome)>,
    count: u32,
}

fn parse(pieces: &[&[u8]], vet: Option<&Vet>) -> Vec<Parsed> {
    let parse = |piece: &[u8]| {
        // The end of the last line is not the start of another.
        let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
        let mut count = 0;
        let mut lines = Vec::with_capacity(piece.len() / 40);
        for line in piece.split(|&byte| byte == b'\n') {
            count += 1;
            match parse_line(line) {
                Ok(None) => {}
                Ok(Some(certificate)) => {
                    let counts = vet.map_or(Ok(()), |vet| vet.admit(&certificate));
                    let kept = counts.map(|()| certificate);
                    lines.push((count, kept.map_err(FileProblem::from)));
                }
                Err(problem) => lines.push((count, Err(problem))),
            }
        }
        Parsed { lines, count }
    };
    pieces.iter().map(|piece| parse(piece)).collect()
}

/// What one line holds; `None` where it is blank or a comment.
pub(crate) fn parse_line(line: &[u8]) -> Result<Option<Certificate>, FileProblem> {
    if line.len() as u64 > LINE_LIMIT {
        return Err(FileProblem::LongLine { limit: LINE_LIMIT });
    }
    let line = std::str::from_utf8(line).map_err(|_| FileProblem::Encoding)?;
    if line.contains('\0') {
        return Err(SyntaxProblem::Nul.into());
    }
    let line = line.trim_matches(zpl::is_space);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (key, mut rest) = split_word(line);
    let key = PublicKey::parse(key)?;
    let mut certificate = Draft::new(key, rest.len());
    let mut validity = Validity::new();
    loop {
        rest = rest.trim_start_matches(zpl::is_space);
        if rest.is_empty() {
            return Ok(Some(certificate.finish()));
        }
        let (name, value) = rest.split_once('=').ok_or(FileProblem::Pair)?;
        if !zpl::is_name(name) {
            return Err(FileProblem::Pair);
        }
        if !can_be_sent(name) {
            return Err(FileProblem::MetadataName);
        }
        let (value, after) = split_value(value)?;
        if certificate.meta(name).is_some() {
            return Err(FileProblem::SameName);
        }
        validity.read(name, value)?;
        certificate.push(name, value);
        rest = after;
    }
}

/// The value at the start of `text`, and what comes behind.
fn split_value(text: &str) -> Result<(&str, &str), FileProblem> {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let (value, after) = quoted.split_once(quote).ok_or(SyntaxProblem::Quote)?;
            if !after.is_empty() && !after.starts_with(zpl::is_space) {
                return Err(FileProblem::Pair);
            }
            return Ok((value, after));
        }
    }
    let (value, after) = split_word(text);
    // `name= "x"` is more likely a slip than a name without a value.
    if value.is_empty() {
        return Err(FileProblem::Pair);
    }
    Ok((value, after))
}

fn split_word(text: &str) -> (&str, &str) {
    text.split_at(text.find(zpl::is_space).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::security::validity::ValidityProblem;

    fn key(n: u32) -> PublicKey {
        let mut bytes = [0xa5; 32];
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        PublicKey::from_bytes(bytes)
    }

    fn lines(text: &[u8]) -> (KeyMap, Vec<Fault>) {
        let stopping = AtomicBool::new(false);
        let mut lines = Lines::new(text.len() as u64, &stopping, None);
        assert!(lines.read(text, LIMIT).unwrap());
        (lines.keys.finish(), lines.faults)
    }

    fn one(rest: &str) -> Result<Vec<(String, String)>, FileProblem> {
        let line = format!("{}{rest}", key(1));
        let certificate = parse_line(line.as_bytes())?.unwrap();
        assert_eq!(*certificate.public_key(), key(1));
        let metadata = certificate.metadata();
        Ok(metadata.map(|(n, v)| (n.into(), v.into())).collect())
    }

    #[test]
    fn values_are_read_quoted_in_either_way_and_bare() {
        for (rest, wanted) in [
            ("", &[][..]),
            (" \t\r", &[]),
            (" name=\"pump 7\"", &[("name", "pump 7")]),
            (
                " name='say \"x\"'\trole=\"\"\r",
                &[("name", "say \"x\""), ("role", "")],
            ),
            (
                " name=bare role=it's",
                &[("name", "bare"), ("role", "it's")],
            ),
            (" name=a=b#c", &[("name", "a=b#c")]),
            (" a.b/c=\"Zoë # 1\"", &[("a.b/c", "Zoë # 1")]),
        ] {
            let read = one(rest).unwrap();
            let read: Vec<_> = read.iter().map(|(n, v)| (&**n, &**v)).collect();
            assert_eq!(read, wanted, "{rest:?}");
        }
    }

    #[test]
    fn wrong_lines_are_refused() {
        use FileProblem::{MetadataName, Pair, SameName};
        for (rest, wanted) in [
            (" name", Pair),
            (" name =\"x\"", Pair),
            (" name= \"x\"", Pair),
            (" name=", Pair),
            (" =x", Pair),
            (" name=\"x\"role=y", Pair),
            (" name=\"x\" # comment", Pair),
            (" # comment", Pair),
            (" näme=x", Pair),
            (" /name=x", Pair),
            (" name=\"x", SyntaxProblem::Quote.into()),
            (" name='x\"", SyntaxProblem::Quote.into()),
            (" name=x\0", SyntaxProblem::Nul.into()),
            (" name=x name=y", SameName),
            (" public-key=x", MetadataName),
            (
                " not-after=2027-01-31T12:00:00",
                ValidityProblem::NoZone("not-after").into(),
            ),
            (" name=x disabled=yes", ValidityProblem::Disabled.into()),
            (
                " notafter=2027-01-31T12:00:00Z",
                ValidityProblem::Misspelt("not-after").into(),
            ),
        ] {
            assert_eq!(one(rest), Err(wanted), "{rest:?}");
        }
        let two = format!(" {}", key(2));
        assert_eq!(one(&two), Err(Pair));
        let long = format!(" name={}", "x".repeat(1 << 16));
        assert_eq!(one(&long), Err(FileProblem::LongLine { limit: LINE_LIMIT }));
        let none: &[&[u8]] = &[b"", b" \t\r", b"#", b"  # x", b"#\0x".split_at(1).0];
        for line in none {
            assert_eq!(parse_line(line), Ok(None));
        }
        assert_eq!(parse_line(b"\xff"), Err(FileProblem::Encoding));
        for line in [&b"short"[..], b"0000000000000000000000000000000000000000"] {
            assert!(matches!(parse_line(line), Err(FileProblem::Key(_))));
        }
    }

    #[test]
    fn no_key_starts_with_the_sign_of_a_comment() {
        // The least group of five that starts so, in base 85.
        assert!(84 * 85_u64.pow(4) > u64::from(u32::MAX));
        assert!(format!("#{}", "0".repeat(39)).parse::<PublicKey>().is_err());
        for first in (0..=u32::MAX).step_by(9973).chain([u32::MAX]) {
            let mut bytes = [1; 32];
            bytes[..4].copy_from_slice(&first.to_be_bytes());
            let text = PublicKey::from_bytes(bytes).to_string();
            assert!(!text.starts_with('#'), "{text}");
        }
    }

    #[test]
    fn bad_lines_are_numbered_and_hinder_no_other() {
        let text = format!(
            "# head\n\n{} name=\"one\"\r\nbroken\n{}\n{}\n  {} name=x\n\u{feff}\n{}",
            key(1),
            key(2),
            key(1),
            key(3),
            key(4)
        );
        let (keys, faults) = lines(text.as_bytes());
        assert_eq!(keys.len(), 4);
        let kept = keys.get(&key(1)).unwrap();
        assert_eq!(kept.meta("name"), Some("one"), "the first line counts");
        let numbers: Vec<_> = faults.iter().map(|fault| fault.line.unwrap()).collect();
        assert_eq!(numbers, [4, 6, 8]);
        assert_eq!(faults[1].problem, FileProblem::SameKey);
        assert_eq!(lines(b"").0.len(), 0);
    }

    #[test]
    fn many_lines_are_numbered_across_blocks_and_the_report_is_bounded() {
        let (mut text, mut bad) = (String::new(), Vec::new());
        for n in 1..=150_000_u32 {
            if n % 1000 == 7 {
                text.push_str("bad\n");
                bad.push(n);
            } else {
                text.push_str(&format!("{} name=\"client {n}\"\n", key(n)));
            }
        }
        assert!(text.len() > 2 * BLOCK);
        let (keys, faults) = lines(text.as_bytes());
        assert_eq!(keys.len(), 150_000 - bad.len());
        let numbers: Vec<_> = faults.iter().map(|fault| fault.line.unwrap()).collect();
        assert_eq!(numbers, bad);
        let (_, faults) = lines("bad\n".repeat(5000).as_bytes());
        let more = FileProblem::More { lines: 4000 };
        assert_eq!((faults.len(), &faults[1000].problem), (1001, &more));
    }

    #[test]
    fn line_longer_than_a_block_is_one_bad_line() {
        let mut text = format!("{}\n", key(1)).into_bytes();
        text.extend(std::iter::repeat_n(b'x', 2 * BLOCK + 5));
        text.extend(format!("\n{}\nbad", key(2)).bytes());
        let (keys, faults) = lines(&text);
        assert_eq!(keys.len(), 2);
        let numbers: Vec<_> = faults.iter().map(|fault| fault.line.unwrap()).collect();
        assert_eq!(numbers, [2, 4]);
    }

    #[test]
    fn larger_than_the_limit_is_refused_as_a_whole() {
        let text = format!("{}\n", key(1)).repeat(3);
        for (limit, whole) in [(122, false), (123, true)] {
            let stopping = AtomicBool::new(false);
            let read = Lines::new(0, &stopping, None).read(text.as_bytes(), limit);
            assert_eq!(read.unwrap(), whole);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(
            line in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            let _ = parse_line(&line);
            let _ = lines(&line);
        }

        #[test]
        fn any_metadata_text_is_read_or_refused_without_panic(rest in "([ =a\"'#\t\r/-]|name=){0,40}") {
            let _ = one(&format!(" {rest}"));
        }

        #[test]
        fn what_is_written_is_read_back(
            n in any::<u32>(),
            entries in proptest::collection::btree_map(
                "[a-z0-9$_@.&+]{1,9}", "[^\n\0]{0,20}|[ \"'#=a]{0,8}", 0..6
            )
        ) {
            let mut line = key(n).to_string();
            let mut written = Vec::new();
            for (name, value) in &entries {
                let Ok(quote) = zpl::quotes(value) else { continue };
                if quote.is_empty() && value.contains(zpl::is_space) {
                    continue;
                }
                line.push_str(&format!(" {name}={quote}{value}{quote}"));
                written.push((&**name, &**value));
            }
            let read = parse_line(line.as_bytes()).unwrap().unwrap();
            prop_assert_eq!(*read.public_key(), key(n));
            prop_assert_eq!(read.metadata().collect::<Vec<_>>(), written);
        }

        #[test]
        fn lines_count_one_by_one_as_in_a_file(
            texts in proptest::collection::vec("[ #a=\"\r]{0,6}|K|K name=\"x\"|K a=b c='d'", 0..40)
        ) {
            let mut wanted = std::collections::HashSet::new();
            let (mut text, mut bad) = (String::new(), Vec::new());
            for (line, n) in texts.iter().zip(1..) {
                let line = line.replace('K', &key(n % 20).to_string());
                match parse_line(line.as_bytes()) {
                    Ok(Some(certificate)) if wanted.insert(*certificate.public_key()) => {}
                    Ok(None) => {}
                    _ => bad.push(n),
                }
                text.push_str(&line);
                text.push('\n');
            }
            let (keys, faults) = lines(text.as_bytes());
            prop_assert_eq!(keys.keys().copied().collect::<std::collections::HashSet<_>>(), wanted);
            prop_assert_eq!(faults.iter().map(|f| f.line.unwrap()).collect::<Vec<_>>(), bad);
        }
    }
}
