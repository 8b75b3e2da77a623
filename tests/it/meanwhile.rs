//! What changes while a decision is being made: policies, keys, users, stores, directories.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ironhouse::security::{
    Authenticator, Certificate, CertificateStore, CurveClient, CurvePolicy, CurveServer, Domain,
    Password, PasswordFile, PlainClient, PlainServer, Policy, PublicKey, Reason, Refusal, Reply,
    SecretCertificate, Verdict, Watching,
};
use ironhouse::socket::{EventKind, HandshakeProblem, Monitor};
use ironhouse::{Context, Error, Socket, SocketType};

use crate::common::{SOON, folder, rounds, secured, wait, within};
use crate::zap::Asker;

/// An authenticator whose callback leaves the decision to the test.
struct Bench {
    authenticator: Authenticator,
    domain: Domain,
    asker: Asker,
    key: PublicKey,
    replies: Receiver<Reply>,
    sender: Sender<Reply>,
    _context: Context,
}

impl Bench {
    fn new() -> Self {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let domain = authenticator.domain("d", Policy::new()).unwrap();
        let (sender, replies) = channel();
        Self {
            authenticator,
            domain,
            asker: Asker::new(&context),
            key: *SecretCertificate::generate().unwrap().public_key(),
            replies,
            sender,
            _context: context,
        }
    }

    /// A policy by which the test decides.
    fn open(&self) -> Policy {
        let sender = Mutex::new(self.sender.clone());
        Policy::new().curve(CurvePolicy::deferred(move |_, reply| {
            sender.lock().unwrap().send(reply).unwrap();
        }))
    }

    fn ask(&self) {
        let head = ["", "1.0", "1", "d", "127.0.0.1", "", "CURVE"].map(str::as_bytes);
        self.asker
            .send(&[&head[..], &[self.key.as_bytes()]].concat());
    }
}

