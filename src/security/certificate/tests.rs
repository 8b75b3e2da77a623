mod secret;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::security::file::{CERTIFICATE_LIMIT, Fault, FileKind};
use crate::security::keys::{KeyProblem, Keypair};
use crate::security::signing::SigningKey;
use crate::security::validity::ValidityProblem;

/// A pair made for these tests.
const PUBLIC: &str = "+[2F}Z&f<:/K&o%w+>r2(N=m=[=aeE%3xVgV[esz";
const SECRET: &str = "A}rLet-]Nvzqv-4w}EC.!:qUpQ0bvRIkJ?:4Nyqu";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn parse(text: &str) -> Certificate {
    Certificate::parse(text.as_bytes()).unwrap()
}

fn fault(text: &str) -> (Option<u32>, FileProblem) {
    let fault = Certificate::parse(text.as_bytes()).unwrap_err();
    (fault.line, fault.problem)
}

fn file_error(error: Error, wanted: &Path) -> (Option<u32>, FileProblem) {
    match error {
        Error::File {
            path,
            line,
            problem,
        } => {
            assert_eq!(path, wanted);
            (line, problem)
        }
        other => panic!("{other:?}"),
    }
}

fn metadata(certificate: &Certificate) -> Vec<(&str, &str)> {
    certificate.metadata().collect()
}

#[test]
fn certificate_survives_its_file_with_metadata_in_order() {
    let folder = folder();
    let path = folder.path().join("a.cert");
    let certificate = Certificate::new(PUBLIC.parse().unwrap())
        .with_meta("name", "Zoë \"Z\" # 1")
        .and_then(|c| c.with_meta("a.b/c", "it's"))
        .and_then(|c| c.with_meta("empty", ""))
        .unwrap();
    certificate.save(&path).unwrap();
    let again = Certificate::load(&path).unwrap();
    assert_eq!(again, certificate);
    let wanted = [("name", "Zoë \"Z\" # 1"), ("a.b/c", "it's"), ("empty", "")];
    assert_eq!(metadata(&again), wanted);
    assert_eq!(again.meta("empty"), Some(""));
    assert_eq!(again.meta("other"), None);
    assert!(!fs::read_to_string(&path).unwrap().contains("secret-key"));
}

#[test]
fn file_in_the_shape_of_czmq_is_read() {
    let text = format!(
        "#   ****  Generated on 2024-02-29 12:00:00 by CZMQ  ****\n#   More\n\nmetadata\n    \
             email = \"x@example.org\"\n    name = \"J # 1\"\ncurve\n    public-key = \"{PUBLIC}\"\n"
    );
    let certificate = parse(&text);
    assert_eq!(certificate.public_key().to_string(), PUBLIC);
    let wanted = [("email", "x@example.org"), ("name", "J # 1")];
    assert_eq!(metadata(&certificate), wanted);
}

#[test]
fn file_in_the_shape_of_pyzmq_is_read() {
    let text = format!(
        "#   ****  Generated on 2024-02-29 12:00:00.123456 by pyzmq  ****\n#   More\n\nmetadata\n    \
             name = Jo Doe\n    note = a # b\ncurve\n    public-key = \"{PUBLIC}\"\n    \
             secret-key = \"{SECRET}\"\n"
    );
    let folder = folder();
    let path = folder.path().join("x.key_secret");
    write_secret(&path, &text);
    let certificate = SecretCertificate::load(folder.path().join("x.key")).unwrap();
    assert_eq!(certificate.secret().expose_z85().as_str(), SECRET);
    let wanted = [("name", "Jo Doe"), ("note", "a")];
    assert_eq!(metadata(certificate.certificate()), wanted);
}

#[test]
fn variants_that_czmq_reads_are_read() {
    for text in [
        format!("curve\n    public-key = \"{PUBLIC}\""),
        format!("curve\n    public-key = '{PUBLIC}'\n"),
        format!("curve\n    public-key={PUBLIC}\n"),
        format!("curve # x\n\n    public-key = \"{PUBLIC}\" # comment\n"),
        format!("\n\nother\n    x = y\ncurve\n    more = 1\n    public-key = \"{PUBLIC}\"\n"),
        format!("metadata\r\n    name = \"x\"\r\ncurve\r\n    public-key = \"{PUBLIC}\"\r\n"),
        format!("curve\n    public-key = {PUBLIC}\n    public-key = \"short\"\n"),
    ] {
        assert_eq!(parse(&text).public_key().to_string(), PUBLIC, "{text}");
    }
}

