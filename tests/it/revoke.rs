//! Revocation of those who are connected already, and the list of who is.

mod causes;

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use ironhouse::security::{
    AuditEvent, Authenticator, CertificateStore, CurveClient, CurvePolicy, CurveServer, Domain,
    PeerIdentity, Policy, PublicKey, Reason, RevocationScope, SecretCertificate, Verdict,
};
use ironhouse::socket::{EventKind, Monitor, options};
use ironhouse::{Context, Error, Message, Socket, SocketType};

use crate::common::{SOON, endpoint, secured, within};

/// A server and what guards it.
pub struct Server {
    pub authenticator: Authenticator,
    pub domain: Domain,
    pub certificate: SecretCertificate,
    pub store: Arc<CertificateStore>,
    pub context: Context,
}

pub struct Client {
    pub socket: Socket,
    pub monitor: Monitor,
    pub key: PublicKey,
}

impl Server {
    pub fn new() -> Self {
        Self::with(RevocationScope::Address, CertificateStore::in_memory())
    }

    pub fn with(scope: RevocationScope, store: CertificateStore) -> Self {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::builder(&context)
            .revocation(scope)
            .start()
            .unwrap();
        let store = Arc::new(store);
        let policy = Policy::new().curve(CurvePolicy::store(store.clone()));
        let domain = authenticator.domain("d", policy).unwrap();
        Self {
            authenticator,
            domain,
            certificate: SecretCertificate::generate().unwrap(),
            store,
            context,
        }
    }

    pub fn open(&self, kind: SocketType, transport: &str) -> (Socket, String) {
        let socket = self
            .context
            .socket(kind)
            .set(options::RCV_TIMEO, Some(Duration::from_millis(20)))
            .set(options::SND_TIMEO, Some(Duration::from_millis(20)))
            .secure(CurveServer::new(&self.certificate, &self.domain))
            .open()
            .unwrap();
        let endpoint = socket.bind(&endpoint(transport)).unwrap();
        (socket, endpoint)
    }

    /// A client whose certificate is in the store; not connected yet.
    pub fn client(&self, kind: SocketType) -> Client {
        let certificate = SecretCertificate::generate().unwrap();
        self.store
            .insert(certificate.certificate().clone())
            .unwrap();
        self.client_of(kind, &certificate)
    }

    pub fn client_of(&self, kind: SocketType, certificate: &SecretCertificate) -> Client {
        let mut socket = self
            .context
            .socket(kind)
            .set(options::RCV_TIMEO, Some(Duration::from_millis(20)))
            .set(options::SND_TIMEO, Some(Duration::from_millis(20)));
        if kind == SocketType::Req {
            // So that it can ask again when a reply does not come.
            socket = socket
                .set(options::REQ_RELAXED, true)
                .set(options::REQ_CORRELATE, true);
        }
        let server = *self.certificate.public_key();
        let socket = socket
            .secure(CurveClient::new(certificate, server))
            .open()
            .unwrap();
        if kind == SocketType::Sub {
            socket.subscribe("").unwrap();
        }
        Client {
            monitor: Monitor::attach(&socket).unwrap(),
            key: *certificate.public_key(),
            socket,
        }
    }

    /// Connects clients, each to an endpoint; none of them is admitted before all have arrived.
    pub fn connect_at_once<const N: usize>(&self, clients: [(&Client, &str); N]) {
        let all_there = Barrier::new(N);
        let admit = CurvePolicy::callback(move |_| {
            all_there.wait();
            Verdict::admit()
        });
        self.domain.set_policy(Policy::new().curve(admit)).unwrap();
        for (client, endpoint) in clients {
            client.socket.connect(endpoint).unwrap();
        }
        for (client, _) in clients {
            client.wait(EventKind::HandshakeSucceeded);
        }
        let policy = CurvePolicy::store(self.store.clone());
        self.domain.set_policy(Policy::new().curve(policy)).unwrap();
    }

