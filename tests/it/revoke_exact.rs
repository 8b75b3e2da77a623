//! Revocation where it is known which connection is the revoked peer's, and where it is not.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use ironhouse::security::{AuditEvent, CertificateStore, RevocationScope};
use ironhouse::socket::{EventKind, options};
use ironhouse::{Error, Socket, SocketType};

use crate::common::{SOON, wait, within};
use crate::revoke::{Client, Server, exchange, wait_for_exchange};

const SCOPES: [RevocationScope; 3] = [
    RevocationScope::Address,
    RevocationScope::Exact,
    RevocationScope::Socket,
];

fn server(scope: RevocationScope) -> Server {
    Server::with(scope, CertificateStore::in_memory())
}

/// Whether one of the client's connections has ended so far.
fn has_ended(client: &Client) -> bool {
    let next = || client.monitor.next(Some(Duration::ZERO)).unwrap();
    std::iter::from_fn(next).any(|event| matches!(event.kind, EventKind::Disconnected { .. }))
}

/// Receives nothing of the revoked peer, until that is closed and named for certain.
fn receive_until_named(server: &Server, socket: &Socket, bad: &Client, message: impl Fn()) {
    let events = server.authenticator.events();
    server.authenticator.revoke(&bad.key);
    message();
    let start = Instant::now();
    loop {
        match socket.recv_multipart() {
            Err(Error::Again) => {}
            // That the connection which ended was subscribed to this, as an XPUB is told.
            Ok(frames) if frames[0][..] == *b"\0bad" => {}
            other => panic!("{other:?}"),
        }
        if let Some(AuditEvent::Closed(peer)) = events.next(Some(Duration::from_millis(5))) {
            assert_eq!(peer.identity(), bad.identity().as_ref());
            return;
        }
        assert!(start.elapsed() < SOON / 2);
    }
}

#[test]
fn peers_that_cannot_be_told_apart_are_put_out_by_the_scope() {
    for scope in [RevocationScope::Address, RevocationScope::Socket] {
        within(SOON, move || {
            let server = server(scope);
            let (socket, endpoint) = server.open(SocketType::Pub, "tcp");
            let other = server.client(SocketType::Sub);
            other.connect(&endpoint);
            server.wait_for_peers(|keys| keys == [other.key]);
            let [bad, good] = [(); 2].map(|()| server.client(SocketType::Sub));
            server.confuse([(&bad, &endpoint), (&good, &endpoint)]);
            server.authenticator.revoke(&bad.key);
            bad.wait_until_out();
            for client in [&good, &other] {
                wait_for_exchange(&socket, client);
            }
            assert!(has_ended(&good));
            // One that is known to be somebody else's is closed only with all of the socket.
            assert_eq!(has_ended(&other), scope == RevocationScope::Socket);
            assert!(!exchange(&socket, &bad, "bad"));
        });
    }
}

#[test]
fn by_the_exact_scope_who_cannot_be_told_apart_is_put_out_by_its_next_message() {
    for (kind, peer) in [
        (SocketType::Router, SocketType::Dealer),
        (SocketType::Rep, SocketType::Req),
        (SocketType::Pull, SocketType::Push),
    ] {
        within(SOON, move || {
            let server = server(RevocationScope::Exact);
            let (socket, endpoint) = server.open(kind, "tcp");
            let [bad, good] = [(); 2].map(|()| server.client(peer));
            server.confuse([(&bad, &endpoint), (&good, &endpoint)]);
            receive_until_named(&server, &socket, &bad, || bad.socket.send("bad").unwrap());
            bad.wait_until_out();
            // Whoever is left is the other one.
            server.wait_for_peers(|keys| keys == [good.key]);
            good.socket.send("good").unwrap();
            wait(|| match socket.recv_multipart() {
                Ok(frames) => *frames.last().unwrap() == "good",
                Err(Error::Again) => false,
                Err(error) => panic!("{error}"),
            });
            assert!(!has_ended(&good), "{kind:?}");
        });
    }
}

#[test]
fn by_the_exact_scope_who_cannot_be_told_apart_and_is_silent_goes_on_receiving() {
    within(SOON, || {
        let server = server(RevocationScope::Exact);
        let (socket, endpoint) = server.open(SocketType::Push, "tcp");
        let [bad, good] = [(); 2].map(|()| server.client(SocketType::Pull));
        server.confuse([(&bad, &endpoint), (&good, &endpoint)]);
        server.authenticator.revoke(&bad.key);
        for client in [&bad, &good] {
            wait(|| exchange(&socket, client, "everybody's"));
            assert!(!has_ended(client));
        }
        // But it does not come back.
        bad.socket.disconnect(&endpoint).unwrap();
        bad.socket.connect(&endpoint).unwrap();
        bad.wait_until_out();
    });
}

