//! Why a connection is not secured: each reason provoked against a real peer that is set up wrongly.

mod mismatch;
mod reach;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use ironhouse::security::{
    AuditEvent, AuditEvents, Authenticator, CurveClient, CurvePolicy, CurveServer, Domain,
    FailedHandshake, HandshakeFault, NullServer, Password, PasswordFile, PeerAddress, PlainClient,
    PlainServer, Policy, Reason, Refusal, SecretCertificate, Verdict,
};
use ironhouse::socket::{
    Greeting, HandshakeOutcome, HandshakeProblem, HandshakeWatch, SocketBuilder, options,
};
use ironhouse::{Context, Errno, Error, Socket, SocketType};
use zmq_sys_wrap::{Api, zmq};

use crate::common::{SOON, bound, endpoint, serve, within};

/// Those over which a peer can be asked.
const TRANSPORTS: [&str; 2] = ["tcp", "ipc"];

/// For peers of which nothing is heard: half of it passes before they are asked.
const TIMEOUT: Duration = Duration::from_secs(4);

/// A server of libzmq's own, without what this library does for its safety, as long as it stands.
struct Raw(Socket);

impl Raw {
    fn new() -> Self {
        let context = Context::new().unwrap();
        Self(context.socket(SocketType::Pull).open().unwrap())
    }

    fn set(self, option: u32, value: &[u8]) -> Self {
        // SAFETY: an open socket, and a value of the length given.
        #[allow(unsafe_code)]
        let rc = unsafe {
            (Api::linked().setsockopt)(
                self.0.as_raw(),
                option as i32,
                value.as_ptr().cast(),
                value.len(),
            )
        };
        assert_eq!(rc, 0);
        self
    }

    fn curve(self, pair: &SecretCertificate) -> Self {
        self.set(zmq::ZMQ_CURVE_SERVER, &1i32.to_ne_bytes())
            .set(zmq::ZMQ_CURVE_SECRETKEY, pair.secret().expose_bytes())
    }

    fn curve_client(self, server: &SecretCertificate) -> Self {
        let own = SecretCertificate::generate().unwrap();
        self.set(zmq::ZMQ_CURVE_SERVERKEY, server.public_key().as_bytes())
            .set(zmq::ZMQ_CURVE_PUBLICKEY, own.public_key().as_bytes())
            .set(zmq::ZMQ_CURVE_SECRETKEY, own.secret().expose_bytes())
    }

    fn plain(self) -> Self {
        self.set(zmq::ZMQ_PLAIN_SERVER, &1i32.to_ne_bytes())
    }

    fn plain_client(self) -> Self {
        self.set(zmq::ZMQ_PLAIN_USERNAME, b"name")
            .set(zmq::ZMQ_PLAIN_PASSWORD, b"password")
    }

    /// A domain that no authenticator guards, and whose peers must be admitted by one.
    fn enforcing(self) -> Self {
        self.set(zmq::ZMQ_ZAP_DOMAIN, b"nobody")
            .set(zmq::ZMQ_ZAP_ENFORCE_DOMAIN, &1i32.to_ne_bytes())
    }

    fn bind(&self, transport: &str) -> String {
        self.0.bind(&endpoint(transport)).unwrap()
    }
}

/// A client to be, in a context of its own.
fn client() -> SocketBuilder {
    Context::new().unwrap().socket(SocketType::Push)
}

fn curve(server: &SecretCertificate) -> SocketBuilder {
    let own = SecretCertificate::generate().unwrap();
    client().secure(CurveClient::new(&own, *server.public_key()))
}

fn plain() -> SocketBuilder {
    let password = Password::new("password").unwrap();
    client().secure(PlainClient::new("name", password))
}

/// What `client` fails with at `at`, and what a person reads.
fn failure(client: SocketBuilder, at: &str, timeout: Duration) -> (HandshakeProblem, String) {
    let error = client.connect_checked(at, timeout).unwrap_err();
    let text = error.to_string();
    match error {
        Error::Handshake { endpoint, problem } => {
            assert_eq!(endpoint, at);
            (problem, text)
        }
        other => panic!("{other}"),
    }
}

/// What each client fails with, all at the same time.
fn failures(
    clients: impl IntoIterator<Item = (SocketBuilder, String, Duration)>,
) -> Vec<(HandshakeProblem, String)> {
    let running: Vec<_> = clients
        .into_iter()
        .map(|(client, at, timeout)| thread::spawn(move || failure(client, &at, timeout)))
        .collect();
    running.into_iter().map(|one| one.join().unwrap()).collect()
}

