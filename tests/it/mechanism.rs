//! Who gets in by each mechanism while the authenticator runs, after its handle is gone, when its thread is dead, and when a
//! callback panics. The controls at the end are sockets without our protection, in which the stranger does get in.

use std::time::Duration;

use ironhouse::security::{
    AuditEvent, Authenticator, CertificateStore, CurveClient, CurvePolicy, CurveServer, Domain,
    NullServer, Password, PasswordFile, PlainClient, PlainServer, Policy, Reason,
    SecretCertificate, StatusCode, ThreadHealth, Verdict,
};
use ironhouse::socket::{HandshakeProblem, SocketBuilder, options};
use ironhouse::{Context, Error, Socket, SocketType};

use crate::common::{SOON, endpoint, serve, within};
use crate::os::set_raw;

/// A mechanism with one client that is to be admitted and one that is not.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Null,
    Plain,
    Curve,
}

const KINDS: [Kind; 3] = [Kind::Null, Kind::Plain, Kind::Curve];

/// A server of one kind, with all that its clients need to know.
struct House {
    kind: Kind,
    context: Context,
    certificate: SecretCertificate,
    friend: SecretCertificate,
}

impl House {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            context: Context::new().unwrap(),
            certificate: SecretCertificate::generate().unwrap(),
            friend: SecretCertificate::generate().unwrap(),
        }
    }

    /// Admits the friend only; by the NULL mechanism, everybody or nobody.
    fn policy(&self, open: bool) -> Policy {
        let policy = Policy::new().allow("127.0.0.1".parse().unwrap());
        match self.kind {
            Kind::Null if open => policy.null(),
            Kind::Null => policy.null().deny("127.0.0.1".parse().unwrap()),
            Kind::Plain => {
                let passwords = PasswordFile::in_memory();
                passwords.insert("friend", "open sesame").unwrap();
                policy.plain(passwords)
            }
            Kind::Curve => {
                let store = CertificateStore::in_memory();
                store.insert(self.friend.certificate().clone()).unwrap();
                policy.curve(CurvePolicy::store(store))
            }
        }
    }

    fn secured(&self, domain: &Domain) -> SocketBuilder {
        // Short, because libzmq lets a client wait this long where no handler answers.
        let socket = self
            .context
            .socket(SocketType::Pull)
            .set(options::HANDSHAKE_IVL, Duration::from_secs(2));
        match self.kind {
            Kind::Null => socket.secure(NullServer::new(domain)),
            Kind::Plain => socket.secure(PlainServer::new(domain)),
            Kind::Curve => socket.secure(CurveServer::new(&self.certificate, domain)),
        }
    }

    fn server(&self, domain: &Domain) -> (Socket, String) {
        serve(self.secured(domain))
    }

    fn client(&self, friend: bool) -> SocketBuilder {
        let client = self.context.socket(SocketType::Push);
        match self.kind {
            Kind::Null => client,
            Kind::Plain => {
                let password = if friend { "open sesame" } else { "let me in" };
                client.secure(PlainClient::new("friend", Password::new(password).unwrap()))
            }
            Kind::Curve => {
                let stranger = SecretCertificate::generate().unwrap();
                let certificate = if friend { &self.friend } else { &stranger };
                client.secure(CurveClient::new(
                    certificate,
                    *self.certificate.public_key(),
                ))
            }
        }
    }

    fn is_admitted(&self, friend: bool, endpoint: &str) -> bool {
        match self
            .client(friend)
            .connect_checked(endpoint, Duration::from_secs(10))
        {
            Ok(_) => true,
            Err(Error::Handshake { .. }) => false,
            Err(error) => panic!("{:?}: {error}", self.kind),
        }
    }
}

#[test]
fn the_authenticator_admits_the_friend_and_refuses_the_stranger() {
    within(SOON, || {
        for kind in KINDS {
            let house = House::new(kind);
            let authenticator = Authenticator::start(&house.context).unwrap();
            let domain = authenticator.domain("house", house.policy(true)).unwrap();
            let (_server, endpoint) = house.server(&domain);
            assert!(house.is_admitted(true, &endpoint), "{kind:?}");
            domain.set_policy(house.policy(false)).unwrap();
            let refused = house
                .client(false)
                .connect_checked(&endpoint, SOON)
                .unwrap_err();
            assert!(
                matches!(
                    &refused,
                    Error::Handshake {
                        problem: HandshakeProblem::Refused { status: 400 },
                        ..
                    }
                ),
                "{kind:?}: {refused}"
            );
        }
    });
}

