//! Who guesses is locked out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ironhouse::security::{
    CertificateStore, Credential, CurvePolicy, LockoutSubject, PeerAddress, PublicKey, Reason,
    Reply, StatusCode, Verdict,
};

use super::*;
use crate::common::within;
use crate::zap::Asker;

#[test]
fn a_password_guesser_is_locked_out_and_another_address_is_not() {
    within(2 * SOON, || {
        let lockout = lasting().by_address(4).by_credential(None);
        let house = House::new(Limits::off().lockout(lockout), plain_policy());
        let server = house.plain(SOON);
        let (here, there) = (server.from("127.0.0.1"), server.from("127.0.0.2"));
        for guess in ["a", "b", "c", "d"] {
            assert_eq!(refused(log_in(&here, "alice", guess)), REFUSED);
        }
        // Not even the right one is taken any more, and nobody learns that it was.
        assert_eq!(refused(log_in(&here, "alice", "right")), REFUSED);
        assert_eq!(refused(log_in(&here, "bob", "good")), REFUSED);
        server.exchange(&log_in(&there, "alice", "right").unwrap(), "hello");

        let event = house.event(|event| match event {
            AuditEvent::LockedOut(locked_out) => Some(locked_out),
            _ => None,
        });
        let address = LockoutSubject::Address("127.0.0.1".parse().unwrap());
        assert_eq!(event.subject, address);
        assert_eq!(house.locked_out(), ["127.0.0.1"]);
        let decision = house.event(|event| match event {
            AuditEvent::Decision(decision) if decision.reason == Reason::LockedOut => {
                Some(decision)
            }
            _ => None,
        });
        assert_eq!(decision.identity.name().as_deref(), Some("alice"));

        assert!(house.authenticator.unlock(&PeerAddress::parse("127.0.0.1")));
        assert!(house.locked_out().is_empty());
        server.exchange(&log_in(&here, "bob", "good").unwrap(), "again");
    });
}

#[test]
fn a_lock_out_passes_and_the_client_that_was_told_to_wait_comes_back_by_itself() {
    within(2 * SOON, || {
        let lockout = Lockout::standard()
            .by_credential(1)
            .half_life(Duration::from_secs(1));
        let policy = Policy::new().plain(passwords());
        let house = House::new(Limits::off().lockout(lockout), policy);
        // A client that was told to try again does so when this is over.
        let server = house.plain(Duration::from_millis(200));
        let here = server.from("127.0.0.1");
        loop {
            // On a busy machine the time for a handshake may be over before it is answered.
            while refused(log_in(&here, "alice", "wrong")) != REFUSED {}
            while house.events.next(Some(Duration::ZERO)).is_some() {}
            let alice = Context::new()
                .unwrap()
                .socket(SocketType::Req)
                .set(options::RCV_TIMEO, Some(SOON))
                .secure(PlainClient::new("alice", Password::new("right").unwrap()))
                .open()
                .unwrap();
            alice.connect(&here).unwrap();
            let mut waited = 0;
            loop {
                let decision = house.events.next_decision(SOON).unwrap();
                match (decision.status, decision.reason) {
                    (StatusCode::Success, _) => break,
                    (StatusCode::TemporaryError, Reason::LockedOut) => waited += 1,
                    // A guess from before that was answered too late.
                    (_, Reason::WrongPassword) => {}
                    (_, reason) => panic!("{reason}"),
                }
            }
            server.exchange(&alice, "hello");
            // Or the lock-out may have passed before she came.
            if waited > 0 {
                break;
            }
        }
    });
}

#[test]
fn behind_nat_a_guesser_shuts_out_the_name_that_he_guesses_alone() {
    within(2 * SOON, || {
        let house = House::new(
            Limits::behind_nat().lockout(lasting().by_address(1000)),
            plain_policy(),
        );
        let server = house.plain(SOON);
        let nat = server.from("127.0.0.1");
        for guess in 0..12 {
            let problem = refused(log_in(&nat, "alice", &guess.to_string()));
            assert_eq!(problem, REFUSED);
        }
        assert_eq!(
            house.locked_out(),
            ["user \"alice\" from 127.0.0.1 in \"d\""]
        );
        assert_eq!(refused(log_in(&nat, "alice", "right")), REFUSED);
        server.exchange(&log_in(&nat, "bob", "good").unwrap(), "from behind the NAT");
        let elsewhere = server.from("127.0.0.2");
        server.exchange(&log_in(&elsewhere, "alice", "right").unwrap(), "from home");
    });
}

