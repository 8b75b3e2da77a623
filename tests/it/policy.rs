//! Policies and the decisions that take time: rules that change, callbacks that are late, answers that come from elsewhere.

mod callbacks;
mod explanation;

use std::sync::Arc;
use std::time::Duration;

use ironhouse::security::{
    AddressRule, Authenticator, CertificateStore, Credential, CurveClient, CurvePolicy,
    CurveServer, Domain, NullServer, Policy, PublicKey, Refusal, Rule, SecretCertificate,
};
use ironhouse::socket::{EventKind, HandshakeProblem, Monitor, options};
use ironhouse::{Context, Error, Socket, SocketType};
use proptest::prelude::*;

use crate::common::{SOON, endpoint, serve, within};
use crate::zap::Asker;

fn rule(text: &str) -> AddressRule {
    text.parse().unwrap()
}

/// A running authenticator whose only domain is "d", and a socket that asks it.
struct Bench {
    authenticator: Authenticator,
    domain: Domain,
    asker: Asker,
    _context: Context,
}

impl Bench {
    fn new(policy: Policy) -> Self {
        Self::with_deadline(policy, Duration::from_secs(10))
    }

    fn with_deadline(policy: Policy, deadline: Duration) -> Self {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::builder(&context)
            .deadline(deadline)
            .start()
            .unwrap();
        let domain = authenticator.domain("d", policy).unwrap();
        Self {
            authenticator,
            domain,
            asker: Asker::new(&context),
            _context: context,
        }
    }

    fn ask_null(&self, address: &str) -> String {
        self.asker.ask("d", address, "NULL", &[])
    }

    fn ask_key(&self, key: &PublicKey) -> String {
        self.asker.ask("d", "127.0.0.1", "CURVE", &[key.as_bytes()])
    }

    /// Asks without waiting for the answer.
    fn send_key(&self, id: &str, key: &PublicKey) {
        let head = ["", "1.0", id, "d", "127.0.0.1", "", "CURVE"].map(str::as_bytes);
        self.asker.send(&[&head[..], &[key.as_bytes()]].concat());
    }

    /// Request id and status of the next answer.
    fn answer(&self) -> (String, String) {
        let reply = self.asker.reply();
        (
            reply[2].as_str().unwrap().into(),
            reply[3].as_str().unwrap().into(),
        )
    }
}

fn key() -> PublicKey {
    *SecretCertificate::generate().unwrap().public_key()
}

#[test]
fn rules_are_listed_added_and_removed_while_it_runs() {
    within(SOON, || {
        let bench = Bench::new(Policy::new().null());
        assert_eq!(bench.ask_null("192.0.2.1"), "200");
        bench
            .domain
            .update(|policy| policy.deny(rule("192.0.2.0/24")).deny(rule("uid:7")))
            .unwrap();
        assert_eq!(bench.ask_null("192.0.2.1"), "400");
        assert_eq!(bench.ask_null("localhost:7:8:9"), "400");
        bench
            .domain
            .update(|policy| {
                assert!(
                    policy
                        .denied()
                        .iter()
                        .eq([rule("192.0.2.0/24"), rule("uid:7")])
                );
                policy
                    .remove_deny(&rule("192.0.2.0/24"))
                    .allow(rule("192.0.2.1"))
            })
            .unwrap();
        assert_eq!(bench.ask_null("192.0.2.1"), "200");
        assert_eq!(bench.ask_null("192.0.2.2"), "400");
        bench
            .domain
            .update(|policy| policy.remove_allow(&rule("192.0.2.1")))
            .unwrap();
        assert_eq!(bench.ask_null("192.0.2.2"), "200");
    });
}

#[test]
fn a_peer_over_ipc_is_judged_by_user_and_group() {
    within(SOON, || {
        let bench = Bench::new(
            Policy::new()
                .null()
                .allow(rule("gid:100"))
                .deny(rule("uid:7")),
        );
        for (address, status) in [
            ("localhost:1:100:5", "200"),
            ("localhost:1:101:5", "400"),
            ("localhost:7:100:5", "400"),
            ("127.0.0.1", "400"),
        ] {
            assert_eq!(bench.ask_null(address), status, "{address}");
        }
        for wrong in ["uid:", "uid:-1", "gid:x", "uid:4294967296", "user:1"] {
            assert!(
                matches!(wrong.parse::<AddressRule>(), Err(Error::Address(_))),
                "{wrong}"
            );
        }
    });
}

#[test]
fn a_real_peer_over_ipc_is_admitted_by_its_user() {
    within(SOON, || {
        let folder = crate::common::folder();
        let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(folder.path()).unwrap());
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let policy = |uid: u32| Policy::new().null().allow(rule(&format!("uid:{uid}")));
        let domain = authenticator.domain("d", policy(uid)).unwrap();
        let server = context
            .socket(SocketType::Pull)
            .secure(NullServer::new(&domain))
            .open()
            .unwrap();
        let at = server.bind(&endpoint("ipc")).unwrap();
        let connect = || context.socket(SocketType::Push).connect_checked(&at, SOON);
        connect().unwrap();
        domain.set_policy(policy(uid + 1)).unwrap();
        assert!(matches!(
            connect(),
            Err(Error::Handshake {
                problem: HandshakeProblem::Refused { status: 400 },
                ..
            })
        ));
    });
}