#[test]
fn a_secured_socket_keeps_its_authenticator_when_all_handles_are_dropped() {
    within(SOON, || {
        for kind in KINDS {
            let house = House::new(kind);
            let authenticator = Authenticator::start(&house.context).unwrap();
            let events = authenticator.events();
            let domain = authenticator
                .domain("house", house.policy(kind != Kind::Null))
                .unwrap();
            let (_server, endpoint) = house.server(&domain);
            drop((authenticator, domain));
            assert!(!house.is_admitted(false, &endpoint), "{kind:?}");
            if kind != Kind::Null {
                assert!(house.is_admitted(true, &endpoint), "{kind:?}");
            }
            assert_eq!(
                events.next_decision(SOON).unwrap().status,
                StatusCode::AuthenticationFailure
            );
        }
    });
}

#[test]
fn a_dead_authenticator_admits_nobody_not_even_by_a_retry() {
    // Each that it does not answer waits until the server's time for a handshake ends.
    within(2 * SOON, || {
        for kind in KINDS {
            let house = House::new(kind);
            let authenticator = Authenticator::start(&house.context).unwrap();
            let events = authenticator.events();
            let domain = authenticator.domain("house", house.policy(true)).unwrap();
            let (server, endpoint) = house.server(&domain);
            authenticator.crash_for_test();
            assert_eq!(events.next(Some(SOON)), Some(AuditEvent::HandlerDied));
            assert_eq!(authenticator.health().thread, ThreadHealth::Died);
            for friend in [true, false] {
                assert!(!house.is_admitted(friend, &endpoint), "{kind:?}");
            }
            // A plain libzmq client connects again and again, and what it sends never arrives.
            let client = house
                .client(true)
                .set(options::RECONNECT_IVL, Some(Duration::from_millis(10)))
                .open()
                .unwrap();
            client.connect(&endpoint).unwrap();
            client.try_send("nobody hears this").ok();
            server
                .set(options::RCV_TIMEO, Some(Duration::from_millis(700)))
                .unwrap();
            assert!(matches!(server.recv(), Err(Error::Again)), "{kind:?}");
        }
    });
}

#[test]
fn a_panicking_callback_admits_nobody_and_the_next_decision_is_made() {
    within(SOON, || {
        let house = House::new(Kind::Curve);
        let authenticator = Authenticator::start(&house.context).unwrap();
        let events = authenticator.events();
        let friend = *house.friend.public_key();
        let callback = CurvePolicy::callback(move |peer| {
            assert_eq!(peer.key, friend, "a stranger");
            Verdict::admit()
                .user_id("the friend")
                .metadata("role", "reader")
        });
        let domain = authenticator
            .domain("house", Policy::new().curve(callback))
            .unwrap();
        let (server, endpoint) = house.server(&domain);
        assert!(!house.is_admitted(false, &endpoint));
        let decision = events.next_decision(SOON).unwrap();
        assert_eq!(
            (decision.status, decision.reason),
            (StatusCode::TemporaryError, Reason::CallbackPanicked)
        );

        let client = house.client(true).connect_checked(&endpoint, SOON).unwrap();
        client.send("Hello").unwrap();
        let hello = server.recv().unwrap();
        assert_eq!(
            (hello.user_id(), hello.property("role")),
            (Some("the friend"), Some("reader"))
        );
    });
}

#[test]
fn a_slow_callback_delays_its_own_peer_only() {
    within(SOON, || {
        let house = House::new(Kind::Curve);
        let authenticator = Authenticator::start(&house.context).unwrap();
        let friend = *house.friend.public_key();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let (entered, waiting) = std::sync::mpsc::channel();
        let callback = CurvePolicy::callback(move |peer| {
            if peer.key != friend {
                entered.send(()).unwrap();
                let _ = held.lock().unwrap().recv();
            }
            Verdict::admit()
        });
        let domain = authenticator
            .domain("house", Policy::new().curve(callback))
            .unwrap();
        let (_server, endpoint) = house.server(&domain);
        let slow = house.client(false).open().unwrap();
        slow.connect(&endpoint).unwrap();
        waiting.recv_timeout(SOON).unwrap();
        assert!(house.is_admitted(true, &endpoint));
        domain.set_policy(Policy::new()).unwrap();
        assert!(!house.is_admitted(true, &endpoint));
        drop(release);
    });
}

