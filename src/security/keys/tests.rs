use proptest::prelude::*;

use super::*;

fn pair() -> Keypair {
    Keypair::generate().unwrap()
}

#[test]
fn public_key_survives_its_text() {
    let key = *pair().public();
    let text = key.to_string();
    assert_eq!(text.len(), 40);
    assert_eq!(text.parse::<PublicKey>().unwrap(), key);
}

#[test]
fn secret_key_survives_its_text_and_gives_its_public_key() {
    let pair = pair();
    let again = SecretKey::from_z85(&pair.secret().expose_z85()).unwrap();
    assert!(again.ct_eq(pair.secret()));
    assert_eq!(again.public_key().unwrap(), *pair.public());
    let again = SecretKey::from_bytes(pair.secret().expose_bytes()).unwrap();
    assert_eq!(Keypair::from_secret(again).unwrap().public(), pair.public());
    assert!(!pair.secret().ct_eq(Keypair::generate().unwrap().secret()));
}

#[test]
fn rfc_32_test_vector_is_written_as_the_rfc_says() {
    let mut bytes = [0; 32];
    for group in bytes.chunks_exact_mut(8) {
        group.copy_from_slice(&[0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B]);
    }
    let text = "HelloWorld".repeat(4);
    assert_eq!(PublicKey::from_bytes(bytes).to_string(), text);
    assert_eq!(text.parse::<PublicKey>().unwrap().as_bytes(), &bytes);
}

proptest! {
    #[test]
    fn every_key_is_written_as_the_crate_z85_writes_it(bytes: [u8; 32]) {
        prop_assert_eq!(PublicKey::from_bytes(bytes).to_string(), z85::encode(bytes));
    }
}

#[test]
fn key_of_wrong_length_is_refused_with_its_length() {
    for length in [0, 1, 35, 39, 41, 45, 80] {
        assert_eq!(
            decode(&"a".repeat(length)),
            Err(TextProblem::Key(KeyProblem::Length(length)))
        );
    }
    assert_eq!(
        decode(&"ä".repeat(20)),
        Err(TextProblem::Key(KeyProblem::Length(20)))
    );
}

#[test]
fn character_outside_z85_is_named_by_position() {
    for position in 0..40 {
        for bad in ['"', '~', ' ', '\0', '\u{7f}', 'ä', '\\'] {
            let text: String = (0..40)
                .map(|at| if at == position { bad } else { '1' })
                .collect();
            assert_eq!(decode(&text), Err(TextProblem::Z85 { position }), "{bad:?}");
        }
    }
}

#[test]
fn group_beyond_32_bits_is_refused_wherever_it_stands() {
    for group in ["#####", "#0000", "%nSc1", "####1", "#1111"] {
        for at in (0..40).step_by(5) {
            let mut text = "1".repeat(40);
            text.replace_range(at..at + 5, group);
            assert!(
                matches!(decode(&text), Err(TextProblem::Z85 { position }) if (at..at + 5).contains(&position)),
                "{text}"
            );
        }
    }
    let mut largest = "1".repeat(35);
    largest.push_str("%nSc0");
    assert!(decode(&largest).is_ok());
}

#[test]
fn key_of_zeros_is_refused_as_text_and_for_admission_but_can_be_shown() {
    let zeros = "0".repeat(40);
    assert!(matches!(
        zeros.parse::<PublicKey>(),
        Err(Error::Key(KeyProblem::Zero))
    ));
    assert!(matches!(
        SecretKey::from_z85(&zeros),
        Err(Error::Key(KeyProblem::Zero))
    ));
    assert!(SecretKey::from_bytes(&[0; 32]).is_err());
    let shown = PublicKey::from_bytes([0; 32]);
    assert_eq!(shown.to_string(), zeros);
    assert_eq!(shown.usable(), Err(KeyProblem::Zero));
    assert!(pair().public().usable().is_ok());
}

#[test]
fn debug_and_errors_never_show_a_secret() {
    let pair = pair();
    let text = pair.secret().expose_z85();
    let shown = format!("{pair:?}");
    assert!(shown.contains("SecretKey(..)") && !shown.contains(text.as_str()));
    let mut broken = text.to_string();
    broken.replace_range(20..21, "~");
    let error = SecretKey::from_z85(&broken).unwrap_err();
    for shown in [format!("{error:?}"), error.to_string()] {
        assert!(!shown.contains(&broken[..8]) && !shown.contains(&broken[32..]));
    }
    let shown = format!("{:?}", Password::new("open sesame").unwrap());
    assert_eq!(shown, "Password(..)");
}

#[test]
fn password_takes_1_to_255_bytes_without_nul() {
    assert!(Password::new("x").is_ok());
    assert!(Password::new("x".repeat(255)).is_ok());
    assert!(Password::new(vec![0xFF, b'=', b'#', b' ']).is_ok());
    for bad in ["", "with\0nul", &"secretive".repeat(29)] {
        let error = Password::new(bad).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }));
        assert!(bad.is_empty() || !error.to_string().contains(bad));
    }
}

#[test]
fn password_equals_only_itself() {
    let password = Password::new("secret").unwrap();
    assert!(password.ct_eq(b"secret"));
    for other in [
        "",
        "secre",
        "secret ",
        "secret\0",
        "Secret",
        &"s".repeat(256),
    ] {
        assert!(!password.ct_eq(other.as_bytes()), "{other:?}");
    }
    let longest = Password::new("p".repeat(255)).unwrap();
    assert!(!longest.ct_eq("p".repeat(256).as_bytes()));
}

proptest! {
    #[test]
    fn any_32_bytes_survive_as_text(bytes: [u8; 32]) {
        prop_assume!(bytes != [0; 32]);
        let key = PublicKey::from_bytes(bytes);
        prop_assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
    }

    #[test]
    fn any_text_is_read_or_refused_without_panic(text in "\\PC{0,60}") {
        let _ = decode(&text);
    }

    #[test]
    fn forty_characters_are_read_only_if_they_are_written_so(text in "[0-9a-zA-Z.:+=^!/*?&<>()\\[\\]{}@%$#-]{40}") {
        if let Ok(key) = text.parse::<PublicKey>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }
}