/// What a peer with this mechanism says first.
fn greeting(mechanism: &str) -> Vec<u8> {
    let mut greeting = [b"\xFF\0\0\0\0\0\0\0\x01\x7F\x03\x01", mechanism.as_bytes()].concat();
    greeting.resize(64, 0);
    greeting
}

/// A listener whose every connection is greeted by these bytes and kept.
fn saying(transport: &str, words: &[u8]) -> String {
    fn greet<S: Write + Send + 'static>(
        words: &[u8],
        mut accept: impl FnMut() -> S + Send + 'static,
    ) {
        let words = words.to_vec();
        thread::spawn(move || {
            let mut kept = Vec::new();
            loop {
                let mut stream = accept();
                let _ = stream.write_all(&words);
                kept.push(stream);
            }
        });
    }
    if transport == "tcp" {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("tcp://{}", listener.local_addr().unwrap());
        greet(words, move || listener.accept().unwrap().0);
        return at;
    }
    let at = endpoint(transport);
    let listener = unix_listener(&at);
    greet(words, move || listener.accept().unwrap().0);
    at
}

/// What listens at an ipc endpoint of ours.
fn unix_listener(at: &str) -> UnixListener {
    let name = SocketAddr::from_abstract_name(at.strip_prefix("ipc://@").unwrap());
    UnixListener::bind_addr(&name.unwrap()).unwrap()
}

/// An endpoint that nobody listens at and nobody can take meanwhile: the end of a connection.
fn nobody() -> (TcpListener, TcpStream, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let at = format!("tcp://{}", stream.local_addr().unwrap());
    (listener, stream, at)
}

#[test]
fn a_refusal_is_told_by_its_status_and_a_deferral_as_no_verdict() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let pair = SecretCertificate::generate().unwrap();
        let socket = || context.socket(SocketType::Pull);
        let curve_server = |name, verdict: fn() -> Verdict| {
            let policy = Policy::new().curve(CurvePolicy::callback(move |_| verdict()));
            let domain = authenticator.domain(name, policy).unwrap();
            socket().secure(CurveServer::new(&pair, &domain))
        };
        let later = |name| {
            let policy = Policy::new()
                .plain(PasswordFile::in_memory())
                .refusal(Refusal::Retry);
            authenticator.domain(name, policy).unwrap()
        };
        // libzmq goes silent after a deferral, until its own clock ends that; rarely, it hangs up at once.
        let hasty = curve_server("hasty", Verdict::retry)
            .set(options::HANDSHAKE_IVL, Duration::from_secs(2));
        let (servers, at): (Vec<_>, Vec<_>) = [
            serve(curve_server("refuses", Verdict::refuse)),
            serve(curve_server("fails", Verdict::fail)),
            serve(hasty),
            serve(curve_server("retries", Verdict::retry)),
            // The others are told by the same words, without a proof of who they come from.
            serve(socket().secure(PlainServer::new(&later("plain")))),
            serve(socket().secure(NullServer::new(&later("null")))),
        ]
        .into_iter()
        .unzip();
        let outcomes = failures(
            at.into_iter()
                .zip([
                    (curve(&pair), SOON),
                    (curve(&pair), SOON),
                    (curve(&pair), SOON),
                    (curve(&pair), TIMEOUT),
                    (plain(), TIMEOUT),
                    (client(), TIMEOUT),
                ])
                .map(|(at, (client, timeout))| (client, at, timeout)),
        );
        drop(servers);
        for (status, (problem, text)) in [400, 500].into_iter().zip(&outcomes) {
            assert_eq!(*problem, HandshakeProblem::Refused { status }, "{text}");
        }
        let (problem, text) = &outcomes[2];
        assert_eq!(
            *problem,
            HandshakeProblem::NoVerdict { closed: true },
            "{text}"
        );
        for (problem, text) in &outcomes[3..] {
            assert!(
                matches!(problem, HandshakeProblem::NoVerdict { .. }),
                "{text}"
            );
        }
    });
}

#[test]
fn a_server_that_keeps_silent_is_waited_for_until_the_end() {
    within(SOON, || {
        let waited = TIMEOUT;
        let start = Instant::now();
        let silent = TRANSPORTS.map(|transport| saying(transport, &greeting("NULL")));
        for (problem, text) in failures(silent.map(|at| (client(), at, waited))) {
            let wanted = HandshakeProblem::NoVerdict { closed: false };
            assert_eq!(problem, wanted, "{text}");
        }
        assert!(start.elapsed() >= waited);
    });
}

