//! A small bounded pool for decisions that may block.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::limits::Block;
use crate::ffi::os;

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that wait though their time may be over: each time their number has doubled from here on, those whose is are looked for.
const MANY: usize = 1024;

/// Threads that run jobs, started as they are needed. Addresses take turns, so that none delays the others. Dropping the pool drops the jobs that wait, and waits for those that run.
pub(crate) struct Workers {
    pool: Arc<Pool>,
    /// Most threads, and so most callbacks at a time.
    threads: usize,
    /// How long a job may wait, and then is not run; and how long a stuck one may hold up the end of the pool: then it is left to itself, with
    /// all it owns.
    patience: Duration,
}

struct Pool {
    state: Mutex<State>,
    work: Condvar,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// By the address that jobs are done for. Who submits bounds those whose time is not over.
    queues: HashMap<Option<Block>, Queue>,
    /// Whose turn it is next: those with a job that may run now, each once.
    turns: VecDeque<Option<Block>>,
    waiting: usize,
    /// Most jobs of one address at a time.
    share: usize,
    threads: usize,
    idle: usize,
    closed: bool,
}

/// The jobs of one address.
#[derive(Default)]
struct Queue {
    /// Each with the end of its time, in that order.
    jobs: VecDeque<(Instant, Job)>,
    running: usize,
}

impl Workers {
    /// At most `threads` jobs run at a time, and `share` of one address.
    pub(crate) fn new(threads: usize, share: usize, patience: Duration) -> Self {
        let pool = Pool {
            state: Mutex::new(State {
                share,
                ..State::default()
            }),
            work: Condvar::new(),
            ended: Condvar::new(),
        };
        Self {
            pool: Arc::new(pool),
            threads,
            patience,
        }
    }

