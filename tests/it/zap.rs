//! The ZAP endpoint itself: requests made by hand, good and bad.

use ironhouse::security::{
    AddressRule, AuditEvent, Authenticator, CertificateStore, CurvePolicy, PasswordFile, Policy,
    Reason, Refusal, SecretCertificate, StatusCode, Verdict, ZapMechanism, ZapProblem,
};
use ironhouse::{Context, Error, Message, Socket, SocketType};

use crate::common::{SOON, within};

/// A socket that asks the authenticator of `context` as libzmq does.
pub struct Asker(Socket);

impl Asker {
    pub fn new(context: &Context) -> Self {
        let socket = context.socket(SocketType::Dealer).open().unwrap();
        socket.connect("inproc://zeromq.zap.01").unwrap();
        Self(socket)
    }

    pub fn send(&self, frames: &[&[u8]]) {
        self.0.send_multipart(frames.iter().copied()).unwrap();
    }

    pub fn reply(&self) -> Vec<Message> {
        let frames = self.0.recv_multipart().unwrap();
        assert_eq!(frames.len(), 7, "{frames:?}");
        assert_eq!((&frames[0][..], &frames[1][..]), (&b""[..], &b"1.0"[..]));
        frames
    }

    /// The status answered to a request from `address` in `domain`.
    pub fn ask(
        &self,
        domain: &str,
        address: &str,
        mechanism: &str,
        credentials: &[&[u8]],
    ) -> String {
        let head = ["", "1.0", "1", domain, address, "", mechanism].map(str::as_bytes);
        self.send(&[&head, credentials].concat());
        let reply = self.reply();
        assert_eq!(reply[2], "1");
        reply[3].as_str().unwrap().to_owned()
    }
}

fn block(text: &str) -> AddressRule {
    text.parse().unwrap()
}

#[test]
fn each_domain_has_its_own_policy_and_the_fallback_serves_the_others() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let asker = Asker::new(&context);
        let ask = |domain| asker.ask(domain, "192.0.2.1", "NULL", &[]);
        let open = authenticator.domain("open", Policy::new().null()).unwrap();
        authenticator.domain("shut", Policy::new()).unwrap();
        assert_eq!(
            (ask("open"), ask("shut"), ask("other")),
            ("200".into(), "400".into(), "400".into())
        );
        // What a C program leaves behind its domain.
        assert_eq!(ask("open\0"), "200");
        authenticator.set_fallback(Policy::new().null()).unwrap();
        assert_eq!(
            (ask("open"), ask("shut"), ask("other")),
            ("200".into(), "400".into(), "200".into())
        );
        open.set_policy(Policy::new()).unwrap();
        assert_eq!(ask("open"), "400");
    });
}

#[test]
fn addresses_are_judged_first_and_denial_beats_everything() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let events = authenticator.events();
        let asker = Asker::new(&context);
        let passwords = PasswordFile::in_memory();
        passwords.insert("user", "a=b#c d").unwrap();
        let policy = Policy::new()
            .allow(block("192.0.2.0/24"))
            .allow(block("2001:db8::/32"))
            .deny(block("192.0.2.66"))
            .plain(passwords);
        let _domain = authenticator.domain("d", policy).unwrap();
        let good: &[&[u8]] = &[b"user", b"a=b#c d"];
        for (address, mechanism, credentials, status, reason) in [
            ("192.0.2.1", "PLAIN", good, "200", Reason::Admitted),
            ("::ffff:192.0.2.1", "PLAIN", good, "200", Reason::Admitted),
            ("2001:db8::1%eth0", "PLAIN", good, "200", Reason::Admitted),
            ("192.0.2.66", "PLAIN", good, "400", Reason::AddressDenied),
            (
                "::ffff:192.0.2.66",
                "PLAIN",
                good,
                "400",
                Reason::AddressDenied,
            ),
            ("192.0.3.1", "PLAIN", good, "400", Reason::AddressNotAllowed),
            (
                "localhost:0:0:1",
                "PLAIN",
                good,
                "400",
                Reason::AddressNotAllowed,
            ),
            ("", "PLAIN", good, "400", Reason::AddressDenied),
            ("192.0.2.1", "NULL", &[], "400", Reason::MechanismNotAllowed),
            (
                "192.0.2.1",
                "CURVE",
                &[&[7; 32]],
                "400",
                Reason::MechanismNotAllowed,
            ),
            (
                "192.0.2.1",
                "GSSAPI",
                &[b"user@REALM"],
                "400",
                Reason::MechanismNotAllowed,
            ),
            (
                "192.0.2.1",
                "PLAIN",
                &[b"user", b"a"],
                "400",
                Reason::WrongPassword,
            ),
            (
                "192.0.2.1",
                "PLAIN",
                &[b"user", b""],
                "400",
                Reason::WrongPassword,
            ),
            (
                "192.0.2.1",
                "PLAIN",
                &[b"user", b"a=b#c d\0"],
                "400",
                Reason::WrongPassword,
            ),
            (
                "192.0.2.1",
                "PLAIN",
                &[b"user\0", b"a=b#c d"],
                "400",
                Reason::WrongPassword,
            ),
            (
                "192.0.2.1",
                "PLAIN",
                &[b"", b"a=b#c d"],
                "400",
                Reason::WrongPassword,
            ),
            (
                "192.0.2.1",
                "PLAIN",
                &[b"nobody", b"a=b#c d"],
                "400",
                Reason::WrongPassword,
            ),
        ] {
            assert_eq!(
                asker.ask("d", address, mechanism, credentials),
                status,
                "{address} {mechanism}"
            );
            assert_eq!(
                events.next_decision(SOON).unwrap().reason,
                reason,
                "{address} {mechanism}"
            );
        }
    });
}

