use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::security::keys::PublicKey;
use crate::security::testing::{administrator, few};
use crate::security::{Keypair, SecretCertificate};

fn certificate() -> Certificate {
    let key: PublicKey = "HelloWorld".repeat(4).parse().unwrap();
    Certificate::new(key)
        .with_meta("role", "Zoë's \"reader\"")
        .unwrap()
        .with_meta("name", "pump 7")
        .unwrap()
}

fn problem(error: Error) -> SignatureProblem {
    match error {
        Error::Signature(problem) => problem,
        other => panic!("{other:?}"),
    }
}

/// The signature was made by another implementation of Ed25519 (OpenSSL's), over bytes put together by hand.
#[test]
fn canonical_form_and_signature_are_those_of_another_implementation() {
    let key = SigningKey::from_seed(&std::array::from_fn(|at| at as u8 + 1)).unwrap();
    let signer = "ed25519:D9{W9KlfBqkZoKD>=6GrKrofq>9rWj&nY}cTPT@2";
    assert_eq!(key.verify_key().to_string(), signer);
    let signed = certificate().sign_with_serial(&key, 1_700_000_000).unwrap();
    let form = [
        &b"ironhouse certificate 1\0"[..],
        &[0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b].repeat(4),
        b"\0\0\0\x04",
        b"\0\0\0\x04name\0\0\0\x06pump 7",
        b"\0\0\0\x04role\0\0\0\x0fZo\xc3\xab's \"reader\"",
        b"\0\0\0\x10signature-serial\0\0\0\x0a1700000000",
        b"\0\0\0\x06signer\0\0\0\x30",
        signer.as_bytes(),
    ]
    .concat();
    assert_eq!(signed.canonical_form(), form);
    let signature =
        "cf2<(4PLnz8eIU0cRdd*7eQo*U{(9(5D7@bTVhts+]AItZkkra]B]mmm&R&F7f=oFBQ9e^(U/G7IRO*M";
    assert_eq!(signed.meta("signature"), Some(signature));
    assert_eq!(signed.verify(&[key.verify]).unwrap(), key.verify);
    assert!(
        key.verify
            .verifies(&decode_signature(signature).unwrap(), &form)
    );
}

#[test]
fn signed_certificate_is_its_administrators_alone() {
    let (ours, theirs) = (administrator(1), administrator(2));
    let signed = certificate().sign(&ours).unwrap();
    let trusted = [theirs.verify, ours.verify];
    assert_eq!(signed.verify(&trusted).unwrap(), ours.verify);
    let refused = problem(signed.verify(&[theirs.verify]).unwrap_err());
    let signer = ours.verify;
    assert_eq!(refused, SignatureProblem::UnknownSigner { signer });
    let forged = signed
        .with_meta(SIGNER, &theirs.verify.to_string())
        .unwrap();
    let refused = problem(forged.verify(&trusted).unwrap_err());
    assert_eq!(refused, SignatureProblem::Mismatch);
    let refused = problem(certificate().verify(&trusted).unwrap_err());
    assert_eq!(refused, SignatureProblem::Unsigned);
}

#[test]
fn what_is_no_signature_is_refused() {
    let ours = administrator(1);
    let signed = certificate().sign(&ours).unwrap();
    let long = "1".repeat(79);
    for (name, value) in [
        (SIGNATURE, ""),
        (SIGNATURE, "x"),
        (SIGNATURE, &long),
        (SIGNER, "nobody"),
        (SERIAL, ""),
        (SERIAL, "-1"),
        (SERIAL, "+1"),
        (SERIAL, "01"),
        (SERIAL, "99999999999999999999"),
    ] {
        let bad = signed.clone().with_meta(name, value).unwrap();
        let refused = problem(bad.verify(&[ours.verify]).unwrap_err());
        assert_eq!(refused, SignatureProblem::Malformed, "{name} {value}");
    }
    for name in [SIGNER, SERIAL] {
        let bad = signed.clone().without_meta(name);
        assert!(bad.verify(&[ours.verify]).is_err(), "{name}");
    }
}