#[test]
fn a_policy_that_changes_during_a_decision_counts() {
    within(SOON, || {
        let bench = Bench::new();
        let events = bench.authenticator.events();
        let store = Arc::new(CertificateStore::in_memory());
        let known = Arc::new(CertificateStore::in_memory());
        known.insert(Certificate::new(bench.key)).unwrap();
        type Change<'a> = &'a dyn Fn(&Domain) -> ironhouse::Result<()>;
        let cases: [(Change<'_>, &str, Reason); 8] = [
            (&|_| Ok(()), "200", Reason::Admitted),
            (
                &|domain| domain.set_policy(Policy::new()),
                "400",
                Reason::MechanismNotAllowed,
            ),
            (
                &|domain| domain.update(|policy| policy.deny("127.0.0.1".parse().unwrap())),
                "400",
                Reason::AddressDenied,
            ),
            (
                &|domain| {
                    domain.update(|policy| {
                        let elsewhere = "192.0.2.1".parse().unwrap();
                        policy.allow(elsewhere).refusal(Refusal::Retry)
                    })
                },
                "300",
                Reason::AddressNotAllowed,
            ),
            (
                &|domain| domain.set_policy(Policy::new().curve(CurvePolicy::store(store.clone()))),
                "400",
                Reason::UnknownKey,
            ),
            (
                &|domain| domain.set_policy(Policy::new().curve(CurvePolicy::store(known.clone()))),
                "200",
                Reason::Admitted,
            ),
            (
                &|domain| domain.set_policy(Policy::new().curve(CurvePolicy::any_key())),
                "200",
                Reason::Admitted,
            ),
            (
                &|_| {
                    bench.authenticator.revoke(&bench.key);
                    Ok(())
                },
                "400",
                Reason::Revoked,
            ),
        ];
        for (change, status, reason) in cases {
            bench.domain.set_policy(bench.open()).unwrap();
            bench.ask();
            let reply = bench.replies.recv().unwrap();
            change(&bench.domain).unwrap();
            reply.answer(Verdict::admit());
            assert_eq!(bench.asker.reply()[3], status, "{reason}");
            assert_eq!(events.next_decision(SOON).unwrap().reason, reason);
        }
        // Who was refused by the policy of the time of the request stays refused.
        bench.authenticator.unrevoke(&bench.key);
        bench.domain.set_policy(bench.open()).unwrap();
        bench.ask();
        let reply = bench.replies.recv().unwrap();
        let any = Policy::new().curve(CurvePolicy::any_key());
        bench.domain.set_policy(any).unwrap();
        reply.answer(Verdict::refuse());
        assert_eq!(bench.asker.reply()[3], "400");
        bench.ask();
        assert_eq!(bench.asker.reply()[3], "200");
    });
}

/// Policies and decisions at random, both under way all the time: every request is answered once, and by the last policy in the end.
#[test]
fn policies_that_change_all_the_time_leave_no_request_without_an_answer() {
    within(2 * SOON, || {
        let bench = Bench::new();
        let store = Arc::new(CertificateStore::in_memory());
        store.insert(Certificate::new(bench.key)).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let key = bench.key;
                for round in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let policy = match round % 4 {
                        0 => Policy::new(),
                        1 => Policy::new().curve(CurvePolicy::store(store.clone())),
                        2 => Policy::new().curve(CurvePolicy::callback(move |peer| {
                            if peer.key == key {
                                Verdict::admit()
                            } else {
                                Verdict::refuse()
                            }
                        })),
                        _ => Policy::new().curve(CurvePolicy::any_key()),
                    };
                    bench.domain.set_policy(policy).unwrap();
                }
            });
            for _ in 0..rounds(200) {
                (0..20).for_each(|_| bench.ask());
                for _ in 0..20 {
                    let reply = bench.asker.reply();
                    assert!(reply[3] == "200" || reply[3] == "400");
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        for (policy, status) in [
            (Policy::new(), "400"),
            (
                Policy::new().curve(CurvePolicy::store(store.clone())),
                "200",
            ),
        ] {
            bench.domain.set_policy(policy).unwrap();
            bench.ask();
            assert_eq!(bench.asker.reply()[3], status);
        }
    });
}

/// A request for a key that is not in the store waits until the store is current. Meanwhile the store is replaced, which drops it.
#[test]
fn a_store_that_is_dropped_while_a_request_waits_for_it_leaves_no_request_without_an_answer() {
    within(2 * SOON, || {
        let bench = Bench::new();
        let events = bench.authenticator.events();
        let folder = folder();
        let files: Vec<_> = (0..3).map(|n| folder.path().join(n.to_string())).collect();
        fs::create_dir(&files[0]).unwrap();
        fs::create_dir(&files[1]).unwrap();
        fs::write(
            &files[2],
            format!("{}\n", SecretCertificate::generate().unwrap().public_key()),
        )
        .unwrap();
        let open = |n: usize| match n % 3 {
            2 => CertificateStore::keyfile(&files[2]).unwrap(),
            n => CertificateStore::directory(&files[n]).unwrap(),
        };
        for round in 0..rounds(60) as usize {
            let stores = [round, round + 1].map(|n| Arc::new(open(n)));
            bench
                .domain
                .set_policy(Policy::new().curve(CurvePolicy::stores(stores)))
                .unwrap();
            (0..10).for_each(|_| bench.ask());
            // The last handle goes with the policy, while the requests are anywhere between the socket and the stores.
            bench.domain.set_policy(Policy::new()).unwrap();
            for _ in 0..10 {
                let reply = bench.asker.reply();
                let decision = events.next_decision(SOON).unwrap();
                let expected = match decision.reason {
                    Reason::UnknownKey | Reason::MechanismNotAllowed => "400",
                    Reason::StoreNotCurrent => "300",
                    other => panic!("{other}"),
                };
                assert_eq!(reply[3], expected);
            }
        }
        // And a store opened now is as good as any.
        let certificate = Certificate::new(bench.key);
        certificate.save(files[0].join("new")).unwrap();
        let store = CertificateStore::directory(&files[0]).unwrap();
        bench
            .domain
            .set_policy(Policy::new().curve(CurvePolicy::store(store)))
            .unwrap();
        bench.ask();
        assert_eq!(bench.asker.reply()[3], "200");
    });
}

