//! Requests whose decision takes time, each with its deadline.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::zap::Frames;

/// Most requests that may wait: a flood must not fill memory.
const LIMIT: usize = 10_000;

pub(crate) struct Pending<T = Frames> {
    requests: HashMap<u64, T>,
    /// In the order of their deadlines, which is that of their coming; some may have been answered.
    deadlines: VecDeque<(Instant, u64)>,
    next: u64,
    patience: Duration,
}

impl<T> Pending<T> {
    /// Requests wait at most `patience`.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            requests: HashMap::new(),
            deadlines: VecDeque::new(),
            next: 0,
            patience,
        }
    }

    /// Has a request wait, under a number of its own; gives it back where too many wait.
    pub(crate) fn park(&mut self, request: T) -> Result<u64, T> {
        if self.requests.len() >= LIMIT {
            return Err(request);
        }
        let id = self.next;
        self.next += 1;
        self.requests.insert(id, request);
        self.deadlines
            .push_back((Instant::now() + self.patience, id));
        Ok(id)
    }

    /// The request of this number, unless its deadline has passed.
    pub(crate) fn take(&mut self, id: u64) -> Option<T> {
        self.requests.remove(&id)
    }

    /// A request whose deadline has passed.
    pub(crate) fn overdue(&mut self) -> Option<T> {
        let deadline = self.deadline()?;
        if deadline > Instant::now() {
            return None;
        }
        let (_, id) = self.deadlines.pop_front()?;
        self.requests.remove(&id)
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

    #[test]
    fn a_request_is_taken_once_by_its_number_or_by_its_deadline() {
        let mut pending = Pending::new(Duration::ZERO);
        let [first, second] = ["first", "second"].map(|request| pending.park(request).unwrap());
        assert_eq!(pending.take(first), Some("first"));
        assert_eq!(pending.take(first), None);
        assert_eq!(pending.overdue(), Some("second"));
        assert_eq!(
            (pending.overdue(), pending.take(second), pending.deadline()),
            (None, None, None)
        );

        let mut pending = Pending::new(Duration::from_secs(3600));
        pending.park("patient").unwrap();
        assert!(pending.deadline().is_some());
        assert_eq!(pending.overdue(), None);
    }

    #[test]
    fn no_more_than_the_limit_wait() {
        let mut pending = Pending::new(Duration::ZERO);
        let ids: Vec<_> = (0..LIMIT).map(|n| pending.park(n).unwrap()).collect();
        assert_eq!(pending.park(7), Err(7));
        pending.take(ids[0]);
        assert!(pending.park(7).is_ok());
    }
}