#[test]
fn a_key_in_any_of_several_stores_is_admitted() {
    within(SOON, || {
        let folder = crate::common::folder();
        let memory = Arc::new(CertificateStore::in_memory());
        let directory = Arc::new(CertificateStore::directory(folder.path()).unwrap());
        let bench =
            Bench::new(Policy::new().curve(CurvePolicy::stores([memory.clone(), directory])));
        let [one, other, stranger] = [(); 3].map(|()| SecretCertificate::generate().unwrap());
        memory.insert(one.certificate().clone()).unwrap();
        other
            .certificate()
            .save(folder.path().join("other"))
            .unwrap();
        assert_eq!(bench.ask_key(one.public_key()), "200");
        assert_eq!(bench.ask_key(other.public_key()), "200");
        assert_eq!(bench.ask_key(stranger.public_key()), "400");
        bench
            .domain
            .set_policy(Policy::new().curve(CurvePolicy::stores([])))
            .unwrap();
        assert_eq!(bench.ask_key(one.public_key()), "400");
    });
}

#[test]
fn each_rule_may_refuse_for_good_or_for_now() {
    within(SOON, || {
        let policy = Policy::new()
            .deny(rule("192.0.2.1"))
            .allow(rule("192.0.2.0/24"))
            .curve(CurvePolicy::stores([]))
            .refusal(Refusal::Retry)
            .refusal_by(Rule::DenyList, Refusal::Final)
            .refusal_by(Rule::Credential, Refusal::Final);
        let bench = Bench::new(policy);
        for (address, mechanism, credentials, status) in [
            ("192.0.2.1", "NULL", &[][..], "400"),
            ("192.0.3.1", "NULL", &[], "300"),
            ("192.0.2.2", "NULL", &[], "300"),
            ("192.0.2.2", "CURVE", &[&[7; 32][..]], "400"),
        ] {
            assert_eq!(
                bench.asker.ask("d", address, mechanism, credentials),
                status,
                "{address} {mechanism}"
            );
        }
    });
}

/// A CURVE server that gives handshakes half a second, and a client that tries again every 10 ms.
struct Pair {
    context: Context,
    server: Socket,
    at: String,
    certificate: SecretCertificate,
    client: SecretCertificate,
    store: Arc<CertificateStore>,
    _authenticator: Authenticator,
}

impl Pair {
    fn new(refusal: Refusal) -> Self {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let store = Arc::new(CertificateStore::in_memory());
        let policy = Policy::new()
            .curve(CurvePolicy::store(store.clone()))
            .refusal(refusal);
        let domain = authenticator.domain("d", policy).unwrap();
        let [certificate, client] = [(); 2].map(|()| SecretCertificate::generate().unwrap());
        let server = context
            .socket(SocketType::Pull)
            .set(options::HANDSHAKE_IVL, Duration::from_millis(500))
            .secure(CurveServer::new(&certificate, &domain));
        let (server, at) = serve(server);
        Self {
            context,
            server,
            at,
            certificate,
            client,
            store,
            _authenticator: authenticator,
        }
    }

    fn connect(&self) -> Socket {
        let client = self
            .context
            .socket(SocketType::Push)
            .set(options::RECONNECT_IVL, Some(Duration::from_millis(10)))
            .secure(CurveClient::new(
                &self.client,
                *self.certificate.public_key(),
            ))
            .open()
            .unwrap();
        client.connect(&self.at).unwrap();
        client
    }

    /// Waits until the server has refused somebody.
    fn refused(&self, monitor: &Monitor) -> u16 {
        loop {
            if let EventKind::HandshakeFailedAuth(status) =
                monitor.next(None).unwrap().unwrap().kind
            {
                return status;
            }
        }
    }
}

#[test]
fn after_300_a_client_comes_back_by_itself_and_is_admitted_once_its_certificate_is_there() {
    within(SOON, || {
        let pair = Pair::new(Refusal::Retry);
        let monitor = Monitor::attach(&pair.server).unwrap();
        let client = pair.connect();
        client.send("Hello").unwrap();
        assert_eq!(pair.refused(&monitor), 300);
        // Refused a second time: it does come back.
        assert_eq!(pair.refused(&monitor), 300);
        pair.store
            .insert(pair.client.certificate().clone())
            .unwrap();
        assert_eq!(pair.server.recv().unwrap(), "Hello");
    });
}

#[test]
fn after_400_a_client_stays_out_until_it_connects_anew() {
    within(SOON, || {
        let pair = Pair::new(Refusal::Final);
        let monitor = Monitor::attach(&pair.server).unwrap();
        let client = pair.connect();
        client.send("never arrives").unwrap();
        assert_eq!(pair.refused(&monitor), 400);
        pair.store
            .insert(pair.client.certificate().clone())
            .unwrap();
        // Its own word for it: the server hears no more of it.
        let other = pair.connect();
        other.send("another client").unwrap();
        assert_eq!(pair.server.recv().unwrap(), "another client");
        client.disconnect(&pair.at).unwrap();
        client.connect(&pair.at).unwrap();
        client.send("anew").unwrap();
        assert_eq!(pair.server.recv().unwrap(), "anew");
    });
}
