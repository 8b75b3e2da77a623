use std::fs;

use proptest::prelude::*;

use super::*;
use crate::security::testing::{administrator, few, key};

const MONTH: Duration = Duration::from_secs(30 * 86_400);

fn list() -> RevocationList {
    RevocationList::new()
        .revoke(key(1), "laptop stolen, #7")
        .unwrap()
        .revoke_below(key(2), 17, "no \"writer\" any more")
        .unwrap()
        .with_minimum_serial(5)
}

fn problem(fault: Fault) -> RevocationProblem {
    match fault.problem {
        FileProblem::Revocations(problem) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn list_survives_its_file_and_its_serial_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let ours = administrator(1);
    let issued = list().issue(&path, &ours, MONTH).unwrap();
    let read = RevocationList::load(&path, ours.verify_key()).unwrap();
    assert_eq!(read, issued);
    assert!(read.serial().abs_diff(serial_now()) < 60);
    assert_eq!(read.valid_until(), read.issued() + MONTH);
    assert_eq!((read.minimum_serial(), read.revoked().len()), (5, 2));
    let [stolen, writer] = [1, 2].map(|n| read.revocation(&key(n)).unwrap());
    assert_eq!(
        (stolen.reason(), stolen.below()),
        ("laptop stolen, #7", None)
    );
    assert_eq!(writer.below(), Some(17));
    assert!(stolen.covers(u64::MAX) && writer.covers(16) && !writer.covers(17));
    let serial = read.serial();
    let next = read.reinstate(&key(1)).issue(&path, &ours, MONTH).unwrap();
    assert!(next.serial() > serial && next.revocation(&key(1)).is_none());
}

/// The signature was made by another implementation of Ed25519 (OpenSSL's), over bytes put together by hand.
#[test]
fn list_of_another_implementation_is_read() {
    let ours = SigningKey::from_seed(&std::array::from_fn(|at| at as u8 + 1)).unwrap();
    let text = include_str!("../../../tests/data/revocations.list");
    let read = RevocationList::read(text.as_bytes(), ours.verify_key()).unwrap();
    assert_eq!(read.serial(), 1_800_000_000);
    assert_eq!(Date(read.valid_until()).to_string(), "2027-02-14T08:00:00Z");
    let keys: Vec<_> = read.revoked().map(|(key, _)| key.to_string()).collect();
    assert_eq!(keys, ["HelloWorld".repeat(4)]);
    let (body, signer, signature) = split(text).unwrap();
    assert_eq!(signer, *ours.verify_key());
    assert_eq!(ours.sign(&signed(body)).unwrap(), signature);
}

#[test]
fn every_changed_cut_or_added_byte_breaks_a_list() {
    let ours = administrator(1);
    let text = list().text(&ours, Path::new("x")).unwrap();
    assert!(RevocationList::read(text.as_bytes(), ours.verify_key()).is_ok());
    let bytes = text.as_bytes();
    for at in 0..bytes.len() {
        let refused = |bytes: &[u8]| {
            assert!(
                RevocationList::read(bytes, ours.verify_key()).is_err(),
                "{at}"
            );
        };
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        refused(&changed);
        refused(&bytes[..at]);
        refused(&[&bytes[..at], b" ", &bytes[at..]].concat());
    }
    let half = &bytes[..bytes.len() / 2];
    let cut = problem(RevocationList::read(half, ours.verify_key()).unwrap_err());
    assert_eq!(cut, RevocationProblem::Unsigned);
    let altered = text.replace("stolen", "st0len");
    let altered = RevocationList::read(altered.as_bytes(), ours.verify_key());
    assert_eq!(problem(altered.unwrap_err()), RevocationProblem::Mismatch);
}

#[test]
fn list_of_another_administrator_or_under_his_name_is_refused() {
    let (ours, theirs) = (administrator(1), administrator(2));
    let text = list().text(&theirs, Path::new("x")).unwrap();
    let refused = RevocationList::read(text.as_bytes(), ours.verify_key()).unwrap_err();
    let (signer, wanted) = (*theirs.verify_key(), *ours.verify_key());
    assert_eq!(
        problem(refused),
        RevocationProblem::Signer { signer, wanted }
    );
    let forged = text.replace(&signer.to_string(), &wanted.to_string());
    let refused = RevocationList::read(forged.as_bytes(), ours.verify_key()).unwrap_err();
    assert_eq!(problem(refused), RevocationProblem::Mismatch);
}

#[test]
fn signed_nonsense_is_refused_with_its_line() {
    use RevocationProblem::{Date, Entry, Number, Reason, Version};
    let body = list().body(administrator(1).verify_key()).unwrap();
    let key = key(1).to_string();
    let line = |text: &str| {
        let at = body.lines().position(|line| line.contains(text)).unwrap();
        Some(u32::try_from(at).unwrap() + 1)
    };
    let long = "x".repeat(256);
    for (old, new, at, wanted) in [
        (
            "version = \"1\"",
            "version = \"2\"",
            line("revocations"),
            Version,
        ),
        ("revocations\n", "other\n", line("revocations"), Entry),
        (
            "serial = \"0\"",
            "serial = \"-1\"",
            line("    serial"),
            Number("serial"),
        ),
        (
            "    serial",
            "    cereal",
            line("revocations"),
            Number("serial"),
        ),
        ("\"5\"", "\"05\"", line("minimum"), Number("minimum-serial")),
        ("1970", "197O", line("issued"), Date("issued")),
        ("\"17\"", "\"\"", line("below"), Number("below")),
        ("key = ", "keys = ", line("key = "), Entry),
        ("laptop stolen, #7", &long, line("stolen"), Reason),
        ("laptop", "\t", line("stolen"), Reason),
        ("reason", "season", line("stolen"), Entry),
    ] {
        let fault = RevocationList::interpret(&body.replacen(old, new, 1)).unwrap_err();
        assert_eq!(fault.line, at, "{new}");
        assert_eq!(problem(fault), wanted, "{new}");
    }
    for bad in ["", &key[..39], &"0".repeat(40)] {
        let fault = RevocationList::interpret(&body.replacen(&key, bad, 1)).unwrap_err();
        assert_eq!(fault.line, line("key = "), "{bad}");
    }
    let second = self::key(2).to_string();
    let twice = RevocationList::interpret(&body.replacen(&second, &key, 1)).unwrap_err();
    assert_eq!(problem(twice), Entry);
    assert!(RevocationList::interpret("").is_err());
}

#[test]
fn what_no_list_can_hold_is_refused_when_it_is_made() {
    let ours = administrator(1);
    for reason in ["two\nlines", "\u{7}", "both \" and '", &"x".repeat(256)] {
        assert!(RevocationList::new().revoke(key(1), reason).is_err());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    for valid_for in [Duration::ZERO, Duration::from_millis(999), Duration::MAX] {
        assert!(list().issue(&path, &ours, valid_for).is_err());
    }
    assert!(!path.exists());
    fs::write(&path, vec![b'#'; LIMIT as usize + 1]).unwrap();
    let error = RevocationList::load(&path, ours.verify_key()).unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
}

proptest! {
    #![proptest_config(few(64))]

    #[test]
    fn any_list_survives_its_text(
        entries in prop::collection::btree_map(1u8.., (any::<Option<u64>>(), "[ -!#-~é]{0,20}|[ -&(-~]{0,20}"), 0..5),
        serial: u64,
        minimum: u64,
        until in 0u64..253_402_300_799,
    ) {
        let mut list = RevocationList { serial, ..RevocationList::new() }.with_minimum_serial(minimum);
        list.valid_until = UNIX_EPOCH + Duration::from_secs(until);
        for (n, (below, reason)) in &entries {
            list = list.add(key(*n), *below, reason).unwrap();
        }
        let ours = administrator(1);
        let text = list.text(&ours, Path::new("x")).unwrap();
        prop_assert_eq!(RevocationList::read(text.as_bytes(), ours.verify_key()), Ok(list));
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_panic(bytes: Vec<u8>, lines in prop::collection::vec(
        "( {0,9})(revocations|revoked|version|serial|issued|valid-until|minimum-serial|key|below|reason|signer)( = \"?[0-9a-z:-]{0,40}\"?)?", 0..12
    )) {
        let ours = administrator(1);
        let _ = RevocationList::read(&bytes, ours.verify_key());
        let _ = RevocationList::interpret(&lines.join("\n"));
    }
}
