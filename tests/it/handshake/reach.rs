//! Whether there is a peer at all, and one that speaks the protocol.

use std::os::fd::AsRawFd;

use ironhouse::socket::Monitor;

use super::*;

#[test]
fn a_name_that_does_not_resolve_is_told_so_at_once() {
    within(SOON, || {
        // A label is at most 63 characters: no name service is asked.
        let at = format!("tcp://{}:5555", "x".repeat(70));
        let (problem, text) = failure(client(), &at, 2 * SOON);
        assert!(
            matches!(problem, HandshakeProblem::Unresolved { .. }),
            "{text}"
        );
        assert!(
            text.starts_with(&at) && text.contains("does not resolve"),
            "{text}"
        );
    });
}

#[test]
fn a_refused_connection_is_waited_for_and_the_system_s_reason_told() {
    within(SOON, || {
        let (_listener, _stream, at) = nobody();
        let client = client().open().unwrap();
        let mut watch = HandshakeWatch::attach(&client).unwrap().patience(SOON);
        client.connect(&at).unwrap();
        let event = watch.next(None).unwrap().unwrap();
        let HandshakeOutcome::Failed(problem) = event.outcome else {
            panic!("secured");
        };
        let HandshakeProblem::Unreachable { reason, .. } = problem else {
            panic!("{problem}");
        };
        assert_eq!(reason, Some(Errno(libc::ECONNREFUSED)));
        // It is told once, although libzmq tries on and on.
        let monitor = Monitor::attach(&client).unwrap();
        for _ in 0..5 {
            monitor.next(None).unwrap();
        }
        assert_eq!(watch.next(Some(Duration::ZERO)).unwrap(), None);
    });
}

#[test]
fn a_server_that_comes_late_is_met() {
    within(SOON, || {
        let at = endpoint("ipc");
        let client = client().open().unwrap();
        let mut watch = HandshakeWatch::attach(&client).unwrap();
        client.connect(&at).unwrap();
        let event = watch.next(None).unwrap().unwrap();
        assert!(matches!(
            event.outcome,
            HandshakeOutcome::Failed(HandshakeProblem::Unreachable { .. })
        ));
        let checked = thread::spawn({
            let at = at.clone();
            move || self::client().connect_checked(&at, SOON).map(drop)
        });
        let server = client.context().socket(SocketType::Pull).open().unwrap();
        server.bind(&at).unwrap();
        let event = watch.next(None).unwrap().unwrap();
        assert_eq!(event.outcome, HandshakeOutcome::Secured);
        checked.join().unwrap().unwrap();
    });
}

#[test]
fn another_protocol_is_told_with_its_first_words() {
    within(SOON, || {
        let server = SecretCertificate::generate().unwrap();
        let at = TRANSPORTS.map(|of| saying(of, b"SSH-2.0-OpenSSH_9.2p1\r\n"));
        let clients = || [client(), plain(), curve(&server)];
        let outcomes = failures(
            at.iter()
                .flat_map(|at| clients().map(|client| (client, at.clone(), TIMEOUT))),
        );
        for (problem, text) in outcomes {
            assert!(
                matches!(problem, HandshakeProblem::NotZmtp { .. }),
                "{text}"
            );
            assert!(text.contains("\"SSH-2.0-OpenSSH_9.2p1"), "{text}");
        }
        let at = saying("tcp", b"\x15\x03\x03\0\x02\x02\x28");
        let (problem, _) = failure(curve(&server), &at, TIMEOUT);
        assert_eq!(
            problem,
            HandshakeProblem::NotZmtp {
                began: "\\x15\\x03\\x03\\x00\\x02\\x02(".into()
            }
        );
    });
}

#[test]
fn an_old_version_and_a_silent_peer_are_told_apart() {
    within(SOON, || {
        let old = TRANSPORTS.map(|of| saying(of, b"\xFF\0\0\0\0\0\0\0\x01\x7F\x01\x07"));
        let silent = TRANSPORTS.map(|of| saying(of, b""));
        let waited = TIMEOUT;
        let all = old.into_iter().chain(silent);
        let outcomes = failures(all.map(|at| (client(), at, waited)));
        for (at, (problem, text)) in outcomes.into_iter().enumerate() {
            let wanted = match at {
                0 | 1 => HandshakeProblem::OldProtocol { version: 2 },
                _ => HandshakeProblem::Silent { waited },
            };
            assert_eq!(problem, wanted, "{text}");
        }
    });
}

/// Whoever connects has to wait: a listener that accepts nobody, and has no room for more of them.
#[allow(unsafe_code)]
fn full() -> (UnixListener, Vec<UnixStream>, String) {
    let at = endpoint("ipc");
    let listener = unix_listener(&at);
    // SAFETY: a call on a listener's own descriptor that changes how many may wait.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let name = SocketAddr::from_abstract_name(at.strip_prefix("ipc://@").unwrap()).unwrap();
    let first = UnixStream::connect_addr(&name).unwrap();
    (listener, vec![first], at)
}

#[test]
fn a_server_that_accepts_nobody_over_ipc_holds_up_no_question() {
    within(SOON, || {
        let (listener, waiting, at) = full();
        let short = Duration::from_millis(50);
        // More than may be asked at a time, if each waited for ever.
        for _ in 0..40 {
            let error = Greeting::ask(&at, short).unwrap_err().to_string();
            assert!(error.contains("nobody accepted"), "{error}");
        }
        let server = Raw::new();
        let greeting = Greeting::ask(&server.bind("ipc"), SOON).unwrap();
        assert_eq!(greeting.mechanism, "NULL");
        drop((listener, waiting));
    });
}