#[test]
fn a_subscription_names_its_sender() {
    within(SOON, || {
        let server = server(RevocationScope::Exact);
        let (socket, endpoint) = server.open(SocketType::XPub, "tcp");
        let [bad, good] = [(); 2].map(|()| server.client(SocketType::Sub));
        server.confuse([(&bad, &endpoint), (&good, &endpoint)]);
        wait(|| socket.get(options::EVENTS).unwrap() & 1 == 1);
        // Both have subscribed to everything, of which an XPUB shows the first.
        while socket.try_recv().is_ok() {}
        receive_until_named(&server, &socket, &bad, || {
            bad.socket.subscribe("bad").unwrap();
        });
        bad.wait_until_out();
        good.socket.subscribe("good").unwrap();
        wait(|| socket.recv().is_ok_and(|frame| frame[..] == *b"\x01good"));
        assert!(!has_ended(&good));
    });
}

#[test]
fn a_key_that_came_twice_at_one_time_is_known_though_not_which_is_which() {
    for scope in SCOPES {
        within(SOON, move || {
            let server = server(scope);
            let (_socket, endpoint) = server.open(SocketType::Push, "tcp");
            let good = server.client(SocketType::Pull);
            good.connect(&endpoint);
            server.wait_for_peers(|keys| keys == [good.key]);
            let certificate = ironhouse::security::SecretCertificate::generate().unwrap();
            let known = certificate.certificate().clone();
            server.store.insert(known).unwrap();
            let twice = [(); 2].map(|()| server.client_of(SocketType::Pull, &certificate));
            for client in &twice {
                client.socket.connect(&endpoint).unwrap();
            }
            for client in &twice {
                client.wait(EventKind::HandshakeSucceeded);
            }
            server.wait_for_peers(|keys| keys.len() == 3);
            server.authenticator.revoke(&twice[0].key);
            twice.iter().for_each(Client::wait_until_out);
            server.wait_for_peers(|keys| keys == [good.key]);
            assert!(!has_ended(&good));
        });
    }
}

/// Loopback has more than one address on Linux alone.
#[test]
#[cfg(target_os = "linux")]
fn peers_that_come_at_one_time_from_two_addresses_are_told_apart() {
    for scope in SCOPES {
        within(SOON, move || {
            let server = server(scope);
            let (socket, endpoint) = server.open(SocketType::Push, "tcp");
            let [bad, good] = [(); 2].map(|()| server.client(SocketType::Pull));
            let at = endpoint.strip_prefix("tcp://").unwrap();
            let [here, there] = [2, 3].map(|n| format!("tcp://127.0.0.{n}:0;{at}"));
            server.connect_at_once([(&bad, &here), (&good, &there)]);
            server.wait_for_peers(|keys| keys.len() == 2);
            server.authenticator.revoke(&bad.key);
            bad.wait_until_out();
            server.wait_for_peers(|keys| keys == [good.key]);
            wait_for_exchange(&socket, &good);
            assert!(!has_ended(&good));
        });
    }
}

#[test]
fn a_connection_that_says_nothing_makes_nobody_suspect_who_came_after() {
    within(SOON, || {
        let server = Server::new();
        let (socket, endpoint) = server.open(SocketType::Push, "tcp");
        // It could be any of those that are admitted from its address from now on.
        let _silent = TcpStream::connect(endpoint.strip_prefix("tcp://").unwrap()).unwrap();
        let [bad, good] = [(); 2].map(|()| server.client(SocketType::Pull));
        bad.connect(&endpoint);
        wait(|| server.authenticator.peers().len() == 2);
        good.connect(&endpoint);
        wait(|| server.authenticator.peers().len() == 3);
        let peers = server.authenticator.peers();
        assert!(peers.iter().all(|peer| peer.identity().is_none()));
        server.authenticator.revoke(&bad.key);
        bad.wait_until_out();
        wait_for_exchange(&socket, &good);
        assert!(!has_ended(&good));
    });
}

#[test]
fn a_connection_that_the_server_made_stays_and_its_messages_do_not_arrive() {
    within(SOON, || {
        let server = Server::new();
        let [(socket, _), (other, _)] = [(); 2].map(|()| server.open(SocketType::Pull, "tcp"));
        let [bad, good] = [(); 2].map(|()| server.client(SocketType::Push));
        for (client, server) in [(&bad, &socket), (&good, &socket), (&bad, &other)] {
            let endpoint = client.socket.bind("tcp://127.0.0.1:*").unwrap();
            server.connect(&endpoint).unwrap();
            client.wait(EventKind::HandshakeSucceeded);
        }
        server.authenticator.revoke(&bad.key);
        for _ in 0..4 {
            bad.socket.send("bad").unwrap();
        }
        good.socket.send("good").unwrap();
        wait(|| socket.recv().is_ok_and(|message| message == "good"));
        assert!(matches!(socket.recv(), Err(Error::Again)));
        assert!(matches!(other.recv(), Err(Error::Again)));
        assert!(!has_ended(&bad) && !has_ended(&good));
    });
}