#[test]
fn first_metadata_value_counts_and_nested_ones_are_ignored() {
    let text = format!(
        "metadata\n    name = first\n        deep = x\n    name = second\n    group\n        a = b\n\
             curve\n    public-key = \"{PUBLIC}\"\nmetadata\n    late = x\n"
    );
    assert_eq!(metadata(&parse(&text)), [("name", "first"), ("group", "")]);
}

#[test]
fn malformed_file_is_refused_with_the_line() {
    let zeros = "0".repeat(40);
    let mut cut = PUBLIC.to_string();
    cut.replace_range(10..11, "#");
    for (text, line, problem) in [
        (String::new(), None, FileProblem::Missing("section `curve`")),
        (
            "metadata\n".into(),
            None,
            FileProblem::Missing("section `curve`"),
        ),
        (
            "metadata\ncurve\n".into(),
            Some(2),
            FileProblem::Missing("`public-key` in the section `curve`"),
        ),
        (
            format!("curve\n    x = y\ncurve\n    public-key = \"{PUBLIC}\"\n"),
            Some(1),
            FileProblem::Missing("`public-key` in the section `curve`"),
        ),
        (
            format!("curve\npublic-key = \"{PUBLIC}\"\n"),
            Some(1),
            FileProblem::Missing("`public-key` in the section `curve`"),
        ),
        (
            "curve\n    public-key\n".into(),
            Some(2),
            KeyProblem::Length(0).into(),
        ),
        (
            format!("curve\n    public-key = \"{}\"\n", &PUBLIC[1..]),
            Some(2),
            KeyProblem::Length(39).into(),
        ),
        (
            format!("curve\n    public-key = {cut}\n"),
            Some(2),
            KeyProblem::Length(10).into(),
        ),
        (
            format!("curve\n    public-key = \"{}~\"\n", &PUBLIC[1..]),
            Some(2),
            FileProblem::Z85 { position: 39 },
        ),
        (
            format!("curve\n    public-key = \"{zeros}\"\n"),
            Some(2),
            KeyProblem::Zero.into(),
        ),
        (
            format!("curve\n    public-key = \"{PUBLIC}\n"),
            Some(2),
            SyntaxProblem::Quote.into(),
        ),
        (
            format!("curve\n\tpublic-key = \"{PUBLIC}\"\n"),
            Some(2),
            SyntaxProblem::Tab.into(),
        ),
        (
            format!("\u{feff}curve\n    public-key = \"{PUBLIC}\"\n"),
            Some(1),
            SyntaxProblem::Junk.into(),
        ),
        (
            format!("curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{SECRET}\"\n"),
            Some(3),
            FileProblem::SecretKey,
        ),
        (
            format!(
                "metadata\n    {} = x\ncurve\n    public-key = \"{PUBLIC}\"\n",
                "n".repeat(256)
            ),
            Some(2),
            FileProblem::MetadataName,
        ),
        (
            format!("metadata\n    public-key-owner = x\ncurve\n    public-key = \"{PUBLIC}\"\n"),
            Some(2),
            FileProblem::MetadataName,
        ),
    ] {
        assert_eq!(fault(&text), (line, problem), "{text}");
    }
    let latin = b"metadata\n    name = \"J\xF6\"\n";
    let fault = Certificate::parse(latin).unwrap_err();
    assert_eq!(fault, Fault::new(Some(2), FileProblem::Encoding));
}

#[test]
fn truncated_file_is_refused_at_every_length_without_its_key() {
    let certificate = Certificate::new(PUBLIC.parse().unwrap());
    let text = certificate
        .with_meta("name", "x")
        .unwrap()
        .text(None)
        .unwrap();
    let whole = text.find(PUBLIC).unwrap() + PUBLIC.len() + 1;
    for length in 0..text.len() {
        let read = Certificate::parse(&text.as_bytes()[..length]);
        assert_eq!(read.is_ok(), length >= whole, "{}", &text[..length]);
    }
}

#[test]
fn metadata_of_100_kib_is_neither_read_nor_written() {
    let folder = folder();
    let path = folder.path().join("a");
    let value = "x".repeat(100 * 1024);
    let text = format!("metadata\n    name = {value}\ncurve\n    public-key = \"{PUBLIC}\"\n");
    fs::write(&path, text).unwrap();
    let too_large = FileProblem::TooLarge {
        limit: CERTIFICATE_LIMIT,
    };
    let error = Certificate::load(&path).unwrap_err();
    assert_eq!(file_error(error, &path), (None, too_large.clone()));

    let path = folder.path().join("b");
    let certificate = SecretCertificate::generate()
        .unwrap()
        .with_meta("name", &value)
        .unwrap();
    let secret = folder.path().join("b_secret");
    let error = certificate.save(&path).unwrap_err();
    assert_eq!(file_error(error, &secret), (None, too_large.clone()));
    let error = certificate.certificate().save(&path).unwrap_err();
    assert_eq!(file_error(error, &path), (None, too_large));
    assert!(!path.exists() && !secret.exists());
}