#[test]
fn any_time_is_long_enough_and_none_is_too_long() {
    within(SOON, || {
        let pair = SecretCertificate::generate().unwrap();
        let server = Raw::new().curve(&pair);
        let at = server.bind("tcp");
        let other = SecretCertificate::generate().unwrap();
        let (problem, _) = failure(curve(&other), &at, Duration::MAX);
        assert!(matches!(problem, HandshakeProblem::WrongServerKey { .. }));
        curve(&pair).connect_checked(&at, Duration::MAX).unwrap();
        Greeting::ask(&at, Duration::MAX).unwrap();
        for zero in [Duration::ZERO, Duration::from_nanos(1)] {
            failure(curve(&pair), &at, zero);
            assert!(Greeting::ask(&at, zero).is_err());
        }
    });
}

#[test]
fn a_broken_key_pair_is_refused_before_there_is_a_connection() {
    let folder = crate::common::folder();
    let path = folder.path().join("client");
    SecretCertificate::generate().unwrap().save(&path).unwrap();
    let secret = folder.path().join("client_secret");
    let text = std::fs::read_to_string(&secret).unwrap();
    let (own, other) = (
        SecretCertificate::load(&path).unwrap(),
        SecretCertificate::generate().unwrap(),
    );
    let broken = text.replace(
        &own.public_key().to_string(),
        &other.public_key().to_string(),
    );
    std::fs::write(&secret, broken).unwrap();
    let error = SecretCertificate::load(&path).unwrap_err().to_string();
    assert!(
        error.contains("client_secret:") && error.contains("does not belong"),
        "{error}"
    );
}

#[test]
fn a_greeting_is_asked_for_without_a_socket() {
    within(SOON, || {
        let pair = SecretCertificate::generate().unwrap();
        for (server, mechanism) in [
            (Raw::new(), "NULL"),
            (Raw::new().plain().enforcing(), "PLAIN"),
            (Raw::new().curve(&pair), "CURVE"),
        ] {
            for transport in TRANSPORTS {
                let greeting = Greeting::ask(&server.bind(transport), SOON).unwrap();
                assert_eq!(greeting.mechanism, mechanism);
                assert_eq!(greeting.version.0, 3);
            }
        }
        let (_listener, _stream, at) = nobody();
        let error = Greeting::ask(&at, SOON).unwrap_err();
        assert!(
            matches!(
                &error,
                Error::Handshake {
                    problem: HandshakeProblem::Unreachable {
                        reason: Some(Errno(libc::ECONNREFUSED)),
                        ..
                    },
                    ..
                }
            ),
            "{error}"
        );
        let at = saying("tcp", b"");
        let error = Greeting::ask(&at, Duration::from_millis(200)).unwrap_err();
        assert!(error.to_string().contains("200ms"), "{error}");
        let error = Greeting::ask("inproc://x", SOON).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
    });
}

#[test]
fn a_peer_that_says_too_much_or_half_a_greeting_is_no_peer() {
    within(SOON, || {
        let flood = [
            &greeting("CURVE")[..],
            b"\x06\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        ]
        .concat();
        for words in [flood[..17].to_vec(), flood] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let at = format!("tcp://{}", listener.local_addr().unwrap());
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let _ = stream.write_all(&words);
                    let _ = stream.read(&mut [0; 12]);
                }
            });
            let server = SecretCertificate::generate().unwrap();
            let (_, text) = failure(curve(&server), &at, TIMEOUT);
            assert!(!text.is_empty());
        }
    });
}

/// A server that admits any key to the domain `d`, and waits a second for each.
fn impatient(
    context: &Context,
    authenticator: &Authenticator,
    pair: &SecretCertificate,
) -> (SocketBuilder, Domain) {
    let policy = Policy::new().curve(CurvePolicy::any_key());
    let domain = authenticator.domain("d", policy).unwrap();
    let server = context
        .socket(SocketType::Pull)
        .set(options::HANDSHAKE_IVL, Duration::from_secs(1))
        .secure(CurveServer::new(pair, &domain));
    (server, domain)
}

