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
    (lines.keys.finish(), lines.faults.finish())
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

#[test]
fn a_name_that_stands_twice_is_found_among_any_number() {
    let names = |count: u32| (0..count).map(|n| format!(" n{n}=x")).collect::<String>();
    for count in [10, 200, 300, 5000] {
        assert_eq!(one(&names(count)).unwrap().len(), count as usize);
        for twice in [0, count / 2, count - 1] {
            let line = names(count) + &format!(" n{twice}=y");
            assert_eq!(one(&line), Err(FileProblem::SameName), "{count} {twice}");
        }
    }
}
