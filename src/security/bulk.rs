//! Much of the same work, spread over several threads: for directories of a million files, and files of a million lines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Threads that read files, at most: more would only wait for each other in the kernel.
pub(crate) const READERS: usize = 4;
/// No limit but the number of cores: for work that does not wait.
pub(crate) const ALL_CORES: usize = usize::MAX;

/// Does `work` on chunks of `items` on `most` threads of its own, and hands what comes of it to `take`, on this one and in the order of the
/// items. A single chunk is not worth a thread. Breaks off early once `stopping` is set.
pub(crate) fn spread<T: Sync, R: Send>(
    items: &[T],
    chunk: usize,
    most: usize,
    stopping: &AtomicBool,
    work: impl Fn(&[T]) -> R + Sync,
    mut take: impl FnMut(R),
) {
    let next = AtomicUsize::new(0);
    let one = || {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let chunk = items.chunks(chunk).nth(at)?;
        (!stopping.load(Ordering::Relaxed)).then(|| (at, work(chunk)))
    };
    if items.len() > chunk {
        let threads = thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads = threads.min(most);
        let (sender, done) = mpsc::sync_channel(threads.saturating_mul(2));
        thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, one) = (sender.clone(), &one);
                // Signals stay with the host: threads inherit the mask of the one that starts them.
                let started = thread::Builder::new()
                    .name("ironhouse-read".into())
                    .spawn_scoped(scope, move || {
                        while let Some(done) = one() {
                            if sender.send(done).is_err() {
                                return;
                            }
                        }
                    });
                if started.is_err() {
                    break;
                }
            }
            drop(sender);
            let (mut early, mut due) = (BTreeMap::new(), 0);
            for (at, outcome) in done {
                early.insert(at, outcome);
                while let Some(outcome) = early.remove(&due) {
                    take(outcome);
                    due += 1;
                }
            }
        });
    }
    // Little work, or no thread to be had.
    while let Some((_, outcome)) = one() {
        take(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 10;

    fn collected(count: usize, stopping: bool) -> Vec<usize> {
        let items: Vec<usize> = (0..count).collect();
        let mut taken = Vec::new();
        spread(
            &items,
            CHUNK,
            READERS,
            &AtomicBool::new(stopping),
            <[usize]>::to_vec,
            |chunk| taken.extend(chunk),
        );
        taken
    }

    #[test]
    fn every_item_is_taken_once_and_in_order() {
        for count in [0, 1, CHUNK, CHUNK + 1, 100 * CHUNK + 7] {
            assert!(collected(count, false).into_iter().eq(0..count));
        }
    }

    #[test]
    fn nothing_is_begun_once_stopping() {
        assert!(collected(100 * CHUNK, true).is_empty());
    }
}
