//! Who is connected to which of our sockets: admissions, as the ZAP thread makes them, matched with connections, as monitors report
//! them.
//!
//! Neither side names the other. A monitor tells descriptors, and that *some* handshake of its socket succeeded; a ZAP request tells an
//! address. So a connection is matched when there is only one that can be meant, and keeps all candidates otherwise.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use super::address::PeerAddress;
use super::arrivals::{Admission, Arrivals, LAG, unknown};
use super::audit::Audit;
use super::candidates::{Candidates, ConnectedPeer};
use super::connections::{Counted, Tally};
use super::faults::FailedHandshake;
use super::keys::PublicKey;
use super::limits::Limits;
use super::passwords::Proof;
use super::revoke::RevocationScope;
use super::zap::{Credential, ZapRequest};
use crate::ffi::fd::{Connection, Identity};
use crate::socket::{EventKind, Message, MonitorEvent, Watch};

/// Who a peer is, as its credential says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerIdentity {
    /// Nobody in particular (NULL).
    Anonymous,
    /// A user with a password (PLAIN).
    User(String),
    /// The holder of a key (CURVE).
    Key(PublicKey),
    /// A Kerberos principal (GSSAPI).
    Principal(String),
}

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
    pub(super) fn admit(&self, request: &ZapRequest<'_>, proof: Option<Proof>) -> Option<u64> {
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

impl PeerIdentity {
    /// The user's name, the public key in Z85, or the principal; `None` for nobody in particular.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        match self {
            PeerIdentity::Anonymous => None,
            PeerIdentity::User(name) | PeerIdentity::Principal(name) => Some(name.into()),
            PeerIdentity::Key(key) => Some(key.to_string().into()),
        }
    }

    pub(super) fn of(credential: &Credential<'_>) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match credential {
            Credential::Null => Self::Anonymous,
            Credential::Plain { name, .. } => Self::User(text(name)),
            Credential::Curve(key) => Self::Key(*key),
            Credential::Gssapi { principal } => Self::Principal(text(principal)),
        }
    }
}