#[test]
fn signing_again_gives_a_higher_serial_and_replaces_the_signature() {
    let (ours, theirs) = (administrator(1), administrator(2));
    let first = certificate().sign(&ours).unwrap();
    let now = serial_now();
    assert!(first.serial().unwrap().abs_diff(now) < 60);
    let ahead = first.sign_with_serial(&ours, now + 1000).unwrap();
    let again = ahead.clone().sign(&theirs).unwrap();
    assert_eq!(again.serial(), Some(now + 1001));
    assert_eq!(again.verify(&[theirs.verify]).unwrap(), theirs.verify);
    assert_eq!(again.metadata().count(), ahead.metadata().count());
    let last = ahead.sign_with_serial(&ours, u64::MAX).unwrap();
    assert_eq!(last.sign(&ours).unwrap().serial(), Some(u64::MAX));
    let zeros = Certificate::new(PublicKey::from_bytes([0; 32]));
    assert!(matches!(zeros.sign(&ours), Err(Error::Key(_))));
}

#[test]
fn signature_survives_files_and_their_layout() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client");
    let ours = administrator(1);
    let made = SecretCertificate::generate().unwrap();
    let made = made.with_meta("name", "#1 'pump'").unwrap();
    let made = made.sign(&ours).unwrap();
    made.save(&path).unwrap();
    let read = Certificate::load(&path).unwrap();
    assert_eq!(read.verify(&[ours.verify]).unwrap(), ours.verify);
    // Another order, quoting and comments, as other writers have.
    let mut text = String::from("curve\n    public-key = \"");
    text.push_str(&format!("{}\" # comment\nmetadata\n", read.public_key()));
    let metadata: Vec<_> = read.metadata().collect();
    for (name, value) in metadata.iter().rev() {
        text.push_str(&format!("    {name}=\"{value}\"\r\n"));
    }
    let other = Certificate::parse(text.as_bytes()).unwrap();
    assert_ne!(other, read);
    assert_eq!(other.verify(&[ours.verify]).unwrap(), ours.verify);
}

#[test]
fn keys_survive_their_files_and_are_not_taken_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let key = SigningKey::generate().unwrap();
    key.save(path("admin")).unwrap();
    key.verify_key().save(path("admin.pub")).unwrap();
    let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("admin"), 0o600);
    let again = SigningKey::load(path("admin")).unwrap();
    assert_eq!(again.expose_seed(), key.expose_seed());
    assert_eq!(VerifyKey::load(path("admin.pub")).unwrap(), key.verify);

    for name in ["admin", "admin.pub"] {
        assert!(Certificate::load(path(name)).is_err());
        let secret = path(&format!("{name}_secret"));
        fs::copy(path(name), &secret).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(SecretCertificate::load(&secret).is_err());
        // pyzmq takes any line that begins so for a CURVE key.
        let text = fs::read_to_string(path(name)).unwrap();
        let taken = |line: &str| {
            let line = line.trim();
            line.starts_with("public-key") || line.starts_with("secret-key")
        };
        assert!(!text.lines().any(taken));
    }
    assert!(VerifyKey::load(path("admin")).is_err());
    assert!(SigningKey::load(path("admin.pub")).is_err());
    let curve = SecretCertificate::generate().unwrap();
    curve.save(path("curve")).unwrap();
    assert!(SigningKey::load(path("curve_secret")).is_err());
    assert!(VerifyKey::load(path("curve")).is_err());
    let text = key.verify.to_string();
    assert!(text.parse::<PublicKey>().is_err());
    assert!(curve.public_key().to_string().parse::<VerifyKey>().is_err());

    fs::set_permissions(path("admin"), fs::Permissions::from_mode(0o640)).unwrap();
    let exposed = SigningKey::load(path("admin")).unwrap_err().to_string();
    assert!(exposed.contains("chmod 600"), "{exposed}");
}

