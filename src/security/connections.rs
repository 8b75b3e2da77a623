//! Limits on connections: counts by address, kept as connections come and go, and what is closed when there is one too many.
//!
//! A monitor names the connection that was accepted and the one that ended, but not the one whose handshake succeeded. What is known of
//! that for certain, [`peers`](super::peers) finds out: a connection from an address where no admission waits to be matched is
//! half-open. Of the others it is only known how many are. So this is what is closed, and counted against the limits; where it
//! cannot be told, nobody who may be admitted is closed, and the one that has just come must go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::address::PeerAddress;
use super::limits::{Block, Limits};
use super::peers::{Entry, Peers, State};

/// Fewer bytes than any peer has sent that was admitted: a ZMTP 3 greeting, and what is at least sent by NULL, which is READY with a socket's
/// type.
///
/// Source: RFC 23/ZMTP.
const SHORTEST: u64 = 64 + 2 + 6 + (1 + 11 + 4 + 3);

/// Connections looked at for one that may be closed, oldest first.
const LOOKS: usize = 64;

/// A limit on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionLimit {
    /// [`Limits::connections`].
    All,
    /// [`Limits::connections_per_address`].
    PerAddress,
    /// [`Limits::half_open`].
    HalfOpen,
    /// [`Limits::half_open_per_address`].
    HalfOpenPerAddress,
}

/// A connection that was closed because there was one too many.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExcessConnection {
    /// The domain of its socket.
    pub domain: String,
    /// Where its peer is.
    pub address: PeerAddress,
    /// The limit.
    pub limit: ConnectionLimit,
    /// How many it allows.
    pub most: usize,
}

impl ConnectionLimit {
    /// Its name for machines, such as `half_open`: that of the limit in [`Limits`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "connections",
            Self::PerAddress => "connections_per_address",
            Self::HalfOpen => "half_open",
            Self::HalfOpenPerAddress => "half_open_per_address",
        }
    }
}

impl fmt::Display for ConnectionLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "connections",
            Self::PerAddress => "connections from one address",
            Self::HalfOpen => "half-open connections",
            Self::HalfOpenPerAddress => "half-open connections from one address",
        })
    }
}

impl fmt::Display for ExcessConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.to_string();
        write!(
            f,
            "CLOSED {} in {:?}: more than {} {}",
            address.escape_debug(),
            self.domain,
            self.most,
            self.limit
        )
    }
}

/// Counts of connections. As large as there are connections, which the process's descriptors bound.
pub(super) struct Tally {
    limits: Limits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    arriving: usize,
    by_block: HashMap<Option<Block>, Count>,
    /// Blocks by how many connections of theirs are arriving.
    most_arriving: BTreeSet<(usize, Option<Block>)>,
    next: u64,
}

#[derive(Default)]
struct Count {
    all: usize,
    /// Those that are not known to be admitted, oldest first: socket and descriptor.
    arriving: BTreeMap<u64, (u64, i32)>,
}

/// A connection's share in the counts, which ends with it.
pub(super) struct Counted {
    counts: Arc<Mutex<Counts>>,
    block: Option<Block>,
    number: u64,
    arriving: bool,
}

impl Tally {
    /// `None` where there is nothing to limit.
    pub(super) fn new(limits: &Limits) -> Option<Self> {
        let most = [
            limits.connections,
            limits.connections_per_address,
            limits.half_open,
            limits.half_open_per_address,
        ];
        most.iter().any(Option::is_some).then(|| Self {
            limits: *limits,
            counts: Arc::default(),
        })
    }

