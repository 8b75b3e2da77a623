//! Timers beside a poller.

use std::time::{Duration, Instant};

use ironhouse::Error;
use ironhouse::socket::{Context, Interest, Poller, SocketType, Timers};

use crate::common::{SOON, within};

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn a_timer_is_due_after_its_interval_and_again() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let socket = context.socket(SocketType::Pull).open().unwrap();
        let mut poller = Poller::new();
        poller.add(&socket, Interest::READABLE);
        let mut timers = Timers::new(&context).unwrap();
        assert_eq!(timers.timeout(), None);
        assert!(timers.due().unwrap().is_empty());
        let start = Instant::now();
        let quick = timers.add(MS(10)).unwrap();
        let slow = timers.add(Duration::from_secs(3600)).unwrap();
        for round in 1..4 {
            let due = loop {
                assert!(timers.timeout().is_some_and(|left| left <= MS(10)));
                poller.wait(timers.timeout()).unwrap();
                let due = timers.due().unwrap();
                if !due.is_empty() {
                    break due;
                }
            };
            assert_eq!(due, [quick]);
            assert!(start.elapsed() >= MS(10) * round - MS(2) * round);
        }
        timers.cancel(quick).unwrap();
        assert!(timers.timeout().unwrap() > Duration::from_secs(60));
        timers.set_interval(slow, MS(1)).unwrap();
        timers.reset(slow).unwrap();
        while timers.due().unwrap() != [slow] {}
        timers.cancel(slow).unwrap();
        assert_eq!(timers.timeout(), None);
    });
}

#[test]
fn a_timer_that_is_out_and_an_interval_that_cannot_be_are_refused() {
    within(SOON, || {
        let mut timers = Timers::new(&Context::new().unwrap()).unwrap();
        let timer = timers.add(Duration::from_nanos(1)).unwrap();
        for wrong in [Duration::ZERO, Duration::MAX] {
            let error = timers.add(wrong).unwrap_err();
            assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
            assert!(timers.set_interval(timer, wrong).is_err());
        }
        timers.cancel(timer).unwrap();
        for refused in [
            timers.cancel(timer),
            timers.reset(timer),
            timers.set_interval(timer, MS(1)),
        ] {
            let text = refused.unwrap_err().to_string();
            assert!(text.starts_with("timer: it was taken out"), "{text}");
        }
    });
}
