//! Policies and the decisions that take time: rules that change, callbacks that are late, answers that come from elsewhere.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ironhouse::security::{
    AddressRule, Authenticator, CertificateStore, Credential, CurveClient, CurvePolicy,
    CurveServer, Domain, NullServer, PasswordFile, PeerAddress, Policy, PublicKey, Reason, Refusal,
    Reply, Rule, SecretCertificate, StatusCode, Verdict,
};
use ironhouse::socket::{EventKind, HandshakeProblem, Monitor, options};
use ironhouse::{Context, Error, Socket, SocketType};
use proptest::prelude::*;

use crate::common::{SOON, endpoint, secured, within};
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

#[test]
fn a_callback_answers_any_status_now_or_later_from_any_thread() {
    within(SOON, || {
        let [now, later, fails, retries, dropped, bad] = [(); 6].map(|()| key());
        let (hand_over, replies) = channel::<Reply>();
        let policy = CurvePolicy::deferred(move |peer, reply| {
            if peer.key == now {
                reply.answer(Verdict::admit());
            } else if peer.key == later {
                hand_over.send(reply).unwrap();
            } else if peer.key == fails {
                reply.answer(Verdict::fail());
            } else if peer.key == retries {
                reply.answer(Verdict::retry());
            } else if peer.key == bad {
                reply.answer(Verdict::admit().metadata("Socket-Type", "PUB"));
            } else {
                drop(reply);
            }
        });
        let bench = Bench::new(Policy::new().curve(policy));
        let events = bench.authenticator.events();
        for (key, status, reason) in [
            (now, "200", Reason::Admitted),
            (fails, "500", Reason::CallbackFailed),
            (retries, "300", Reason::CallbackDeferred),
            (bad, "300", Reason::CallbackMetadata),
            (dropped, "300", Reason::CallbackSilent),
        ] {
            assert_eq!(bench.ask_key(&key), status, "{reason}");
            assert_eq!(events.next_decision(SOON).unwrap().reason, reason);
        }
        bench.send_key("first", &later);
        let reply = replies.recv().unwrap();
        bench.send_key("second", &now);
        assert_eq!(bench.answer(), ("second".into(), "200".into()));
        reply.answer(Verdict::refuse());
        assert_eq!(bench.answer(), ("first".into(), "400".into()));
        // An answer to an authenticator that is gone goes nowhere.
        bench.send_key("third", &later);
        let reply = replies.recv().unwrap();
        drop(bench);
        reply.answer(Verdict::admit());
    });
}

#[test]
fn a_late_decision_is_answered_300_and_a_stuck_callback_holds_up_neither_others_nor_the_end() {
    within(SOON, || {
        let [stuck, quick] = [(); 2].map(|()| key());
        let (release, held) = channel::<()>();
        let held = Mutex::new(held);
        let policy = CurvePolicy::callback(move |peer| {
            if peer.key == stuck {
                let _ = held.lock().unwrap().recv();
            }
            Verdict::admit()
        });
        let bench = Bench::with_deadline(Policy::new().curve(policy), Duration::from_millis(300));
        let events = bench.authenticator.events();
        bench.send_key("stuck", &stuck);
        bench.send_key("quick", &quick);
        assert_eq!(bench.answer(), ("quick".into(), "200".into()));
        assert_eq!(bench.answer(), ("stuck".into(), "300".into()));
        let reasons = [(); 2].map(|()| events.next_decision(SOON).unwrap().reason);
        assert_eq!(reasons, [Reason::Admitted, Reason::Late]);
        // Waits for the stuck callback until its deadline, and leaves it to itself then.
        drop(bench);
        assert_eq!(events.next(Some(SOON)), None);
        drop(release);
    });
}

#[test]
fn more_decisions_than_may_wait_are_answered_300_at_once() {
    within(4 * SOON, || {
        let (release, held) = channel::<()>();
        let held = Mutex::new(held);
        let policy = CurvePolicy::callback(move |_| {
            let _ = held.lock().unwrap().recv();
            Verdict::admit()
        });
        let bench = Bench::with_deadline(Policy::new().curve(policy), SOON);
        let events = bench.authenticator.events();
        let key = key();
        let sent = 11_000;
        (0..sent).for_each(|_| bench.send_key("1", &key));
        for _ in 10_000..sent {
            assert_eq!(bench.answer().1, "300");
            let decision = events.next_decision(SOON).unwrap();
            assert_eq!(decision.reason, Reason::Overloaded);
        }
        drop(release);
        (0..10_000).for_each(|_| assert_eq!(bench.answer().1, "200"));
    });
}

