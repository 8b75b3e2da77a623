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
use super::file::{self, Access, CERTIFICATE_LIMIT, Fault, Faults, FileProblem, MAX_FAULTS, Stamp};
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
        faults: lines.faults.finish(),
    })
}

struct Lines<'a> {
    keys: Builder,
    faults: Faults,
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
            faults: Faults::new(MAX_FAULTS),
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
            self.take(block.get(..whole).unwrap_or_default());
            block.drain(..whole);
            if ended {
                return Ok(true);
            }
            if block.len() == BLOCK {
                self.count += 1;
                let problem = FileProblem::LongLine { limit: LINE_LIMIT };
                self.faults.push(Fault::new(Some(self.count), problem));
                block.clear();
                skipping = true;
            }
        }
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

    /// Takes whole lines.
    fn take(&mut self, text: &[u8]) {
        let pieces = pieces(text);
        let (stopping, vet) = (self.stopping, self.vet);
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
                        self.faults.push(Fault::new(Some(line), problem));
                    }
                }
                self.count = self.count.saturating_add(piece.count);
            }
        });
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
        if certificate.has(name) {
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
mod tests;
