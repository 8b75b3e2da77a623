//! What can be seen of an authenticator while it works: counters, health, lines of JSON, `tracing` and `metrics`.

#[cfg(feature = "metrics")]
mod metrics_recorded;
#[cfg(feature = "tracing")]
mod tracing_events;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ironhouse::security::{
    AuditEvent, Authenticator, CertificateStore, CurveClient, CurvePolicy, CurveServer, Domain,
    JsonLines, Limits, Lockout, PasswordFile, Policy, Reason, SecretCertificate, StatusCode,
    ThreadHealth, Watching,
};
use ironhouse::{Context, Socket, SocketType};
use serde_json::Value;

use crate::common::{SOON, folder, secured, wait, within};
use crate::zap::Asker;

/// A server that admits by certificate.
struct House {
    authenticator: Authenticator,
    _domain: Domain,
    certificate: SecretCertificate,
    friend: SecretCertificate,
    _server: Socket,
    endpoint: String,
    context: Context,
}

impl House {
    /// It admits the friend.
    fn new(name: &str) -> Self {
        let friend = SecretCertificate::generate().unwrap();
        let store = CertificateStore::in_memory();
        store.insert(friend.certificate().clone()).unwrap();
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let policy = Policy::new().curve(CurvePolicy::store(store));
        let domain = authenticator.domain(name, policy).unwrap();
        let certificate = SecretCertificate::generate().unwrap();
        let curve = CurveServer::new(&certificate, &domain);
        let (server, endpoint) = secured(&context, SocketType::Pull, curve);
        Self {
            authenticator,
            _domain: domain,
            certificate,
            friend,
            _server: server,
            endpoint,
            context,
        }
    }

    fn connect(&self, who: &SecretCertificate) -> ironhouse::Result<Socket> {
        self.context
            .socket(SocketType::Push)
            .secure(CurveClient::new(who, *self.certificate.public_key()))
            .connect_checked(&self.endpoint, SOON)
    }

    /// One admitted, and one refused.
    fn handshakes(&self) -> Socket {
        let inside = self.connect(&self.friend).unwrap();
        let stranger = SecretCertificate::generate().unwrap();
        assert!(self.connect(&stranger).is_err());
        inside
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn counters_say_what_the_audit_says() {
    within(SOON, || {
        let house = House::new("counted");
        let events = house.authenticator.events();
        let inside = house.handshakes();
        let asker = Asker::new(&house.context);
        let passwords = PasswordFile::in_memory();
        passwords.insert("ada", "open sesame").unwrap();
        let policy = Policy::new().plain(passwords);
        let _domain = house.authenticator.domain("plain", policy).unwrap();
        let ask = |domain: &str, password: &str| {
            asker.ask(domain, "192.0.2.1", "PLAIN", &[b"ada", password.as_bytes()])
        };
        assert_eq!(ask("plain", "open sesame"), "200");
        assert_eq!(ask("plain", "open"), "400");
        assert_eq!(ask("nowhere", "open"), "400");
        asker.send(&[b"", b"0.9", b"1", b"d", b"", b"", b"NULL"]);
        asker.reply();
        house.authenticator.revoke(house.friend.public_key());

        let mut decisions = BTreeMap::new();
        let (mut malformed, mut closed) = (0, 0);
        while closed == 0 {
            match events.next(Some(SOON)).unwrap() {
                AuditEvent::Decision(decision) => {
                    let count = (decision.status.number(), decision.reason.name());
                    *decisions.entry(count).or_insert(0) += 1;
                }
                AuditEvent::Malformed(_) => malformed += 1,
                AuditEvent::Closed(_) => closed += 1,
                other => panic!("{other}"),
            }
        }
        let counters = house.authenticator.counters();
        let counted: BTreeMap<_, _> = counters
            .decisions()
            .map(|(status, reason, made)| ((status.number(), reason.name()), made))
            .collect();
        assert_eq!(counted, decisions);
        assert_eq!((counters.malformed, counters.closed), (malformed, closed));
        assert_eq!((counters.admitted(), counters.refused()), (2, 3));
        assert_eq!(counters.with_status(StatusCode::AuthenticationFailure), 3);
        assert_eq!(counters.with_reason(Reason::UnknownKey), 1);
        assert_eq!(
            (counters.deferred(), counters.pending, counters.dropped),
            (0, 0, 0)
        );
        drop(inside);
    });
}

#[test]
fn handshakes_that_fail_and_lock_outs_are_counted() {
    within(SOON, || {
        let house = House::new("abused");
        let failures = house.authenticator.handshakes();
        let bare = house.context.socket(SocketType::Push).open().unwrap();
        bare.connect(&house.endpoint).unwrap();
        let failed = failures.next(Some(SOON)).unwrap();
        assert_eq!(failed.name(), "handshake_failed");
        assert!(house.authenticator.counters().failed_handshakes > 0);

        let context = Context::new().unwrap();
        let lockout = Lockout::standard()
            .half_life(30 * Duration::from_secs(86_400))
            .by_address(2);
        let authenticator = Authenticator::builder(&context)
            .limits(Limits::off().lockout(lockout))
            .start()
            .unwrap();
        let events = authenticator.events();
        let passwords = PasswordFile::in_memory();
        passwords.insert("ada", "open sesame").unwrap();
        let policy = Policy::new().plain(passwords);
        let _domain = authenticator.domain("d", policy).unwrap();
        let asker = Asker::new(&context);
        while authenticator.counters().with_reason(Reason::LockedOut) == 0 {
            asker.ask("d", "192.0.2.1", "PLAIN", &[b"ada", b"guessed"]);
        }
        let mut locked_out = 0;
        while let Some(event) = events.next(Some(Duration::ZERO)) {
            locked_out += u64::from(event.name() == "locked_out");
        }
        assert!(locked_out > 0);
        assert_eq!(authenticator.counters().locked_out, locked_out);
    });
}

#[test]
fn decisions_that_are_waited_for_are_counted_while_they_are() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let (hand, reply) = std::sync::mpsc::channel();
        let callback = CurvePolicy::deferred(move |_, reply| hand.send(reply).unwrap());
        let policy = Policy::new().curve(callback);
        let _domain = authenticator.domain("d", policy).unwrap();
        let asker = Asker::new(&context);
        let head = ["", "1.0", "1", "d", "192.0.2.1", "", "CURVE"].map(str::as_bytes);
        asker.send(&[&head[..], &[&[7; 32]]].concat());
        let reply = reply.recv().unwrap();
        // To answer, the thread has to go round first.
        assert!(authenticator.health().is_good());
        assert_eq!(authenticator.counters().pending, 1);
        drop(reply);
        assert_eq!(asker.reply()[3], "300");
        authenticator.health();
        let counters = authenticator.counters();
        assert_eq!((counters.pending, counters.deferred()), (0, 1));
        assert_eq!(counters.with_reason(Reason::CallbackSilent), 1);
    });
}