#[test]
fn as_many_callbacks_run_at_a_time_as_were_asked_for_and_thirty_two_else() {
    for asked in [None, Some(3)] {
        within(SOON, move || {
            let context = Context::new().unwrap();
            let builder = Authenticator::builder(&context);
            let builder = match asked {
                Some(threads) => builder.callback_threads(threads),
                None => builder,
            };
            let authenticator = builder.start().unwrap();
            let (release, held) = channel::<()>();
            let held = Mutex::new(held);
            let (enter, entered) = channel();
            let enter = Mutex::new(enter);
            let policy = CurvePolicy::callback(move |peer| {
                enter.lock().unwrap().send(peer.key).unwrap();
                let _ = held.lock().unwrap().recv();
                Verdict::admit()
            });
            let domain = authenticator
                .domain("d", Policy::new().curve(policy))
                .unwrap();
            let bench = Bench {
                authenticator,
                domain,
                asker: Asker::new(&context),
                _context: context,
            };
            let most = asked.unwrap_or(32);
            let key = key();
            (0..most + 1).for_each(|_| bench.send_key("1", &key));
            (0..most).for_each(|_| assert_eq!(entered.recv().unwrap(), key));
            // Decided by memory, after those: so the last one was handed on as well, and waits.
            assert_eq!(bench.ask_null("127.0.0.1"), "400");
            assert!(entered.try_recv().is_err());
            drop(release);
            (0..most + 1).for_each(|_| assert_eq!(bench.answer().1, "200"));
        });
    }
}

#[test]
fn a_decision_has_less_time_than_libzmq_gives_a_handshake() {
    within(2 * SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let (hand_over, replies) = channel::<Reply>();
        let hand_over = Mutex::new(hand_over);
        let policy = CurvePolicy::deferred(move |_, reply| {
            hand_over.lock().unwrap().send(reply).unwrap();
        });
        let domain = authenticator
            .domain("d", Policy::new().curve(policy))
            .unwrap();
        let [certificate, client] = [(); 2].map(|()| SecretCertificate::generate().unwrap());
        let curve = CurveServer::new(&certificate, &domain);
        let (server, at) = secured(&context, SocketType::Pull, curve);
        let monitor = Monitor::attach(&server).unwrap();
        let client = context
            .socket(SocketType::Push)
            .secure(CurveClient::new(&client, *certificate.public_key()))
            .open()
            .unwrap();
        client.connect(&at).unwrap();
        // Never answered: the authenticator does it, and libzmq has not given up by then.
        let _reply = replies.recv().unwrap();
        let ended = loop {
            match monitor.next(Some(SOON)).unwrap().unwrap().kind {
                EventKind::Listening { .. } | EventKind::Accepted { .. } => {}
                kind => break kind,
            }
        };
        assert_eq!(ended, EventKind::HandshakeFailedAuth(300));
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
            .secure(CurveServer::new(&certificate, &domain))
            .open()
            .unwrap();
        let at = server.bind(&endpoint("tcp")).unwrap();
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

#[test]
fn an_explanation_names_the_rule_that_decided_and_those_before_it() {
    within(SOON, || {
        let store = CertificateStore::in_memory();
        let known = SecretCertificate::generate().unwrap();
        store.insert(known.certificate().clone()).unwrap();
        let policy = Policy::new()
            .deny(rule("192.0.2.1"))
            .allow(rule("192.0.2.0/24"))
            .curve(CurvePolicy::store(store));
        let bench = Bench::new(policy);
        let explain = |domain, address, credential| {
            bench
                .authenticator
                .explain(domain, &PeerAddress::parse(address), credential)
        };
        let denied = explain("d", "192.0.2.1", Credential::Null);
        assert_eq!(
            (denied.status, denied.reason),
            (StatusCode::AuthenticationFailure, Reason::AddressDenied)
        );
        assert_eq!(denied.steps.len(), 1);
        let admitted = explain("d", "192.0.2.2", Credential::Curve(*known.public_key()));
        assert_eq!(
            admitted.to_string(),
            format!(
                "admitted (status 200)\n  policy: the domain's own\n  deny list: 192.0.2.2 is not on the deny list\n  \
                 allow list: 192.0.2.2 is allowed by 192.0.2.0/24\n  mechanism: the policy takes CURVE\n  \
                 credential: there is a certificate with the key {} ({})",
                known.public_key(),
                known.public_key().fingerprint()
            )
        );
        let elsewhere = explain("e", "192.0.2.2", Credential::Null);
        assert_eq!(
            (elsewhere.reason, elsewhere.steps.len()),
            (Reason::UnknownDomain, 0)
        );
        let secret = Credential::Plain {
            name: b"ada",
            password: b"open sesame",
        };
        let plain = explain("d", "192.0.2.2", secret);
        assert_eq!(plain.reason, Reason::MechanismNotAllowed);
        assert!(!format!("{plain} {plain:?} {secret:?}").contains("sesame"));
    });
}

const ADDRESSES: [&str; 8] = [
    "127.0.0.1",
    "192.0.2.1",
    "192.0.2.77",
    "2001:db8::1",
    "::ffff:192.0.2.1",
    "localhost:1000:100:7",
    "localhost:0:0:1",
    "?",
];
const RULES: [&str; 8] = [
    "127.0.0.0/8",
    "192.0.2.0/24",
    "192.0.2.1",
    "2001:db8::/32",
    "0.0.0.0/0",
    "uid:1000",
    "gid:0",
    "::/0",
];

fn rules() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..RULES.len(), 0..3)
}

