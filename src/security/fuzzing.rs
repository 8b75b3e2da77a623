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

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::address::{AddressRule, AddressSet, PeerAddress};
use super::certificate::{Certificate, SecretCertificate};
use super::config::{Content, Curve, Rules};
use super::endpoint::{Endpoint, Pattern};
use super::file::{CERTIFICATE_LIMIT, FileProblem};
use super::fingerprint::Fingerprint;
use super::hash::Hash;
use super::keyfile;
use super::keys::{KeyProblem, Keypair, PublicKey, SecretKey};
use super::memory;
use super::passwords::PasswordFile;
use super::pins::Table;
use super::revocations::RevocationList;
use super::signing::{SigningKey, VerifyKey};
use super::validity::Date;
use super::zap::{Frames, Metadata};
use super::zpl::{self, Document, Node, Writer};
use crate::error::Error;
use crate::socket::FrameList;

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

/// Certificate files: one that is read has a usable key, and survives being saved; the public file never holds the secret key; and all
/// metadata that can be set survive.
pub fn certificate(data: &[u8]) {
    let folder = Folder::new();
    let path = folder.0.join("certificate");
    if let Ok(read) = Certificate::parse(data) {
        assert!(read.public_key().usable().is_ok());
        if saves(read.save(&path)) {
            assert_eq!(Certificate::load(&path).unwrap(), read);
        }
    }

    let given = folder.0.join("given_secret");
    write_private(&given, data);
    if let Ok(read) = SecretCertificate::load(&given) {
        assert!(Certificate::parse(data).is_err());
        if saves(read.save(&path)) {
            let again = SecretCertificate::load(&path).unwrap();
            assert_eq!(again.certificate(), read.certificate());
            assert!(again.secret().ct_eq(read.secret()));
            assert_eq!(&Certificate::load(&path).unwrap(), read.certificate());
        }
        let secret = read.secret().expose_z85();
        // Metadata are public, whatever their owner writes into them.
        let told = |text: &str| text.contains(secret.as_str());
        let mut metadata = read.certificate().metadata();
        if !metadata.any(|(name, value)| told(name) || told(value)) {
            assert!(!told(&format!("{read:?}")));
            let public = fs::read_to_string(&path).unwrap_or_default();
            assert!(!told(&public));
        }
    }

    let mut made = Certificate::new(PublicKey::from_bytes([1; 32]));
    for line in String::from_utf8_lossy(data).split('\n').take(32) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        if let Ok(changed) = made.clone().with_meta(name, value) {
            assert_eq!(changed.meta(name), Some(value));
            made = changed;
        }
    }
    if saves(made.save(&path)) {
        assert_eq!(Certificate::load(&path).unwrap(), made);
    }
}

/// The lives of certificates, as metadata `name=value` a line: what is taken tells one life, which survives being written anew; dates are in UTC
/// and mean what they say; no name that is taken for one that counts goes unheeded.
pub fn validity(data: &[u8]) {
    let mut made = Certificate::new(PublicKey::from_bytes([1; 32]));
    for line in String::from_utf8_lossy(data).split('\n').take(8) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        made = made.clone().with_meta(name, value).unwrap_or(made);
    }
    let life = made.validity();
    let again = made.clone().with_validity(life).unwrap();
    assert_eq!(again.validity(), life);
    let start_and_end = life.not_before().zip(life.not_after());
    assert!(start_and_end.is_none_or(|(start, end)| start < end));
    for (name, date) in [
        ("not-before", life.not_before()),
        ("not-after", life.not_after()),
    ] {
        let Some(text) = made.meta(name) else {
            assert_eq!(date, None);
            continue;
        };
        let (seconds, rest) = text.split_at(19);
        let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
        assert!(zone == "Z" || zone == "+00:00", "{text}");
        // A leap second is read as the one before it.
        let seconds = seconds.replace(":60", ":59");
        assert!(Date(date.unwrap()).to_string().starts_with(&seconds));
    }
    assert_eq!(life.is_disabled(), made.meta("disabled") == Some("true"));
    for (name, _) in made.metadata() {
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        if ["notbefore", "notafter", "disabled"].contains(&&*plain.to_ascii_lowercase()) {
            assert!(["not-before", "not-after", "disabled"].contains(&name));
        }
    }
}

