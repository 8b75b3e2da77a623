//! Revocation of users with passwords, and of those whom a callback admitted.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ironhouse::security::{
    Authenticator, CurveClient, CurvePolicy, CurveServer, Domain, Password, PasswordFile,
    PeerIdentity, PlainClient, PlainServer, Policy, SecretCertificate, Verdict,
};
use ironhouse::socket::{EventKind, Monitor, options};
use ironhouse::{Context, Error, Socket, SocketType};

use crate::common::{
    SOON, endpoint, folder, replace_private, secured, wait, within, write_private,
};

/// A server whose users have passwords.
struct House {
    authenticator: Authenticator,
    domain: Domain,
    server: Socket,
    monitor: Monitor,
    endpoint: String,
    context: Context,
}

impl House {
    fn new(users: PasswordFile, kind: SocketType, transport: &str) -> Self {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let domain = authenticator
            .domain("d", Policy::new().plain(users))
            .unwrap();
        let server = context
            .socket(kind)
            .set(options::RCV_TIMEO, Some(Duration::from_millis(20)))
            .set(options::SND_TIMEO, Some(Duration::from_millis(20)))
            .secure(PlainServer::new(&domain))
            .open()
            .unwrap();
        let endpoint = server.bind(&endpoint(transport)).unwrap();
        Self {
            authenticator,
            domain,
            monitor: Monitor::attach(&server).unwrap(),
            server,
            endpoint,
            context,
        }
    }

    /// Waits until `guest` has been put out, and refused when it came back.
    fn wait_until_out(&self, guest: &Guest) {
        guest.wait_until_out();
        // Of two connections at one time it is not known whose they are: the next one comes when this one has ended.
        wait_for(&self.monitor, |kind| {
            *kind == EventKind::HandshakeFailedAuth(400)
        });
        wait_for(&self.monitor, |kind| {
            matches!(kind, EventKind::Disconnected { .. })
        });
    }

    /// A client that is in.
    fn enter(&self, kind: SocketType, name: &str, password: &str) -> Guest {
        let socket = self
            .context
            .socket(kind)
            .set(options::RCV_TIMEO, Some(Duration::from_millis(20)))
            .set(options::SND_TIMEO, Some(Duration::from_millis(20)))
            .secure(PlainClient::new(name, Password::new(password).unwrap()))
            .open()
            .unwrap();
        if kind == SocketType::Sub {
            socket.subscribe("").unwrap();
        }
        let guest = Guest::connect(socket, &self.endpoint, PeerIdentity::User(name.into()));
        // One at a time, so that each is known for certain.
        wait_for_peer(&self.authenticator, &guest.identity);
        guest
    }