#[test]
fn broken_key_files_are_refused_with_the_line_and_without_the_secret() {
    let key = administrator(1);
    let folder = tempfile::tempdir().unwrap();
    key.save(folder.path().join("admin")).unwrap();
    let text = fs::read_to_string(folder.path().join("admin")).unwrap();
    let secret = z85::encode(key.expose_seed().as_slice());
    let fault = |text: &str| SigningKey::read(text.as_bytes()).unwrap_err();
    let other = administrator(2).verify.to_string();
    for bad in [
        text.replace("ed25519-secret:", ""),
        text.replace(&secret, &secret[..39]),
        text.replace(&secret, &"0".repeat(40)),
        text.replace(&secret, &"~".repeat(40)),
    ] {
        let fault = fault(&bad);
        assert_eq!(fault.problem, FileProblem::SigningKey);
        assert!(fault.line.is_some());
        let shown = fault.at(Path::new("admin")).to_string();
        assert!(!shown.contains(&secret[..8]), "{shown}");
    }
    let mismatch = fault(&text.replace(&key.verify.to_string(), &other));
    assert_eq!(mismatch.problem, KeyProblem::Mismatch.into());
    for gone in ["verify-key", "signing-key", "ironhouse-signing-key"] {
        let fault = fault(&text.replace(gone, "x"));
        assert!(matches!(fault.problem, FileProblem::Missing(_)), "{gone}");
    }
    assert!(!format!("{key:?}").contains(&secret));
}

#[test]
fn verify_key_is_read_whole_or_not_at_all() {
    let text = administrator(1).verify.to_string();
    assert_eq!(text.len(), 48);
    assert_eq!(text.parse::<VerifyKey>().unwrap().to_string(), text);
    let zeros = format!("ed25519:{}", "0".repeat(40));
    for bad in [
        "",
        "ed25519:",
        &text[8..],
        &text[..47],
        &format!("{text} "),
        &text.replace("ed25519", "ED25519"),
        &zeros,
    ] {
        let refused = problem(bad.parse::<VerifyKey>().unwrap_err());
        assert_eq!(refused, SignatureProblem::VerifyKey, "{bad}");
    }
}

proptest! {
    #![proptest_config(few(64))]

    #[test]
    fn any_change_of_a_signed_certificate_breaks_it(
        metadata in prop::collection::btree_map("[a-f]{1,3}", "[ -!#-~é]{0,12}", 0..5),
        name in "[a-f]{1,3}|signer|signature-serial|signature",
        value in "[ -!#-~é]{0,12}",
        at in 0usize..32,
        flip in 1u8..,
    ) {
        let ours = administrator(1);
        let mut made = Certificate::new(*Keypair::generate().unwrap().public());
        for (name, value) in &metadata {
            made = made.with_meta(name, value).unwrap();
        }
        let signed = made.sign(&ours).unwrap();
        prop_assert!(signed.verify(&[ours.verify]).is_ok());

        let altered = signed.clone().with_meta(&name, &value).unwrap();
        prop_assert_eq!(altered.verify(&[ours.verify]).is_ok(), altered == signed);
        let removed = signed.clone().without_meta(&name);
        prop_assert_eq!(removed.verify(&[ours.verify]).is_ok(), removed == signed);
        let mut key = *signed.public_key().as_bytes();
        key[at] ^= flip;
        let mut other = Certificate::new(PublicKey::from_bytes(key));
        for (name, value) in signed.metadata() {
            other = other.with_meta(name, value).unwrap();
        }
        prop_assert!(other.verify(&[ours.verify]).is_err());
        let mut signature = decode_signature(signed.meta(SIGNATURE).unwrap()).unwrap();
        signature[2 * at + usize::from(flip & 1)] ^= flip;
        let forged = signed.with_meta(SIGNATURE, &z85::encode(signature)).unwrap();
        prop_assert!(forged.verify(&[ours.verify]).is_err());
    }

    /// Bytes cannot move between names and values, nor from one pair to the next.
    #[test]
    fn different_certificates_have_different_canonical_forms(
        first in prop::collection::btree_map("[ab]{1,3}", "[ab]{0,3}", 0..4),
        second in prop::collection::btree_map("[ab]{1,3}", "[ab]{0,3}", 0..4),
    ) {
        let make = |metadata: &std::collections::BTreeMap<String, String>| {
            let mut made = certificate();
            for (name, value) in metadata {
                made = made.with_meta(name, value).unwrap();
            }
            made.canonical_form()
        };
        prop_assert_eq!(make(&first) == make(&second), first == second);
    }

    #[test]
    fn any_text_is_a_verify_key_or_refused(text in ".{0,60}", tail in "[0-9a-zA-Z.:+=^!/*?&<>()@%$#-]{40}") {
        for text in [text, format!("ed25519:{tail}")] {
            if let Ok(key) = text.parse::<VerifyKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }
}
