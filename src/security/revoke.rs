//! Live revocation: closes the connections of peers that are no longer admitted, and keeps what they sent from the program.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::arrivals::{Admission, Arrivals};
use super::candidates::{Candidates, Suspicion};
use super::peers::{Entry, PeerIdentity, Peers, State, Watched};
use super::zap::ADMISSION;
use crate::socket::Message;

/// How long after the last closing messages are still looked at: libzmq reports the end of a connection before it hands over the
/// last that it read from it.
const QUIET: Duration = Duration::from_secs(1);

/// What is closed where a connection cannot be told from others.
///
/// Known for certain are the connections of peers that shake hands one after the other, or at one time from different addresses or
/// with the same key; and any from which a message is received (by an XPUB, a subscription) while a revocation is under way. Not known
/// are those of different peers that shake hands from one address at one time, as long as nothing is received of them: from a PUSH or
/// a PUB nothing ever is.
///
/// Who is closed without being meant connects again by itself, and is admitted again. What it loses, by the type of the server's socket:
///
/// - PUSH: what the server has queued for it (at most `ZMQ_SNDHWM` messages), and what is in the system's buffers. Later messages
///   wait for it, or go to others.
/// - PUB, XPUB: what is queued for it, and what is published until it has subscribed again.
/// - ROUTER: answers that are queued for it, those to its old routing id unless it sets its own, and of what it sent, what is in the
///   system's buffers. One that sets its own is not heard while messages of its old connection are unread, unless the server sets
///   `ZMQ_ROUTER_HANDOVER`.
/// - REP: the reply that it waits for. It waits for ever, unless it has `ZMQ_REQ_RELAXED`, or a time-out after which it begins anew.
///
/// What had arrived of it is received all the same. A client that does not receive, with its queue full, notices the end of its
/// connection when it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RevocationScope {
    /// Every connection that may be the revoked peer's, which all came from its address.
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
                        socket.raise_alarm();
                    }
                }
            }
        }
        for (name, arrivals) in domains.iter_mut() {
            let forgotten = arrivals.forgotten;
            let may_be = |socket: &Watched| socket.may_be_one_up_to(forgotten);
            let here = |socket: &Watched| socket.domain == *name;
            if !sockets.values().any(|s| here(s) && may_be(s)) {
                arrivals.forgotten = 0;
                continue;
            }
            fresh = true;
            for socket in sockets.values_mut().filter(|s| here(s)) {
                socket.raise_alarm();
            }
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
        let domain = socket.domain.clone();
        let mut candidates = Candidates::new(&domain, arrivals);
        let entries = socket.connections.values();
        let all = self.scope == RevocationScope::Socket
            && entries
                .map(|entry| candidates.suspicion(entry))
                .any(|suspicion| suspicion == Suspicion::Possible);
        for (fd, entry) in &mut socket.connections {
            let close = match candidates.suspicion(entry) {
                Suspicion::Certain => true,
                Suspicion::Possible => self.scope != RevocationScope::Exact,
                Suspicion::None => all,
            };
            if close {
                self.close(&mut candidates, *fd, entry);
            }
        }
    }

    /// Closes one connection, if its descriptor's number is still its own.
    fn close(&self, candidates: &mut Candidates<'_>, fd: i32, entry: &mut Entry) {
        if entry.closed {
            return;
        }
        let Some(connection) = entry.live(fd) else {
            return; // it has ended, and the number may be anybody's
        };
        // Fails only where the peer has left already.
        let _ = connection.shut_down();
        entry.closed = true;
        if let Some(peer) = candidates.describe(entry) {
            self.audit.closed(peer);
        }
    }

    /// Whether the program may have this message, the first frame of one; while the alarm of its socket is up.
    pub(super) fn admits(&self, socket: u64, frame: &Message) -> bool {
        let Some(number) = frame.property(ADMISSION).and_then(|n| n.parse().ok()) else {
            return true;
        };
        let mut state = self.state();
        let fd = frame.source_fd();
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
            let mut candidates = Candidates::new(&socket.domain, domains.get(&socket.domain));
            if let Some(entry) = socket.connections.get_mut(&fd) {
                if candidates.suspicion(entry) == Suspicion::Certain {
                    self.close(&mut candidates, fd, entry);
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
        let mut candidates = Candidates::new(&socket.domain, domains.get(&socket.domain));
        let mut entries = socket.connections.values();
        if entries.any(|entry| candidates.suspicion(entry) != Suspicion::None) {
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
        // Many connections may share a list.
        let mut seen = HashSet::new();
        let connections = self.sockets.values().flat_map(|s| s.connections.values());
        let known = connections.map(Entry::known);
        let known = known.filter(|list| seen.insert(list.as_ptr()));
        let waiting = self.domains.values().flat_map(Arrivals::all);
        let all = known.chain(waiting.map(|(_, waiting)| waiting)).flatten();
        all.map(|admission| (admission.number, admission.clone()))
            .collect()
    }
}

impl Watched {
    fn raise_alarm(&mut self) {
        self.alarmed = Some(Instant::now());
        self.alarm.store(true, Ordering::Relaxed);
    }

    /// Whether a connection that is not matched may be of an admission up to this number.
    pub(super) fn may_be_one_up_to(&self, number: u64) -> bool {
        let mut arriving = self.arriving.values().flat_map(BTreeMap::values);
        number > 0 && arriving.any(|after| *after < number)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::ffi::fd::Connection;
    use crate::security::address::PeerAddress;
    use crate::security::audit::Audit;
    use crate::security::limits::Limits;
    use crate::security::zap::{Credential, ZapRequest};

    #[test]
    fn messages_are_looked_at_until_none_of_a_revoked_peer_can_come() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ours = listener.accept().unwrap().0;
        let fd = ours.as_raw_fd();
        let identity = Connection::of(fd).map(|connection| connection.identity().clone());
        let audit = std::sync::Arc::new(Audit::new());
        let peers = Peers::new(RevocationScope::Address, audit, &Limits::off());
        let (watch, alarm) = peers.watch("d".into());
        let address = PeerAddress::parse("192.0.2.1");
        peers
            .state()
            .arrived(watch.id, fd, address.clone(), identity);
        let request = ZapRequest {
            domain: Some("d"),
            address: address.into(),
            credential: Credential::Null,
        };
        let number = peers.admit(&request, None).unwrap();
        peers.state().succeeded(watch.id);
        let is_up = || alarm.load(Ordering::Relaxed);
        assert!(!is_up());

        peers.revoke(|admission| admission.number == number);
        assert!(is_up() && peers.state().revoked.contains(&number));
        let drain_after_a_while = || {
            let since = Instant::now().checked_sub(2 * QUIET);
            let mut state = peers.state();
            state.sockets.get_mut(&watch.id).unwrap().alarmed = since;
            drop(state);
            peers.drained(watch.id);
        };
        // The last messages are handed over after the connection has ended.
        peers.drained(watch.id);
        assert!(is_up());
        // And it has not ended yet.
        drain_after_a_while();
        assert!(is_up());
        peers.state().sockets.get_mut(&watch.id).unwrap().remove(fd);
        peers.drained(watch.id);
        assert!(is_up());
        drain_after_a_while();
        assert!(!is_up() && peers.state().revoked.is_empty());
    }
}