    /// Whether a message goes from the server to `guest` or the other way.
    fn reaches(&self, guest: &Guest) -> bool {
        let (from, to) = match self.server.kind() {
            SocketType::Push | SocketType::Pub => (&self.server, &guest.socket),
            _ => (&guest.socket, &self.server),
        };
        let text = guest.identity.to_string();
        let _ = from.send(&*text);
        loop {
            match to.recv_multipart() {
                Ok(frames) if frames.last().is_some_and(|frame| *frame == *text) => return true,
                Ok(_) => {}
                Err(Error::Again) => return false,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A client and what happens to it.
struct Guest {
    socket: Socket,
    monitor: Monitor,
    identity: PeerIdentity,
}

impl Guest {
    fn connect(socket: Socket, endpoint: &str, identity: PeerIdentity) -> Self {
        let guest = Self {
            monitor: Monitor::attach(&socket).unwrap(),
            socket,
            identity,
        };
        guest.socket.connect(endpoint).unwrap();
        guest.wait(EventKind::HandshakeSucceeded);
        guest
    }

    fn wait(&self, kind: EventKind) {
        wait_for(&self.monitor, |found| *found == kind);
    }

    fn wait_until_out(&self) {
        self.wait(EventKind::HandshakeFailedAuth(400));
    }

    #[track_caller]
    fn was_left_alone(&self) {
        while let Some(event) = self.monitor.next(Some(Duration::ZERO)).unwrap() {
            let ended = matches!(event.kind, EventKind::Disconnected { .. });
            assert!(!ended, "{}", self.identity);
        }
    }
}

#[track_caller]
fn wait_for(monitor: &Monitor, event: impl Fn(&EventKind) -> bool) {
    while !event(&monitor.next(Some(SOON)).unwrap().unwrap().kind) {}
}

#[track_caller]
fn wait_for_peer(authenticator: &Authenticator, identity: &PeerIdentity) {
    let start = Instant::now();
    loop {
        let peers = authenticator.peers();
        if peers.iter().any(|peer| peer.identity() == Some(identity)) {
            return;
        }
        assert!(start.elapsed() < SOON / 2, "{identity} in {peers:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

const PATTERNS: [(SocketType, SocketType); 4] = [
    (SocketType::Push, SocketType::Pull),
    (SocketType::Pub, SocketType::Sub),
    (SocketType::Router, SocketType::Dealer),
    (SocketType::Pull, SocketType::Push),
];

#[test]
fn a_user_who_is_removed_or_whose_password_changes_is_out_while_the_neighbour_goes_on() {
    for ((kind, peer), transport) in PATTERNS.into_iter().zip(["tcp", "ipc", "tcp", "ipc"]) {
        within(SOON, move || {
            let users = PasswordFile::in_memory();
            for name in ["ada", "bob", "eve"] {
                users.insert(name, "1").unwrap();
            }
            let house = House::new(users.clone(), kind, transport);
            let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| house.enter(peer, name, "1"));
            for guest in [&ada, &bob, &eve] {
                wait(|| house.reaches(guest));
            }
            assert!(users.remove("bob").unwrap());
            house.wait_until_out(&bob);
            users.insert("eve", "2").unwrap();
            house.wait_until_out(&eve);
            users.insert("ada", "1").unwrap();
            users.insert("carol", "1").unwrap();
            for _ in 0..3 {
                assert!(!house.reaches(&bob) && !house.reaches(&eve));
                wait(|| house.reaches(&ada));
            }
            assert_eq!(house.authenticator.peers().len(), 1);
            ada.was_left_alone();
            drop(house.enter(peer, "eve", "2"));
        });
    }
}

#[test]
fn a_line_that_leaves_its_file_or_changes_puts_its_user_out_and_nobody_else() {
    within(2 * SOON, || {
        let folder = folder();
        let path = folder.path().join("passwords");
        let hash = |password| PasswordFile::hash(&Password::new(password).unwrap()).unwrap();
        let [hashed, again, other] = ["1", "1", "2"].map(hash);
        let before = format!("# users\nada={hashed}\nbob=1\neve=1\n");
        write_private(&path, &before);
        let users = PasswordFile::load(&path).unwrap();
        let house = House::new(users, SocketType::Push, "tcp");
        let mut bystander = house.enter(SocketType::Pull, "eve", "1");
        for (name, after) in [
            ("bob", format!("eve=1\nada={hashed}\n")),
            ("bob", before.replace("bob=1", "bob=2")),
            ("bob", before.replace("bob=1", "bob")),
            ("bob", before.replace("bob=1", &format!("bob={other}"))),
            ("ada", before.replace(&hashed, &other)),
            ("ada", format!("{before}ada={hashed}x\n")),
            ("ada", "eve=1\r\n".into()),
        ] {
            let guest = house.enter(SocketType::Pull, name, "1");
            replace_private(&path, &after);
            house.wait_until_out(&guest);
            wait(|| house.reaches(&bystander));
            bystander.was_left_alone();
            drop(guest);
            replace_private(&path, &before);
        }
        // The same password, hashed anew: it has to be given again.
        let guest = house.enter(SocketType::Pull, "ada", "1");
        replace_private(&path, &before.replace(&hashed, &again));
        guest.wait(EventKind::HandshakeSucceeded);
        wait_for_peer(&house.authenticator, &guest.identity);
        bystander.was_left_alone();
        drop(guest);
        wait(|| house.authenticator.peers().len() == 1);
        // The whole file.
        let gone: [&dyn Fn(); 3] = [
            &|| fs::remove_file(&path).unwrap(),
            &|| fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap(),
            &|| fs::rename(&path, path.with_extension("old")).unwrap(),
        ];
        for change in gone {
            change();
            house.wait_until_out(&bystander);
            drop(bystander);
            replace_private(&path, &before);
            bystander = house.enter(SocketType::Pull, "eve", "1");
        }
    });
}

#[test]
fn whose_line_is_the_same_stays_whatever_else_changes() {
    within(SOON, || {
        let folder = folder();
        let path = folder.path().join("passwords");
        let hashed = PasswordFile::hash(&Password::new("1").unwrap()).unwrap();
        write_private(&path, &format!("ada=1\nbob={hashed}\n"));
        let load = || PasswordFile::load(&path).unwrap();
        let house = House::new(load(), SocketType::Pull, "tcp");
        let stay = [("ada", "1"), ("bob", "1")]
            .map(|(name, password)| house.enter(SocketType::Push, name, password));
        let changes: [&dyn Fn(&str); 5] = [
            &|more| replace_private(&path, &format!("# x\nada=1\nbob={hashed}\n{more}")),
            &|more| {
                replace_private(
                    &path,
                    &format!("{more}bob=x\nbob={hashed}\r\n\nada=2\nada=1"),
                )
            },
            // Another set of the same file, as after a change of the configuration.
            &|more| {
                replace_private(&path, &format!("ada=1\nbob={hashed}\n{more}"));
                house
                    .domain
                    .set_policy(Policy::new().plain(load()))
                    .unwrap();
            },
            &|more| {
                let memory = PasswordFile::in_memory();
                memory.insert("ada", "1").unwrap();
                memory.insert_hash("bob", &hashed).unwrap();
                if !more.is_empty() {
                    memory.insert("eve", "1").unwrap();
                }
                house
                    .domain
                    .set_policy(Policy::new().plain(memory))
                    .unwrap();
            },
            &|more| {
                replace_private(&path, &format!("ada=1\nbob={hashed}\n{more}"));
                let policy = Policy::new().plain(load());
                let loopback = "127.0.0.0/8".parse().unwrap();
                house.domain.set_policy(policy.allow(loopback)).unwrap();
            },
        ];
        for change in changes {
            change("eve=1\n");
            let eve = house.enter(SocketType::Push, "eve", "1");
            change("");
            // When she is out, all have been judged.
            house.wait_until_out(&eve);
            for guest in &stay {
                wait(|| house.reaches(guest));
                guest.was_left_alone();
            }
        }
    });
}

#[test]
fn what_a_removed_user_sent_before_is_not_received_after() {
    within(SOON, || {
        let users = PasswordFile::in_memory();
        users.insert("ada", "1").unwrap();
        users.insert("bob", "1").unwrap();
        let house = House::new(users.clone(), SocketType::Pull, "tcp");
        let [ada, bob] = ["ada", "bob"].map(|name| house.enter(SocketType::Push, name, "1"));
        bob.socket.send("bob").unwrap();
        wait(|| house.server.get(options::EVENTS).unwrap() & 1 == 1);
        users.remove("bob").unwrap();
        house.wait_until_out(&bob);
        ada.socket.send("ada").unwrap();
        let start = Instant::now();
        let message = loop {
            match house.server.recv() {
                Ok(message) => break message,
                Err(Error::Again) => assert!(start.elapsed() < SOON / 2),
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(message, "ada");
    });
}

#[test]
fn who_is_disconnected_comes_back_and_is_judged_anew() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let [certificate, one, other] = [(); 3].map(|()| SecretCertificate::generate().unwrap());
        let admitted = Arc::new(AtomicBool::new(true));
        let callback = {
            let (admitted, other) = (admitted.clone(), *other.public_key());
            move |peer: &ironhouse::security::Peer| {
                if peer.key == other || admitted.load(Ordering::SeqCst) {
                    Verdict::admit()
                } else {
                    Verdict::refuse()
                }
            }
        };
        let policy = Policy::new().curve(CurvePolicy::callback(callback));
        let domain = authenticator.domain("d", policy).unwrap();
        let curve = CurveServer::new(&certificate, &domain);
        let (server, endpoint) = secured(&context, SocketType::Push, curve);
        let enter = |client: &SecretCertificate| {
            let socket = context
                .socket(SocketType::Pull)
                .secure(CurveClient::new(client, *certificate.public_key()))
                .open()
                .unwrap();
            let identity = PeerIdentity::Key(*client.public_key());
            let guest = Guest::connect(socket, &endpoint, identity);
            wait_for_peer(&authenticator, &guest.identity);
            guest
        };
        let [one, other] = [&one, &other].map(enter);

        // The filter may ask who is connected.
        let is_one =
            |peer: &PeerIdentity| authenticator.peers().len() == 2 && *peer == one.identity;
        authenticator.disconnect(is_one);
        one.wait(EventKind::HandshakeSucceeded);
        wait_for_peer(&authenticator, &one.identity);
        admitted.store(false, Ordering::SeqCst);
        authenticator.disconnect(is_one);
        one.wait_until_out();
        wait(|| authenticator.peers().len() == 1);
        authenticator.disconnect(|_| false);
        server.send("still in").unwrap();
        assert_eq!(other.socket.recv().unwrap(), "still in");
        other.was_left_alone();
        authenticator.disconnect(|_| true);
        other.wait(EventKind::HandshakeSucceeded);
    });
}
