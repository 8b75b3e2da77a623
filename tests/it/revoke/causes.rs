//! What puts a peer out besides `revoke`.

use std::fs;

use ironhouse::security::{PasswordFile, PlainClient, PlainServer};

use super::*;
use crate::common::folder;

#[test]
fn a_removed_file_puts_its_peer_out() {
    within(SOON, || {
        let folder = folder();
        let save = |certificate: &SecretCertificate, name: &str| {
            certificate
                .certificate()
                .save(folder.path().join(name))
                .unwrap();
        };
        let [first, second] = [(); 2].map(|()| SecretCertificate::generate().unwrap());
        save(&first, "first");
        save(&second, "second");
        let store = CertificateStore::directory(folder.path()).unwrap();
        let server = Server::with(RevocationScope::Address, store);
        let (socket, endpoint) = server.open(SocketType::Pub, "tcp");
        let [bad, good] = [first, second].map(|c| server.client_of(SocketType::Sub, &c));
        bad.connect(&endpoint);
        server.wait_for_peers(|keys| keys == [bad.key]);
        good.connect(&endpoint);
        server.wait_for_peers(|keys| keys == [bad.key, good.key]);
        fs::remove_file(folder.path().join("first")).unwrap();
        bad.wait_until_out();
        server.wait_for_peers(|keys| keys == [good.key]);
        wait_for_exchange(&socket, &good);
    });
}

#[test]
fn a_certificate_taken_out_of_memory_or_out_of_all_stores_puts_its_peer_out() {
    within(SOON, || {
        let server = Server::new();
        let other = Arc::new(CertificateStore::in_memory());
        let stores = [other.clone(), server.store.clone()];
        server
            .domain
            .set_policy(Policy::new().curve(CurvePolicy::stores(stores)))
            .unwrap();
        let (_socket, endpoint) = server.open(SocketType::Router, "tcp");
        let certificate = SecretCertificate::generate().unwrap();
        for store in [&other, &server.store] {
            store.insert(certificate.certificate().clone()).unwrap();
        }
        let peer = server.client_of(SocketType::Dealer, &certificate);
        peer.connect(&endpoint);
        server.wait_for_peers(|keys| keys == [peer.key]);
        other.remove(&peer.key);
        wait_for_exchange(&_socket, &peer);
        server.wait_for_peers(|keys| keys == [peer.key]);
        server.store.remove(&peer.key);
        peer.wait_until_out();
        server.wait_for_peers(|keys| keys.is_empty());
    });
}

#[test]
fn a_new_policy_puts_out_whom_it_refuses_and_nobody_else() {
    within(SOON, || {
        let server = Server::new();
        let (socket, endpoint) = server.open(SocketType::Push, "tcp");
        let peer = server.client(SocketType::Pull);
        peer.connect(&endpoint);
        server.wait_for_peers(|keys| keys == [peer.key]);
        server
            .domain
            .update(|policy| policy.allow("127.0.0.0/8".parse().unwrap()))
            .unwrap();
        wait_for_exchange(&socket, &peer);
        server
            .domain
            .update(|policy| policy.deny("127.0.0.1".parse().unwrap()))
            .unwrap();
        peer.wait_until_out();
        server.wait_for_peers(|keys| keys.is_empty());
    });
}

#[test]
fn a_user_is_listed_by_name_and_put_out_when_passwords_no_longer_do() {
    within(SOON, || {
        let passwords = Arc::new(PasswordFile::in_memory());
        passwords.insert("alice", "secret").unwrap();
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let policy = Policy::new().plain(passwords);
        let domain = authenticator.domain("d", policy.clone()).unwrap();
        let (server, endpoint) = secured(&context, SocketType::Pull, PlainServer::new(&domain));
        let client = context
            .socket(SocketType::Push)
            .secure(PlainClient::new(
                "alice",
                ironhouse::security::Password::new("secret").unwrap(),
            ))
            .connect_checked(&endpoint, SOON)
            .unwrap();
        let monitor = Monitor::attach(&client).unwrap();
        let alice = Some(PeerIdentity::User("alice".into()));
        while authenticator.peers().first().and_then(|p| p.identity()) != alice.as_ref() {
            std::thread::yield_now();
        }
        domain
            .set_policy(policy.clone().allow("127.0.0.1".parse().unwrap()))
            .unwrap();
        client.send("still in").unwrap();
        assert_eq!(server.recv().unwrap(), "still in");
        domain.set_policy(Policy::new().null()).unwrap();
        while monitor.next(Some(SOON)).unwrap().unwrap().kind != EventKind::HandshakeFailedAuth(400)
        {
        }
        assert!(authenticator.peers().is_empty());
    });
}