/// A socket to connect again and again, and what happens to it.
fn client(socket: Socket) -> (Socket, Monitor) {
    let monitor = Monitor::attach(&socket).unwrap();
    (socket, monitor)
}

fn wait_for(monitor: &Monitor, kind: EventKind) {
    while monitor.next(Some(SOON)).unwrap().unwrap().kind != kind {}
}

/// Passes some time, of the order of what a handshake takes.
fn pass_time(round: u32) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(u64::from(round) * 250) {
        std::hint::spin_loop();
    }
}

#[test]
fn a_key_that_is_removed_during_its_handshake_does_not_stay() {
    within(3 * SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let store = Arc::new(CertificateStore::in_memory());
        let policy = Policy::new().curve(CurvePolicy::store(store.clone()));
        let domain = authenticator.domain("d", policy).unwrap();
        let [certificate, guest] = [(); 2].map(|()| SecretCertificate::generate().unwrap());
        let curve = CurveServer::new(&certificate, &domain);
        let (_server, endpoint) = secured(&context, SocketType::Push, curve);
        let (socket, monitor) = client(
            context
                .socket(SocketType::Pull)
                .secure(CurveClient::new(&guest, *certificate.public_key()))
                .open()
                .unwrap(),
        );
        for round in 0..rounds(30) {
            store.insert(guest.certificate().clone()).unwrap();
            socket.connect(&endpoint).unwrap();
            pass_time(round);
            store.remove(guest.public_key());
            wait_for(&monitor, EventKind::HandshakeFailedAuth(400));
            socket.disconnect(&endpoint).unwrap();
        }
        let start = Instant::now();
        while !authenticator.peers().is_empty() {
            assert!(start.elapsed() < SOON);
        }
    });
}

#[test]
fn a_user_who_is_removed_during_the_check_of_the_password_does_not_stay() {
    within(3 * SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let users = PasswordFile::in_memory();
        let hash = PasswordFile::hash(&Password::new("1").unwrap()).unwrap();
        // So that a check takes its time, and is made by another thread.
        users.insert_hash("eve", &hash).unwrap();
        let policy = Policy::new().plain(users.clone());
        let domain = authenticator.domain("d", policy).unwrap();
        let (_server, endpoint) = secured(&context, SocketType::Push, PlainServer::new(&domain));
        let (socket, monitor) = client(
            context
                .socket(SocketType::Pull)
                .secure(PlainClient::new("ada", Password::new("1").unwrap()))
                .open()
                .unwrap(),
        );
        for round in 0..rounds(60) {
            users.insert_hash("ada", &hash).unwrap();
            socket.connect(&endpoint).unwrap();
            pass_time(round);
            if round % 2 == 0 {
                users.remove("ada").unwrap();
            } else {
                users.insert("ada", "2").unwrap();
            }
            wait_for(&monitor, EventKind::HandshakeFailedAuth(400));
            socket.disconnect(&endpoint).unwrap();
        }
        let start = Instant::now();
        while !authenticator.peers().is_empty() {
            assert!(start.elapsed() < SOON);
        }
    });
}

/// What a store has, and what is wrong with it.
fn state(store: &CertificateStore) -> (Vec<String>, Vec<String>) {
    let describe = |key: &PublicKey| format!("{:?}", store.lookup(key));
    let mut keys: Vec<_> = store.keys().iter().map(describe).collect();
    keys.sort_unstable();
    let problems = store.problems().iter().map(ToString::to_string).collect();
    (keys, problems)
}