/// The name, the key in Z85 and its fingerprint, or "anonymous".
impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Key(key) => write!(f, "{key} ({})", key.fingerprint()),
            Self::User(name) | Self::Principal(name) => name.escape_debug().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::fs::File;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use proptest::prelude::*;

    use super::*;
    use crate::security::arrivals::LIMIT;

    fn peers() -> Arc<Peers> {
        let audit = Arc::new(Audit::new());
        Peers::new(RevocationScope::Address, audit, &Limits::off())
    }

    fn address(n: u8) -> PeerAddress {
        PeerAddress::parse(&format!("192.0.2.{n}"))
    }

    fn admit(peers: &Peers, at: u8, key: u8) -> u64 {
        let request = ZapRequest {
            domain: Some("d"),
            address: address(at).into(),
            credential: Credential::Curve(PublicKey::from_bytes([key; 32])),
        };
        peers.admit(&request, None).unwrap()
    }

    #[test]
    fn a_number_that_is_used_anew_is_not_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let number = server.as_raw_fd();
        let peers = peers();
        let (watch, _) = peers.watch("d".into());
        let identity = identity_of(number);
        peers
            .state()
            .arrived(watch.id, number, address(1), identity);
        let live = |peers: &Peers| {
            let state = peers.state();
            let entry = &state.sockets[&watch.id].connections[&number];
            entry.live(number).is_some()
        };
        assert!(live(&peers));
        // The number goes to a connection of the same two ends' kind, and to a file.
        let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        for thing in [
            std::os::fd::OwnedFd::from(other),
            File::open("/dev/null").unwrap().into(),
        ] {
            let entry_number = thing.as_raw_fd();
            let state = peers.state();
            let entry = &state.sockets[&watch.id].connections[&number];
            assert!(entry.live(entry_number).is_none());
        }
        drop(server);
        assert!(!live(&peers));
        peers.state().forget_the_dead();
        assert!(peers.state().sockets[&watch.id].connections.is_empty());
    }

    #[test]
    fn admissions_that_nobody_claims_do_not_pile_up() {
        let peers = peers();
        let (_watch, _) = peers.watch("d".into());
        for n in 0..3 * LIMIT {
            admit(&peers, n as u8, n as u8);
        }
        let state = peers.state();
        let arrivals = &state.domains["d"];
        let waiting: usize = arrivals.all().map(|(_, waiting)| waiting.len()).sum();
        assert!(waiting <= LIMIT && arrivals.forgotten > 0);
    }

    /// A connection over loopback: our end and the peer's.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, peer)
    }

    #[test]
    fn whose_admission_had_to_be_forgotten_is_closed_with_any_revocation_whatever_the_scope() {
        for scope in [RevocationScope::Address, RevocationScope::Exact] {
            let peers = Peers::new(scope, Arc::new(Audit::new()), &Limits::off());
            let (watch, alarm) = peers.watch("d".into());
            let ends = [(); 2].map(|()| connection());
            let arrive = |at: u8, end: &TcpStream| {
                let fd = end.as_raw_fd();
                peers
                    .state()
                    .arrived(watch.id, fd, address(at), identity_of(fd));
            };
            let is_shut = |(ours, _): &(TcpStream, TcpStream)| {
                let mut byte = [0];
                ours.set_nonblocking(true).unwrap();
                matches!(std::io::Read::read(&mut &*ours, &mut byte), Ok(0))
            };
            arrive(1, &ends[0].0);
            for n in 0..=LIMIT {
                admit(&peers, n as u8, n as u8);
            }
            // It came when all of those had been forgotten, and is somebody else's.
            peers.state().domains.get_mut("d").unwrap().unheard.clear();
            arrive(1, &ends[1].0);
            peers.revoke(|_| false);
            assert_eq!(
                [&ends[0], &ends[1]].map(is_shut),
                [true, false],
                "{scope:?}"
            );
            assert!(alarm.load(Ordering::Relaxed));
            // Once, and not again.
            peers
                .state()
                .sockets
                .get_mut(&watch.id)
                .unwrap()
                .remove(ends[0].0.as_raw_fd());
            peers.revoke(|_| false);
            assert_eq!(peers.state().domains["d"].forgotten, 0);
        }
    }

    #[test]
    fn who_comes_after_all_were_heard_of_is_none_of_those() {
        let peers = peers();
        let (watch, _) = peers.watch("d".into());
        let arrive = |fd: i32| peers.state().arrived(watch.id, fd, address(1), None);
        let candidates = |fd: i32| {
            let state = peers.state();
            let entry = &state.sockets[&watch.id].connections[&fd];
            let candidates = entry.candidates(state.domains.get("d"));
            candidates
                .iter()
                .map(|admission| admission.number)
                .collect::<Vec<_>>()
        };
        // The first says nothing, so that the others cannot be matched.
        (100..103).for_each(arrive);
        let [one, two] = [1, 2].map(|key| admit(&peers, 1, key));
        peers.state().succeeded(watch.id);
        // One of the two may be of a connection that is yet to be reported.
        arrive(103);
        assert_eq!(candidates(103), [one, two]);
        peers.state().succeeded(watch.id);
        arrive(104);
        assert!(candidates(104).is_empty());
        let three = admit(&peers, 1, 3);
        assert_eq!(candidates(104), [three]);
        assert_eq!(candidates(100), [one, two, three]);
    }

    #[test]
    fn many_that_come_at_one_time_share_the_list_of_whose_they_may_be() {
        const MANY: i32 = 3000;
        let peers = peers();
        let (watch, _) = peers.watch("d".into());
        for fd in 0..MANY {
            peers.state().arrived(watch.id, fd, address(1), None);
        }
        for n in 0..MANY {
            admit(&peers, 1, n as u8);
        }
        for _ in 0..MANY {
            peers.state().succeeded(watch.id);
        }
        let connected = peers.connected();
        assert_eq!(connected.len(), MANY as usize);
        for peer in &connected {
            assert!(peer.admitted && peer.candidates.len() == 256);
            assert!(Arc::ptr_eq(&peer.candidates, &connected[0].candidates));
        }
        let state = peers.state();
        let mut lists = state.sockets[&watch.id]
            .connections
            .values()
            .map(Entry::known);
        let first = lists.next().unwrap();
        assert!(lists.all(|list| std::ptr::eq(list, first)) && first.len() == MANY as usize);
    }

    /// What a monitor reports.
    enum Report {
        Accepted(i32, u8, usize),
        Succeeded,
        Disconnected(i32),
    }

    /// A connection as it really is.
    struct Real {
        id: usize,
        socket: usize,
        fd: i32,
        at: u8,
        key: u8,
        admission: Option<u64>,
        succeeded: bool,
    }

    proptest! {
        /// However connections come, go and overlap, and however late monitors are: whose a connection is, is among those it may be,
        /// and who is named for certain is the one.
        #[test]
        fn a_connection_is_never_taken_for_somebody_else(
            steps in prop::collection::vec((0..8u8, 0..2u8, 0..3u8, any::<prop::sample::Index>()), 1..120),
        ) {
            let peers = peers();
            let watches = [peers.watch("d".into()).0, peers.watch("d".into()).0];
            let mut reports = [VecDeque::new(), VecDeque::new()];
            let mut real: Vec<Real> = Vec::new();
            // Whose the entries are.
            let mut seen = HashMap::new();
            let read = |socket: usize, report: Report, seen: &mut HashMap<_, _>| {
                let id = watches[socket].id;
                let mut state = peers.state();
                match report {
                    Report::Accepted(fd, at, one) => {
                        state.arrived(id, fd, address(at), None);
                        seen.insert((socket, fd), one);
                    }
                    Report::Succeeded => state.succeeded(id),
                    Report::Disconnected(fd) => {
                        state.sockets.get_mut(&id).unwrap().remove(fd);
                        seen.remove(&(socket, fd));
                    }
                }
            };
            for (id, (step, socket, who, index)) in steps.into_iter().enumerate() {
                let socket = usize::from(socket);
                match step {
                    // Connects: three peers, two of them from one address.
                    0 => {
                        let fd = (0..).find(|fd| real.iter().all(|r| r.fd != *fd)).unwrap();
                        let at = who / 2;
                        reports[socket].push_back(Report::Accepted(fd, at, id));
                        real.push(Real { id, socket, fd, at, key: who, admission: None, succeeded: false });
                    }
                    // Goes on in its handshake.
                    1 | 2 if !real.is_empty() => {
                        let at = index.index(real.len());
                        let one = &mut real[at];
                        if one.admission.is_none() {
                            one.admission = Some(admit(&peers, one.at, one.key));
                        } else if !one.succeeded {
                            one.succeeded = true;
                            reports[one.socket].push_back(Report::Succeeded);
                        }
                    }
                    3 if !real.is_empty() => {
                        let gone = real.swap_remove(index.index(real.len()));
                        reports[gone.socket].push_back(Report::Disconnected(gone.fd));
                    }
                    // Sends a message, which the program receives at once.
                    4 if !real.is_empty() => {
                        let one = &real[index.index(real.len())];
                        if one.succeeded && seen.get(&(one.socket, one.fd)) == Some(&one.id) {
                            peers.state().name(watches[one.socket].id, one.fd, one.admission.unwrap());
                        }
                    }
                    _ => {
                        if let Some(report) = reports[socket].pop_front() {
                            read(socket, report, &mut seen);
                        }
                    }
                }
            }
            for (socket, reports) in reports.into_iter().enumerate() {
                reports.into_iter().for_each(|report| read(socket, report, &mut seen));
            }
            let state = peers.state();
            let arrivals = state.domains.get("d");
            for one in &real {
                let entry = &state.sockets[&watches[one.socket].id].connections[&one.fd];
                if let Some(number) = one.admission {
                    prop_assert!(entry.candidates(arrivals).iter().any(|a| a.number == number));
                }
                if let Some(peer) = Candidates::new("d", arrivals).describe(entry) {
                    if let Some(identity) = peer.identity() {
                        prop_assert!(one.succeeded);
                        prop_assert_eq!(identity, &PeerIdentity::Key(PublicKey::from_bytes([one.key; 32])));
                    }
                }
            }
        }
    }
}
