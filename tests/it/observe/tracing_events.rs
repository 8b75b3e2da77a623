//! Audit events as events of `tracing`.

use std::fmt::Debug;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, mpsc};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;

type Seen = (Level, BTreeMap<String, String>);

/// Hands on what `look` does not panic over.
struct Capture {
    seen: Mutex<Sender<Seen>>,
    look: fn(&Seen),
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "ironhouse"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let seen = (*event.metadata().level(), fields.0);
        (self.look)(&seen);
        let _ = self.seen.lock().unwrap().send(seen);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }
}

fn captured(name: &str, look: fn(&Seen)) -> (House, Receiver<Seen>) {
    let (sender, seen) = channel();
    let capture = Capture {
        seen: Mutex::new(sender),
        look,
    };
    let house = tracing::subscriber::with_default(capture, || House::new(name));
    (house, seen)
}

#[test]
fn decisions_and_the_death_of_the_thread_are_tracing_events() {
    within(SOON, || {
        let (house, seen) = captured("traced", |_| ());
        drop(house.handshakes());
        house.authenticator.crash_for_test();
        let next = || seen.recv_timeout(SOON).unwrap();
        for (level, verdict, status, reason) in [
            (Level::INFO, "admitted", "200", "admitted"),
            (Level::WARN, "refused", "400", "unknown_key"),
        ] {
            let (found, fields) = next();
            assert_eq!(found, level);
            let identity = &fields["identity"];
            let known = house.friend.public_key();
            assert_eq!(identity == &known.to_string(), status == "200");
            if status == "200" {
                assert_eq!(fields["fingerprint"], known.fingerprint().to_string());
            }
            for (name, value) in [
                ("event", "decision"),
                ("domain", "traced"),
                ("mechanism", "CURVE"),
                ("address", "127.0.0.1"),
                ("status", status),
                ("reason", reason),
                ("message", verdict),
            ] {
                assert_eq!(fields[name], value, "{name}");
            }
        }
        let (level, fields) = next();
        assert_eq!((level, &*fields["event"]), (Level::ERROR, "handler_died"));
    });
}

#[test]
fn a_subscriber_that_panics_or_hangs_delays_neither_decisions_nor_the_end() {
    /// Held by the test for as long as the subscriber is to hang.
    static HOLD: Mutex<()> = Mutex::new(());
    within(SOON, || {
        let (house, seen) = captured("hung", |(level, _)| {
            assert_ne!(*level, Level::WARN, "a subscriber's own fault");
            drop(HOLD.lock());
        });
        let hold = HOLD.lock().unwrap();
        drop(house.handshakes());
        drop(house.handshakes());
        assert!(matches!(seen.try_recv(), Err(mpsc::TryRecvError::Empty)));
        drop(hold);
        for _ in 0..2 {
            let (level, _) = seen.recv_timeout(SOON).unwrap();
            assert_eq!(level, Level::INFO);
        }
        let hold = HOLD.lock().unwrap();
        drop(house.handshakes());
        drop(house);
        drop(hold);
    });
}
