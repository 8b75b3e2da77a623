//! Audit events as `tracing` events (feature `tracing`), by a thread of their own: a subscriber that is slow, panics or asks the
//! authenticator something delays no decision.

#[cfg(feature = "tracing")]
pub(super) use on::{Running, Traces};

#[cfg(not(feature = "tracing"))]
pub(super) use off::{Running, Traces};

#[cfg(feature = "tracing")]
mod on {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use tracing::dispatcher::{self, Dispatch};
    use tracing::level_filters::LevelFilter;
    use tracing::subscriber::NoSubscriber;

    use crate::error::Result;
    use crate::fanout::Fanout;
    use crate::ffi::os;
    use crate::security::audit::{AuditEvent, Decision, Timed};
    use crate::security::zap::StatusCode;

    /// How long the end of an authenticator waits for a subscriber that is slow.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// The way to the thread.
    pub(crate) struct Traces(Fanout<Timed>);

    /// The thread, until it has handed on all there was.
    pub(crate) struct Running(Option<os::Thread>);

    impl Traces {
        pub(crate) fn new() -> Self {
            Self(Fanout::new())
        }

        /// Starts the thread. Events go to the subscriber that is the default of the calling thread, or else to the global one.
        pub(crate) fn start(&self) -> Result<Running> {
            let events = self.0.tap();
            let dispatch = dispatcher::get_default(Dispatch::clone);
            let body = move || {
                let follow = || {
                    while let Ok(event) = events.next(None) {
                        if let Some((_, event)) = event {
                            // A subscriber's panic is its own.
                            let _ = catch_unwind(AssertUnwindSafe(|| report(&event)));
                        }
                    }
                };
                if dispatch.is::<NoSubscriber>() {
                    follow();
                } else {
                    dispatcher::with_default(&dispatch, follow);
                }
            };
            Ok(Running(Some(os::spawn("ironhouse-trace", body)?)))
        }

        /// Whether anybody may want any event at all; where nobody does, none is made.
        pub(crate) fn wants_any(&self) -> bool {
            LevelFilter::current() >= LevelFilter::ERROR
        }

        /// Whether anybody may want a decision with this status.
        pub(crate) fn wants(&self, status: StatusCode) -> bool {
            LevelFilter::current()
                >= match status {
                    StatusCode::Success => LevelFilter::INFO,
                    _ => LevelFilter::WARN,
                }
        }

        pub(crate) fn emit(&self, event: &Timed) -> u64 {
            self.0.emit(|| event.clone())
        }

        pub(crate) fn close(&self) {
            self.0.close();
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            if let Some(thread) = self.0.take() {
                thread.join_within(PATIENCE);
            }
        }
    }

    /// Text that a peer chose is recorded as text, not as what it displays: subscribers escape control characters in it.
    fn report(event: &AuditEvent) {
        match event {
            AuditEvent::Decision(decision) => report_decision(decision),
            AuditEvent::HandlerDied => {
                tracing::error!(target: "ironhouse", event = event.name(), "{event}");
            }
            _ => tracing::warn!(target: "ironhouse", event = event.name(), "{event}"),
        }
    }

    fn report_decision(decision: &Decision) {
        let fingerprint = decision.fingerprint().map(|it| it.to_string());
        macro_rules! decision {
            ($level:ident) => {
                tracing::$level!(
                    target: "ironhouse",
                    event = "decision",
                    domain = &*decision.domain,
                    mechanism = decision.mechanism.to_string().as_str(),
                    address = decision.address.to_string().as_str(),
                    identity = decision.identity.name().as_deref(),
                    fingerprint = fingerprint.as_deref(),
                    status = decision.status.number(),
                    reason = decision.reason.name(),
                    "{}", decision.verdict()
                )
            };
        }
        match decision.status {
            StatusCode::Success => decision!(info),
            _ => decision!(warn),
        }
    }
}

/// Nothing, at no cost.
#[cfg(not(feature = "tracing"))]
mod off {
    use crate::error::Result;
    use crate::security::audit::Timed;
    use crate::security::zap::StatusCode;

    pub(crate) struct Traces;

    pub(crate) struct Running;

    impl Traces {
        pub(crate) const fn new() -> Self {
            Self
        }

        #[allow(clippy::unnecessary_wraps)]
        pub(crate) const fn start(&self) -> Result<Running> {
            Ok(Running)
        }

        pub(crate) const fn wants_any(&self) -> bool {
            false
        }

        pub(crate) const fn wants(&self, _: StatusCode) -> bool {
            false
        }

        pub(crate) const fn emit(&self, _: &Timed) -> u64 {
            0
        }

        pub(crate) const fn close(&self) {}
    }
}