#[test]
fn a_key_in_the_store_is_admitted_from_an_address_that_is_locked_out() {
    within(2 * SOON, || {
        let lockout = lasting().by_address(2);
        let store = Arc::new(CertificateStore::in_memory());
        let friend = SecretCertificate::generate().unwrap();
        store.insert(friend.certificate().clone()).unwrap();
        let policy = Policy::new()
            .curve(CurvePolicy::store(store.clone()))
            .refusal_by(Rule::LockOut, Refusal::Final);
        let house = House::new(Limits::off().lockout(lockout), policy);
        let certificate = SecretCertificate::generate().unwrap();
        let server = house.curve(&certificate);
        let here = server.from("127.0.0.1");
        let stranger = SecretCertificate::generate().unwrap();
        let reason = || house.events.next_decision(SOON).unwrap().reason;
        for expected in [Reason::UnknownKey, Reason::UnknownKey, Reason::LockedOut] {
            assert_eq!(refused(enter(&here, &stranger, &certificate)), REFUSED);
            assert_eq!(reason(), expected);
        }
        server.exchange(&enter(&here, &friend, &certificate).unwrap(), "hello");
        assert_eq!(reason(), Reason::Admitted);
        // The stranger as well, once it is known.
        store.insert(stranger.certificate().clone()).unwrap();
        server.exchange(&enter(&here, &stranger, &certificate).unwrap(), "hello");
    });
}

fn key(n: u8) -> PublicKey {
    PublicKey::from_bytes([n; 32])
}

/// Sends a request for `key` without waiting for the answer.
fn send_key(asker: &Asker, id: &str, address: &str, key: &PublicKey) {
    let head = ["", "1.0", id, "d", address, "", "CURVE"].map(str::as_bytes);
    asker.send(&[&head[..], &[key.as_bytes()]].concat());
}

#[test]
fn callbacks_that_are_under_way_are_all_that_is_asked_beyond_the_threshold() {
    within(SOON, || {
        const THRESHOLD: usize = 5;
        const SHARE: usize = 2;
        let asked = Arc::new(AtomicUsize::new(0));
        let limits = Limits::off()
            .threads_per_address(SHARE)
            .lockout(lasting().by_address(THRESHOLD as u32));
        let policy = Policy::new().curve(CurvePolicy::callback({
            let asked = asked.clone();
            move |peer| {
                asked.fetch_add(1, Ordering::Relaxed);
                if peer.key == key(250) {
                    Verdict::admit()
                } else {
                    Verdict::refuse()
                }
            }
        }));
        let house = House::new(limits, policy);
        let asker = Asker::new(&house.context);
        let ask =
            |address: &str, key: &PublicKey| asker.ask("d", address, "CURVE", &[key.as_bytes()]);
        assert_eq!(ask("192.0.2.1", &key(250)), "200");
        for n in 1..=200 {
            send_key(&asker, "1", "192.0.2.1", &key(n));
        }
        let answers: Vec<_> = (0..200)
            .map(|_| asker.reply()[3].as_str().unwrap().to_owned())
            .collect();
        let refused = answers.iter().filter(|status| *status == "400").count();
        assert!(
            (THRESHOLD..THRESHOLD + SHARE).contains(&refused),
            "{refused}"
        );
        assert_eq!(asked.load(Ordering::Relaxed), 1 + refused);
        assert!(
            answers
                .iter()
                .all(|status| status == "400" || status == "300")
        );
        // Who was admitted before is, and so is who comes from elsewhere.
        assert_eq!(ask("192.0.2.1", &key(250)), "200");
        assert_eq!(ask("192.0.2.2", &key(7)), "400");
        assert_eq!(ask("192.0.2.1", &key(251)), "300");
        assert_eq!(asked.load(Ordering::Relaxed), 3 + refused);
    });
}

#[test]
fn a_hashed_password_is_guessed_no_oftener() {
    within(SOON, || {
        let passwords = PasswordFile::in_memory();
        let hash = PasswordFile::hash(&Password::new("right").unwrap()).unwrap();
        passwords.insert_hash("alice", &hash).unwrap();
        let limits = Limits::behind_nat().lockout(lasting().by_credential(3));
        let house = House::new(limits, Policy::new().plain(passwords));
        let asker = Asker::new(&house.context);
        let ask = |address: &str, password: &[u8]| {
            asker.ask("d", address, "PLAIN", &[b"alice", password])
        };
        for guess in [b"a", b"b", b"c"] {
            assert_eq!(ask("192.0.2.1", guess), "400");
        }
        assert_eq!(ask("192.0.2.1", b"right"), "300");
        assert_eq!(ask("192.0.2.2", b"right"), "200");
        assert!(house.authenticator.unlock(&PeerAddress::parse("192.0.2.1")));
        assert_eq!(ask("192.0.2.1", b"right"), "200");
    });
}

