//! What holds for every input of a parser: a function each, run by the targets in `fuzz/` and, over their corpora, by the unit tests.
//!
//! Each takes any bytes and panics where a promise is broken.

// A broken promise is a panic here, as in any test.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod files;
mod policy;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub use files::{certificate, keyfile, passwords, pins, validity};
pub use policy::{addresses, config, zap};

use super::certificate::Certificate;
use super::fingerprint::Fingerprint;
use super::keys::{KeyProblem, Keypair, PublicKey, SecretKey};
use super::memory;
use super::revocations::RevocationList;
use super::signing::{SigningKey, VerifyKey};
use super::zpl::{Document, Node, Writer};
use crate::error::Error;

/// ZPL: a text that is read can be written, and is then read back with the same names, values and levels.
pub fn zpl(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let lines = text.split('\n').count();
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => return assert!((1..=lines).contains(&(error.line as usize))),
    };
    let nodes = flat(&document);
    let mut writer = Writer::new();
    for &(depth, name, value) in &nodes {
        writer
            .entry(depth, name, value)
            .expect("what was read can be written");
    }
    let written = writer.finish();
    let again = Document::parse(&written).expect("what was written can be read");
    assert_eq!(flat(&again), nodes);
}

/// Level, name and value of every node, in the order of the lines.
fn flat<'a>(document: &Document<'a>) -> Vec<(usize, &'a str, &'a str)> {
    fn below<'a>(
        document: &Document<'a>,
        node: &Node<'a>,
        depth: usize,
        all: &mut Vec<(usize, &'a str, &'a str)>,
    ) {
        all.push((depth, node.name(), node.value()));
        for child in document.children(node) {
            assert!(child.line() > node.line());
            below(document, child, depth + 1, all);
        }
    }
    let mut all = Vec::new();
    for node in document.top() {
        below(document, node, 0, &mut all);
    }
    all
}

/// Keys as text: what is read is written as it was and is never zero; any 32 bytes survive their text, and so does their fingerprint; an error
/// tells a length or a position, nothing else of the text.
pub fn keys(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match text.parse::<PublicKey>() {
        Ok(key) => {
            assert_eq!(key.to_string(), text);
            assert!(key.usable().is_ok());
            let secret = SecretKey::from_z85(&text).unwrap();
            assert_eq!(secret.expose_z85().as_str(), text);
            assert_eq!(secret.expose_bytes(), key.as_bytes());
            assert!(!format!("{secret:?}").contains(&*text));
            let pair = Keypair::from_secret(secret).unwrap();
            assert!(!format!("{pair:?}").contains(&*text));
        }
        Err(error) => {
            // A text that shares with this one only what the error may tell.
            let mask = match error {
                Error::Key(KeyProblem::Length(length)) => "1".repeat(length),
                Error::Key(KeyProblem::Zero) => "0".repeat(40),
                Error::Z85 { position } => "1".repeat(position) + "~" + &"1".repeat(39 - position),
                other => panic!("{other}"),
            };
            let (own, other) = (SecretKey::from_z85(&text), SecretKey::from_z85(&mask));
            assert_eq!(format!("{own:?}"), format!("{other:?}"));
        }
    }
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert_eq!(
            fingerprint.to_string().parse::<Fingerprint>().unwrap(),
            fingerprint
        );
    }
    if let Some(&bytes) = data.first_chunk::<32>() {
        let fingerprint = PublicKey::from_bytes(bytes).fingerprint();
        assert_eq!(
            fingerprint.to_string().parse::<Fingerprint>().unwrap(),
            fingerprint
        );
        let text = PublicKey::from_bytes(bytes).to_string();
        match text.parse::<PublicKey>() {
            Ok(key) => assert_eq!(key.as_bytes(), &bytes),
            Err(_) => assert_eq!(bytes, [0; 32]),
        }
    }
}

/// Signatures: verify keys survive their text and their file; a certificate that is read can be signed, and none but the signed one verifies;
/// a revocation list that is read is read again as it was written, nobody else's counts, and nothing of it without its signature.
pub fn signing(data: &[u8]) {
    thread_local! {
        static OURS: SigningKey = SigningKey::from_seed(&[1; 32]).unwrap();
    }
    let text = String::from_utf8_lossy(data);
    if let Ok(key) = text.parse::<VerifyKey>() {
        assert_eq!(key.to_string(), text);
        assert!(text.parse::<PublicKey>().is_err());
    }
    if let Ok(key) = VerifyKey::read(data) {
        assert_eq!(key.to_string().parse::<VerifyKey>().unwrap(), key);
        assert!(Certificate::parse(data).is_err() || text.contains("curve"));
    }
    let _ = memory::parse(data);
    OURS.with(|ours| {
        let trusted = [*ours.verify_key()];
        if let Ok(read) = Certificate::parse(data) {
            assert!(read.verify(&trusted).is_err());
            if let Ok(signed) = read.clone().sign_with_serial(ours, 7) {
                assert_eq!(signed.verify(&trusted).unwrap(), trusted[0]);
                for (name, value) in read.metadata() {
                    if !["signer", "signature-serial", "signature"].contains(&name) {
                        assert_eq!(signed.meta(name), Some(value));
                        assert!(signed.clone().without_meta(name).verify(&trusted).is_err());
                    }
                }
            }
        }

        assert!(RevocationList::read(data, &trusted[0]).is_err());
        let body = format!("{text}\nsigner = \"{}\"\n", trusted[0]);
        let signature = ours.sign(&[b"ironhouse revocations 1\0", body.as_bytes()].concat());
        let signed = format!("{body}signature = \"{}\"\n", signature.unwrap());
        let read = RevocationList::read(signed.as_bytes(), &trusted[0]);
        assert_eq!(read, RevocationList::interpret(&body));
        let other = VerifyKey::from_bytes([7; 32]);
        assert!(RevocationList::read(signed.as_bytes(), &other).is_err());
        if let Ok(list) = read {
            let unchanged = format!(" {signed}");
            assert!(RevocationList::read(unchanged.as_bytes(), &trusted[0]).is_err());
            // A reason that was bare may have both kinds of quote.
            if let Ok(text) = list.text(ours, Path::new("list")) {
                assert_eq!(RevocationList::read(text.as_bytes(), &trusted[0]), Ok(list));
            }
        }
    });
}

/// A folder that goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ironhouse-fuzz-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write_private(path: &Path, content: &[u8]) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).unwrap();
    file.write_all(content).unwrap();
}

#[cfg(test)]
mod tests;
