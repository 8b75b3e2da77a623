//! Handles: what C holds instead of a pointer into our memory.
//!
//! A handle looks like a pointer and is a number that is never used again, so one that was destroyed, is of another kind or was made by the
//! parent of this process is told from a good one without looking at any memory.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use crate::arguments::Out;
use crate::result::ironhouse_result_t::{
    IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_NULL_POINTER, IRONHOUSE_OTHER,
};
use crate::result::{Failure, Result};

/// A type of C's, and what is behind it.
pub(crate) trait Handle: Sized {
    type Value: Any + Send + Sync;
    /// Its name for people.
    const NAME: &'static str;
}

/// What is behind a handle, alive as long as this value is: a call goes on when another thread destroys the handle meanwhile.
pub(crate) type Borrowed<H> = Arc<<H as Handle>::Value>;

/// Numbers go up in steps of two and are odd, so that none can be a pointer to anything of ours or the host's.
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// The handles of one process. A forked child has a table of its own: of its parent's, another thread may have held the lock.
struct Table {
    process: AtomicU32,
    /// The first number that this process gave out.
    first: AtomicUsize,
    handles: RwLock<BTreeMap<usize, Arc<dyn Any + Send + Sync>>>,
    child: OnceLock<Box<Table>>,
}

static TABLE: Table = Table::new();

impl Table {
    const fn new() -> Self {
        Self {
            process: AtomicU32::new(0),
            first: AtomicUsize::new(0),
            handles: RwLock::new(BTreeMap::new()),
            child: OnceLock::new(),
        }
    }