#[test]
fn a_malformed_request_is_answered_400_or_not_at_all_and_the_next_one_is_served() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        authenticator
            .set_fallback(Policy::new().null().curve(CurvePolicy::any_key()))
            .unwrap();
        let events = authenticator.events();
        let asker = Asker::new(&context);
        let long = [b'x'; 256];
        let huge = vec![b'x'; 1 << 20];
        let cases: [(&[&[u8]], ZapProblem); 12] = [
            (&[b"", b"1.0", b"1"], ZapProblem::FrameCount(2)),
            (
                &[b"", b"1.0", b"1", b"d", b"a", b""],
                ZapProblem::FrameCount(5),
            ),
            (
                &[b"", b"2.0", b"1", b"d", b"a", b"", b"NULL"],
                ZapProblem::Version,
            ),
            (
                &[b"", b"", b"1", b"d", b"a", b"", b"NULL"],
                ZapProblem::Version,
            ),
            (
                &[b"", b"1.0", b"1", &long, b"a", b"", b"NULL"],
                ZapProblem::TooLong("domain"),
            ),
            (
                &[b"", b"1.0", b"1", b"d", &huge, b"", b"NULL"],
                ZapProblem::TooLong("address"),
            ),
            (
                &[b"", b"1.0", b"1", b"d", b"a", b"", b"MAGIC"],
                ZapProblem::UnknownMechanism("MAGIC".into()),
            ),
            (
                &[b"", b"1.0", b"1", b"d", b"a", b"", &huge],
                ZapProblem::UnknownMechanism("x".repeat(32)),
            ),
            (
                &[b"", b"1.0", b"1", b"d", b"a", b"", b"NULL", b"x"],
                ZapProblem::Credentials(ZapMechanism::Null),
            ),
            (
                &[b"", b"1.0", b"1", b"d", b"a", b"", b"PLAIN", b"x"],
                ZapProblem::Credentials(ZapMechanism::Plain),
            ),
            (
                &[b"", b"1.0", b"1", b"d", b"a", b"", b"CURVE", &[1; 31]],
                ZapProblem::Credentials(ZapMechanism::Curve),
            ),
            (
                &[b"", b"1.0", b"1", b"d", b"a", b"", b"CURVE", &[1; 32], b""],
                ZapProblem::Credentials(ZapMechanism::Curve),
            ),
        ];
        for (frames, problem) in cases {
            asker.send(frames);
            assert_eq!(asker.reply()[3], "400", "{problem}");
            assert_eq!(
                events.next(Some(SOON)),
                Some(AuditEvent::Malformed(problem))
            );
        }
        // Nothing to answer to: the count includes the return address.
        for (frames, count) in [
            (&[&b"x"[..]][..], 2),
            (&[b"", b"1.0"], 3),
            (&[b"a", b"b", b"c"], 4),
        ] {
            asker.send(frames);
            assert_eq!(
                events.next(Some(SOON)),
                Some(AuditEvent::Malformed(ZapProblem::FrameCount(count)))
            );
        }
        assert_eq!(asker.ask("d", "127.0.0.1", "NULL", &[]), "200");
    });
}

