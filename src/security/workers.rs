//! A small bounded pool for decisions that may block.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ffi::os;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that run jobs, started as they are needed. Dropping the pool drops the jobs that wait, and waits for those that run.
pub(crate) struct Workers {
    pool: Arc<Pool>,
    /// Most threads, and so most callbacks at a time.
    threads: usize,
    /// How long a stuck job may hold up the end of the pool; then it is left to itself, with all it owns.
    patience: Duration,
}

struct Pool {
    state: Mutex<State>,
    work: Condvar,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Workers {
    pub(crate) fn new(threads: usize, patience: Duration) -> Self {
        let pool = Pool {
            state: Mutex::new(State::default()),
            work: Condvar::new(),
            ended: Condvar::new(),
        };
        Self {
            pool: Arc::new(pool),
            threads,
            patience,
        }
    }

    /// Runs `job`, which must not panic, on a thread of the pool, as soon as one is free; gives it back where no thread can be had.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Job> {
        let mut state = self.pool.state();
        if state.queue.len() >= state.idle && state.threads < self.threads {
            let pool = self.pool.clone();
            if os::spawn("ironhouse-work", move || pool.run()).is_ok() {
                state.threads += 1;
            } else if state.threads == 0 {
                return Err(job);
            }
        }
        state.queue.push_back(job);
        self.pool.work.notify_one();
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
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                job();
                state = self.state();
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

impl Drop for Workers {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.queue);
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
    use std::sync::mpsc;

    const THREADS: usize = 32;

    #[test]
    fn a_slow_job_delays_no_other() {
        let workers = Workers::new(THREADS, Duration::from_secs(10));
        let (release, held) = mpsc::channel::<()>();
        let (tx, rx) = mpsc::channel();
        let waits = Box::new(move || assert!(held.recv().is_err()));
        assert!(workers.submit(waits).is_ok());
        assert!(
            workers
                .submit(Box::new(move || tx.send(()).unwrap()))
                .is_ok()
        );
        rx.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(release);
    }

    #[test]
    fn the_pool_is_bounded_and_its_end_waits_for_what_runs_and_drops_what_waits() {
        let workers = Workers::new(THREADS, Duration::from_secs(10));
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
            assert!(workers.submit(Box::new(job)).is_ok());
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
}
