//! Who is connected to which of our sockets: admissions, as the ZAP thread makes them, matched with connections, as monitors report
//! them.
//!
//! Neither side names the other. A monitor tells descriptors, and that *some* handshake of its socket succeeded; a ZAP request tells an
//! address. So a connection is matched when there is only one that can be meant, and keeps all candidates otherwise.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::address::PeerAddress;
use super::audit::Audit;
use super::connections::{Counted, Tally};
use super::faults::FailedHandshake;
use super::keys::PublicKey;
use super::limits::Limits;
use super::passwords::Proof;
use super::revoke::RevocationScope;
use super::zap::{Credential, ZapRequest};
use crate::ffi::fd::{Connection, Identity};
use crate::socket::{EventKind, Message, MonitorEvent, Watch};

/// Admissions of a domain that may wait to be matched: those of sockets that we do not watch never are.
const LIMIT: usize = 4096;

/// A connection that was reported longer than this after an admission is not the one that it was for.
const LAG: Duration = Duration::from_secs(2);

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

/// A connection of an admitted peer to a socket of this library.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConnectedPeer {
    /// The domain of the socket.
    pub domain: String,
    /// Where the peer is.
    pub address: PeerAddress,
    /// When the connection was accepted.
    pub since: SystemTime,
    /// Who it is, or who it may be where several peers shook hands from one address at the same time.
    pub candidates: Vec<PeerIdentity>,
    /// Whether it is known to be one of the candidates. If not, it may as well be a connection that is not admitted yet.
    pub admitted: bool,
}

impl ConnectedPeer {
    /// Who it is, where that is certain.
    pub fn identity(&self) -> Option<&PeerIdentity> {
        match &self.candidates[..] {
            [one] if self.admitted => Some(one),
            _ => None,
        }
    }
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

/// One admission.
pub(super) struct Admission {
    pub(super) number: u64,
    pub(super) domain: Arc<str>,
    pub(super) identity: PeerIdentity,
    pub(super) address: PeerAddress,
    /// By what a user was admitted.
    pub(super) proof: Option<Proof>,
    time: Instant,
    pub(super) revoked: AtomicBool,
}

/// Admissions of one domain that were not matched with a connection yet, by address.
#[derive(Default)]
pub(super) struct Arrivals {
    pub(super) waiting: HashMap<PeerAddress, Vec<Arc<Admission>>>,
    pub(super) count: usize,
    /// Some had to be forgotten: a connection that is not matched may be anybody's.
    pub(super) incomplete: bool,
}

/// One of our sockets.
pub(super) struct Watched {
    pub(super) domain: Arc<str>,
    pub(super) alarm: Arc<AtomicBool>,
    pub(super) alarmed: Option<Instant>,
    pub(super) connections: HashMap<i32, Entry>,
    /// Descriptors of connections whose peer is not known yet, by address.
    pub(super) arriving: HashMap<PeerAddress, BTreeSet<i32>>,
    /// A handshake that failed, while it is not known whose it was.
    pub(super) fault: Option<FailedHandshake>,
    /// How many of those have succeeded; `None` once that is uncertain, until none is left that could have.
    succeeded: Option<usize>,
}

/// One connection.
pub(super) struct Entry {
    /// What tells it from others of the same number; `None` where it was gone before it could be looked at, or is not one
    /// that was accepted.
    pub(super) identity: Option<Identity>,
    pub(super) address: PeerAddress,
    since: SystemTime,
    reported: Instant,
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
        let admission = Arc::new(Admission {
            number,
            domain: domain.clone(),
            identity: PeerIdentity::of(&request.credential),
            address: request.address.clone(),
            proof,
            time: Instant::now(),
            revoked: AtomicBool::new(false),
        });
        let State {
            domains, sockets, ..
        } = &mut *state;
        let arrivals = domains.get_mut(&domain)?;
        arrivals.make_room(&domain, sockets);
        let waiting = arrivals.waiting.entry(request.address.clone()).or_default();
        if waiting.len().is_power_of_two() {
            let before = waiting.len();
            let earliest = earliest(sockets, &domain, &request.address);
            waiting.retain(|earlier| earlier.waits(earliest));
            arrivals.count -= before - waiting.len();
        }
        waiting.push(admission);
        arrivals.count += 1;
        Some(number)
    }

