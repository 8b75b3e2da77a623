use proptest::prelude::*;

use super::*;
use crate::security::audit::Audit;
use crate::security::clock::{Clock, Source};
use crate::security::{CurvePolicy, GssapiPolicy};

fn lockouts(lockout: Lockout) -> Lockouts {
    let limits = Limits::off().lockout(lockout.capacity(4096));
    limits.check().unwrap();
    Lockouts::new(&limits).unwrap()
}

fn request<'a>(domain: &'a str, address: &str, credential: Credential<'a>) -> ZapRequest<'a> {
    ZapRequest {
        domain: Some(domain),
        address: PeerAddress::parse(address).into(),
        credential,
    }
}

fn user<'a>(address: &str, name: &'a str) -> ZapRequest<'a> {
    let credential = Credential::Plain {
        name: name.as_bytes(),
        password: b"x",
    };
    request("d", address, credential)
}

fn key(address: &str, n: u8) -> ZapRequest<'static> {
    let key = PublicKey::from_bytes([n; 32]);
    request("d", address, Credential::Curve(key))
}

/// The clock stands still unless a test sets it.
impl Lockouts {
    fn fails(&self, request: &ZapRequest<'_>, times: usize, now: u64) {
        for _ in 0..times {
            self.record_at(&self.attempt(request), Reason::WrongPassword, at(now));
        }
    }

    fn succeeds(&self, request: &ZapRequest<'_>) {
        self.record_at(&self.attempt(request), Reason::Admitted, at(0));
    }

