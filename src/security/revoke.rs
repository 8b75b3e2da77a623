//! Live revocation: closes the connections of peers that are no longer admitted, and keeps what they sent from the program.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::audit::AuditEvent;
use super::peers::{Admission, Arrivals, Entry, PeerIdentity, Peers, State, Watched, Who};
use super::zap::ADMISSION;
use crate::socket::Message;

/// How long after the last closing messages are still looked at: libzmq reports the end of a connection before it hands over the
/// last that it read from it.
const QUIET: Duration = Duration::from_secs(1);

/// What is closed where a connection cannot be told from others of the same address: peers that shook hands at the same time.
///
/// Who is closed without being meant connects again by itself, and is admitted again. What it loses is what was on its way: to a
/// PUSH or DEALER, what was in the system's buffers; to a SUB, what is published meanwhile; to a REQ, the reply it waits for (it waits
/// for ever, unless it has `ZMQ_REQ_RELAXED` or a time-out). A ROUTER sees a new routing id, unless the client sets its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RevocationScope {
    /// Every connection that may be the revoked peer's, which are connections from its address.
    #[default]
    Address,
    /// None yet: it is closed when its next message comes, which names it. A peer that sends nothing goes on receiving.
    Exact,
    /// Every connection of that socket.
    Socket,
}

impl Peers {
    /// Closes the connections of all peers whose admission `refused` says would not be given any more.
    pub(super) fn revoke(&self, mut refused: impl FnMut(&Admission) -> bool) {
        let mut state = self.state();
        let admissions = state.admissions();
        let State {
            sockets,
            domains,
            revoked,
            ..
        } = &mut *state;
        let mut fresh = false;
        for admission in admissions.into_values() {
            if !admission.revoked.load(Ordering::Relaxed) && refused(&admission) {
                admission.revoked.store(true, Ordering::Relaxed);
                revoked.insert(admission.number);
                fresh = true;
                for socket in sockets.values_mut() {
                    if socket.domain == admission.domain {
                        socket.alarmed = Some(Instant::now());
                        socket.alarm.store(true, Ordering::Relaxed);
                    }
                }
            }
        }
        for (name, arrivals) in domains.iter_mut() {
            let waits = |s: &Watched| s.domain == *name && !s.arriving.is_empty();
            arrivals.incomplete &= sockets.values().any(waits);
        }
        if fresh {
            for socket in sockets.values_mut() {
                let arrivals = domains.get(&socket.domain);
                self.sweep(socket, arrivals);
            }
        }
    }

    /// Closes the connections of all peers whom `is_meant` picks.
    pub(super) fn disconnect(&self, is_meant: impl Fn(&PeerIdentity) -> bool) {
        let admissions = self.state().admissions();
        // Asked without the lock, so that it may ask us something.
        let meant = |(number, admission): (u64, Arc<Admission>)| {
            is_meant(&admission.identity).then_some(number)
        };
        let meant: HashSet<u64> = admissions.into_iter().filter_map(meant).collect();
        self.revoke(|admission| meant.contains(&admission.number));
    }

    /// Closes what has become known as a revoked peer's since it was revoked.
    pub(super) fn sweep_again(&self, state: &mut State, socket: u64) {
        let State {
            sockets, domains, ..
        } = state;
        if let Some(socket) = sockets.get_mut(&socket) {
            let arrivals = domains.get(&socket.domain);
            self.sweep(socket, arrivals);
        }
    }

    fn sweep(&self, socket: &mut Watched, arrivals: Option<&Arrivals>) {
        if socket.alarmed.is_none() {
            return;
        }
        let all = self.scope == RevocationScope::Socket
            && socket
                .connections
                .values()
                .any(|entry| entry.suspicion(arrivals) == Suspicion::Possible);
        let domain = socket.domain.clone();
        for (fd, entry) in &mut socket.connections {
            let close = match entry.suspicion(arrivals) {
                Suspicion::Certain => true,
                Suspicion::Possible => self.scope != RevocationScope::Exact,
                Suspicion::None => all,
            };
            if close {
                self.close(&domain, *fd, entry, arrivals);
            }
        }
    }