#[test]
fn a_user_name_and_its_certificate_travel_with_every_message() {
    within(SOON, || {
        let mut house = House::new(Kind::Curve);
        house.friend = house
            .friend
            .with_meta("name", "Ada")
            .unwrap()
            .with_meta("Socket-Type", "PUB")
            .unwrap();
        let authenticator = Authenticator::start(&house.context).unwrap();
        let domain = authenticator.domain("house", house.policy(true)).unwrap();
        let (server, endpoint) = house.server(&domain);
        let client = house.client(true).connect_checked(&endpoint, SOON).unwrap();
        client.send_multipart(["one", "two"]).unwrap();
        for frame in server.recv_multipart().unwrap() {
            assert_eq!(
                frame.user_id(),
                Some(house.friend.public_key().to_string().as_str())
            );
            assert_eq!(frame.property("name"), Some("Ada"));
            assert_eq!(frame.peer_address(), Some("127.0.0.1"));
            // libzmq's own, whatever the certificate says.
            assert_eq!(frame.property("Socket-Type"), Some("PUSH"));
        }
    });
}

#[test]
fn a_secured_socket_refuses_what_would_undo_its_security() {
    let house = House::new(Kind::Curve);
    let authenticator = Authenticator::start(&house.context).unwrap();
    let domain = authenticator.domain("house", house.policy(true)).unwrap();
    let server = house.secured(&domain).open().unwrap();
    for bare in [
        "inproc://house",
        "udp://127.0.0.1:5555",
        "pgm://eth0;239.1.1.1:5555",
        "nonsense",
    ] {
        let error = server.bind(bare).unwrap_err().to_string();
        assert!(
            error.contains(bare) && error.contains("mechanism"),
            "{error}"
        );
    }
    let error = server
        .set(options::HANDSHAKE_IVL, Duration::ZERO)
        .unwrap_err()
        .to_string();
    assert!(error.contains("ZMQ_HANDSHAKE_IVL"), "{error}");
    let error = house
        .secured(&domain)
        .set(options::HANDSHAKE_IVL, Duration::ZERO)
        .open()
        .unwrap_err()
        .to_string();
    assert!(error.contains("ZMQ_HANDSHAKE_IVL"), "{error}");

    let elsewhere = Context::new().unwrap();
    let error = elsewhere
        .socket(SocketType::Pull)
        .secure(NullServer::new(&domain))
        .open()
        .unwrap_err();
    assert!(error.to_string().contains("another context"), "{error}");
    let nameless = PlainClient::new("", Password::new("x").unwrap());
    assert!(
        elsewhere
            .socket(SocketType::Push)
            .secure(nameless)
            .open()
            .is_err()
    );
}

/// A CURVE server as a C program opens it: its domain is asked if there is somebody to ask, and who it is is not enforced.
fn raw_server(house: &House) -> (Socket, String) {
    use zmq_sys_wrap::zmq;
    let server = house
        .context
        .socket(SocketType::Pull)
        .set(options::HANDSHAKE_IVL, Duration::from_secs(2))
        .open()
        .unwrap();
    let secret = house.certificate.secret().expose_bytes();
    set_raw(&server, zmq::ZMQ_CURVE_SERVER, &1i32.to_ne_bytes());
    set_raw(&server, zmq::ZMQ_CURVE_SECRETKEY, secret);
    set_raw(&server, zmq::ZMQ_ZAP_DOMAIN, b"house");
    let endpoint = server.bind(&endpoint("tcp")).unwrap();
    (server, endpoint)
}

#[test]
fn a_dead_authenticator_admits_nobody_to_a_server_without_enforcement() {
    within(SOON, || {
        let house = House::new(Kind::Curve);
        let authenticator = Authenticator::start(&house.context).unwrap();
        let events = authenticator.events();
        authenticator.domain("house", house.policy(true)).unwrap();
        let (_server, endpoint) = raw_server(&house);
        assert!(house.is_admitted(true, &endpoint));
        authenticator.crash_for_test();
        while events.next(Some(SOON)).unwrap() != AuditEvent::HandlerDied {}
        for friend in [true, false] {
            assert!(!house.is_admitted(friend, &endpoint));
        }
    });
}

/// The control: without enforcement libzmq admits the stranger. If this fails, the tests above could not fail either.
#[test]
fn a_raw_server_without_enforcement_admits_the_stranger() {
    within(SOON, || {
        let house = House::new(Kind::Curve);
        let (_server, endpoint) = raw_server(&house);
        assert!(house.is_admitted(false, &endpoint));
    });
}