#[test]
fn a_refusal_may_be_for_now_only() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let events = authenticator.events();
        let asker = Asker::new(&context);
        authenticator
            .set_fallback(Policy::new().refusal(Refusal::Retry))
            .unwrap();
        assert_eq!(asker.ask("d", "127.0.0.1", "NULL", &[]), "300");
        assert_eq!(
            events.next_decision(SOON).unwrap().status,
            StatusCode::TemporaryError
        );
    });
}

#[test]
fn a_decision_may_take_any_time() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::builder(&context)
            .deadline(std::time::Duration::MAX)
            .start()
            .unwrap();
        let callback = CurvePolicy::callback(|_| Verdict::admit());
        let policy = Policy::new().curve(callback);
        let _domain = authenticator.domain("d", policy).unwrap();
        let asker = Asker::new(&context);
        assert_eq!(asker.ask("d", "127.0.0.1", "CURVE", &[&[7; 32]]), "200");
    });
}

#[test]
fn the_user_id_is_the_name_or_the_key() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let asker = Asker::new(&context);
        let passwords = PasswordFile::in_memory();
        passwords.insert("ada", "secret").unwrap();
        let friend = SecretCertificate::generate()
            .unwrap()
            .with_meta("name", "Ada")
            .unwrap();
        let store = CertificateStore::in_memory();
        store.insert(friend.certificate().clone()).unwrap();
        authenticator
            .set_fallback(
                Policy::new()
                    .null()
                    .plain(passwords)
                    .curve(CurvePolicy::store(store)),
            )
            .unwrap();
        let user_id = |mechanism: &str, credentials: &[&[u8]]| {
            let head = ["", "1.0", "7", "d", "::1", "", mechanism].map(str::as_bytes);
            asker.send(&[&head, credentials].concat());
            let reply = asker.reply();
            assert_eq!((&reply[2][..], &reply[3][..]), (&b"7"[..], &b"200"[..]));
            (reply[5].to_vec(), reply[6].to_vec())
        };
        assert_eq!(user_id("NULL", &[]), (vec![], vec![]));
        assert_eq!(
            user_id("PLAIN", &[b"ada", b"secret"]),
            (b"ada".to_vec(), vec![])
        );
        let key = friend.public_key();
        assert_eq!(
            user_id("CURVE", &[key.as_bytes()]),
            (
                key.to_string().into_bytes(),
                b"\x04name\0\0\0\x03Ada".to_vec()
            )
        );
    });
}

#[test]
fn a_context_has_one_authenticator_at_a_time() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let first = Authenticator::start(&context).unwrap();
        let domain = first.domain("d", Policy::new()).unwrap();
        assert!(matches!(
            Authenticator::start(&context),
            Err(Error::HandlerExists)
        ));
        drop(first);
        assert!(matches!(
            Authenticator::start(&context),
            Err(Error::HandlerExists)
        ));
        drop(domain);
        // The last share is gone: the next one may come at once.
        for _ in 0..200 {
            drop(Authenticator::start(&context).unwrap());
        }
    });
}

#[test]
fn a_domain_that_libzmq_would_ignore_or_abort_over_cannot_be_made() {
    let context = Context::new().unwrap();
    let authenticator = Authenticator::start(&context).unwrap();
    let long = "x".repeat(256);
    for name in ["", &long, "a\0", "a\nb", "é", "\u{7f}"] {
        assert!(
            matches!(
                authenticator.domain(name, Policy::new()),
                Err(Error::InvalidDomain(_))
            ),
            "{name:?}"
        );
    }
    assert!(authenticator.domain(&long[1..], Policy::new()).is_ok());
}

#[test]
fn a_flood_of_requests_is_answered_one_by_one_and_does_not_keep_the_thread_from_ending() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        authenticator.set_fallback(Policy::new().null()).unwrap();
        let asker = Asker::new(&context);
        let head = ["", "1.0", "1", "d", "::1", "", "NULL"].map(str::as_bytes);
        (0..2000).for_each(|_| asker.send(&head));
        (0..2000).for_each(|_| assert_eq!(asker.reply()[3], "200"));
        (0..900).for_each(|_| asker.send(&head));
        drop(authenticator);
    });
}
