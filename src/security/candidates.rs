//! Whose a connection may be, and whether it may be a revoked peer's; for many connections at once, which mostly may be the same peers'.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::address::PeerAddress;
use super::arrivals::{Admission, Arrivals, unknown};
use super::peers::{Entry, PeerIdentity, Who};

/// A connection of an admitted peer to a socket of this library.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConnectedPeer {
    /// The domain of the socket.
    pub domain: Arc<str>,
    /// Where the peer is.
    pub address: PeerAddress,
    /// When the connection was accepted.
    pub since: SystemTime,
    /// Who it is, or who it may be where several peers shook hands from one address at the same time.
    pub candidates: Arc<[PeerIdentity]>,
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

/// Whether a connection is a revoked peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    None,
    Possible,
    Certain,
}

/// The connections of one domain, as the admissions stand now. What several connections share is looked at once.
pub(super) struct Candidates<'a> {
    domain: &'a Arc<str>,
    arrivals: Option<&'a Arrivals>,
    /// The last revoked admission at each address that waits.
    revoked: HashMap<&'a PeerAddress, &'a Admission>,
    /// By the place of the list in memory.
    suspicions: HashMap<*const Arc<Admission>, Suspicion>,
    identities: HashMap<*const Arc<Admission>, Arc<[PeerIdentity]>>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(domain: &'a Arc<str>, arrivals: Option<&'a Arrivals>) -> Self {
        let waiting = arrivals.into_iter().flat_map(Arrivals::all);
        let revoked = waiting.filter_map(|(address, admissions)| {
            let last = admissions.iter().rfind(|admission| is_revoked(admission))?;
            Some((address, &**last))
        });
        Self {
            domain,
            arrivals,
            revoked: revoked.collect(),
            suspicions: HashMap::new(),
            identities: HashMap::new(),
        }
    }

    /// Whether a connection of the domain is a revoked peer's.
    pub(super) fn suspicion(&mut self, entry: &Entry) -> Suspicion {
        let Who::Admitted(list) = &entry.who else {
            let may_be = |admission: &&Admission| entry.may_be(admission);
            let possible = if entry.address == unknown() {
                self.revoked.values().any(may_be)
            } else {
                self.revoked.get(&entry.address).is_some_and(may_be)
            };
            return match self.arrivals {
                // Whoever it is, we do not know any more.
                Some(arrivals) if entry.after < arrivals.forgotten => Suspicion::Certain,
                _ if possible => Suspicion::Possible,
                _ => Suspicion::None,
            };
        };
        *self.suspicions.entry(list.as_ptr()).or_insert_with(|| {
            let (mut any, mut all) = (false, true);
            for admission in open(list) {
                any |= is_revoked(admission);
                all &= is_revoked(admission);
            }
            match (any, all) {
                (false, _) => Suspicion::None,
                (true, false) => Suspicion::Possible,
                (true, true) => Suspicion::Certain,
            }
        })
    }

    /// For the program; `None` for one that is not known to have been admitted.
    pub(super) fn describe(&mut self, entry: &Entry) -> Option<ConnectedPeer> {
        let candidates = match entry.candidates(self.arrivals) {
            Cow::Owned(list) => identities(&list),
            Cow::Borrowed([]) => return None,
            Cow::Borrowed(list) => {
                let known = self.identities.entry(list.as_ptr());
                known.or_insert_with(|| identities(list)).clone()
            }
        };
        (!candidates.is_empty()).then(|| ConnectedPeer {
            domain: self.domain.clone(),
            address: entry.address.clone(),
            since: entry.since,
            candidates,
            admitted: matches!(entry.who, Who::Admitted(_)),
        })
    }
}

impl Entry {
    /// Whose it may be; among them some that are taken, if it was matched before they were.
    pub(super) fn candidates<'a>(
        &'a self,
        arrivals: Option<&'a Arrivals>,
    ) -> Cow<'a, [Arc<Admission>]> {
        let Who::Arriving = &self.who else {
            return Cow::Borrowed(self.known());
        };
        let Some(arrivals) = arrivals else {
            return Cow::Borrowed(&[]);
        };
        if self.address == unknown() {
            // Without an address of its own it may be from anywhere.
            let all = arrivals.all().flat_map(|(_, waiting)| waiting);
            return all.filter(|one| self.may_be(one)).cloned().collect();
        }
        Cow::Borrowed(self.last_of(arrivals.at(&self.address)))
    }

    /// Those of `waiting` that it may be, of which it says that they are in order: the last ones.
    pub(super) fn last_of<'a>(&self, waiting: &'a [Arc<Admission>]) -> &'a [Arc<Admission>] {
        let first = waiting.partition_point(|admission| !self.may_be(admission));
        waiting.get(first..).unwrap_or_default()
    }
}

/// Those of the candidates that nobody else was shown to be.
fn open(list: &[Arc<Admission>]) -> impl Iterator<Item = &Arc<Admission>> {
    let is_open = move |admission: &&Arc<Admission>| {
        list.len() == 1 || !admission.taken.load(Ordering::Relaxed)
    };
    list.iter().filter(is_open)
}

fn is_revoked(admission: &Admission) -> bool {
    admission.revoked.load(Ordering::Relaxed)
}

fn identities(list: &[Arc<Admission>]) -> Arc<[PeerIdentity]> {
    let mut seen = HashSet::new();
    let identities = open(list).map(|admission| &admission.identity);
    identities
        .filter(|identity| seen.insert(*identity))
        .cloned()
        .collect()
}
