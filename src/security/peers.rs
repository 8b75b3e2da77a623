//! Who is connected to which of our sockets: admissions, as the ZAP thread makes them, matched with connections, as monitors report
//! them.
//!
//! Neither side names the other. A monitor tells descriptors, and that *some* handshake of its socket succeeded; a ZAP request tells an
//! address. So a connection is matched when there is only one that can be meant, and keeps all candidates otherwise.

mod identity;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use super::address::PeerAddress;
use super::arrivals::{Admission, Arrivals, LAG, unknown};
use super::audit::Audit;
use super::candidates::{Candidates, ConnectedPeer};
use super::connections::{Counted, Tally};
use super::faults::FailedHandshake;
use super::limits::Limits;
use super::passwords::Proof;
use super::revoke::RevocationScope;
use super::zap::ZapRequest;
use crate::ffi::fd::{Connection, Identity};
use crate::socket::{EventKind, Message, MonitorEvent, Watch};
pub use identity::PeerIdentity;

/// What the authenticator knows of connections.
pub(super) struct Peers {
    state: Mutex<State>,
    /// Whether any socket was ever watched: until then, decisions need not look.
    watching: AtomicBool,
    pub(super) scope: RevocationScope,
    pub(super) audit: Arc<Audit>,
    pub(super) tally: Option<Tally>,
}

#[derive(Default)]
pub(super) struct State {
    numbers: u64,
    pub(super) sockets: HashMap<u64, Watched>,
    pub(super) domains: HashMap<Arc<str>, Arrivals>,
    /// The numbers of revoked admissions, as long as messages with them may be queued.
    pub(super) revoked: HashSet<u64>,
}

/// One of our sockets.
pub(super) struct Watched {
    pub(super) domain: Arc<str>,
    pub(super) alarm: Arc<AtomicBool>,
    pub(super) alarmed: Option<Instant>,
    pub(super) connections: HashMap<i32, Entry>,
    /// Descriptors of connections whose peer is not known yet, by address; and after which admission each was reported.
    pub(super) arriving: HashMap<PeerAddress, BTreeMap<i32, u64>>,
    /// A handshake that failed, while it is not known whose it was.
    pub(super) fault: Option<FailedHandshake>,
    /// How many of those have succeeded; `None` once that is uncertain, until none is left that could have.
    succeeded: Option<usize>,
    /// When a message last showed whose one of them is. The success of its handshake may be reported after that.
    named: Option<Instant>,
}

/// One connection.
pub(super) struct Entry {
    /// What tells it from others of the same number; `None` where it was gone before it could be looked at, or is not one
    /// that was accepted.
    pub(super) identity: Option<Identity>,
    pub(super) address: PeerAddress,
    pub(super) since: SystemTime,
    reported: Instant,
    /// Admissions up to this number were of connections reported before.
    pub(super) after: u64,
    pub(super) who: Who,
    /// We shut it down; its end was not reported yet.
    pub(super) closed: bool,
    /// Its share in what is limited.
    pub(super) counted: Option<Counted>,
}

pub(super) enum Who {
    /// In its handshake, or admitted and not matched.
    Arriving,
    /// By one of these, at least one.
    Admitted(Arc<[Arc<Admission>]>),
}