/// Creates, removes and renames, at least a thousand times a second.
fn bustle(directory: &Path, certificates: &[Certificate], operations: u32) {
    let start = Instant::now();
    let mut seed = 1u32;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    for number in 0..operations {
        let mut name = || {
            directory
                .join(["", "sub"][random(2)])
                .join(random(40).to_string())
        };
        let (one, other) = (name(), name());
        let certificate = &certificates[random(certificates.len())];
        // Most can fail, such as the removal of what is not there.
        let _ = match random(4) {
            0 => fs::write(
                one,
                format!("curve\n    public-key = \"{}\"\n", certificate.public_key()),
            ),
            1 => certificate.save(one).map_err(std::io::Error::other),
            2 => fs::remove_file(one),
            _ => fs::rename(one, other),
        };
        let due = start + Duration::from_micros(800) * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn a_directory_that_changes_a_thousand_times_a_second_disturbs_nobody_and_ends_as_a_fresh_load() {
    within(3 * SOON, || {
        let folder = folder();
        let path = folder.path().join("certs");
        fs::create_dir_all(path.join("sub")).unwrap();
        let [certificate, friend, newcomer, stranger] =
            [(); 4].map(|()| SecretCertificate::generate().unwrap());
        let save = |certificate: &SecretCertificate, name: &str| {
            certificate.certificate().save(path.join(name)).unwrap();
        };
        save(&friend, "friend");
        let store = Arc::new(CertificateStore::directory(&path).unwrap());
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let policy = Policy::new().curve(CurvePolicy::store(store.clone()));
        let domain = authenticator.domain("d", policy).unwrap();
        let curve = CurveServer::new(&certificate, &domain);
        let (server, endpoint) = secured(&context, SocketType::Pull, curve);
        let connect = |client: &SecretCertificate| {
            let client = CurveClient::new(client, *certificate.public_key());
            let socket = context.socket(SocketType::Push).secure(client);
            socket.connect_checked(&endpoint, SOON)
        };
        // Where connections last shorter than it takes to hear of them, one may be closed in the place of another that is to be.
        let enter = |client: &SecretCertificate| {
            loop {
                match connect(client) {
                    Ok(socket) => return socket,
                    Err(Error::Handshake { problem, .. }) => {
                        let refused = matches!(problem, HandshakeProblem::Refused { .. });
                        assert!(!refused, "{problem}");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let (held, events) = client(enter(&friend));
        // Until the server knows whose it is, it may be closed in the place of a newcomer's.
        wait(|| {
            let peers = authenticator.peers();
            peers.iter().any(|peer| peer.identity().is_some())
        });
        let others: Vec<_> = (0..20)
            .map(|n| {
                let key = *SecretCertificate::generate().unwrap().public_key();
                Certificate::new(key)
                    .with_meta("name", &n.to_string())
                    .unwrap()
            })
            .collect();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                bustle(&path, &others, 4000);
                over.store(true, Ordering::Relaxed);
            });
            let mut rounds = 0;
            while !over.load(Ordering::Relaxed) {
                // In at the first try, right after the copy; and out after the removal.
                let name = format!("newcomer-{rounds}");
                save(&newcomer, &name);
                enter(&newcomer);
                fs::remove_file(path.join(name)).unwrap();
                store.sync(SOON).unwrap();
                connect(&newcomer).unwrap_err();
                connect(&stranger).unwrap_err();
                enter(&friend);
                held.send("still in").unwrap();
                assert_eq!(server.recv().unwrap(), "still in");
                rounds += 1;
            }
            assert!(rounds > 0);
        });
        store.sync(SOON).unwrap();
        assert_eq!(store.watching(), Some(Watching::Events));
        assert_eq!(
            state(&store),
            state(&CertificateStore::directory(&path).unwrap())
        );
        while let Some(event) = events.next(Some(Duration::ZERO)).unwrap() {
            assert!(!matches!(event.kind, EventKind::Disconnected { .. }));
        }
    });
}