    /// That of this process.
    fn current() -> &'static Self {
        Self::of(&TABLE, std::process::id(), &NEXT)
    }

    /// That of `process` among `table` and those of the children.
    fn of(mut table: &'static Self, process: u32, next: &AtomicUsize) -> &'static Self {
        loop {
            // Read before the table is taken: as soon as it is, another thread may give out a number and destroy it again.
            let first = next.load(Ordering::Relaxed);
            match table
                .process
                .compare_exchange(0, process, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => {
                    table.first.store(first, Ordering::Release);
                    return table;
                }
                Err(owner) if owner == process => return table,
                Err(_) => table = table.child.get_or_init(|| Box::new(Table::new())),
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<usize, Arc<dyn Any + Send + Sync>>> {
        self.handles.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<usize, Arc<dyn Any + Send + Sync>>> {
        self.handles.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a number is no handle of this kind.
    fn refuse<H: Handle>(&self, number: usize, known: bool) -> Failure {
        let name = H::NAME;
        if known {
            return Failure::new(
                IRONHOUSE_BAD_HANDLE,
                format!("this handle is of another kind than the {name} that the call takes"),
            );
        }
        if number % 2 == 1 && number < self.first.load(Ordering::Acquire) {
            return Failure::new(
                IRONHOUSE_FORKED,
                format!(
                    "this {name} was made before this process was forked off: make a new one after fork"
                ),
            );
        }
        Failure::new(
            IRONHOUSE_BAD_HANDLE,
            format!("this is no {name}, or one that was destroyed"),
        )
    }
}

/// Gives C a handle to `value`.
pub(crate) fn give<H: Handle>(out: Out<*mut H>, value: H::Value) -> Result<()> {
    let number = make::<H>(Arc::new(value))?;
    out.write(number as *mut H);
    Ok(())
}

/// A handle to a value that we keep as well.
pub(crate) fn make<H: Handle>(value: Borrowed<H>) -> Result<usize> {
    let table = Table::current();
    let number = NEXT.fetch_add(2, Ordering::Relaxed);
    // On a machine of 32 bits they could come to an end.
    if number > usize::MAX / 2 {
        return Err(Failure::new(
            IRONHOUSE_OTHER,
            "there are no more numbers for handles: restart the program",
        ));
    }
    table.write().insert(number, value);
    Ok(number)
}

/// What is behind a handle.
pub(crate) fn borrow<H: Handle>(handle: *const H) -> Result<Borrowed<H>> {
    let number = handle as usize;
    if number == 0 {
        return Err(null(H::NAME));
    }
    let table = Table::current();
    let found = table.read().get(&number).cloned();
    let known = found.is_some();
    found
        .and_then(|value| value.downcast().ok())
        .ok_or_else(|| table.refuse::<H>(number, known))
}

/// Takes a handle back. What is behind it goes once nobody uses it any more.
pub(crate) fn take<H: Handle>(handle: *const H) -> Result<Borrowed<H>> {
    let value = borrow(handle)?;
    // Of two threads that destroy the same handle, one has it.
    match Table::current().write().remove(&(handle as usize)) {
        Some(_) => Ok(value),
        None => Err(Table::current().refuse::<H>(handle as usize, false)),
    }
}

/// Destroys the handle behind `place`, which is NULL afterwards; does nothing where it is NULL already.
pub(crate) fn destroy<H: Handle>(place: Out<*mut H>) -> Result<()> {
    let handle = place.read();
    if handle.is_null() {
        return Ok(());
    }
    let value = take(handle)?;
    place.write(std::ptr::null_mut());
    drop(value);
    Ok(())
}

/// Waits for what others change meanwhile.
pub(crate) fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn null(what: &str) -> Failure {
    Failure::new(
        IRONHOUSE_NULL_POINTER,
        format!("{what}: NULL, where a pointer is needed"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pump;
    impl Handle for Pump {
        type Value = u32;
        const NAME: &'static str = "pump";
    }
    struct Valve;
    impl Handle for Valve {
        type Value = String;
        const NAME: &'static str = "valve";
    }

    #[test]
    fn handle_is_good_until_it_is_taken() {
        let handle = make::<Pump>(Arc::new(7)).unwrap() as *const Pump;
        assert_eq!(*borrow(handle).unwrap(), 7);
        assert_eq!(*take(handle).unwrap(), 7);
        assert_eq!(borrow(handle).unwrap_err().result, IRONHOUSE_BAD_HANDLE);
        assert_eq!(take(handle).unwrap_err().result, IRONHOUSE_BAD_HANDLE);
    }

    #[test]
    fn numbers_of_this_process_are_never_its_parents_whichever_thread_comes_first() {
        const ROUNDS: usize = 2_000;
        let tables: Vec<(Table, AtomicUsize)> = (0..ROUNDS)
            .map(|_| (Table::new(), AtomicUsize::new(1)))
            .collect();
        let tables: &'static [_] = tables.leak();
        let arrived = AtomicUsize::new(0);
        let given = || -> Vec<usize> {
            let mut numbers = Vec::new();
            for (round, (table, next)) in (1..).zip(tables) {
                // Both spin, since a thread that has to be woken comes too late to meet the other; but not for long, on a single core.
                arrived.fetch_add(1, Ordering::AcqRel);
                for turn in 0_u32.. {
                    if arrived.load(Ordering::Acquire) >= 2 * round {
                        break;
                    } else if turn < 10_000 {
                        std::hint::spin_loop();
                    } else {
                        std::thread::yield_now();
                    }
                }
                Table::of(table, 1, next);
                numbers.push(next.fetch_add(2, Ordering::Relaxed));
            }
            numbers
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(given);
            (given(), other.join().unwrap())
        });
        for (((table, _), one), other) in tables.iter().zip(one).zip(other) {
            assert!(table.first.load(Ordering::Acquire) <= one.min(other));
        }
    }

    #[test]
    fn handle_of_another_kind_is_refused_by_name() {
        let handle = make::<Pump>(Arc::new(7)).unwrap();
        let failure = borrow(handle as *const Valve).unwrap_err();
        assert_eq!(failure.result, IRONHOUSE_BAD_HANDLE);
        assert!(failure.text.contains("valve"), "{}", failure.text);
        take(handle as *const Pump).unwrap();
    }

    #[test]
    fn what_was_never_a_handle_is_refused() {
        let local = 7;
        let failure = borrow(std::ptr::from_ref(&local).cast::<Pump>()).unwrap_err();
        assert_eq!(failure.result, IRONHOUSE_BAD_HANDLE);
        assert_eq!(
            borrow(std::ptr::null::<Pump>()).unwrap_err().result,
            IRONHOUSE_NULL_POINTER
        );
    }

    #[test]
    fn call_in_progress_keeps_what_it_uses() {
        let handle = make::<Valve>(Arc::new("open".to_owned())).unwrap() as *const Valve;
        let used = borrow(handle).unwrap();
        drop(take(handle).unwrap());
        assert_eq!(*used, "open");
    }
}