/// Whether a certificate was saved; the only excuse is its size.
fn saves(result: Result<(), Error>) -> bool {
    match result {
        Ok(()) => true,
        Err(Error::File {
            problem: FileProblem::TooLarge { limit },
            ..
        }) => {
            assert_eq!(limit, CERTIFICATE_LIMIT);
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// Configurations: what is wrong stands in a line that there is, and is told within bounds; and however one that is good is cut off, it is
/// refused or admits nobody whom the whole one refuses.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parse = |text: &str| Content::parse(text, Path::new("/base"));
    let whole = match parse(text) {
        Ok(whole) => whole,
        Err(faults) => {
            let lines = text.split('\n').count() as u32;
            assert!((1..=101).contains(&faults.len()));
            for fault in faults {
                assert!(fault.line.is_none_or(|line| (1..=lines).contains(&line)));
                assert!(fault.problem.to_string().len() < 2000);
            }
            return;
        }
    };
    assert!(!whole.domains.is_empty() || whole.fallback.is_some());
    for (end, _) in text.match_indices('\n').take(1000) {
        let unfinished = &text[..end];
        assert!(unfinished.ends_with('\n') || parse(unfinished).is_err());
        let Ok(cut) = parse(&text[..=end]) else {
            continue;
        };
        for (name, rules) in &cut.domains {
            assert!(admits_no_more(rules, &whole.domains[name]), "{name}");
        }
        if let Some(rules) = &cut.fallback {
            assert!(admits_no_more(rules, whole.fallback.as_ref().unwrap()));
            assert_eq!(
                cut.domains.len(),
                whole.domains.len(),
                "left to the fallback"
            );
        }
    }
}

/// Whether everybody whom `one` admits is admitted by `other`.
fn admits_no_more(one: &Rules, other: &Rules) -> bool {
    one.allow == other.allow
        && one.deny == other.deny
        && (!one.null || other.null)
        && (one.plain.is_none() || one.plain == other.plain)
        && (one.gssapi.is_none() || one.gssapi == other.gssapi)
        && match (&one.curve, &other.curve) {
            (None, _) | (_, Some(Curve::Any)) => true,
            (Some(Curve::Stores(one)), Some(Curve::Stores(other))) => {
                one.iter().all(|store| other.contains(store))
            }
            _ => false,
        }
}

/// Key files: a file holds what its lines hold one by one, the first of each key; a line that is read has a usable key, and can be written
/// and read again.
pub fn keyfile(data: &[u8]) {
    let folder = Folder::new();
    let path = folder.0.join("keys");
    write_private(&path, data);
    let read = keyfile::read(&path, &AtomicBool::new(false), None).unwrap();
    let mut known: BTreeMap<PublicKey, Certificate> = BTreeMap::new();
    let mut bad = 0;
    for line in data
        .strip_suffix(b"\n")
        .unwrap_or(data)
        .split(|&byte| byte == b'\n')
    {
        let certificate = match keyfile::parse_line(line) {
            Ok(Some(certificate)) => certificate,
            Ok(None) => continue,
            Err(_) => {
                bad += 1;
                continue;
            }
        };
        let key = *certificate.public_key();
        assert!(key.usable().is_ok());
        let mut line = key.to_string();
        for (name, value) in certificate.metadata() {
            // What has both kinds of quote was bare, and can be so again; unlike in ZPL, with any `#`.
            let quote = zpl::quotes(value).unwrap_or_default();
            line.push_str(&format!(" {name}={quote}{value}{quote}"));
        }
        let again = keyfile::parse_line(line.as_bytes()).unwrap();
        assert_eq!(again.as_ref(), Some(&certificate));
        match known.entry(key) {
            Entry::Vacant(place) => {
                place.insert(certificate);
            }
            Entry::Occupied(_) => bad += 1,
        }
    }
    assert_eq!(read.faults.len(), bad.min(1001));
    assert_eq!(read.keys.len(), known.len());
    for (key, certificate) in known {
        assert_eq!(read.keys.get(&key), Some(&certificate));
    }
}

/// Server keys by endpoint: a file that is read gives each key to the endpoint of its pattern; a key that is added is there and one that is
/// removed is not, all others and the comments stay.
pub fn pins(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let lines = text.split('\n').count();
    let table = match Table::parse(text.to_owned()) {
        Ok(table) => table,
        Err(fault) => {
            return assert!(
                fault
                    .line
                    .is_none_or(|n| (1..=lines).contains(&(n as usize)))
            );
        }
    };
    let comments = |text: &str| text.lines().filter(|l| l.starts_with('#')).count();
    let all = |table: &Table| -> BTreeSet<(String, PublicKey)> {
        let keys = table.keys();
        keys.map(|(pattern, key)| (pattern.to_string(), *key))
            .collect()
    };
    let known = all(&table);
    for (pattern, key) in table.keys().take(4) {
        assert!(key.usable().is_ok());
        assert_eq!(Pattern::parse(&pattern.to_string()).as_ref(), Ok(pattern));
        if let Ok(endpoint) = Endpoint::parse(&pattern.to_string()) {
            // Unless it is a pattern of others.
            if matches!(pattern, Pattern::Tcp(..)) {
                let keys = table.find(&endpoint).unwrap();
                assert!(keys.iter().any(|(one, _)| one == key));
            }
        }
        let without = table.without(pattern, key).unwrap();
        assert_eq!(comments(&without), comments(text));
        let without = Table::parse(without).unwrap();
        let mut left = known.clone();
        assert!(left.remove(&(pattern.to_string(), *key)));
        assert_eq!(all(&without), left);
        let with = Table::parse(without.with(pattern, *key).unwrap()).unwrap();
        assert_eq!(all(&with), known);
        assert_eq!(table.with(pattern, *key), None);
    }
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

/// Password files: each change counts at once; exactly the users of the last good line of each name enter, and each line is either used,
/// blank, a comment or reported. A line that holds a hash admits nobody by its own text.
pub fn passwords(data: &[u8]) {
    thread_local! {
        static FILE: (Folder, PasswordFile) = {
            let folder = Folder::new();
            let path = folder.0.join("passwords");
            write_private(&path, b"");
            let file = PasswordFile::load(path).unwrap();
            (folder, file)
        };
    }
    // By name, what stands behind it, and whether that is its password.
    let mut expected: BTreeMap<&[u8], (&[u8], bool)> = BTreeMap::new();
    let (mut bad, mut hashes) = (0, 0);
    for line in data.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first() == Some(&b'#') || line.trim_ascii().is_empty() {
            continue;
        }
        let Some(at) = line.iter().position(|&byte| byte == b'=') else {
            bad += 1;
            continue;
        };
        let (name, password) = (&line[..at], &line[at + 1..]);
        let fits = |text: &[u8]| (1..=255).contains(&text.len()) && !text.contains(&0);
        let hash = Hash::is_meant(password);
        let good = fits(name) && !hash && fits(password);
        hashes += usize::from(hash);
        bad += usize::from(!good && !hash);
        expected.insert(name, (password, good));
    }
    FILE.with(|(folder, file)| {
        write_private(&folder.0.join("passwords"), data);
        let problems = file.problems().len();
        assert!((bad..=bad + hashes).contains(&problems), "{problems}");
        // Each check reads the file anew, as young as it is.
        for (&name, &(password, good)) in expected.iter().take(16) {
            assert_eq!(file.check(name, password), good);
            assert!(!file.check(name, password.get(1..).unwrap_or_default()));
            assert!(!file.check(name, &[password, b"\0"].concat()));
            assert!(!file.check(name, b""));
        }
        assert!(!file.check(b"", data));
    });
}

/// Address rules and the addresses of peers, `rule|address`: both survive their text, a set says what its block says, and nothing that
/// is shown holds a control character.
pub fn addresses(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (rule, peer) = text.split_once('|').unwrap_or((&text, &text));
    let peer = PeerAddress::parse(peer);
    let shown = peer.to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    match &peer {
        PeerAddress::Ip { address, .. } => {
            assert_eq!(*address, address.to_canonical());
            assert_eq!(PeerAddress::parse(&shown), peer);
        }
        PeerAddress::Ipc { .. } => assert_eq!(peer.ip(), None),
        PeerAddress::Unknown(text) => assert_eq!(format!("{text:?}"), shown),
    }

    let rule: AddressRule = match rule.parse() {
        Ok(rule) => rule,
        Err(error) => return assert!(!error.to_string().contains(char::is_control)),
    };
    let shown = rule.to_string();
    assert_eq!(shown.parse::<AddressRule>().unwrap(), rule);
    let mut set = AddressSet::new();
    assert!(set.insert(rule) && !set.insert(rule));
    assert!(set.iter().eq([rule]));
    let named = set.contains(&peer);
    assert_eq!(set.matching(&peer), named.then_some(rule));
    let block = match (rule, &peer) {
        (AddressRule::Ip(block), _) => block,
        (AddressRule::User(id), PeerAddress::Ipc { uid, .. }) => {
            return assert_eq!(named, id == *uid);
        }
        (AddressRule::Group(id), PeerAddress::Ipc { gid, .. }) => {
            return assert_eq!(named, id == *gid);
        }
        _ => return assert!(!named),
    };
    let base = shown.split('/').next().unwrap_or_default();
    let base: IpAddr = base.parse().unwrap();
    assert!(block.contains(base));
    assert!(set.contains(&PeerAddress::parse(&base.to_string())));
    let inside = peer.ip().is_some_and(|address| block.contains(address));
    assert_eq!(named, inside);
    if let Some(IpAddr::V4(address)) = peer.ip() {
        let mapped = address.to_ipv6_mapped();
        assert_eq!(block.contains(mapped.into()), inside);
        assert_eq!(
            set.contains(&PeerAddress::parse(&mapped.to_string())),
            inside
        );
    }
}

/// ZAP messages as a ROUTER has them, their frames separated by `|`: a request that is read is what its frames say; metadata that are
/// taken are encoded as libzmq decodes them. What is answered, the target `zap_thread` sees.
pub fn zap(data: &[u8]) {
    let given: Vec<&[u8]> = data.split(|&byte| byte == b'|').collect();
    let Ok(frames) = Frames::new(FrameList::of(&given).unwrap(), std::time::Instant::now()) else {
        // Not even a delimiter, or nothing that could be a request's id behind it.
        let delimiter = given.iter().skip(1).position(|frame| frame.is_empty());
        return assert!(delimiter.is_none_or(|at| given.len() < at + 4));
    };
    let delimiter = 1 + given[1..].iter().position(|f| f.is_empty()).unwrap();
    let body = &given[delimiter + 1..];
    if let Ok(request) = frames.request() {
        assert_eq!(body[0], b"1.0");
        assert!(body[2].len() <= 255 && body[3].len() <= 255);
        let mechanism = request.credential.mechanism().to_string();
        assert_eq!(mechanism.as_bytes(), body[5]);
        let credentials = match &*mechanism {
            "NULL" => 0,
            "PLAIN" => 2,
            _ => 1,
        };
        assert_eq!(body.len(), 6 + credentials);
        if let Some(domain) = request.domain {
            assert!(body[2].starts_with(domain.as_bytes()) && body[2].len() <= domain.len() + 1);
        }
        if mechanism == "CURVE" {
            let key = PublicKey::from_bytes(body[6].try_into().unwrap());
            assert_eq!(request.credential.identity(), Some(key.to_string()));
        }
    }

    let mut metadata = Metadata::default();
    let mut taken = Vec::new();
    let text: Vec<_> = body.iter().map(|f| String::from_utf8_lossy(f)).collect();
    for pair in text.windows(2) {
        if metadata.push(&pair[0], &pair[1]).is_ok() {
            assert!(!Metadata::is_reserved(&pair[0]));
            taken.push((pair[0].as_bytes(), pair[1].as_bytes()));
        }
    }
    assert_eq!(properties(metadata.as_bytes()), taken);
}

/// Properties as ZMTP encodes them.
fn properties(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut properties = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        let (name, rest) = rest.split_at(length.into());
        let (length, rest) = rest.split_first_chunk().unwrap();
        let (value, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        properties.push((name, value));
        bytes = rest;
    }
    properties
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
