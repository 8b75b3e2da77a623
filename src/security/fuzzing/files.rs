//! Files: certificates, key files, server keys, password files.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::AtomicBool;

use super::{Folder, write_private};
use crate::error::Error;
use crate::security::certificate::{Certificate, SecretCertificate};
use crate::security::endpoint::{Endpoint, Pattern};
use crate::security::file::{CERTIFICATE_LIMIT, FileProblem};
use crate::security::hash::Hash;
use crate::security::keyfile;
use crate::security::keys::PublicKey;
use crate::security::passwords::PasswordFile;
use crate::security::pins::Table;
use crate::security::validity::Date;
use crate::security::zpl;

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
