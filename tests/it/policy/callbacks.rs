//! Callbacks: what they may answer, when, and how many at a time.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use ironhouse::security::{Reason, Reply, Verdict};

use super::*;
use crate::common::secured;

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
        let bench = Bench::with_deadline(Policy::new().curve(policy), 4 * SOON);
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
