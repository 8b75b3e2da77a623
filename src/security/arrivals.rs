//! Admissions, as the ZAP thread makes them, until it is known of which connections they are.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::address::PeerAddress;
use super::passwords::Proof;
use super::peers::PeerIdentity;
use super::zap::{Credential, ZapRequest};

/// Admissions of a domain that may wait to be matched: those of sockets that we do not watch never are.
pub(super) const LIMIT: usize = 65_536;

/// A connection that was reported longer than this after an admission is not the one that it was for.
pub(super) const LAG: Duration = Duration::from_secs(2);

/// Moments of admissions that are kept though nobody was heard of since: some seconds' worth.
const MANY: usize = 64;

/// One admission.
pub(super) struct Admission {
    /// Greater than those of all admissions before it.
    pub(super) number: u64,
    pub(super) domain: Arc<str>,
    pub(super) identity: PeerIdentity,
    pub(super) address: PeerAddress,
    /// By what a user was admitted.
    pub(super) proof: Option<Box<Proof>>,
    pub(super) time: Instant,
    pub(super) revoked: AtomicBool,
    /// A message has shown of which connection it is: it is none of the others'.
    pub(super) taken: AtomicBool,
}

/// Admissions of one domain that were not matched with a connection yet.
#[derive(Default)]
pub(super) struct Arrivals {
    /// By address, in the order in which they were made.
    waiting: HashMap<PeerAddress, Vec<Arc<Admission>>>,
    count: usize,
    /// How many there were, and since when, of whom no socket has reported yet that their handshake succeeded.
    pub(super) unheard: VecDeque<(Instant, u64)>,
    /// The connections of all up to this number were reported before a connection that is reported now.
    settled: u64,
    /// Up to this number some had to be forgotten: a connection that is not matched and may be of one of them may be anybody's.
    pub(super) forgotten: u64,
}

impl Arrivals {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Those that wait at an address.
    pub(super) fn at(&self, address: &PeerAddress) -> &[Arc<Admission>] {
        self.waiting.get(address).map_or(&[], Vec::as_slice)
    }

    /// All that wait, address by address.
    pub(super) fn all(&self) -> impl Iterator<Item = (&PeerAddress, &[Arc<Admission>])> {
        let all = self.waiting.iter();
        all.map(|(address, waiting)| (address, waiting.as_slice()))
    }

    /// The last one made of those at an address that wait.
    pub(super) fn newest(&self, address: &PeerAddress) -> Option<&Arc<Admission>> {
        if *address == unknown() {
            let newest = self.waiting.values().filter_map(|waiting| waiting.last());
            newest.max_by_key(|admission| admission.number)
        } else {
            self.at(address).last()
        }
    }

    /// Takes in the next one; `earliest` tells since when a connection from an address waits to be matched.
    pub(super) fn add(
        &mut self,
        admission: Admission,
        earliest: impl Fn(&PeerAddress) -> Option<Instant>,
    ) {
        self.make_room(admission.number, &earliest);
        let waiting = self.waiting.entry(admission.address.clone()).or_default();
        if waiting.len().is_power_of_two() {
            let before = waiting.len();
            let earliest = earliest(&admission.address);
            waiting.retain(|earlier| earlier.waits(earliest));
            self.count -= before - waiting.len();
        }
        waiting.push(Arc::new(admission));
        self.count += 1;
        // As a rule `settle` does: but none may connect to the sockets that we watch, while others let many in.
        if self.unheard.len() > MANY {
            self.forget_unheard();
        }
        match self.unheard.back_mut() {
            Some((since, count)) if since.elapsed() < LAG / 16 => *count += 1,
            _ => self.unheard.push_back((Instant::now(), 1)),
        }
    }

    /// Sees to it that one more can wait.
    fn make_room(&mut self, next: u64, earliest: impl Fn(&PeerAddress) -> Option<Instant>) {
        // Looked through each time their number has doubled.
        if self.count < 64 || (!self.count.is_power_of_two() && self.count < LIMIT) {
            return;
        }
        self.waiting.retain(|address, admissions| {
            let earliest = earliest(address);
            admissions.retain(|admission| admission.waits(earliest));
            !admissions.is_empty()
        });
        self.count = self.waiting.values().map(Vec::len).sum();
        if self.count >= LIMIT {
            self.waiting.clear();
            self.count = 0;
            self.forgotten = next - 1;
        }
    }

    /// One does not wait any more.
    pub(super) fn take(&mut self, admission: &Arc<Admission>) {
        if let Some(waiting) = self.waiting.get_mut(&admission.address) {
            let before = waiting.len();
            waiting.retain(|other| !Arc::ptr_eq(other, admission));
            self.count -= before - waiting.len();
            if waiting.is_empty() {
                self.waiting.remove(&admission.address);
            }
        }
    }

    /// None of those at an address waits any more.
    pub(super) fn take_all(&mut self, address: &PeerAddress) {
        let taken = self.waiting.remove(address);
        self.count -= taken.map_or(0, |taken| taken.len());
    }

    /// A handshake has succeeded; `last` is the number of the last admission.
    pub(super) fn hear_of_one(&mut self, last: u64) {
        if let Some((_, count)) = self.unheard.front_mut() {
            *count -= 1;
            if *count == 0 {
                self.unheard.pop_front();
            }
        }
        self.settle(last);
    }

    /// A connection is reported now; `last` is the number of the last admission. Up to which admissions were of others, reported
    /// before it: a socket reports that a handshake succeeded after the connection, so once all are heard of, all are known.
    pub(super) fn settle(&mut self, last: u64) -> u64 {
        self.forget_unheard();
        if self.unheard.is_empty() {
            self.settled = last;
        }
        self.settled
    }

    /// Who has not been heard of for long never will be, as its connection broke.
    fn forget_unheard(&mut self) {
        let old = |(since, _): &(Instant, u64)| since.elapsed() >= LAG + LAG / 16;
        while self.unheard.front().is_some_and(old) {
            self.unheard.pop_front();
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

/// Where a connection is of which the system does not tell it.
pub(super) fn unknown() -> PeerAddress {
    PeerAddress::Unknown("".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(number: u64) -> Admission {
        Admission {
            number,
            domain: "d".into(),
            identity: PeerIdentity::Anonymous,
            address: PeerAddress::parse(&format!("192.0.2.{number}")),
            proof: None,
            time: Instant::now(),
            revoked: AtomicBool::new(false),
            taken: AtomicBool::new(false),
        }
    }

    #[test]
    fn nothing_is_left_of_an_address_whose_admissions_were_taken() {
        let mut arrivals = Arrivals::default();
        for number in 1..=10 {
            arrivals.add(admission(number), |_| None);
        }
        for number in 1..=10 {
            let one = arrivals.at(&admission(number).address)[0].clone();
            arrivals.take(&one);
        }
        assert_eq!((arrivals.len(), arrivals.waiting.len()), (0, 0));
    }

    #[test]
    fn those_not_heard_of_do_not_pile_up_where_nobody_connects() {
        let mut arrivals = Arrivals::default();
        let long_ago = Instant::now().checked_sub(2 * LAG).unwrap();
        arrivals.unheard.extend([(long_ago, 1); MANY + 1]);
        arrivals.add(admission(1), |_| None);
        assert_eq!(arrivals.unheard.len(), 1);
    }
}
