use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let any = prop::collection::vec(any::<u8>(), 0..300);
    let known = prop::sample::select(vec![
        &b""[..],
        b"1.0",
        b"1",
        b"d",
        b"127.0.0.1",
        b"NULL",
        b"PLAIN",
        b"CURVE",
        b"GSSAPI",
        &[7; 32],
    ]);
    prop::collection::vec(
        prop_oneof![1 => any, 4 => known.prop_map(<[u8]>::to_vec)],
        0..12,
    )
}

proptest! {
    #[test]
    fn any_frames_are_read_or_refused_without_panic(parts in parts()) {
        let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        crate::security::fuzzing::zap(&parts.join(&b'|'));
        let frames = Frames::new(FrameList::of(&parts).unwrap(), Instant::now());
        if let Ok(frames) = &frames {
            let _ = frames.request();
        }
    }

    #[test]
    fn what_libzmq_asks_is_read_as_it_was_asked(
        envelope in prop::collection::vec("[^\0]{1,9}", 0..3), domain in "[ -~]{0,255}", address in "[0-9a-f.:]{0,45}",
        (mechanism, credentials) in prop_oneof![
            Just(("NULL", vec![])),
            ("\\PC{0,60}", "\\PC{0,60}").prop_map(|(name, password)| ("PLAIN", vec![name.into_bytes(), password.into_bytes()])),
            any::<[u8; 32]>().prop_map(|key| ("CURVE", vec![key.to_vec()])),
            "[a-z@]{0,60}".prop_map(|principal| ("GSSAPI", vec![principal.into_bytes()])),
        ],
    ) {
        let mut parts: Vec<&[u8]> = envelope.iter().map(String::as_bytes).collect();
        parts.insert(0, b"id");
        parts.extend([b"", &b"1.0"[..], b"1", domain.as_bytes(), address.as_bytes(), b"", mechanism.as_bytes()]);
        parts.extend(credentials.iter().map(Vec::as_slice));
        let frames = Frames::new(FrameList::of(&parts).unwrap(), Instant::now()).unwrap();
        let request = frames.request().unwrap();
        prop_assert_eq!(request.domain.unwrap_or_default(), &*domain);
        prop_assert_eq!(request.credential.mechanism().to_string(), mechanism);
        let read: Vec<Vec<u8>> = match request.credential {
            Credential::Null => vec![],
            Credential::Plain { name, password } => vec![name.to_vec(), password.to_vec()],
            Credential::Curve(key) => vec![key.as_bytes().to_vec()],
            Credential::Gssapi { principal } => vec![principal.to_vec()],
        };
        prop_assert_eq!(read, credentials);
    }
}

#[test]
fn a_password_is_wiped_and_a_key_is_not() {
    let asked = |mechanism: &[u8], credentials: &[&[u8]]| {
        let head: &[&[u8]] = &[b"id", b"", b"1.0", b"1", b"d", b"::1", b"", mechanism];
        let list = FrameList::of(&[head, credentials].concat()).unwrap();
        let mut frames = Frames::new(list, Instant::now()).unwrap();
        frames.wipe_credentials();
        frames
    };
    let plain = asked(b"PLAIN", &[b"ada", b"open sesame"]);
    assert!(matches!(
        plain.request().unwrap().credential,
        Credential::Plain {
            name: &[0, 0, 0],
            password: &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    ));
    let curve = asked(b"CURVE", &[&[7; 32]]);
    assert!(matches!(
        curve.request().unwrap().credential,
        Credential::Curve(key) if *key.as_bytes() == [7; 32]
    ));
}
