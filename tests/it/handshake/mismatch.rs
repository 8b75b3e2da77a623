//! Two sides that are not made for each other.

use ironhouse::security::rotation::expect_server;

use super::*;

#[test]
fn different_mechanisms_are_both_named() {
    within(SOON, || {
        let pair = SecretCertificate::generate().unwrap();
        for transport in TRANSPORTS {
            for (server, client, ours, theirs) in [
                (Raw::new(), curve(&pair), "CURVE", "NULL"),
                (Raw::new().curve(&pair), client(), "NULL", "CURVE"),
                (Raw::new().curve(&pair), plain(), "PLAIN", "CURVE"),
                (Raw::new().plain(), curve(&pair), "CURVE", "PLAIN"),
            ] {
                let (problem, text) = failure(client, &server.bind(transport), SOON);
                let wanted = HandshakeProblem::MechanismMismatch {
                    ours,
                    theirs: Some(theirs.into()),
                };
                assert_eq!(problem, wanted, "{text}");
                assert!(
                    text.contains(&format!("{ours}, the other end {theirs}")),
                    "{text}"
                );
            }
        }
    });
}

#[test]
fn two_servers_that_face_each_other_are_told_so() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let domain = authenticator.domain("d", Policy::new()).unwrap();
        let pair = SecretCertificate::generate().unwrap();
        let push = || context.socket(SocketType::Push);
        let (mut servers, mut meetings) = (Vec::new(), Vec::new());
        for transport in TRANSPORTS {
            for (server, ours) in [
                (
                    Raw::new().curve(&pair),
                    push().secure(CurveServer::new(&pair, &domain)),
                ),
                (
                    Raw::new().plain().enforcing(),
                    push().secure(PlainServer::new(&domain)),
                ),
            ] {
                meetings.push((ours, server.bind(transport), TIMEOUT));
                servers.push(server);
            }
        }
        let mechanisms = ["CURVE", "PLAIN"].into_iter().cycle();
        for ((problem, text), mechanism) in failures(meetings).into_iter().zip(mechanisms) {
            let wanted = HandshakeProblem::BothServers { mechanism };
            assert_eq!(problem, wanted, "{text}");
        }
    });
}

#[test]
fn two_clients_that_face_each_other_are_told_so() {
    within(SOON, || {
        let pair = SecretCertificate::generate().unwrap();
        for transport in TRANSPORTS {
            for (server, client, mechanism) in [
                (Raw::new().curve_client(&pair), curve(&pair), "CURVE"),
                (Raw::new().plain_client(), plain(), "PLAIN"),
            ] {
                let (problem, text) = failure(client, &server.bind(transport), SOON);
                let wanted = HandshakeProblem::BothClients { mechanism };
                assert_eq!(problem, wanted, "{text}");
            }
        }
    });
}

#[test]
fn a_wrong_server_key_is_told_with_the_key_that_was_expected() {
    within(SOON, || {
        let (pair, other) = (
            SecretCertificate::generate().unwrap(),
            SecretCertificate::generate().unwrap(),
        );
        for transport in TRANSPORTS {
            // Whether or not there is somebody to admit us.
            for server in [Raw::new().curve(&pair), Raw::new().curve(&pair).enforcing()] {
                let at = server.bind(transport);
                let (problem, text) = failure(curve(&other), &at, SOON);
                let key = other.public_key();
                let expected = format!("{key} ({})", key.fingerprint());
                assert_eq!(
                    problem,
                    HandshakeProblem::WrongServerKey {
                        expected: expected.clone()
                    },
                    "{text}"
                );
                assert!(text.contains(&expected) && text.starts_with(&at), "{text}");
            }
        }
    });
}

#[test]
fn each_server_is_asked_for_the_key_that_it_was_connected_with() {
    within(SOON, || {
        let (pair, first, then) = (
            SecretCertificate::generate().unwrap(),
            SecretCertificate::generate().unwrap(),
            SecretCertificate::generate().unwrap(),
        );
        let servers = [(); 2].map(|()| Raw::new().curve(&pair));
        let at = servers.each_ref().map(|server| server.bind("tcp"));
        let client = curve(&first).open().unwrap();
        let mut watch = HandshakeWatch::attach(&client).unwrap();
        client.connect(&at[0]).unwrap();
        expect_server(&client, *then.public_key()).unwrap();
        client.connect(&at[1]).unwrap();
        for _ in &at {
            let event = watch.next(None).unwrap().unwrap();
            let key = if event.endpoint == at[0] {
                &first
            } else {
                &then
            };
            let HandshakeOutcome::Failed(HandshakeProblem::WrongServerKey { expected }) =
                event.outcome
            else {
                panic!("{event:?}");
            };
            assert!(
                expected.starts_with(&key.public_key().to_string()),
                "{expected}"
            );
        }
        // And now one that is right.
        client.disconnect(&at[1]).unwrap();
        expect_server(&client, *pair.public_key()).unwrap();
        client.connect(&at[1]).unwrap();
        let event = watch.next(None).unwrap().unwrap();
        assert_eq!(
            (event.endpoint, event.outcome),
            (at[1].clone(), HandshakeOutcome::Secured)
        );
    });
}

#[test]
fn a_server_without_an_authenticator_is_told_from_one_with_another_key() {
    within(SOON, || {
        let pair = SecretCertificate::generate().unwrap();
        for transport in TRANSPORTS {
            for (server, client) in [
                (Raw::new().curve(&pair).enforcing(), curve(&pair)),
                (Raw::new().plain().enforcing(), plain()),
            ] {
                let (problem, text) = failure(client, &server.bind(transport), SOON);
                let wanted = HandshakeProblem::NoVerdict { closed: true };
                assert_eq!(problem, wanted, "{text}");
            }
        }
    });
}