    /// Every connection of an admitted peer.
    pub(super) fn connected(&self) -> Vec<ConnectedPeer> {
        let mut state = self.state();
        state.forget_the_dead();
        let State {
            sockets, domains, ..
        } = &*state;
        let mut peers: Vec<_> = sockets
            .values()
            .flat_map(|socket| {
                let arrivals = domains.get(&socket.domain);
                socket
                    .connections
                    .values()
                    .filter_map(move |entry| entry.describe(&socket.domain, arrivals))
            })
            .collect();
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
        socket
            .arriving
            .entry(address.clone())
            .or_default()
            .insert(fd);
        let entry = Entry {
            identity,
            address,
            since: SystemTime::now(),
            reported: Instant::now(),
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
        let addresses: Vec<_> = arrivals
            .waiting
            .keys()
            .filter(|address| watched.arriving.contains_key(address))
            .cloned()
            .collect();
        let unnamed = watched.arriving.get(&unknown()).map_or(0, BTreeSet::len);
        let possible = addresses
            .iter()
            .filter_map(|address| watched.arriving.get(address))
            .fold(unnamed, |sum, fds| sum + fds.len());
        if possible == 0 {
            return;
        }
        watched.succeeded = watched.succeeded.map(|count| count + 1);
        if watched.succeeded != Some(possible) || unnamed > 0 {
            return;
        }
        // As many succeeded as could have: all of them did.
        watched.succeeded = Some(0);
        for address in addresses {
            let fds = watched.arriving.remove(&address).unwrap_or_default();
            for fd in &fds {
                if let Some(entry) = watched.connections.get_mut(fd) {
                    let candidates = entry.candidates(Some(arrivals)).cloned().collect();
                    entry.admit(candidates);
                }
            }
            // Each had its admission there. If there are more, they are of connections that are yet to be reported.
            if arrivals.waiting.get(&address).map(Vec::len) == Some(fds.len()) {
                arrivals.waiting.remove(&address);
                arrivals.count -= fds.len();
            }
        }
    }

    /// A message of connection `fd` repeats `number`: so it is that admission's.
    pub(super) fn named(&mut self, socket: u64, fd: i32, number: u64) {
        let Some(watched) = self.sockets.get_mut(&socket) else {
            return;
        };
        let Some(entry) = watched.connections.get_mut(&fd) else {
            return;
        };
        let arrivals = self.domains.get(&watched.domain);
        let found = entry
            .candidates(arrivals)
            .find(|admission| admission.number == number)
            .cloned();
        let Some(admission) = found else {
            return; // of a connection that had this number before
        };
        let before = entry.admit([admission].into());
        if matches!(before, Who::Arriving) {
            let address = entry.address.clone();
            watched.left(fd, &address);
        }
    }
}

impl Arrivals {
    /// Sees to it that one more admission can wait.
    fn make_room(&mut self, domain: &Arc<str>, sockets: &HashMap<u64, Watched>) {
        // Looked through each time their number has doubled.
        if self.count < 64 || (!self.count.is_power_of_two() && self.count < LIMIT) {
            return;
        }
        self.waiting.retain(|address, admissions| {
            let earliest = earliest(sockets, domain, address);
            admissions.retain(|admission| admission.waits(earliest));
            !admissions.is_empty()
        });
        self.count = self.waiting.values().map(Vec::len).sum();
        if self.count >= LIMIT {
            self.waiting.clear();
            self.count = 0;
            self.incomplete = true;
        }
    }
}

impl Admission {
    /// What it was asked with, without the password.
    pub(super) fn request(&self) -> ZapRequest<'_> {
        ZapRequest {
            domain: Some(&self.domain),
            address: self.address.clone().into(),
            credential: match &self.identity {
                PeerIdentity::Anonymous => Credential::Null,
                PeerIdentity::User(name) => Credential::Plain {
                    name: name.as_bytes(),
                    password: &[],
                },
                PeerIdentity::Key(key) => Credential::Curve(*key),
                PeerIdentity::Principal(name) => Credential::Gssapi {
                    principal: name.as_bytes(),
                },
            },
        }
    }

