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
    pub domain: Arc<str>,
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
            domain: domain.clone(),
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
mod tests;