/// What a server is told of the next handshake that fails so.
fn failed_by(events: &AuditEvents, fault: HandshakeFault) -> FailedHandshake {
    loop {
        match events.next(Some(SOON)) {
            Some(AuditEvent::HandshakeFailed(failed)) if failed.fault == fault => return failed,
            // Peers try again and again.
            Some(AuditEvent::HandshakeFailed(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_server_is_told_who_failed_before_there_was_a_decision_and_why() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let [pair, other] = [(); 2].map(|()| SecretCertificate::generate().unwrap());
        let (server, domain) = impatient(&context, &authenticator, &pair);
        let (_server, at) = serve(server);
        let (events, audit) = (authenticator.handshakes(), authenticator.events());

        let connect = || TcpStream::connect(at.strip_prefix("tcp://").unwrap()).unwrap();
        // One that says nothing, and is there long enough to be looked up. First, for libzmq may give it the reason of another.
        let silent = connect();
        let failed = failed_by(&events, HandshakeFault::TimedOut);
        assert_eq!(
            (&*failed.domain, &failed.endpoint, &failed.address),
            ("d", &at, &PeerAddress::parse("127.0.0.1"))
        );
        let text = failed.to_string();
        assert!(
            text.starts_with("FAILED from 127.0.0.1 in \"d\": "),
            "{text}"
        );
        drop(silent);
        drop(curve(&other).connect_checked(&at, SOON).unwrap_err());
        failed_by(&events, HandshakeFault::Keys);
        // A peer that leaves it to the server to find that they differ.
        let mut plain = connect();
        plain.write_all(&greeting("PLAIN")).unwrap();
        failed_by(&events, HandshakeFault::OtherMechanism);
        // One whose public key is not its own.
        let broken = Raw::new()
            .set(zmq::ZMQ_CURVE_SERVERKEY, pair.public_key().as_bytes())
            .set(zmq::ZMQ_CURVE_PUBLICKEY, other.public_key().as_bytes())
            .set(zmq::ZMQ_CURVE_SECRETKEY, pair.secret().expose_bytes());
        broken.0.connect(&at).unwrap();
        failed_by(&events, HandshakeFault::Keys);
        drop(broken);
        // And one that goes.
        drop(connect());
        failed_by(&events, HandshakeFault::Left);

        // A refusal is a decision, and nothing else.
        domain.set_policy(Policy::new()).unwrap();
        drop(curve(&pair).connect_checked(&at, SOON).unwrap_err());
        let decision = loop {
            match events.next(Some(SOON)) {
                // The broken one may have tried again before it was gone.
                Some(AuditEvent::HandshakeFailed(_)) => {}
                other => break other,
            }
        };
        assert!(
            matches!(&decision, Some(AuditEvent::Decision(d)) if d.reason == Reason::MechanismNotAllowed),
            "{decision:?}"
        );
        // The audit has what cannot be had for nothing.
        assert_eq!(audit.next(Some(SOON)), decision);
    });
}

#[test]
fn a_server_over_ipc_is_told_of_keys_that_do_not_fit_and_of_who_keeps_silent() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let [pair, other] = [(); 2].map(|()| SecretCertificate::generate().unwrap());
        let (server, _domain) = impatient(&context, &authenticator, &pair);
        let server = server.open().unwrap();
        let at = server.bind(&endpoint("ipc")).unwrap();
        let events = authenticator.handshakes();
        let silent = SocketAddr::from_abstract_name(at.strip_prefix("ipc://@").unwrap());
        let silent = UnixStream::connect_addr(&silent.unwrap()).unwrap();
        let failed = failed_by(&events, HandshakeFault::TimedOut);
        assert_eq!((&*failed.domain, &failed.endpoint), ("d", &at));
        drop(silent);
        drop(curve(&other).connect_checked(&at, SOON).unwrap_err());
        failed_by(&events, HandshakeFault::Keys);
    });
}

#[test]
fn a_shutdown_ends_a_watch_in_waiting() {
    within(SOON, || {
        let (_server, at) = bound(&Context::new().unwrap(), SocketType::Pull);
        let context = Context::new().unwrap();
        let client = context.socket(SocketType::Push).open().unwrap();
        let mut watch = HandshakeWatch::attach(&client).unwrap();
        client.connect(&at).unwrap();
        assert_eq!(
            watch.next(None).unwrap().unwrap().outcome,
            HandshakeOutcome::Secured
        );
        let waiting = thread::spawn(move || watch.next(None));
        context.shutdown().unwrap();
        let ended = waiting.join().unwrap();
        assert!(matches!(ended, Err(Error::Terminated)), "{ended:?}");
    });
}