    /// Runs `job`, which must not panic, on a thread of the pool, as soon as one is free and it is the turn of this address; gives it back
    /// where no thread can be had.
    pub(crate) fn submit(&self, job: Job, from: Option<Block>) -> Result<(), Job> {
        let mut state = self.pool.state();
        if state.waiting >= state.idle && state.threads < self.threads {
            let pool = self.pool.clone();
            if os::spawn("ironhouse-work", move || pool.run()).is_ok() {
                state.threads += 1;
            } else if state.threads == 0 {
                return Err(job);
            }
        }
        let late = state.push(job, Instant::now() + self.patience, from);
        self.pool.work.notify_one();
        // What a callback owns is dropped without the lock.
        drop(state);
        drop(late);
        Ok(())
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.state();
        while !state.closed {
            if let Some(((due, job), from)) = state.pop() {
                drop(state);
                if Instant::now() < due {
                    job();
                } else {
                    drop(job); // its peer was told to try again
                }
                state = self.state();
                state.ended(from);
            } else {
                state.idle += 1;
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
        state.threads -= 1;
        self.ended.notify_all();
    }
}

impl State {
    /// Has a job wait until `due`; those that have waited too long, where there are many. They leave when their turn comes: but it never does
    /// where all threads are stuck.
    fn push(&mut self, job: Job, due: Instant, from: Option<Block>) -> Vec<(Instant, Job)> {
        let mut late = Vec::new();
        if self.waiting >= MANY && self.waiting.is_power_of_two() {
            let now = Instant::now();
            for queue in self.queues.values_mut() {
                let count = queue.jobs.partition_point(|(due, _)| *due <= now);
                late.extend(queue.jobs.drain(..count));
            }
            self.waiting -= late.len();
            self.queues
                .retain(|_, queue| queue.running > 0 || !queue.jobs.is_empty());
            let queues = &self.queues;
            self.turns
                .retain(|from| queues.get(from).is_some_and(|it| !it.jobs.is_empty()));
        }
        let share = self.share;
        let queue = self.queues.entry(from).or_default();
        queue.jobs.push_back((due, job));
        self.waiting += 1;
        if queue.jobs.len() == 1 && queue.running < share {
            self.turns.push_back(from);
        }
        late
    }

    fn pop(&mut self) -> Option<((Instant, Job), Option<Block>)> {
        let from = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&from)?;
        let job = queue.jobs.pop_front()?;
        queue.running += 1;
        self.waiting -= 1;
        if !queue.jobs.is_empty() && queue.running < self.share {
            self.turns.push_back(from);
        }
        Some((job, from))
    }

    /// A job of this address has ended.
    fn ended(&mut self, from: Option<Block>) {
        let Some(queue) = self.queues.get_mut(&from) else {
            return;
        };
        // With its full share running it had no turn.
        if queue.running == self.share && !queue.jobs.is_empty() {
            self.turns.push_back(from);
        }
        queue.running -= 1;
        if queue.running == 0 && queue.jobs.is_empty() {
            self.queues.remove(&from);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.queues);
        state.turns.clear();
        self.pool.work.notify_all();
        let start = Instant::now();
        while state.threads > 0 {
            let Some(left) = self.patience.checked_sub(start.elapsed()) else {
                break;
            };
            state = self
                .pool
                .ended
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(state);
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::Limits;
    use crate::security::address::PeerAddress;
    use std::sync::mpsc;

    const THREADS: usize = 32;

    #[test]
    fn a_slow_job_delays_no_other() {
        let workers = Workers::new(THREADS, THREADS, Duration::from_secs(10));
        let (release, held) = mpsc::channel::<()>();
        let (tx, rx) = mpsc::channel();
        let waits = Box::new(move || assert!(held.recv().is_err()));
        assert!(workers.submit(waits, None).is_ok());
        assert!(
            workers
                .submit(Box::new(move || tx.send(()).unwrap()), None)
                .is_ok()
        );
        rx.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(release);
    }

    #[test]
    fn the_pool_is_bounded_and_its_end_waits_for_what_runs_and_drops_what_waits() {
        let workers = Workers::new(THREADS, THREADS, Duration::from_secs(10));
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (tx, rx) = mpsc::channel();
        let (started, running) = mpsc::channel();
        for _ in 0..10 * THREADS {
            let (held, tx, started) = (held.clone(), tx.clone(), started.clone());
            let job = move || {
                started.send(()).unwrap();
                let _ = held.lock().unwrap().recv();
                tx.send(()).unwrap();
            };
            assert!(workers.submit(Box::new(job), None).is_ok());
        }
        (0..THREADS).for_each(|_| running.recv_timeout(Duration::from_secs(10)).unwrap());
        let pool = workers.pool.clone();
        let end = std::thread::spawn(move || drop(workers));
        while !pool.state().closed {
            std::thread::yield_now();
        }
        drop(release);
        end.join().unwrap();
        drop((tx, started));
        assert_eq!(rx.iter().count(), THREADS);
        assert_eq!(running.iter().count(), 0);
    }

    fn from(text: &str) -> Option<Block> {
        Limits::off().blocks.of(&PeerAddress::parse(text))
    }

    #[test]
    fn a_job_whose_time_is_over_is_not_run() {
        let workers = Workers::new(THREADS, THREADS, Duration::ZERO);
        let (tx, rx) = mpsc::channel();
        let job = Box::new(move || tx.send(()).unwrap());
        assert!(workers.submit(job, None).is_ok());
        assert_eq!(rx.recv(), Err(mpsc::RecvError));
    }

    #[test]
    fn jobs_whose_time_is_over_do_not_pile_up_behind_those_that_are_stuck() {
        let mut state = State {
            share: 1,
            ..State::default()
        };
        let job = || Box::new(|| ());
        let now = Instant::now();
        let later = now + Duration::from_secs(3600);
        state.push(job(), later, from("192.0.2.1"));
        assert!(state.pop().is_some()); // and never ends
        for n in 0..100 * MANY {
            let at = from(&format!("2001:db8:0:{:x}::1", n % 5000));
            state.push(job(), now, at);
        }
        state.push(job(), later, from("192.0.2.1"));
        assert!(state.waiting <= MANY && state.queues.len() <= MANY + 1);
        // The others still have their turns, each once.
        let mut had = std::iter::from_fn(|| state.pop());
        assert!(had.all(|(_, at)| at != from("192.0.2.1")));
        state.ended(from("192.0.2.1"));
        assert_eq!(state.pop().unwrap().1, from("192.0.2.1"));
    }

    #[test]
    fn addresses_take_turns() {
        let workers = Workers::new(1, 1, Duration::from_secs(10));
        let (release, held) = mpsc::channel::<()>();
        let (tx, done) = mpsc::channel();
        let waits = Box::new(move || assert!(held.recv().is_err()));
        assert!(workers.submit(waits, from("192.0.2.9")).is_ok());
        for at in [1, 1, 1, 1, 2, 2, 3] {
            let tx = tx.clone();
            let job = Box::new(move || tx.send(at).unwrap());
            let address = format!("192.0.2.{at}");
            assert!(workers.submit(job, from(&address)).is_ok());
        }
        drop((release, tx));
        assert!(done.iter().eq([1, 2, 3, 1, 2, 1, 1]));
    }

    #[test]
    fn no_address_has_more_than_its_share_at_a_time() {
        const SHARE: usize = 3;
        let workers = Workers::new(THREADS, SHARE, Duration::from_secs(10));
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (tx, started) = mpsc::channel();
        let submit = |at: &'static str, count: usize| {
            for _ in 0..count {
                let (held, tx) = (held.clone(), tx.clone());
                let job = move || {
                    tx.send(at).unwrap();
                    let _ = held.lock().unwrap().recv();
                };
                assert!(workers.submit(Box::new(job), from(at)).is_ok());
            }
        };
        submit("192.0.2.1", 4 * THREADS);
        let next = || started.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!([(); SHARE].map(|()| next()), ["192.0.2.1"; SHARE]);
        submit("192.0.2.2", 2);
        assert_eq!([next(), next()], ["192.0.2.2"; 2]);
        {
            let state = workers.pool.state();
            let greedy = &state.queues[&from("192.0.2.1")];
            assert_eq!(
                (greedy.running, greedy.jobs.len()),
                (SHARE, 4 * THREADS - SHARE)
            );
        }
        drop(release);
        // All have their turn in the end, and nothing is left of them.
        (0..4 * THREADS - SHARE).for_each(|_| assert_eq!(next(), "192.0.2.1"));
        let start = Instant::now();
        while !workers.pool.state().queues.is_empty() {
            assert!(start.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        assert!(workers.pool.state().turns.is_empty());
    }
}
