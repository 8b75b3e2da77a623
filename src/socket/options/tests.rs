use super::sealed::Value;
use super::*;

#[test]
fn a_duration_longer_than_libzmq_can_count_is_refused_by_name() {
    let text = Duration::from_secs(1 << 40)
        .encode(LINGER.about.name)
        .unwrap_err()
        .to_string();
    assert!(text.starts_with("ZMQ_LINGER: "), "{text}");
}

#[test]
fn for_ever_is_minus_one_and_back() {
    assert_eq!(
        *None::<Duration>.encode("x").unwrap(),
        (-1i32).to_ne_bytes()
    );
    assert_eq!(
        Option::<Duration>::decode(&(-1i32).to_ne_bytes()),
        Some(None)
    );
    assert_eq!(
        Option::<Duration>::decode(&7i32.to_ne_bytes()),
        Some(Some(Duration::from_millis(7)))
    );
}

#[test]
fn text_with_nul_is_refused_and_the_nul_at_its_end_is_cut() {
    assert!("a\0b".to_owned().encode("x").is_err());
    assert_eq!(String::decode(b"tcp://x\0").unwrap(), "tcp://x");
}