#[test]
fn a_handshake_is_a_line_with_the_documented_fields() {
    within(SOON, || {
        let folder = folder();
        let path = folder.path().join("audit.jsonl");
        let house = House::new("lines");
        let file = JsonLines::open(&path, &house.authenticator).unwrap();
        drop(house.handshakes());
        file.flush(SOON).unwrap();
        let lines = lines(&path);
        let field = |name: &str| {
            lines
                .iter()
                .map(|line| line[name].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(field("event"), ["decision", "decision"]);
        assert_eq!(field("verdict"), ["admitted", "refused"]);
        assert_eq!(field("status"), [200, 400]);
        assert_eq!(field("reason"), ["admitted", "unknown_key"]);
        assert_eq!(field("domain"), ["lines", "lines"]);
        assert_eq!(field("mechanism"), ["CURVE", "CURVE"]);
        assert_eq!(field("address"), ["127.0.0.1", "127.0.0.1"]);
        let key = house.friend.public_key();
        assert_eq!(field("identity")[0], key.to_string());
        assert_eq!(field("fingerprint")[0], key.fingerprint().to_string());
    });
}

#[test]
fn rotation_by_renaming_loses_no_line() {
    const DECISIONS: usize = 1000;
    within(SOON, || {
        let folder = folder();
        let name = |number: usize| folder.path().join(format!("audit.{number}"));
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let file = JsonLines::open(name(0), &authenticator).unwrap();
        let asker = Asker::new(&context);
        let mut rotated = 0;
        for number in 0..DECISIONS {
            let address = format!("192.0.2.{}", number % 256);
            asker.ask(
                "d",
                &address,
                "PLAIN",
                &[number.to_string().as_bytes(), b"x"],
            );
            if number % 50 == 49 {
                // The lines since the last time bring a new file, sooner or later.
                while !name(0).exists() {
                    std::thread::yield_now();
                }
                rotated += 1;
                fs::rename(name(0), name(rotated)).unwrap();
            }
        }
        file.flush(SOON).unwrap();
        let found: Vec<_> = (1..=rotated)
            .chain([0])
            .map(name)
            .filter(|path| path.exists())
            .flat_map(|path| lines(&path))
            .map(|line| line["identity"].as_str().unwrap().parse::<usize>().unwrap())
            .collect();
        assert_eq!(found, (0..DECISIONS).collect::<Vec<_>>());
        assert_eq!(file.status().lost, 0);
    });
}

#[test]
fn decisions_go_on_when_the_disk_is_full_and_the_loss_is_counted_and_told_of() {
    const DECISIONS: u64 = 17_000;
    const AT_ONCE: u64 = 100;
    within(SOON * 4, || {
        let folder = folder();
        let [path, next] = ["audit", "next"].map(|name| folder.path().join(name));
        symlink("/dev/full", &path).unwrap();
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let file = JsonLines::open(&path, &authenticator).unwrap();
        let asker = Asker::new(&context);
        let request = ["", "1.0", "1", "d", "192.0.2.1", "", "NULL"].map(str::as_bytes);
        for round in 0..DECISIONS / AT_ONCE {
            for _ in 0..AT_ONCE {
                asker.send(&request);
            }
            for _ in 0..AT_ONCE {
                let reply = asker.reply();
                assert_eq!(reply[2], "1");
                assert_eq!(reply[3], "400");
            }
            if round == 0 {
                // From here on, all that comes waits.
                wait(|| authenticator.health().files[0].failing.is_some());
            }
        }
        let health = authenticator.health();
        assert!(matches!(health.thread, ThreadHealth::Alive { .. }));
        assert!(!health.is_good());
        let status = &health.files[0];
        let (reason, since) = status.failing.clone().unwrap();
        assert!(reason.contains("No space left on device"), "{reason}");
        assert!(since <= SystemTime::now());
        assert!(status.lost > 0 && status.lines == 0, "{health}");
        assert_eq!(health.counters.refused(), DECISIONS);
        assert_eq!(health.counters.dropped, status.lost);

        // Room again.
        symlink("real", &next).unwrap();
        fs::rename(&next, &path).unwrap();
        file.reopen();
        file.flush(SOON).unwrap();
        let lines = lines(&path);
        let (lost, written): (Vec<_>, Vec<_>) =
            lines.iter().partition(|line| line["event"] == "lost");
        let lost: u64 = lost.iter().map(|line| line["lost"].as_u64().unwrap()).sum();
        assert_eq!(
            (lost, lost + written.len() as u64),
            (status.lost, DECISIONS)
        );
        let health = authenticator.health();
        assert!(health.is_good(), "{health}");
        drop(file);
        assert!(authenticator.health().files.is_empty());
    });
}

#[test]
fn health_tells_of_each_store_and_who_uses_it() {
    within(SOON, || {
        let folder = folder();
        let store = Arc::new(CertificateStore::directory(folder.path()).unwrap());
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let policy = || Policy::new().curve(CurvePolicy::store(store.clone()));
        let _a = authenticator.domain("a", policy()).unwrap();
        let _b = authenticator.domain("b", policy()).unwrap();
        authenticator.set_fallback(policy()).unwrap();
        let one = |authenticator: &Authenticator| {
            let mut stores = authenticator.health().stores;
            assert_eq!(stores.len(), 1);
            stores.remove(0)
        };
        let before = one(&authenticator);
        assert_eq!(before.path.as_deref(), Some(folder.path()));
        assert_eq!(before.domains, [Some("a".into()), Some("b".into()), None]);
        assert_eq!((before.certificates, before.problems), (0, 0));
        assert_eq!(
            (before.watching, before.changed),
            (Some(Watching::Events), None)
        );
        let looked = before.reload.unwrap();

        let certificate = SecretCertificate::generate().unwrap();
        let public = certificate.certificate();
        public.save(folder.path().join("good")).unwrap();
        fs::write(folder.path().join("bad"), "no certificate").unwrap();
        store.sync(SOON).unwrap();
        let after = one(&authenticator);
        assert_eq!((after.certificates, after.problems), (1, 1));
        let problems = authenticator.health().problems();
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let bad = format!("{}:", folder.path().join("bad").display());
        assert!(told.len() == 1 && told[0].starts_with(&bad), "{told:?}");
        assert!(after.changed.is_some());
        assert!(after.reload.unwrap().at > looked.at);
        assert!(authenticator.health().is_good());
    });
}

#[test]
fn health_tells_a_thread_that_died_from_one_that_ended() {
    within(SOON, || {
        let house = House::new("died");
        let thread = |house: &House| house.authenticator.health().thread;
        assert!(matches!(thread(&house), ThreadHealth::Alive { .. }));
        let events = house.authenticator.events();
        house.authenticator.crash_for_test();
        assert_eq!(events.next(Some(SOON)), Some(AuditEvent::HandlerDied));
        assert_eq!(thread(&house), ThreadHealth::Died);
        let health = house.authenticator.health();
        assert!(!health.is_good());
        assert!(health.to_string().starts_with("thread  DIED"), "{health}");

        let house = House::new("ended");
        let events = house.authenticator.events();
        house.context.shutdown().unwrap();
        assert_eq!(events.next(None), None);
        assert_eq!(thread(&house), ThreadHealth::Ended);
    });
}

#[test]
fn the_death_of_the_thread_is_the_last_line() {
    within(SOON, || {
        let folder = folder();
        let path = folder.path().join("audit");
        let house = House::new("last line");
        let file = JsonLines::open(&path, &house.authenticator).unwrap();
        let events = house.authenticator.events();
        drop(house.handshakes());
        house.authenticator.crash_for_test();
        while events.next(Some(SOON)).unwrap() != AuditEvent::HandlerDied {}
        drop(file);
        let last = lines(&path).pop().unwrap();
        assert_eq!(last["event"], "handler_died");
    });
}