    /// Closes one connection, if its descriptor's number is still its own.
    fn close(&self, domain: &str, fd: i32, entry: &mut Entry, arrivals: Option<&Arrivals>) {
        if entry.closed {
            return;
        }
        let Some(connection) = entry.live(fd) else {
            return; // it has ended, and the number may be anybody's
        };
        // Fails only where the peer has left already.
        let _ = connection.shut_down();
        entry.closed = true;
        if let Some(peer) = entry.describe(domain, arrivals) {
            self.audit.emit(|| AuditEvent::Closed(peer));
        }
    }

    /// Whether the program may have this message, the first frame of one; while the alarm of its socket is up.
    pub(super) fn admits(&self, socket: u64, frame: &Message) -> bool {
        let Some(number) = frame.property(ADMISSION).and_then(|n| n.parse().ok()) else {
            return true;
        };
        let mut state = self.state();
        let fd = frame.source();
        if let Some(fd) = fd {
            state.named(socket, fd, number);
        }
        if !state.revoked.contains(&number) {
            return true;
        }
        let State {
            sockets, domains, ..
        } = &mut *state;
        if let (Some(fd), Some(socket)) = (fd, sockets.get_mut(&socket)) {
            let arrivals = domains.get(&socket.domain);
            if let Some(entry) = socket.connections.get_mut(&fd) {
                if entry.suspicion(arrivals) == Suspicion::Certain {
                    self.close(&socket.domain, fd, entry, arrivals);
                }
            }
        }
        false
    }

    /// A socket whose alarm is up had no message: the alarm ends if no revoked peer can have one on its way.
    pub(super) fn drained(&self, socket: u64) {
        let mut state = self.state();
        let quiet = |s: &Watched| s.alarmed.is_none_or(|since| since.elapsed() > QUIET);
        if !state.sockets.get(&socket).is_some_and(quiet) {
            return;
        }
        state.forget_the_dead();
        let State {
            sockets,
            domains,
            revoked,
            ..
        } = &mut *state;
        let Some(socket) = sockets.get_mut(&socket) else {
            return;
        };
        let arrivals = domains.get(&socket.domain);
        if socket
            .connections
            .values()
            .any(|entry| entry.suspicion(arrivals) != Suspicion::None)
        {
            socket.alarmed = Some(Instant::now()); // looked for again after a while
            return;
        }
        socket.alarmed = None;
        socket.alarm.store(false, Ordering::Relaxed);
        if sockets.values().all(|socket| socket.alarmed.is_none()) {
            revoked.clear();
        }
    }
}

impl State {
    /// Every admission that some connection may be of, once.
    fn admissions(&self) -> HashMap<u64, Arc<Admission>> {
        let connections = self.sockets.values().flat_map(|s| s.connections.values());
        let known = connections.filter_map(|entry| match &entry.who {
            Who::Admitted(admissions) => Some(admissions.iter()),
            Who::Arriving => None,
        });
        let waiting = self
            .domains
            .values()
            .flat_map(|d| d.waiting.values().flatten());
        let all = known.flatten().chain(waiting);
        all.map(|admission| (admission.number, admission.clone()))
            .collect()
    }
}

/// Whether a connection is a revoked peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suspicion {
    None,
    Possible,
    Certain,
}

impl Entry {
    fn suspicion(&self, arrivals: Option<&Arrivals>) -> Suspicion {
        let mut candidates = self.candidates(arrivals).peekable();
        let arriving = matches!(self.who, Who::Arriving);
        if candidates.peek().is_none() {
            // Whoever it is, we do not know any more.
            return match arrivals {
                Some(arrivals) if arriving && arrivals.incomplete => Suspicion::Possible,
                _ => Suspicion::None,
            };
        }
        let (mut any, mut all) = (false, true);
        for admission in candidates {
            let revoked = admission.revoked.load(Ordering::Relaxed);
            any |= revoked;
            all &= revoked;
        }
        match (any, all && !arriving) {
            (_, true) => Suspicion::Certain,
            (true, _) => Suspicion::Possible,
            _ => Suspicion::None,
        }
    }
}