#[test]
fn one_address_does_not_take_the_places_of_all() {
    within(SOON, || {
        let held: Arc<Mutex<Vec<Reply>>> = Arc::default();
        let policy = Policy::new().curve(CurvePolicy::deferred({
            let held = held.clone();
            move |_, reply| held.lock().unwrap().push(reply)
        }));
        let house = House::new(Limits::off().requests(5).requests_per_address(3), policy);
        let asker = Asker::new(&house.context);
        let overloaded = |id: &str| {
            let reply = asker.reply();
            assert_eq!(
                (reply[2].as_str(), reply[3].as_str()),
                (Some(id), Some("300"))
            );
            let decision = house.events.next_decision(SOON).unwrap();
            assert_eq!(decision.reason, Reason::Overloaded);
        };
        for id in ["1", "2", "3", "4"] {
            send_key(&asker, id, "192.0.2.1", &key(1));
        }
        overloaded("4");
        for id in ["5", "6", "7"] {
            send_key(&asker, id, "192.0.2.2", &key(1));
        }
        overloaded("7");
        let start = Instant::now();
        while held.lock().unwrap().len() < 5 {
            assert!(start.elapsed() < SOON);
            std::thread::yield_now();
        }
        let answers = std::mem::take(&mut *held.lock().unwrap());
        answers.into_iter().for_each(|r| r.answer(Verdict::admit()));
        (0..5).for_each(|_| assert_eq!(asker.reply()[3], "200"));
    });
}

#[test]
fn the_reason_is_explained_and_a_rule_before_it_comes_first() {
    within(SOON, || {
        let lockout = lasting().by_address(1);
        let policy = Policy::new()
            .deny("192.0.2.9".parse().unwrap())
            .plain(passwords());
        let house = House::new(Limits::off().lockout(lockout), policy);
        let asker = Asker::new(&house.context);
        let (right, wrong): ([&[u8]; 2], [&[u8]; 2]) = ([b"bob", b"good"], [b"bob", b"bad"]);
        assert_eq!(asker.ask("d", "192.0.2.1", "PLAIN", &wrong), "400");
        assert_eq!(asker.ask("d", "192.0.2.1", "PLAIN", &right), "300");
        let explain = |address: &str| {
            let [name, password] = right;
            let credential = Credential::Plain { name, password };
            let address = PeerAddress::parse(address);
            house.authenticator.explain("d", &address, credential)
        };
        let explained = explain("192.0.2.1");
        assert_eq!(explained.status, StatusCode::TemporaryError);
        assert_eq!(explained.reason, Reason::LockedOut);
        let rules: Vec<_> = explained.steps.iter().map(|s| (s.rule, s.passed)).collect();
        assert_eq!(
            rules,
            [
                (Rule::DenyList, true),
                (Rule::AllowList, true),
                (Rule::Mechanism, true),
                (Rule::LockOut, false)
            ]
        );
        assert_eq!(explain("192.0.2.2").reason, Reason::Admitted);
        house
            .domain
            .update(|policy| policy.deny("192.0.2.1".parse().unwrap()))
            .unwrap();
        assert_eq!(explain("192.0.2.1").reason, Reason::AddressDenied);
        assert_eq!(asker.ask("d", "192.0.2.1", "PLAIN", &right), "400");
        house
            .domain
            .set_policy(Policy::new().curve(CurvePolicy::any_key()))
            .unwrap();
        assert_eq!(explain("192.0.2.1").reason, Reason::MechanismNotAllowed);
        // An unknown key waits for no store.
        house
            .domain
            .set_policy(Policy::new().curve(CurvePolicy::store(CertificateStore::in_memory())))
            .unwrap();
        let address = PeerAddress::parse("192.0.2.1");
        let explained = house
            .authenticator
            .explain("d", &address, Credential::Curve(key(1)));
        assert_eq!(explained.reason, Reason::LockedOut);
        assert!(!house.authenticator.unlock_key(&key(1)));
    });
}