#[test]
fn directory_and_fifo_are_refused_and_links_followed() {
    let folder = folder();
    let fifo = folder.path().join("fifo_secret");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let error = SecretCertificate::load(folder.path().join("fifo")).unwrap_err();
    assert_eq!(
        file_error(error, &fifo),
        (None, FileProblem::NotAFile(FileKind::Fifo))
    );
    let error = Certificate::load(folder.path()).unwrap_err();
    let directory = FileProblem::NotAFile(FileKind::Directory);
    assert_eq!(file_error(error, folder.path()), (None, directory));
    let certificate = Certificate::new(PUBLIC.parse().unwrap());
    certificate.save(folder.path().join("a")).unwrap();
    symlink("a", folder.path().join("link")).unwrap();
    assert_eq!(
        Certificate::load(folder.path().join("link")).unwrap(),
        certificate
    );
}

#[test]
fn unusable_metadata_is_refused_when_it_is_set() {
    let certificate = Certificate::new(PUBLIC.parse().unwrap());
    let long = "n".repeat(256);
    for (name, value) in [
        ("", "x"),
        ("a b", "x"),
        ("/a", "x"),
        ("ä", "x"),
        (&*long, "x"),
        ("public-key", "x"),
        ("secret-key2", "x"),
        ("a", "two\nlines"),
        ("a", "cr\r"),
        ("a", "nul\0"),
        ("a", "\u{1b}[31m"),
        ("a", "\"'"),
    ] {
        let refused = certificate.clone().with_meta(name, value);
        assert!(
            matches!(refused, Err(Error::InvalidOption { .. })),
            "{name:?} {value:?}"
        );
    }
    let changed = certificate
        .with_meta("a", "1")
        .and_then(|c| c.with_meta("a", "2"))
        .unwrap();
    assert_eq!(metadata(&changed), [("a", "2")]);
}

#[test]
fn life_that_cannot_be_told_is_refused_with_the_line() {
    let with = |lines: &str| {
        let lines = lines.replace(';', "\n    ");
        format!("metadata\n    name = x\n    {lines}\ncurve\n    public-key = \"{PUBLIC}\"\n")
    };
    for (lines, line, problem) in [
        (
            "not-after = 2027-01-31T12:00:00",
            3,
            ValidityProblem::NoZone("not-after").into(),
        ),
        (
            "role = y;not-before = soon",
            4,
            ValidityProblem::Date("not-before").into(),
        ),
        ("disabled", 3, ValidityProblem::Disabled.into()),
        (
            "not-after = 2027-01-31T12:00:00Z;not-before = 2028-01-31T12:00:00Z",
            4,
            ValidityProblem::Reversed.into(),
        ),
        (
            "not_after = 2027-01-31T12:00:00Z",
            3,
            ValidityProblem::Misspelt("not-after").into(),
        ),
        (
            "not-after = 2027-01-31T12:00:00Z;not-after = 2028-01-31T12:00:00Z",
            4,
            FileProblem::SameName,
        ),
    ] {
        assert_eq!(fault(&with(lines)), (Some(line), problem), "{lines}");
    }
    let misplaced = FileProblem::from(ValidityProblem::Misplaced("disabled"));
    let curve = format!("curve\n    public-key = \"{PUBLIC}\"\n");
    for (text, line) in [
        (format!("{curve}    disabled = true\n"), 3),
        (format!("{curve}disabled = true\n"), 3),
        (
            format!("metadata\n    name = x\n        disabled = true\n{curve}"),
            3,
        ),
        (
            format!("metadata\n{curve}metadata\n    disabled = true\n"),
            5,
        ),
    ] {
        assert_eq!(fault(&text), (Some(line), misplaced.clone()), "{text}");
    }
    let life = parse(&with("disabled = false;not-after = 2027-01-31T12:00:00Z")).validity();
    assert_eq!(life.to_string(), "until 2027-01-31T12:00:00Z");
}

