//! Server keys by endpoint: who is connected to whom by them, and who is not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ironhouse::security::{
    AuditEvent, AuditEvents, Authenticator, CurveClient, CurvePolicy, CurveServer, Domain, Policy,
    SecretCertificate, ServerKeys,
};
use ironhouse::socket::HandshakeProblem;
use ironhouse::{Context, Error, Result, Socket, SocketType};

use crate::common::{SOON, bound, endpoint, folder, within};

/// A server that admits anybody who knows its key.
struct House {
    context: Context,
    events: AuditEvents,
    domain: Domain,
    own: SecretCertificate,
}

impl House {
    fn new() -> Self {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let policy = Policy::new().curve(CurvePolicy::any_key());
        Self {
            events: authenticator.events(),
            domain: authenticator.domain("d", policy).unwrap(),
            context,
            own: SecretCertificate::generate().unwrap(),
        }
    }

    fn serve(&self, key: &SecretCertificate, at: &str) -> (Socket, String) {
        let server = self
            .context
            .socket(SocketType::Pull)
            .secure(CurveServer::new(key, &self.domain))
            .open()
            .unwrap();
        let at = server.bind(at).unwrap();
        (server, at)
    }

    fn connect(&self, pins: &ServerKeys, at: &str) -> Result<Socket> {
        self.context
            .socket(SocketType::Push)
            .secure(CurveClient::pinned(&self.own, pins, at, SOON)?)
            .connect_checked(at, SOON)
    }
}

fn pair() -> SecretCertificate {
    SecretCertificate::generate().unwrap()
}

/// A file of pins, writable by its owner alone whatever the umask.
fn file(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("known_servers");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}

/// What was expected, by an error that names the endpoint.
fn expected(error: Error, at: &str) -> String {
    let text = error.to_string();
    match error {
        Error::Handshake {
            endpoint,
            problem: HandshakeProblem::WrongServerKey { expected },
        } => {
            assert_eq!(endpoint, at);
            assert!(text.contains(&expected), "{text}");
            expected
        }
        _ => panic!("{text}"),
    }
}

#[test]
fn a_server_with_the_pinned_key_is_connected_and_another_named_with_file_and_line() {
    within(SOON, || {
        let (house, folder) = (House::new(), folder());
        let (right, wrong) = (pair(), pair());
        for transport in ["tcp", "ipc"] {
            let (server, at) = house.serve(&right, &endpoint(transport));
            let path = file(
                folder.path(),
                &format!("# ours\n{at} {}\n", right.public_key()),
            );
            let pins = ServerKeys::load(&path).unwrap();
            let client = house.connect(&pins, &at).unwrap();
            client.send("hello").unwrap();
            assert_eq!(server.recv().unwrap(), "hello");
            assert_eq!(pins.prove(&at, SOON).unwrap(), *right.public_key());

            // Followed without a restart.
            file(folder.path(), &format!("{at} {}\n", wrong.public_key()));
            let expected = expected(house.connect(&pins, &at).unwrap_err(), &at);
            assert_eq!(
                expected,
                format!(
                    "{} ({}, {}:1)",
                    wrong.public_key(),
                    wrong.public_key().fingerprint(),
                    path.display()
                )
            );
        }
    });
}

#[test]
fn an_endpoint_without_a_pin_is_not_connected_to() {
    within(SOON, || {
        let (house, folder) = (House::new(), folder());
        let (_server, at) = house.serve(&pair(), &endpoint("tcp"));
        let path = file(
            folder.path(),
            &format!("tcp://*.example.org:* {}\n", pair().public_key()),
        );
        let pins = ServerKeys::load(&path).unwrap();
        let error = house.connect(&pins, &at).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::NotPinned { .. }), "{text}");
        assert!(
            text.contains(path.to_str().unwrap()) && text.contains(&format!("`{at} KEY`")),
            "{text}"
        );
    });
}

#[test]
fn during_a_rotation_the_key_that_the_server_holds_is_found() {
    within(SOON, || {
        let house = House::new();
        let (old, new, next) = (pair(), pair(), pair());
        let pins = ServerKeys::in_memory();
        for key in [&old, &new] {
            pins.add("tcp://127.0.0.1:*", *key.public_key()).unwrap();
        }
        // Servers before and after the change, and one after a change that nobody announced.
        for key in [&old, &new] {
            let (server, at) = house.serve(key, &endpoint("tcp"));
            let client = house.connect(&pins, &at).unwrap();
            client.send("hello").unwrap();
            assert_eq!(server.recv().unwrap(), "hello");
            assert_eq!(pins.prove(&at, SOON).unwrap(), *key.public_key());
        }
        let (_server, at) = house.serve(&next, &endpoint("tcp"));
        let expected = expected(house.connect(&pins, &at).unwrap_err(), &at);
        let named = |key: &SecretCertificate| {
            let key = key.public_key();
            format!("{key} ({})", key.fingerprint())
        };
        assert_eq!(expected, format!("{} or {}", named(&old), named(&new)));
    });
}

#[test]
fn a_proof_asks_no_authenticator_and_is_not_given_by_another_mechanism() {
    within(SOON, || {
        let house = House::new();
        let key = pair();
        // Who would not be admitted may ask.
        house.domain.set_policy(Policy::new()).unwrap();
        let (_server, at) = house.serve(&key, &endpoint("tcp"));
        let pins = ServerKeys::in_memory();
        pins.add("tcp://*:*", *key.public_key()).unwrap();
        assert_eq!(pins.prove(&at, SOON).unwrap(), *key.public_key());
        // The next decision is that on a client.
        let client = house.connect(&pins, &at).unwrap_err();
        assert!(client.to_string().contains("status 400"), "{client}");
        let decisions = std::iter::from_fn(|| house.events.next(Some(Duration::ZERO)))
            .filter(|event| matches!(event, AuditEvent::Decision(_)));
        assert_eq!(decisions.count(), 1);

        let (_open, at) = bound(&house.context, SocketType::Pull);
        let error = pins.prove(&at, SOON).unwrap_err();
        assert!(
            matches!(
                &error,
                Error::Handshake {
                    problem: HandshakeProblem::MechanismMismatch { ours: "CURVE", theirs: Some(theirs) },
                    ..
                } if theirs == "NULL"
            ),
            "{error}"
        );
        let error = pins.prove("tcp://127.0.0.1:0", SOON).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
    });
}