impl Peers {
    pub(super) fn new(scope: RevocationScope, audit: Arc<Audit>, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            watching: AtomicBool::new(false),
            scope,
            audit,
            tally: Tally::new(limits),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches over a socket of `domain` as long as the result lives; the flag says when its messages must be looked at.
    pub(super) fn watch(self: &Arc<Self>, domain: Arc<str>) -> (SocketWatch, Arc<AtomicBool>) {
        let alarm = Arc::new(AtomicBool::new(false));
        let mut state = self.state();
        self.watching.store(true, Ordering::Release);
        let id = state.number();
        state.domains.entry(domain.clone()).or_default();
        state.sockets.insert(
            id,
            Watched {
                domain,
                alarm: alarm.clone(),
                alarmed: None,
                connections: HashMap::new(),
                arriving: HashMap::new(),
                fault: None,
                succeeded: Some(0),
                named: None,
            },
        );
        drop(state);
        let watch = SocketWatch {
            peers: self.clone(),
            id,
        };
        (watch, alarm)
    }

    /// Records an admission; its number, which every message of the connection is to repeat. `None` where no socket of the domain is
    /// watched.
    pub(super) fn admit(&self, request: &ZapRequest<'_>, proof: Option<Box<Proof>>) -> Option<u64> {
        if !self.watching.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state();
        let (domain, _) = state.domains.get_key_value(request.domain?)?;
        let domain = domain.clone();
        let number = state.number();
        let admission = Admission {
            number,
            domain: domain.clone(),
            identity: PeerIdentity::of(&request.credential),
            address: request.address.clone(),
            proof,
            time: Instant::now(),
            revoked: AtomicBool::new(false),
            taken: AtomicBool::new(false),
        };
        let State {
            domains, sockets, ..
        } = &mut *state;
        let earliest = |address: &PeerAddress| earliest(sockets, &domain, address);
        domains.get_mut(&domain)?.add(admission, earliest);
        Some(number)
    }

    /// Every connection of an admitted peer.
    pub(super) fn connected(&self) -> Vec<ConnectedPeer> {
        let mut state = self.state();
        state.forget_the_dead();
        let State {
            sockets, domains, ..
        } = &*state;
        let mut peers = Vec::new();
        for socket in sockets.values() {
            let mut candidates = Candidates::new(&socket.domain, domains.get(&socket.domain));
            let entries = socket.connections.values();
            peers.extend(entries.filter_map(|entry| candidates.describe(entry)));
        }
        peers.sort_by_key(|peer| peer.since);
        peers
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Takes out connections that ended without a report.
    pub(super) fn forget_the_dead(&mut self) {
        for socket in self.sockets.values_mut() {
            let dead: Vec<_> = socket
                .connections
                .iter()
                .filter(|(fd, entry)| entry.identity.is_some() && entry.live(**fd).is_none())
                .map(|(fd, _)| *fd)
                .collect();
            dead.into_iter().for_each(|fd| drop(socket.remove(fd)));
        }
    }

    pub(super) fn arrived(
        &mut self,
        socket: u64,
        fd: i32,
        address: PeerAddress,
        identity: Option<Identity>,
    ) {
        let Some(socket) = self.sockets.get_mut(&socket) else {
            return;
        };
        // One of this number that ended without a report.
        socket.remove(fd);
        let arrivals = self.domains.get_mut(&socket.domain);
        let after = arrivals.map_or(0, |arrivals| arrivals.settle(self.numbers));
        socket
            .arriving
            .entry(address.clone())
            .or_default()
            .insert(fd, after);
        let entry = Entry {
            identity,
            address,
            since: SystemTime::now(),
            reported: Instant::now(),
            after,
            who: Who::Arriving,
            closed: false,
            counted: None,
        };
        socket.connections.insert(fd, entry);
    }

    /// A handshake of `socket` succeeded: matches connections with admissions where only one can be meant.
    pub(super) fn succeeded(&mut self, socket: u64) {
        let Some(watched) = self.sockets.get_mut(&socket) else {
            return;
        };
        let Some(arrivals) = self.domains.get_mut(&watched.domain) else {
            return;
        };
        arrivals.hear_of_one(self.numbers);
        let just_named = watched.named.filter(|time| time.elapsed() < LAG);
        if just_named.is_some() || watched.may_be_one_up_to(arrivals.forgotten) {
            watched.succeeded = None;
            return;
        }
        // It is one of those that an admission may be of.
        let succeeded = watched.succeeded.map(|count| count + 1);
        let mut possible = 0;
        let mut addresses = Vec::new();
        for (address, fds) in &watched.arriving {
            let newest = arrivals.newest(address).map_or(0, |newest| newest.number);
            let before = possible;
            possible += fds.values().filter(|after| **after < newest).count();
            if possible > before {
                addresses.push(address.clone());
            }
            if possible > succeeded.unwrap_or(1).max(1) {
                break;
            }
        }
        if possible == 0 {
            return;
        }
        watched.succeeded = succeeded;
        let all = possible == 1 || succeeded == Some(possible);
        if !all || addresses.contains(&unknown()) {
            return;
        }
        // As many succeeded as could have: all of them did.
        watched.succeeded = Some(0);
        for address in addresses {
            let matched = watched.match_all(&address, arrivals.at(&address));
            // Each had its admission there. If there are more, they are of connections that are yet to be reported.
            if arrivals.at(&address).len() == matched {
                arrivals.take_all(&address);
            }
        }
    }

    /// A message of connection `fd` repeats `number`: so it is that admission's.
    pub(super) fn named(&mut self, socket: u64, fd: i32, number: u64) {
        let watched = self.sockets.get(&socket);
        let entry = watched.and_then(|watched| watched.connections.get(&fd));
        let entry = entry.filter(|entry| entry.known().len() != 1);
        // Or of one that had this number before, or has it by now.
        if entry.is_some_and(|entry| entry.live(fd).is_some()) {
            self.name(socket, fd, number);
        }
    }

    fn name(&mut self, socket: u64, fd: i32, number: u64) {
        let Some(watched) = self.sockets.get_mut(&socket) else {
            return;
        };
        let Some(entry) = watched.connections.get_mut(&fd) else {
            return;
        };
        let candidates = entry.candidates(self.domains.get(&watched.domain));
        let mut candidates = candidates.iter();
        let Some(admission) = candidates.find(|one| one.number == number).cloned() else {
            return;
        };
        admission.taken.store(true, Ordering::Relaxed);
        if let Some(arrivals) = self.domains.get_mut(&watched.domain) {
            arrivals.take(&admission);
        }
        let before = entry.admit([admission].into());
        if matches!(before, Who::Arriving) {
            let address = entry.address.clone();
            watched.named = Some(Instant::now());
            watched.left(fd, &address);
        }
    }
}

/// Since when a connection from `address` waits to be matched with an admission of `domain`.
fn earliest(
    sockets: &HashMap<u64, Watched>,
    domain: &Arc<str>,
    address: &PeerAddress,
) -> Option<Instant> {
    sockets
        .values()
        .filter(|socket| socket.domain == *domain)
        .flat_map(|socket| {
            let here = socket.arriving.get(address).into_iter();
            here.chain(socket.arriving.get(&unknown()))
                .flatten()
                .filter_map(|(fd, _)| Some(socket.connections.get(fd)?.reported))
        })
        .min()
}

impl Watched {
    pub(super) fn remove(&mut self, fd: i32) -> Option<Entry> {
        let entry = self.connections.remove(&fd)?;
        if matches!(entry.who, Who::Arriving) {
            self.left(fd, &entry.address);
        }
        Some(entry)
    }

    /// Matches all connections from an address that may be some of the admissions waiting there; how many.
    fn match_all(&mut self, address: &PeerAddress, waiting: &[Arc<Admission>]) -> usize {
        // Connections share the list of whose they may be: most have the same, and of many admissions, some are in it that need not be.
        let step = 1 + waiting.len() / 64;
        let mut lists: HashMap<usize, Arc<[Arc<Admission>]>> = HashMap::new();
        let mut fds = self.arriving.remove(address).unwrap_or_default();
        let before = fds.len();
        fds.retain(|fd, _| {
            let Some(entry) = self.connections.get_mut(fd) else {
                return false;
            };
            let last = entry.last_of(waiting).len();
            if last == 0 {
                return true;
            }
            let first = (waiting.len() - last) / step * step;
            let list = || waiting.iter().skip(first).cloned().collect();
            entry.admit(lists.entry(first).or_insert_with(list).clone());
            false
        });
        let matched = before - fds.len();
        if !fds.is_empty() {
            self.arriving.insert(address.clone(), fds);
        }
        matched
    }

    /// `fd` is none of the unmatched any more. If some of those had succeeded, it may have been one.
    fn left(&mut self, fd: i32, address: &PeerAddress) {
        if let Some(fds) = self.arriving.get_mut(address) {
            fds.remove(&fd);
            if fds.is_empty() {
                self.arriving.remove(address);
            }
        }
        self.succeeded = match self.succeeded {
            _ if self.arriving.is_empty() => Some(0),
            Some(0) => Some(0),
            _ => None,
        };
    }
}

impl Entry {
    /// The connection, if its descriptor's number still is its own.
    pub(super) fn live(&self, fd: i32) -> Option<Connection> {
        let connection = Connection::of(fd)?;
        (self.identity.as_ref() == Some(connection.identity())).then_some(connection)
    }

    /// It is by one of these; what it was before.
    fn admit(&mut self, admissions: Arc<[Arc<Admission>]>) -> Who {
        if let Some(counted) = &mut self.counted {
            counted.admitted();
        }
        std::mem::replace(&mut self.who, Who::Admitted(admissions))
    }

    /// By whom it was admitted, if it is known that it was: one of these.
    pub(super) fn known(&self) -> &[Arc<Admission>] {
        match &self.who {
            Who::Admitted(admissions) => admissions,
            Who::Arriving => &[],
        }
    }

    /// Whether it may have been this admission that it waits for.
    pub(super) fn may_be(&self, admission: &Admission) -> bool {
        (self.address == admission.address || self.address == unknown())
            && self.after < admission.number
            && self.reported.saturating_duration_since(admission.time) < LAG
    }
}

/// Watches over one socket's connections; forgets them when it is dropped.
pub(super) struct SocketWatch {
    pub(super) peers: Arc<Peers>,
    pub(super) id: u64,
}

fn identity_of(fd: i32) -> Option<Identity> {
    Connection::of(fd).map(|connection| connection.identity().clone())
}

impl SocketWatch {
    fn arrived(&self, fd: i32, address: Option<String>, identity: Option<Identity>) {
        let address = address.map_or_else(unknown, |text| PeerAddress::parse(&text));
        self.peers.state().arrived(self.id, fd, address, identity);
    }
}

impl Watch for SocketWatch {
    fn observe(&self, event: &MonitorEvent) {
        match event.kind {
            EventKind::Accepted { fd } => {
                let identity = identity_of(fd).filter(|identity| identity.is_at(&event.endpoint));
                self.arrived(
                    fd,
                    identity.as_ref().and_then(Identity::peer_address),
                    identity,
                );
                self.peers.limit(self.id, fd);
            }
            // Its own end is no endpoint of ours, so nothing proves whose it is: it is listed, and never closed.
            EventKind::Connected { fd } => {
                self.arrived(fd, identity_of(fd).and_then(|i| i.peer_address()), None);
            }
            EventKind::Disconnected { fd } => self.left(fd),
            EventKind::HandshakeSucceeded => {
                let mut state = self.peers.state();
                state.succeeded(self.id);
                self.peers.sweep_again(&mut state, self.id);
            }
            EventKind::HandshakeFailedNoDetail(_) | EventKind::HandshakeFailedProtocol(_) => {
                self.failed(event);
            }
            _ => {}
        }
    }

    fn admits(&self, frame: &Message) -> bool {
        self.peers.admits(self.id, frame)
    }

    fn drained(&self) {
        self.peers.drained(self.id);
    }
}

impl Drop for SocketWatch {
    fn drop(&mut self) {
        let mut state = self.peers.state();
        let Some(gone) = state.sockets.remove(&self.id) else {
            return;
        };
        if !state.sockets.values().any(|s| s.domain == gone.domain) {
            state.domains.remove(&gone.domain);
        }
    }
}

#[cfg(test)]
mod tests;