#[test]
fn life_is_set_as_a_whole_or_by_its_metadata() {
    let certificate = Certificate::new(PUBLIC.parse().unwrap())
        .with_meta("name", "x")
        .unwrap();
    assert_eq!(certificate.validity(), Validity::new());
    let [start, end] = [1, 2].map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
    let life = Validity::new().with_not_before(start).with_not_after(end);
    let with_life = certificate.clone().with_validity(life).unwrap();
    assert_eq!(with_life.validity(), life);
    let wanted = [
        ("name", "x"),
        ("not-before", "1970-01-01T00:00:01Z"),
        ("not-after", "1970-01-01T00:00:02Z"),
    ];
    assert_eq!(metadata(&with_life), wanted);
    let later = Validity::new()
        .with_not_before(end)
        .with_disabled(true)
        .with_not_after(end + Duration::from_nanos(1));
    let moved = with_life.clone().with_validity(later).unwrap();
    assert_eq!(moved.validity(), later);
    assert_eq!(moved.with_validity(Validity::new()).unwrap(), certificate);
    for (name, value) in [
        ("not-before", "1970-01-01T00:00:02Z"),
        ("not-after", "1970-01-01T00:00:02"),
        ("disabled", "perhaps"),
        ("NOT-AFTER", "1970-01-01T00:00:02Z"),
    ] {
        let refused = with_life.clone().with_meta(name, value);
        assert!(
            matches!(refused, Err(Error::InvalidOption { .. })),
            "{name}"
        );
    }
    for life in [
        Validity::new().with_not_before(end).with_not_after(start),
        Validity::new().with_not_after(start - Duration::from_secs(2)),
        Validity::new().with_not_after(end + Duration::from_secs(1 << 40)),
    ] {
        assert!(certificate.clone().with_validity(life).is_err(), "{life}");
    }
}

#[test]
fn certificate_is_shown_by_its_fingerprint_and_what_it_says_of_its_owner() {
    let certificate = parse(&format!(
        "metadata\n    name = pump \u{1b} 7\ncurve\n    public-key = \"{PUBLIC}\"\n"
    ));
    let fingerprint = certificate.public_key().fingerprint();
    let wanted = format!("{fingerprint} name=\"pump \\u{{1b}} 7\"");
    assert_eq!(certificate.to_string(), wanted);
    assert!(!wanted.contains(PUBLIC));
}

#[test]
fn reply_carries_all_metadata_but_the_signature() {
    let with = |metadata: &[(&str, &str)]| {
        let bare = Certificate::new(PUBLIC.parse().unwrap());
        let mut metadata = metadata.iter();
        metadata.try_fold(bare, |c, (name, value)| c.with_meta(name, value))
    };
    let administrator = SigningKey::from_seed(&[7; 32]).unwrap();
    let unsigned = with(&[("name", "pump 7"), ("role", "pump")]).unwrap();
    let signed = unsigned.sign(&administrator).unwrap();
    let moved = signed.clone().with_meta("later", "1").unwrap();
    let (first, others): (Vec<_>, Vec<_>) =
        signed.metadata().partition(|(name, _)| *name == SIGNATURE);
    let first = with(&[first, others].concat()).unwrap();
    for certificate in [
        &signed,
        &moved,
        &first,
        &first.clone().without_meta(SIGNATURE),
    ] {
        let kept = certificate.metadata();
        let expected: Vec<_> = kept.filter(|(name, _)| *name != SIGNATURE).collect();
        let sent = certificate.properties();
        let sent: Vec<_> = zap::properties(sent.encoded()).collect();
        assert_eq!(sent, expected);
        assert!(sent.len() >= 4, "{sent:?}");
    }
}

#[test]
fn key_of_zeros_is_not_written() {
    let folder = folder();
    let path = folder.path().join("a");
    let error = Certificate::new(PublicKey::from_bytes([0; 32]))
        .save(&path)
        .unwrap_err();
    assert_eq!(file_error(error, &path), (None, KeyProblem::Zero.into()));
    assert!(!path.exists());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_without_panic(bytes: Vec<u8>) {
        let _ = Certificate::parse(&bytes);
    }

    #[test]
    fn any_damage_to_a_certificate_is_read_or_refused_without_panic(at in 0usize..300, byte: u8) {
        let certificate = Certificate::new(PUBLIC.parse().unwrap()).with_meta("name", "x").unwrap();
        let mut bytes = certificate.text(None).unwrap().as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(read) = Certificate::parse(&bytes) {
            prop_assert!(read.public_key().usable().is_ok());
            prop_assert!(read.text(None).is_ok());
        }
    }

    #[test]
    fn any_metadata_that_can_be_set_is_read_back(
        entries in proptest::collection::vec(("[a-z.]{1,3}", "\\PC{0,20}|[ \"'#=\\\\]{0,6}"), 0..6)
    ) {
        let mut certificate = Certificate::new(PUBLIC.parse().unwrap());
        for (name, value) in entries {
            certificate = certificate.clone().with_meta(&name, &value).unwrap_or(certificate);
        }
        let text = certificate.text(None).unwrap();
        prop_assert_eq!(Certificate::parse(text.as_bytes()).unwrap(), certificate);
    }
}
