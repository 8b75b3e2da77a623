//! Requests whose decision takes time, each with its deadline.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::limits::{Block, Limits};
use super::zap::Frames;

pub(crate) struct Pending<T = Frames> {
    requests: HashMap<u64, (T, Option<Block>)>,
    /// How many of them are from each address, where that is limited.
    by_block: HashMap<Block, usize>,
    /// In the order of their deadlines, which is that of their coming; some may have been answered.
    deadlines: VecDeque<(Instant, u64)>,
    next: u64,
    patience: Duration,
    most: usize,
    most_per_block: Option<usize>,
}

impl<T> Pending<T> {
    /// Requests wait at most `patience`, and not more of them than `limits` allow: a flood must not fill memory.
    pub(crate) fn new(patience: Duration, limits: &Limits) -> Self {
        Self {
            requests: HashMap::new(),
            by_block: HashMap::new(),
            deadlines: VecDeque::new(),
            next: 0,
            patience,
            most: limits.requests,
            most_per_block: limits.requests_per_address,
        }
    }

    /// Has a request from this address wait, under a number of its own; gives it back where too many wait.
    pub(crate) fn park(&mut self, request: T, from: Option<Block>) -> Result<u64, T> {
        if self.requests.len() >= self.most {
            return Err(request);
        }
        let from = from.filter(|_| self.most_per_block.is_some());
        if let Some(block) = from {
            let waiting = self.by_block.entry(block).or_default();
            if self.most_per_block.is_some_and(|most| *waiting >= most) {
                return Err(request);
            }
            *waiting += 1;
        }
        let id = self.next;
        self.next += 1;
        self.requests.insert(id, (request, from));
        // Those that were answered are left in the queue, but not for more than half of it.
        if self.deadlines.len() > 64 + 2 * self.requests.len() {
            let requests = &self.requests;
            self.deadlines.retain(|(_, id)| requests.contains_key(id));
        }
        self.deadlines
            .push_back((Instant::now() + self.patience, id));
        Ok(id)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// The request of this number, unless its deadline has passed.
    pub(crate) fn take(&mut self, id: u64) -> Option<T> {
        let (request, from) = self.requests.remove(&id)?;
        if let Some(block) = from {
            if let Some(waiting) = self.by_block.get_mut(&block) {
                *waiting -= 1;
                if *waiting == 0 {
                    self.by_block.remove(&block);
                }
            }
        }
        Some(request)
    }

    /// A request whose deadline has passed.
    pub(crate) fn overdue(&mut self) -> Option<T> {
        let deadline = self.deadline()?;
        if deadline > Instant::now() {
            return None;
        }
        let (_, id) = self.deadlines.pop_front()?;
        self.take(id)
    }

    /// The next deadline.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        while let Some((deadline, id)) = self.deadlines.front() {
            if self.requests.contains_key(id) {
                return Some(*deadline);
            }
            self.deadlines.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::address::PeerAddress;

    fn pending<T>(patience: Duration, limits: Limits) -> Pending<T> {
        Pending::new(patience, &limits)
    }

    #[test]
    fn a_request_is_taken_once_by_its_number_or_by_its_deadline() {
        let mut requests = pending(Duration::ZERO, Limits::off());
        let [first, second] =
            ["first", "second"].map(|request| requests.park(request, None).unwrap());
        assert_eq!(requests.take(first), Some("first"));
        assert_eq!(requests.take(first), None);
        assert_eq!(requests.overdue(), Some("second"));
        assert_eq!(
            (
                requests.overdue(),
                requests.take(second),
                requests.deadline()
            ),
            (None, None, None)
        );

        let mut requests = pending(Duration::from_secs(3600), Limits::off());
        requests.park("patient", None).unwrap();
        assert!(requests.deadline().is_some());
        assert_eq!(requests.overdue(), None);
    }

    #[test]
    fn no_more_than_the_limit_wait() {
        let mut requests = pending(Duration::ZERO, Limits::off().requests(100));
        let ids: Vec<_> = (0..100).map(|n| requests.park(n, None).unwrap()).collect();
        assert_eq!(requests.park(7, None), Err(7));
        requests.take(ids[0]);
        assert!(requests.park(7, None).is_ok());
    }

    #[test]
    fn no_address_takes_the_places_of_others() {
        let limits = Limits::off().requests(10).requests_per_address(3);
        let from = |text| limits.blocks.of(&PeerAddress::parse(text));
        let (greedy, other) = (from("192.0.2.1"), from("192.0.2.2"));
        let mut requests = pending(Duration::from_secs(3600), limits);
        let ids: Vec<_> = (0..3).map(|n| requests.park(n, greedy).unwrap()).collect();
        assert_eq!(requests.park(7, greedy), Err(7));
        assert!(requests.park(7, other).is_ok());
        for unknown in 0..6 {
            assert!(requests.park(unknown, None).is_ok());
        }
        assert_eq!(requests.park(7, other), Err(7));
        requests.take(ids[1]);
        assert!(requests.park(7, greedy).is_ok());
        assert_eq!(requests.by_block.len(), 2);
    }

    #[test]
    fn answered_requests_do_not_pile_up_behind_one_that_waits() {
        let mut requests = pending(Duration::from_secs(3600), Limits::off());
        requests.park(0, None).unwrap();
        for n in 0..10_000 {
            let id = requests.park(n, None).unwrap();
            requests.take(id);
        }
        assert!(requests.deadlines.len() < 100);
    }
}