    /// The same, from one address, so that nobody can tell which connection is whose.
    pub fn confuse<const N: usize>(&self, clients: [(&Client, &str); N]) {
        self.connect_at_once(clients);
        let start = Instant::now();
        loop {
            let peers = self.authenticator.peers();
            let confused = peers
                .iter()
                .filter(|peer| peer.admitted && peer.candidates.len() == N);
            if confused.count() == N {
                return;
            }
            assert!(start.elapsed() < SOON / 2, "{peers:?}");
        }
    }

    /// Waits until the list of peers is as `expected` says.
    pub fn wait_for_peers(&self, expected: impl Fn(&[PublicKey]) -> bool) {
        let start = Instant::now();
        loop {
            let peers = self.authenticator.peers();
            let keys: Vec<_> = peers
                .iter()
                .filter_map(|peer| match peer.identity() {
                    Some(PeerIdentity::Key(key)) => Some(*key),
                    _ => None,
                })
                .collect();
            if expected(&keys) {
                return;
            }
            assert!(start.elapsed() < SOON / 2, "{peers:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Client {
    pub fn connect(&self, endpoint: &str) {
        self.socket.connect(endpoint).unwrap();
        self.wait(EventKind::HandshakeSucceeded);
    }

    pub fn wait(&self, kind: EventKind) {
        while self.monitor.next(Some(SOON)).unwrap().unwrap().kind != kind {}
    }

    /// Waits until the server has refused it.
    pub fn wait_until_out(&self) {
        self.wait(EventKind::HandshakeFailedAuth(400));
    }

    pub fn identity(&self) -> Option<PeerIdentity> {
        Some(PeerIdentity::Key(self.key))
    }
}

/// Sends one message in either direction of the pattern and answers whether the client and the server exchanged it.
pub fn exchange(server: &Socket, client: &Client, text: &str) -> bool {
    let received = |socket: &Socket| loop {
        match socket.recv_multipart() {
            Ok(frames) if frames.iter().any(|frame| *frame == text) => return Some(frames),
            // A late one of an earlier attempt, which nobody waits for any more.
            Ok(_) if socket.kind() == SocketType::Rep => socket.send("late").unwrap(),
            Ok(_) => {}
            Err(Error::Again) => return None,
            Err(error) => panic!("{error}"),
        }
    };
    match server.kind() {
        SocketType::Push | SocketType::Pub => {
            let _ = server.send(text);
            received(&client.socket).is_some()
        }
        _ => {
            if client.socket.send(text).is_err() {
                return false;
            }
            let Some(mut frames) = received(server) else {
                return false;
            };
            frames.pop();
            let mut frames: Vec<Message> = frames;
            frames.push("answer".into());
            server.send_multipart(frames).unwrap();
            loop {
                match client.socket.recv() {
                    Ok(frame) if frame == "answer" => return true,
                    Ok(_) => {}
                    Err(Error::Again) => return false,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

/// Exchanges messages with `client` until one arrives.
pub fn wait_for_exchange(server: &Socket, client: &Client) {
    let start = Instant::now();
    let mut number = 0;
    while !exchange(server, client, &format!("{}-{number}", client.key)) {
        number += 1;
        assert!(start.elapsed() < SOON / 2, "{:?}", server.kind());
    }
}

const PATTERNS: [(SocketType, SocketType); 4] = [
    (SocketType::Push, SocketType::Pull),
    (SocketType::Pub, SocketType::Sub),
    (SocketType::Router, SocketType::Dealer),
    (SocketType::Rep, SocketType::Req),
];

#[test]
fn a_revoked_key_is_out_and_stays_out_while_its_neighbour_goes_on() {
    for (kind, peer) in PATTERNS {
        for transport in ["tcp", "ipc"] {
            within(SOON, move || {
                let server = Server::new();
                let (socket, endpoint) = server.open(kind, transport);
                let [bad, good] = [server.client(peer), server.client(peer)];
                bad.connect(&endpoint);
                server.wait_for_peers(|keys| keys == [bad.key]);
                good.connect(&endpoint);
                server.wait_for_peers(|keys| keys == [bad.key, good.key]);
                if kind != SocketType::Push {
                    wait_for_exchange(&socket, &bad);
                }
                wait_for_exchange(&socket, &good);

                let events = server.authenticator.events();
                server.authenticator.revoke(&bad.key);
                // Closed when the call returns.
                let closed = events.next(Some(Duration::ZERO));
                let Some(AuditEvent::Closed(closed)) = closed else {
                    panic!("{closed:?}");
                };
                assert_eq!(closed.identity(), bad.identity().as_ref());
                bad.wait_until_out();
                server.wait_for_peers(|keys| keys == [good.key]);
                wait_for_exchange(&socket, &good);
                for n in 0..3 {
                    assert!(!exchange(&socket, &bad, &format!("bad {n}")), "{kind:?}");
                }
                wait_for_exchange(&socket, &good);
                // The good one's connection was known exactly: it was not even touched.
                while let Some(event) = good.monitor.next(Some(Duration::ZERO)).unwrap() {
                    assert!(
                        !matches!(event.kind, EventKind::Disconnected { .. }),
                        "{kind:?}"
                    );
                }
            });
        }
    }
}

#[test]
fn what_a_revoked_peer_sent_before_is_not_received_after() {
    for (kind, peer) in [
        (SocketType::Pull, SocketType::Push),
        (SocketType::Router, SocketType::Dealer),
        (SocketType::Rep, SocketType::Req),
    ] {
        within(SOON, move || {
            let server = Server::new();
            let (socket, endpoint) = server.open(kind, "tcp");
            let [bad, good] = [server.client(peer), server.client(peer)];
            bad.connect(&endpoint);
            server.wait_for_peers(|keys| keys == [bad.key]);
            good.connect(&endpoint);
            server.wait_for_peers(|keys| keys == [bad.key, good.key]);
            bad.socket.send_multipart(["bad", "bad"]).unwrap();
            // Queued at the server, and not received yet.
            let waiting = Instant::now();
            while !socket.get(options::EVENTS).unwrap() & 1 != 0 {
                assert!(waiting.elapsed() < SOON / 2);
            }
            server.authenticator.revoke(&bad.key);
            bad.wait_until_out();
            good.socket.send("good").unwrap();
            let start = Instant::now();
            let frames = loop {
                match socket.recv_multipart() {
                    Ok(frames) => break frames,
                    Err(Error::Again) => assert!(start.elapsed() < SOON / 2),
                    Err(error) => panic!("{error}"),
                }
            };
            assert_eq!(*frames.last().unwrap(), "good", "{kind:?}");
        });
    }
}

#[test]
fn a_receive_that_waits_gets_the_next_message_of_somebody_else() {
    within(SOON, || {
        let server = Server::new();
        let curve = CurveServer::new(&server.certificate, &server.domain);
        let (socket, endpoint) = secured(&server.context, SocketType::Pull, curve);
        let [bad, good] = [(); 2].map(|()| server.client(SocketType::Push));
        bad.connect(&endpoint);
        server.wait_for_peers(|keys| keys == [bad.key]);
        good.connect(&endpoint);
        server.wait_for_peers(|keys| keys == [bad.key, good.key]);
        let receiver = std::thread::spawn(move || [(); 2].map(|()| socket.recv().unwrap()));
        good.socket.send("before").unwrap();
        server.authenticator.revoke(&bad.key);
        bad.wait_until_out();
        good.socket.send("after").unwrap();
        assert_eq!(receiver.join().unwrap(), ["before", "after"]);
    });
}

#[test]
fn frames_received_one_by_one_stay_together() {
    within(SOON, || {
        let server = Server::new();
        let (socket, endpoint) = server.open(SocketType::Router, "tcp");
        let [bad, good] = [(); 2].map(|()| server.client(SocketType::Dealer));
        bad.connect(&endpoint);
        server.wait_for_peers(|keys| keys == [bad.key]);
        good.connect(&endpoint);
        server.wait_for_peers(|keys| keys == [bad.key, good.key]);
        good.socket.send_multipart(["1", "2", "3"]).unwrap();
        let start = Instant::now();
        while socket.get(options::EVENTS).unwrap() & 1 == 0 {
            assert!(start.elapsed() < SOON / 2);
        }
        server.authenticator.revoke(&bad.key);
        bad.wait_until_out();
        // The alarm is up, and the routing id came without properties.
        let id = socket.recv().unwrap();
        assert!(id.more());
        good.socket.send_multipart(["4"]).unwrap();
        for (text, more) in [("1", true), ("2", true), ("3", false)] {
            let frame = socket.recv().unwrap();
            assert!(frame == text && frame.more() == more, "{text}");
        }
        wait_for_exchange(&socket, &good);
    });
}

#[test]
fn a_revoked_key_is_refused_at_its_next_handshake_until_it_is_taken_back() {
    within(SOON, || {
        let server = Server::new();
        let (socket, endpoint) = server.open(SocketType::Router, "tcp");
        let peer = server.client(SocketType::Dealer);
        server.authenticator.revoke(&peer.key);
        let explained = server.authenticator.explain(
            "d",
            &ironhouse::security::PeerAddress::parse("127.0.0.1"),
            ironhouse::security::Credential::Curve(peer.key),
        );
        assert_eq!(explained.reason, Reason::Revoked);
        peer.socket.connect(&endpoint).unwrap();
        peer.wait_until_out();
        assert!(server.authenticator.unrevoke(&peer.key));
        assert!(!server.authenticator.unrevoke(&peer.key));
        peer.socket.disconnect(&endpoint).unwrap();
        peer.connect(&endpoint);
        wait_for_exchange(&socket, &peer);
    });
}

#[test]
fn peers_lists_who_is_connected_and_forgets_who_left() {
    within(SOON, || {
        let server = Server::new();
        let (_first, first) = server.open(SocketType::Router, "tcp");
        let (second_socket, second) = server.open(SocketType::Pull, "ipc");
        assert!(server.authenticator.peers().is_empty());
        let before = std::time::SystemTime::now();
        let a = server.client(SocketType::Dealer);
        let b = server.client(SocketType::Push);
        a.connect(&first);
        server.wait_for_peers(|keys| keys == [a.key]);
        b.connect(&second);
        server.wait_for_peers(|keys| keys == [a.key, b.key]);
        let peers = server.authenticator.peers();
        assert_eq!(&*peers[0].domain, "d");
        assert_eq!(peers[0].address.to_string(), "127.0.0.1");
        assert!(peers[0].since >= before);
        assert!(peers[1].address.to_string().starts_with("ipc uid "));
        assert_eq!(peers[1].identity(), b.identity().as_ref());
        drop(a);
        server.wait_for_peers(|keys| keys == [b.key]);
        drop(second_socket);
        assert!(server.authenticator.peers().is_empty());
    });
}

#[test]
fn a_connection_of_the_host_with_the_same_peer_is_left_alone() {
    within(SOON, || {
        let server = Server::new();
        let (_socket, endpoint) = server.open(SocketType::Pull, "tcp");
        // The host's own connections, from and to the same addresses.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hosts = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = listener.accept().unwrap().0;
        let peer = server.client(SocketType::Push);
        peer.connect(&endpoint);
        server.wait_for_peers(|keys| keys == [peer.key]);
        server.authenticator.revoke(&peer.key);
        peer.wait_until_out();
        for stream in [&hosts, &accepted] {
            stream.set_nonblocking(true).unwrap();
            let error = stream.peek(&mut [0; 1]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
    });
}

#[test]
fn every_end_with_a_revocation_under_way_is_an_end() {
    for _ in 0..20 {
        within(SOON, || {
            let server = Server::new();
            let (socket, endpoint) = server.open(SocketType::Router, "tcp");
            let peer = server.client(SocketType::Dealer);
            peer.connect(&endpoint);
            server.authenticator.revoke(&peer.key);
            drop(server);
            drop(socket);
        });
    }
}