/// `explain` and the answer to the same request over the ZAP socket, for random policies and peers: 10,000 pairs.
#[test]
fn an_explanation_agrees_with_the_decision() {
    within(4 * SOON, || {
        let bench = Bench::new(Policy::new());
        let events = bench.authenticator.events();
        let keys = [(); 3].map(|()| key());
        let store = Arc::new(CertificateStore::in_memory());
        store
            .insert(ironhouse::security::Certificate::new(keys[0]))
            .unwrap();
        let passwords = PasswordFile::in_memory();
        passwords.insert("ada", "secret").unwrap();
        let passwords = Arc::new(passwords);
        let callback_key = keys[1];
        let callback = CurvePolicy::callback(move |peer| {
            if peer.key == callback_key {
                Verdict::admit()
            } else {
                Verdict::refuse()
            }
        });
        let peers = (0..ADDRESSES.len(), 0..6usize);
        let policies = (
            rules(),
            rules(),
            any::<(bool, bool)>(),
            0..4usize,
            0..5usize,
        );
        let config = ProptestConfig {
            cases: 500,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        proptest!(config, |((allow, deny, (null, plain), curve, refusal) in policies, peers in proptest::collection::vec(peers, 20))| {
            let mut policy = Policy::new();
            policy = allow.iter().fold(policy, |policy, &at| policy.allow(rule(RULES[at])));
            policy = deny.iter().fold(policy, |policy, &at| policy.deny(rule(RULES[at])));
            if null { policy = policy.null(); }
            if plain { policy = policy.plain(passwords.clone()); }
            policy = match curve {
                0 => policy,
                1 => policy.curve(CurvePolicy::any_key()),
                2 => policy.curve(CurvePolicy::store(store.clone())),
                _ => policy.curve(callback.clone()),
            };
            let rules = [Rule::DenyList, Rule::AllowList, Rule::Mechanism, Rule::Credential];
            if let Some(&rule) = rules.get(refusal) { policy = policy.refusal_by(rule, Refusal::Retry); }
            bench.domain.set_policy(policy).unwrap();
            for (address, credential) in peers {
                let address = ADDRESSES[address];
                let (credential, mechanism, frames): (_, _, Vec<&[u8]>) = match credential {
                    0 => (Credential::Null, "NULL", vec![]),
                    1 => (Credential::Plain { name: b"ada", password: b"secret" }, "PLAIN", vec![b"ada", b"secret"]),
                    2 => (Credential::Plain { name: b"ada", password: b"guess" }, "PLAIN", vec![b"ada", b"guess"]),
                    n => (Credential::Curve(keys[n - 3]), "CURVE", vec![keys[n - 3].as_bytes()]),
                };
                let explained = bench.authenticator.explain("d", &PeerAddress::parse(address), credential);
                prop_assert_eq!(bench.asker.ask("d", address, mechanism, &frames), explained.status.to_string());
                prop_assert_eq!(events.next_decision(SOON).unwrap().reason, explained.reason);
            }
        });
    });
}