    fn count(&self, socket: u64, fd: i32, address: &PeerAddress) -> Counted {
        let block = self.limits.blocks.of(address);
        let mut counts = lock(&self.counts);
        let number = counts.next;
        counts.next += 1;
        counts.all += 1;
        let count = counts.by_block.entry(block).or_default();
        count.all += 1;
        count.arriving.insert(number, (socket, fd));
        let now = count.arriving.len();
        counts.arriving += 1;
        counts.most_arriving.remove(&(now - 1, block));
        counts.most_arriving.insert((now, block));
        Counted {
            counts: self.counts.clone(),
            block,
            number,
            arriving: true,
        }
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counts {
    fn arrived(&mut self, block: Option<Block>, number: u64) {
        let Some(count) = self.by_block.get_mut(&block) else {
            return;
        };
        let before = count.arriving.len();
        if count.arriving.remove(&number).is_some() {
            self.arriving -= 1;
            self.most_arriving.remove(&(before, block));
            if before > 1 {
                self.most_arriving.insert((before - 1, block));
            }
        }
    }
}

impl Counted {
    /// It is known to be admitted now.
    pub(super) fn admitted(&mut self) {
        if std::mem::take(&mut self.arriving) {
            lock(&self.counts).arrived(self.block, self.number);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.admitted();
        let mut counts = lock(&self.counts);
        counts.all -= 1;
        if let Some(count) = counts.by_block.get_mut(&self.block) {
            count.all -= 1;
            if count.all == 0 {
                counts.by_block.remove(&self.block);
            }
        }
    }
}

impl Peers {
    /// Counts the connection just accepted, and closes one if that is one too many.
    pub(super) fn limit(&self, socket: u64, fd: i32) {
        let Some(tally) = &self.tally else {
            return;
        };
        let mut state = self.state();
        let Some(entry) = state.entry_mut(socket, fd) else {
            return;
        };
        // What is gone already, or not known for what it is, cannot be closed.
        if entry.identity.is_none() {
            return;
        }
        let address = entry.address.clone();
        entry.counted = Some(tally.count(socket, fd, &address));
        let Some((limit, most, from)) = tally.exceeded(&state, &address) else {
            return;
        };
        let (socket, fd) = tally.half_open(&state, from).unwrap_or((socket, fd));
        let Some(watched) = state.sockets.get_mut(&socket) else {
            return;
        };
        let domain = &watched.domain;
        let Some(entry) = watched.connections.get_mut(&fd) else {
            return;
        };
        // From here on it counts no more, though its end is reported later.
        entry.counted = None;
        let Some(connection) = entry.live(fd) else {
            return;
        };
        // Fails only where the peer has left already.
        let _ = connection.shut_down();
        entry.closed = true;
        self.audit.closed_as_excess(ExcessConnection {
            domain: domain.to_string(),
            address: entry.address.clone(),
            limit,
            most,
        });
    }
}

impl Tally {
    /// The limit that is exceeded since a connection came from `address`, if one is; how many it allows, and whose connections it is about.
    fn exceeded(
        &self,
        state: &State,
        address: &PeerAddress,
    ) -> Option<(ConnectionLimit, usize, Option<Block>)> {
        let block = self.limits.blocks.of(address);
        let counts = lock(&self.counts);
        let over = |most: Option<usize>, count: usize| most.filter(|most| count > *most);
        // Nobody can be held to a limit by address of whom it is not known where he is.
        if let Some(here) = block.and_then(|_| counts.by_block.get(&block)) {
            if let Some(most) = over(self.limits.connections_per_address, here.all) {
                return Some((ConnectionLimit::PerAddress, most, block));
            }
            if let Some(most) = over(self.limits.half_open_per_address, here.arriving.len()) {
                let waiting = self.waiting(state, address);
                if waiting.is_some_and(|waiting| here.arriving.len() > most + waiting) {
                    return Some((ConnectionLimit::HalfOpenPerAddress, most, block));
                }
            }
        }
        if let Some(most) = over(self.limits.connections, counts.all) {
            return Some((ConnectionLimit::All, most, None));
        }
        let most = over(self.limits.half_open, counts.arriving)?;
        let waiting = state.domains.values().try_fold(0, |sum, arrivals| {
            (arrivals.forgotten == 0).then_some(sum + arrivals.len())
        })?;
        (counts.arriving > most + waiting).then_some((ConnectionLimit::HalfOpen, most, None))
    }

    /// How many admissions of peers in the block of `address` are not matched with a connection; `None` if some had to be forgotten.
    fn waiting(&self, state: &State, address: &PeerAddress) -> Option<usize> {
        let (blocks, mut sum) = (&self.limits.blocks, 0);
        let block = blocks.of(address);
        for arrivals in state.domains.values() {
            if arrivals.forgotten > 0 {
                return None;
            }
            sum += if blocks.is_single(address) {
                arrivals.at(address).len()
            } else {
                let here = arrivals
                    .all()
                    .filter(|(address, _)| blocks.of(address) == block);
                here.map(|(_, admissions)| admissions.len()).sum()
            };
        }
        Some(sum)
    }

    /// The oldest connection that is half-open for certain, of this block, or of the one with most that may be.
    fn half_open(&self, state: &State, block: Option<Block>) -> Option<(u64, i32)> {
        let counts = lock(&self.counts);
        let block = match block {
            None => counts.most_arriving.last()?.1,
            block => block,
        };
        let arriving = counts.by_block.get(&block)?.arriving.values();
        arriving
            .take(LOOKS)
            .copied()
            .find(|(socket, fd)| state.is_half_open(*socket, *fd))
    }
}

impl State {
    fn entry_mut(&mut self, socket: u64, fd: i32) -> Option<&mut Entry> {
        self.sockets.get_mut(&socket)?.connections.get_mut(&fd)
    }

    /// Whether the peer of this connection has not been admitted for certain.
    fn is_half_open(&self, socket: u64, fd: i32) -> bool {
        let Some(watched) = self.sockets.get(&socket) else {
            return false;
        };
        let Some(entry) = watched.connections.get(&fd) else {
            return false;
        };
        let arrivals = self.domains.get(&watched.domain);
        let complete = arrivals.is_some_and(|arrivals| entry.after >= arrivals.forgotten);
        if complete && entry.candidates(arrivals).is_empty() {
            return true;
        }
        let received = entry.live(fd).and_then(|connection| connection.received());
        received.is_some_and(|bytes| bytes < SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use proptest::prelude::*;

    use super::*;
    use crate::ffi::fd::Connection;
    use crate::security::audit::{Audit, AuditEvent, AuditEvents};
    use crate::security::keys::PublicKey;
    use crate::security::peers::SocketWatch;
    use crate::security::revoke::RevocationScope;
    use crate::security::zap::{Credential, ZapRequest};

    /// Connections to a listener of our own, reported as a monitor would.
    struct House {
        peers: Arc<Peers>,
        watch: SocketWatch,
        events: AuditEvents,
        listener: TcpListener,
    }

    struct Guest {
        ours: TcpStream,
        theirs: TcpStream,
    }

    impl House {
        fn new(limits: Limits) -> Self {
            let audit = Arc::new(Audit::new());
            let events = audit.subscribe();
            let peers = Peers::new(RevocationScope::Address, audit, &limits);
            let (watch, _) = peers.watch("d".into());
            Self {
                peers,
                watch,
                events,
                listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            }
        }

        /// Somebody connects, and says that he comes from 192.0.2.`at`.
        fn connect(&self, at: u8) -> Guest {
            let theirs = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
            let ours = self.listener.accept().unwrap().0;
            let fd = ours.as_raw_fd();
            let identity = Connection::of(fd).map(|c| c.identity().clone());
            self.peers
                .state()
                .arrived(self.watch.id, fd, address(at), identity);
            self.peers.limit(self.watch.id, fd);
            Guest { ours, theirs }
        }

        fn admit(&self, at: u8) {
            let request = ZapRequest {
                domain: Some("d"),
                address: address(at).into(),
                credential: Credential::Curve(PublicKey::from_bytes([at; 32])),
            };
            self.peers.admit(&request, None).unwrap();
        }

        fn succeeded(&self) {
            self.peers.state().succeeded(self.watch.id);
        }

        fn leave(&self, guest: Guest) {
            let mut state = self.peers.state();
            let socket = state.sockets.get_mut(&self.watch.id).unwrap();
            socket.remove(guest.ours.as_raw_fd());
        }

        /// Which connections were closed since it was last asked, by the last part of their address, and by which limit.
        fn closed(&self) -> Vec<(u8, ConnectionLimit)> {
            let next = || self.events.next(Some(std::time::Duration::ZERO));
            std::iter::from_fn(next)
                .map(|event| match event {
                    AuditEvent::TooManyConnections(excess) => {
                        let at = excess.address.to_string();
                        (
                            at.rsplit('.').next().unwrap().parse().unwrap(),
                            excess.limit,
                        )
                    }
                    event => panic!("{event}"),
                })
                .collect()
        }
    }

    impl Guest {
        fn is_closed(&self) -> bool {
            self.ours.set_nonblocking(true).unwrap();
            let seen = self.ours.peek(&mut [0]);
            self.ours.set_nonblocking(false).unwrap();
            matches!(seen, Ok(0))
        }
    }

    fn address(n: u8) -> PeerAddress {
        PeerAddress::parse(&format!("192.0.2.{n}"))
    }

    #[test]
    fn the_oldest_half_open_connection_of_the_address_gives_way() {
        use ConnectionLimit::HalfOpenPerAddress;
        let house = House::new(Limits::off().half_open_per_address(2));
        let [first, second, other, third] = [1, 1, 2, 1].map(|at| house.connect(at));
        assert_eq!(house.closed(), [(1, HalfOpenPerAddress)]);
        assert!(first.is_closed() && !second.is_closed());
        // It does not count any more, though its end is yet to be reported.
        house.leave(first);
        let fourth = house.connect(1);
        assert_eq!(house.closed(), [(1, HalfOpenPerAddress)]);
        assert!(second.is_closed() && !third.is_closed() && !fourth.is_closed());
        assert!(!other.is_closed());
    }

    #[test]
    fn who_floods_closes_his_own_and_others_get_in() {
        let house = House::new(Limits::off().half_open(5));
        let flood: Vec<_> = (0..20).map(|_| house.connect(1)).collect();
        assert_eq!(house.closed(), [(1, ConnectionLimit::HalfOpen); 15]);
        let others = [2, 3, 4].map(|at| house.connect(at));
        assert_eq!(house.closed(), [(1, ConnectionLimit::HalfOpen); 3]);
        assert!(others.iter().all(|guest| !guest.is_closed()));
        assert_eq!(flood.iter().filter(|guest| !guest.is_closed()).count(), 2);
    }

    #[test]
    fn the_admitted_are_not_half_open() {
        let limits = Limits::off()
            .half_open_per_address(1)
            .connections_per_address(4);
        let house = House::new(limits);
        let admitted = [(); 3].map(|()| {
            let guest = house.connect(1);
            house.admit(1);
            house.succeeded();
            guest
        });
        let silent = house.connect(1);
        assert!(house.closed().is_empty());
        // The fifth connection is one too many, and the silent one goes.
        let next = house.connect(1);
        assert_eq!(house.closed(), [(1, ConnectionLimit::PerAddress)]);
        assert!(silent.is_closed() && !next.is_closed());
        assert!(admitted.iter().all(|guest| !guest.is_closed()));
    }

    #[test]
    fn nobody_is_closed_who_may_be_admitted() {
        let house = House::new(Limits::off().half_open_per_address(1));
        let mut guests = [1, 1].map(|at| house.connect(at));
        assert_eq!(house.closed(), [(1, ConnectionLimit::HalfOpenPerAddress)]);
        house.admit(1);
        // Which of both succeeded is not known: the other one's end is not reported yet.
        house.succeeded();
        let speaks = |guest: &mut Guest| {
            guest.theirs.write_all(&[0; SHORTEST as usize]).unwrap();
            guest.ours.peek(&mut [0]).unwrap();
        };
        speaks(&mut guests[1]);
        // One more is within the limit, as it is known that one of them is admitted.
        let silent = house.connect(1);
        assert!(house.closed().is_empty());
        let mut next = house.connect(1);
        assert_eq!(house.closed(), [(1, ConnectionLimit::HalfOpenPerAddress)]);
        // It came when everybody had been heard of who was admitted.
        assert!(silent.is_closed() && !next.is_closed());
        house.admit(1);
        // That may have been the last one, or this one.
        let mut other = house.connect(1);
        assert!(house.closed().is_empty());
        speaks(&mut next);
        speaks(&mut other);
        let last = house.connect(1);
        assert_eq!(house.closed(), [(1, ConnectionLimit::HalfOpenPerAddress)]);
        // All others have spoken, so the new one goes.
        assert!(last.is_closed());
        assert!(
            [&guests[1], &next, &other]
                .iter()
                .all(|guest| !guest.is_closed())
        );
    }

    #[test]
    fn without_a_half_open_one_the_new_connection_goes() {
        let house = House::new(Limits::off().connections(2));
        let admitted = [1, 2].map(|at| {
            let guest = house.connect(at);
            house.admit(at);
            house.succeeded();
            guest
        });
        let new = house.connect(3);
        // It is half-open itself, and the only one.
        assert_eq!(house.closed(), [(3, ConnectionLimit::All)]);
        assert!(new.is_closed() && admitted.iter().all(|guest| !guest.is_closed()));
    }

    #[test]
    fn limits_by_address_rest_where_there_is_none() {
        let limits = Limits::off()
            .connections_per_address(1)
            .half_open_per_address(1);
        let tally = Tally::new(&limits).unwrap();
        let nowhere = PeerAddress::Unknown("".into());
        let _counted = [1, 2, 3].map(|fd| tally.count(1, fd, &nowhere));
        assert!(tally.exceeded(&State::default(), &nowhere).is_none());
    }

    #[test]
    fn a_closed_connection_is_described() {
        let excess = ExcessConnection {
            domain: "d".into(),
            address: address(1),
            limit: ConnectionLimit::HalfOpenPerAddress,
            most: 7,
        };
        assert_eq!(
            AuditEvent::TooManyConnections(excess).to_string(),
            "CLOSED 192.0.2.1 in \"d\": more than 7 half-open connections from one address"
        );
    }

    proptest! {
        #[test]
        fn counts_are_those_of_the_connections_that_live(
            steps in prop::collection::vec((0..4u8, 0..3u8, any::<prop::sample::Index>()), 1..100),
        ) {
            let tally = Tally::new(&Limits::off().connections(1)).unwrap();
            let mut live: Vec<(u8, bool, Counted)> = Vec::new();
            for (step, at, index) in steps {
                match step {
                    0 | 1 => live.push((at, true, tally.count(1, 1, &address(at)))),
                    2 if !live.is_empty() => {
                        let at = index.index(live.len());
                        live[at].1 = false;
                        live[at].2.admitted();
                    }
                    3 if !live.is_empty() => drop(live.swap_remove(index.index(live.len()))),
                    _ => {}
                }
                let counts = lock(&tally.counts);
                prop_assert_eq!(counts.all, live.len());
                prop_assert_eq!(counts.arriving, live.iter().filter(|l| l.1).count());
                let mut most = BTreeSet::new();
                for at in 0..3 {
                    let block = tally.limits.blocks.of(&address(at));
                    let all = live.iter().filter(|l| l.0 == at);
                    let arriving = all.clone().filter(|l| l.1).count();
                    let count = counts.by_block.get(&block);
                    prop_assert_eq!(count.map_or(0, |c| c.all), all.count());
                    prop_assert_eq!(count.map_or(0, |c| c.arriving.len()), arriving);
                    if arriving > 0 {
                        most.insert((arriving, block));
                    }
                }
                prop_assert_eq!(&counts.most_arriving, &most);
            }
            live.clear();
            let counts = lock(&tally.counts);
            prop_assert!(counts.by_block.is_empty() && counts.most_arriving.is_empty());
        }
    }
}