    fn refuses_at(&self, request: &ZapRequest<'_>, now: u64) -> bool {
        self.is_shut_at(&self.attempt(request), at(now))
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn who_fails_too_often_is_locked_out_for_a_half_life() {
    let lockouts = lockouts(Lockout::standard().half_life(at(100)));
    let guesser = user("192.0.2.1", "alice");
    lockouts.fails(&guesser, 9, 0);
    assert!(!lockouts.refuses_at(&guesser, 0));
    lockouts.fails(&guesser, 1, 0);
    assert!(lockouts.refuses_at(&guesser, 0) && lockouts.refuses_at(&guesser, 99));
    assert!(!lockouts.refuses_at(&guesser, 100));
    // Alice elsewhere, and others at the same address, are not concerned; nor is her name in another domain.
    assert!(!lockouts.refuses_at(&user("192.0.2.2", "alice"), 0));
    assert!(!lockouts.refuses_at(&user("192.0.2.1", "bob"), 0));
    let elsewhere = ZapRequest {
        domain: Some("e"),
        ..user("192.0.2.1", "alice")
    };
    assert!(!lockouts.refuses_at(&elsewhere, 0));
}

#[test]
fn an_address_is_locked_out_but_not_who_was_admitted_from_there_before() {
    let lockouts = lockouts(Lockout::standard());
    lockouts.succeeds(&user("192.0.2.1", "alice"));
    lockouts.succeeds(&key("192.0.2.1", 1));
    for name in ["a", "b", "c", "d"] {
        lockouts.fails(&user("192.0.2.1", name), 5, 0);
    }
    assert!(lockouts.refuses_at(&user("192.0.2.1", "new"), 0));
    assert!(lockouts.refuses_at(&key("192.0.2.1", 2), 0));
    assert!(!lockouts.refuses_at(&user("192.0.2.1", "alice"), 0));
    assert!(!lockouts.refuses_at(&key("192.0.2.1", 1), 0));
    assert!(!lockouts.refuses_at(&user("192.0.2.2", "new"), 0));
    // Her own failures count as before.
    lockouts.fails(&user("192.0.2.1", "alice"), 10, 0);
    assert!(lockouts.refuses_at(&user("192.0.2.1", "alice"), 0));
}

#[test]
fn behind_nat_one_bad_client_shuts_out_itself_alone() {
    let lockouts = lockouts(Lockout::behind_nat());
    for n in 0..50 {
        lockouts.fails(&user("192.0.2.1", &format!("guess{n}")), 10, 0);
    }
    assert!(lockouts.refuses_at(&user("192.0.2.1", "guess7"), 0));
    assert!(!lockouts.refuses_at(&user("192.0.2.1", "alice"), 0));
    assert!(!lockouts.refuses_at(&key("192.0.2.1", 1), 0));
    // But work without end cannot be had.
    for n in 50..100 {
        lockouts.fails(&user("192.0.2.1", &format!("guess{n}")), 10, 0);
    }
    assert!(lockouts.refuses_at(&user("192.0.2.1", "alice"), 0));
}

#[test]
fn a_key_is_counted_wherever_its_holder_is() {
    let lockouts = lockouts(Lockout::behind_nat());
    for n in 0..10 {
        lockouts.fails(&key(&format!("192.0.2.{n}"), 1), 1, 0);
    }
    assert!(lockouts.refuses_at(&key("198.51.100.1", 1), 0));
    assert!(!lockouts.refuses_at(&key("192.0.2.1", 2), 0));
}

/// With a libzmq that lets in over GSSAPI whomever we refuse, a refusal would be a lie.
#[test]
fn what_memory_admits_without_a_secret_is_admitted_by_whomever_it_is() {
    let lockouts = lockouts(Lockout::standard().by_address(1).by_credential(1));
    let policy = Policy::new()
        .null()
        .curve(CurvePolicy::any_key())
        .gssapi(GssapiPolicy::any_principal());
    let audit = Arc::new(Audit::new());
    let clock = Clock::new(Source::default(), Duration::ZERO, audit);
    for credential in [
        Credential::Null,
        Credential::Curve(PublicKey::from_bytes([1; 32])),
        Credential::Gssapi { principal: b"p@R" },
    ] {
        let peer = request("d", "192.0.2.1", credential);
        lockouts.fails(&peer, 3, 0);
        assert!(lockouts.refuses(&peer));
        let judgement = Lockouts::judge(
            Some(&lockouts),
            &policy,
            &peer,
            &mut Reading::new(&clock),
            &mut (),
        );
        let Judgement::Decided(outcome) = judgement else {
            panic!("memory decides");
        };
        assert_eq!(outcome.reason, Reason::Admitted);
    }
}

#[test]
fn what_is_no_failure_of_the_peer_counts_for_nothing() {
    let lockouts = lockouts(Lockout::standard().by_address(1).by_credential(1));
    let peer = key("192.0.2.1", 1);
    for reason in [
        Reason::AddressDenied,
        Reason::AddressNotAllowed,
        Reason::MechanismNotAllowed,
        Reason::UnknownDomain,
        Reason::Revoked,
        Reason::LockedOut,
        Reason::CallbackDeferred,
        Reason::CallbackFailed,
        Reason::CallbackPanicked,
        Reason::Late,
        Reason::Overloaded,
        Reason::StoreNotCurrent,
    ] {
        lockouts.record_at(&lockouts.attempt(&peer), reason, at(0));
        assert!(!lockouts.refuses_at(&peer, 0), "{reason}");
    }
}

#[test]
fn peers_without_an_address_share_no_count() {
    let lockouts = lockouts(Lockout::standard());
    lockouts.fails(&user("", "alice"), 1000, 0);
    assert!(!lockouts.refuses_at(&user("", "alice"), 0));
    lockouts.fails(&key("", 1), 1000, 0);
    assert!(lockouts.refuses_at(&key("", 1), 0));
    assert!(!lockouts.refuses_at(&key("", 2), 0));
}

#[test]
fn lock_outs_are_listed_told_once_and_taken_back() {
    let lockouts = lockouts(Lockout::standard().half_life(at(86_400)));
    let principal = request("d", "2001:db8::1", Credential::Gssapi { principal: b"p@R" });
    let all = [
        user("192.0.2.1", "al\u{1b}ice"),
        key("192.0.2.2", 1),
        principal,
    ];
    for one in &all {
        lockouts.fails(one, 10, 0);
        assert_eq!(lockouts.news(one).len(), 1);
        assert!(lockouts.news(one).is_empty());
    }
    lockouts.fails(&user("localhost:7:8:9", "z"), 9, 0);
    lockouts.fails(&user("localhost:7:8:9", "y"), 9, 0);
    lockouts.fails(&user("localhost:7:8:9", "x"), 2, 0);
    let news = lockouts.news(&user("localhost:7:8:9", "x"));
    let mut list: Vec<_> = lockouts
        .list()
        .iter()
        .map(|l| l.subject.to_string())
        .collect();
    list.sort();
    let key_1 = PublicKey::from_bytes([1; 32]);
    assert_eq!(
        list,
        [
            format!("key {key_1} in \"d\""),
            "principal \"p@R\" in \"d\"".into(),
            "uid:7".into(),
            "user \"al\\u{1b}ice\" from 192.0.2.1 in \"d\"".into(),
        ]
    );
    let text = news[0].to_string();
    assert!(text.starts_with("uid:7 for 86"), "{text}");
    assert!(lockouts.unlock_address(&PeerAddress::parse("192.0.2.1")));
    assert!(!lockouts.unlock_address(&PeerAddress::parse("192.0.2.1")));
    assert!(!lockouts.unlock_address(&PeerAddress::parse("192.0.2.2")));
    assert!(!lockouts.unlock_address(&PeerAddress::parse("")));
    assert!(lockouts.unlock_key(&key_1) && !lockouts.unlock_key(&key_1));
    assert!(lockouts.unlock_address(&PeerAddress::parse("localhost:7:1:1")));
    assert_eq!(lockouts.list().len(), 1);
    assert!(!lockouts.refuses_at(&all[0], 0) && !lockouts.refuses_at(&all[1], 0));
}

#[test]
fn names_kept_for_the_list_are_bounded() {
    let lockouts = lockouts(Lockout::standard().by_credential(1).by_address(None));
    for n in 0..NAMES + 100 {
        let name = n.to_string();
        let one = user("192.0.2.1", &name);
        lockouts.fails(&one, 1, 0);
        lockouts.news(&one);
    }
    assert!(lockouts.state().names.len() <= NAMES);
}

proptest! {
    /// Whatever others do, from their addresses and with their keys: who does not share an address with them is never refused, nor
    /// is, behind the NAT preset, who shares theirs but not the name that they guess.
    #[test]
    fn nobody_is_locked_out_by_others(
        attempts in prop::collection::vec((0..4u8, 0..6u8, any::<bool>(), 0..60u64), 1..400),
        nat: bool,
    ) {
        let lockouts = lockouts(if nat { Lockout::behind_nat() } else { Lockout::standard() });
        let mut now = 0;
        for (from, who, by_key, wait) in attempts {
            now += wait / 50;
            let address = format!("192.0.2.{from}");
            let name = format!("user{who}");
            let attempt = if by_key { key(&address, who) } else { user(&address, &name) };
            lockouts.fails(&attempt, 3, now);
            prop_assert!(!lockouts.refuses_at(&user("198.51.100.1", &name), now));
            prop_assert!(!lockouts.refuses_at(&user("2001:db8::1", "victim"), now));
            prop_assert!(!lockouts.refuses_at(&key("198.51.100.1", 99), now));
            if nat {
                // Fewer than a thousand failed, so far.
                let few = lockouts.state().slots.locked(super::address(lockouts.blocks.of(&attempt.address).unwrap()), at(now)).is_none();
                prop_assert!(!few || !lockouts.refuses_at(&user(&address, "victim"), now));
                prop_assert!(!few || !lockouts.refuses_at(&key(&address, 99), now));
            }
        }
    }
}