    /// Whether a connection may still be matched with it, of those that wait at its address since `earliest`.
    fn waits(&self, earliest: Option<Instant>) -> bool {
        self.time.elapsed() < LAG || earliest.is_some_and(|reported| reported < self.time + LAG)
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
                .filter_map(|fd| Some(socket.connections.get(fd)?.reported))
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

    /// Whether it may have been this admission that it waits for.
    fn may_be(&self, admission: &Admission) -> bool {
        (self.address == admission.address || self.address == unknown())
            && self.reported.saturating_duration_since(admission.time) < LAG
    }

    /// Whose it may be.
    pub(super) fn candidates<'a>(
        &'a self,
        arrivals: Option<&'a Arrivals>,
    ) -> impl Iterator<Item = &'a Arc<Admission>> {
        let (admitted, arrivals) = match &self.who {
            Who::Admitted(admissions) => (Some(admissions.iter()), None),
            Who::Arriving => (None, arrivals),
        };
        let waiting = arrivals.into_iter().flat_map(|arrivals| {
            let here = arrivals.waiting.get(&self.address).into_iter();
            // Without an address of its own it may be from anywhere.
            let anywhere = (self.address == unknown()).then(|| arrivals.waiting.values());
            here.chain(anywhere.into_iter().flatten()).flatten()
        });
        let waiting = waiting.filter(|admission| self.may_be(admission));
        admitted.into_iter().flatten().chain(waiting)
    }

    /// For the program; `None` for one that is not known to have been admitted.
    pub(super) fn describe(
        &self,
        domain: &str,
        arrivals: Option<&Arrivals>,
    ) -> Option<ConnectedPeer> {
        let mut candidates = Vec::new();
        for admission in self.candidates(arrivals) {
            if !candidates.contains(&admission.identity) {
                candidates.push(admission.identity.clone());
            }
        }
        (!candidates.is_empty()).then(|| ConnectedPeer {
            domain: domain.to_owned(),
            address: self.address.clone(),
            since: self.since,
            candidates,
            admitted: matches!(self.who, Who::Admitted(_)),
        })
    }
}

/// Where a connection is of which the system does not tell it.
pub(super) fn unknown() -> PeerAddress {
    PeerAddress::Unknown("".into())
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
    fn of(credential: &Credential<'_>) -> Self {
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
        assert!(arrivals.count <= LIMIT && arrivals.incomplete);
        assert_eq!(
            arrivals.count,
            arrivals.waiting.values().map(Vec::len).sum::<usize>()
        );
    }

    /// What a monitor reports.
    enum Report {
        Accepted(i32, u8),
        Succeeded,
        Disconnected(i32),
    }

    /// A connection as it really is.
    struct Real {
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
            steps in prop::collection::vec((0..5u8, 0..2u8, 0..3u8, any::<prop::sample::Index>()), 1..120),
        ) {
            let peers = peers();
            let watches = [peers.watch("d".into()).0, peers.watch("d".into()).0];
            let mut reports = [VecDeque::new(), VecDeque::new()];
            let mut real: Vec<Real> = Vec::new();
            let read = |socket: usize, report: Report| {
                let id = watches[socket].id;
                let mut state = peers.state();
                match report {
                    Report::Accepted(fd, at) => state.arrived(id, fd, address(at), None),
                    Report::Succeeded => state.succeeded(id),
                    Report::Disconnected(fd) => {
                        state.sockets.get_mut(&id).unwrap().remove(fd);
                    }
                }
            };
            for (step, socket, who, index) in steps {
                let socket = usize::from(socket);
                match step {
                    // Connects: three peers, two of them from one address.
                    0 => {
                        let fd = (0..).find(|fd| real.iter().all(|r| r.fd != *fd)).unwrap();
                        let at = who / 2;
                        reports[socket].push_back(Report::Accepted(fd, at));
                        real.push(Real { socket, fd, at, key: who, admission: None, succeeded: false });
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
                    _ => {
                        if let Some(report) = reports[socket].pop_front() {
                            read(socket, report);
                        }
                    }
                }
            }
            for (socket, reports) in reports.into_iter().enumerate() {
                reports.into_iter().for_each(|report| read(socket, report));
            }
            let state = peers.state();
            let arrivals = state.domains.get("d");
            for one in &real {
                let entry = &state.sockets[&watches[one.socket].id].connections[&one.fd];
                if let Some(number) = one.admission {
                    prop_assert!(entry.candidates(arrivals).any(|a| a.number == number));
                }
                if let Some(peer) = entry.describe("d", arrivals) {
                    if let Some(identity) = peer.identity() {
                        prop_assert!(one.succeeded);
                        prop_assert_eq!(identity, &PeerIdentity::Key(PublicKey::from_bytes([one.key; 32])));
                    }
                }
            }
        }
    }
}
