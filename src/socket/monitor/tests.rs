use super::*;

fn report(event: u16, value: u32) -> MonitorEvent {
    let head = [event.to_ne_bytes().as_slice(), &value.to_ne_bytes()].concat();
    MonitorEvent::parse(&head, b"tcp://127.0.0.1:1").unwrap()
}

#[test]
fn a_refusal_carries_its_status() {
    let event = report(zmq::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH as u16, 400);
    assert_eq!(event.kind, EventKind::HandshakeFailedAuth(400));
    assert_eq!(event.endpoint, "tcp://127.0.0.1:1");
}

#[test]
fn an_event_of_a_later_libzmq_is_passed_on_by_number() {
    assert_eq!(
        report(0x8000, 7).kind,
        EventKind::Other {
            event: 0x8000,
            value: 7
        }
    );
}

proptest::proptest! {
    #[test]
    fn any_event_with_any_value_is_reported_and_shown(event: u16, value: u32, at: Vec<u8>) {
        let head = [event.to_ne_bytes().as_slice(), &value.to_ne_bytes()].concat();
        let shown = format!("{:?}", MonitorEvent::parse(&head, &at).unwrap());
        assert!(!shown.is_empty());
        assert!(!ProtocolError(value).to_string().is_empty());
    }

    #[test]
    fn any_error_number_is_shown(errno: i32) {
        assert!(!Errno(errno).to_string().is_empty());
        assert!(format!("{:?}", Errno(errno)).contains(&errno.to_string()));
    }
}

#[test]
fn a_report_of_another_size_is_none() {
    assert_eq!(MonitorEvent::parse(&[1, 0, 0], b""), None);
    assert_eq!(MonitorEvent::parse(&[], b""), None);
}

#[cfg(feature = "draft")]
proptest::proptest! {
    #[test]
    fn any_frames_are_a_versioned_report_or_none(
        event: u64,
        frames in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..12), 0..6),
    ) {
        let head = event.to_ne_bytes().to_vec();
        for all in [frames.clone(), [vec![head], frames].concat()] {
            let api = zmq_sys_wrap::Api::linked();
            let raw: Vec<_> = all.iter().map(|frame| RawMessage::copy_of(api, frame).unwrap()).collect();
            let event = MonitorEvent::parse_versioned(&raw);
            assert!(all.len() > 3 || event.is_none(), "{event:?}");
        }
    }
}
