//! A small bounded pool for decisions that may block.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ffi::os;

/// Most threads, and so most callbacks at a time.
const THREADS: usize = 32;

/// Most decisions that wait for a thread.
const QUEUE: usize = 10_000;

/// How long a stuck callback may hold up the end of the pool; then it is left to itself, with all it owns.
const PATIENCE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// Threads that run jobs, started as they are needed. Dropping the pool drops the jobs that wait, and waits for those that run.
pub(crate) struct Workers(Arc<Pool>);

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
    pub(crate) fn new() -> Self {
        Self(Arc::new(Pool {
            state: Mutex::new(State::default()),
            work: Condvar::new(),
            ended: Condvar::new(),
        }))
    }

    /// Runs `job` on a thread of the pool, which must not panic; gives it back where too many wait already, or no thread can be had.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Job> {
        let mut state = self.0.state();
        if state.queue.len() >= QUEUE {
            return Err(job);
        }
        if state.queue.len() >= state.idle && state.threads < THREADS {
            let pool = self.0.clone();
            if os::spawn("ironhouse-work", move || pool.run()).is_ok() {
                state.threads += 1;
            } else if state.threads == 0 {
                return Err(job);
            }
        }
        state.queue.push_back(job);
        self.0.work.notify_one();
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
        let mut state = self.0.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.queue);
        self.0.work.notify_all();
        let start = Instant::now();
        while state.threads > 0 {
            let Some(left) = PATIENCE.checked_sub(start.elapsed()) else {
                break;
            };
            state = self
                .0
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

    #[test]
    fn a_slow_job_delays_no_other() {
        let workers = Workers::new();
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
        let workers = Workers::new();
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (tx, rx) = mpsc::channel();
        let (started, running) = mpsc::channel();
        let mut taken = 0;
        loop {
            let (held, tx, started) = (held.clone(), tx.clone(), started.clone());
            let job = move || {
                started.send(()).unwrap();
                let _ = held.lock().unwrap().recv();
                tx.send(()).unwrap();
            };
            if workers.submit(Box::new(job)).is_err() {
                break;
            }
            taken += 1;
        }
        // Threads may or may not have taken their first job when the queue was found full.
        assert!((QUEUE..=QUEUE + THREADS).contains(&taken), "{taken}");
        running.recv_timeout(Duration::from_secs(10)).unwrap();
        let pool = workers.0.clone();
        let end = std::thread::spawn(move || drop(workers));
        while !pool.state().closed {
            std::thread::yield_now();
        }
        drop(release);
        end.join().unwrap();
        drop((tx, started));
        let ran = rx.iter().count();
        assert_eq!(ran, 1 + running.iter().count());
        assert!(ran <= THREADS, "{ran}");
    }
}
