//! What we ask of the operating system itself: threads without signals, forks, and waiting on descriptors.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;
#[cfg(any(target_os = "linux", feature = "tokio"))]
use std::os::fd::OwnedFd;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[cfg(feature = "tokio")]
use tokio::io::{Interest, unix::AsyncFd};

use crate::error::{Error, Result};

/// Starts a thread of ours: named, and with all signals blocked, because a host may collect its own by `sigwait`.
///
/// Names beyond 15 bytes are cut by Linux.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<Thread> {
    // A new thread inherits its maker's mask; blocking here, and not in the thread, leaves no moment in between.
    let blocked = SignalsBlocked::new();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(|| {
        OURS.set(true);
        body();
    });
    drop(blocked);
    match thread {
        Ok(handle) => Ok(Thread {
            handle,
            process: Process::remember(),
        }),
        Err(source) => Err(Error::Os {
            call: "pthread_create",
            source,
        }),
    }
}

thread_local! {
    /// Whether this thread was made by `spawn`.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// A thread of ours.
#[derive(Debug)]
pub(crate) struct Thread {
    handle: JoinHandle<()>,
    process: Process,
}

impl Thread {
    /// Waits until the thread has ended.
    ///
    /// Does not wait on another thread of ours, which may be what this one waits for (a callback that drops the last share of
    /// its authenticator), nor in a forked child, where the thread does not exist.
    pub(crate) fn join(self) {
        if self.process != Process::current() {
            // Dropping the handle would detach a thread that this process does not have.
            std::mem::forget(self.handle);
        } else if !OURS.get() {
            // A panic was reported when it happened, and what the thread owned is gone either way.
            let _ = self.handle.join();
        }
    }

    /// The same, for at most `patience`: a thread that is stuck then is left to itself.
    pub(crate) fn join_within(self, patience: Duration) {
        let start = Instant::now();
        let here = self.process == Process::current() && !OURS.get();
        while here && !self.handle.is_finished() {
            if start.elapsed() >= patience {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.join();
    }

    /// Whether it has ended, by itself or by a panic.
    pub(crate) fn is_over(&self) -> bool {
        self.handle.is_finished()
    }
}

/// Which process this is, counted in forks: a forked child has another number than its parent.
///
/// Source: `pthread_atfork(3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u32);

static FORKS: AtomicU32 = AtomicU32::new(0);

impl Process {
    /// This one. Costs a load: asking the system is a call of the kernel, too much for every message.
    pub(crate) fn current() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// This one, for who will ask later whether it still is.
    pub(crate) fn remember() -> Self {
        static COUNTS: Once = Once::new();
        extern "C" fn forked() {
            FORKS.fetch_add(1, Ordering::Relaxed);
        }
        COUNTS.call_once(|| {
            // SAFETY: the handler is a function of this program that adds to an atomic number, which is safe in a forked child.
            unsafe { libc::pthread_atfork(None, None, Some(forked)) };
        });
        Self::current()
    }

    /// # Errors
    /// [`Error::Forked`] where this process was forked off the one remembered.
    pub(crate) fn check(self, call: &'static str) -> Result<()> {
        if self == Self::current() {
            Ok(())
        } else {
            Err(Error::Forked { call })
        }
    }
}

/// All signals are blocked on this thread while this value lives.
struct SignalsBlocked(libc::sigset_t);

impl SignalsBlocked {
    fn new() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: sigfillset initialises the set behind a valid pointer.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: `all` was initialised above; the old mask goes to a valid pointer.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: pthread_sigmask cannot fail with SIG_SETMASK and valid pointers, so it wrote the old mask.
        Self(unsafe { before.assume_init() })
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: restores, on the same thread, the mask read in `new`.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

/// The user as whom this process acts: its effective user id.
pub(crate) fn user() -> u32 {
    // SAFETY: geteuid takes nothing and always succeeds.
    unsafe { libc::geteuid() }
}

/// Waits until one of `fds` is readable or hung up, at most `timeout` (`None`: for ever); says which are. `poll(2)`.
///
/// A signal ends the wait early, with nothing readable.
pub(crate) fn wait_readable<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    timeout: Option<Duration>,
) -> Result<[bool; N]> {
    let mut items = fds.map(|fd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: `items` is a valid array of N entries, whose descriptors stay open while they are borrowed.
    let rc = unsafe { libc::poll(items.as_mut_ptr(), N as libc::nfds_t, milliseconds(timeout)) };
    if rc == -1 {
        let source = io::Error::last_os_error();
        if source.kind() == io::ErrorKind::Interrupted {
            return Ok([false; N]);
        }
        return Err(Error::Os {
            call: "poll",
            source,
        });
    }
    Ok(items.map(|item| item.revents != 0))
}

/// Two ends, neither of which ever waits: what is written or closed at one wakes who waits at the other.
pub(crate) fn wake_pair() -> Result<(UnixStream, UnixStream)> {
    let pair = UnixStream::pair().and_then(|(one, other)| {
        one.set_nonblocking(true)?;
        other.set_nonblocking(true)?;
        Ok((one, other))
    });
    pair.map_err(|source| Error::Os {
        call: "socketpair",
        source,
    })
}

/// Connects to the Unix socket of this name (an abstract one, where it begins with `@`), waiting at most `limit` for room in its queue.
#[cfg(target_os = "linux")]
pub(crate) fn connect_unix(name: &str, limit: Duration) -> io::Result<UnixStream> {
    let mut address = libc::sockaddr_un {
        sun_family: libc::AF_UNIX as libc::sa_family_t,
        sun_path: [0; 108],
    };
    // A path ends in NUL; an abstract name begins with one, and is as long as the address says.
    if name.len() >= address.sun_path.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in address.sun_path.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let mut len = size_of::<libc::sa_family_t>() + name.len();
    match address.sun_path.first_mut() {
        Some(first) if name.starts_with('@') => *first = 0,
        _ => len += 1,
    }
    // SAFETY: makes a descriptor; takes no memory of ours.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor made above, which nobody else has.
    let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    // unix(7): what limits a write (SO_SNDTIMEO) limits the wait for room in a full queue, too.
    stream.set_write_timeout(Some(limit))?;
    // SAFETY: the descriptor is open, and `len` bytes of the address are within it.
    let rc = unsafe { libc::connect(fd, (&raw const address).cast(), len as libc::socklen_t) };
    if rc == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(stream)
}

/// Connects to the Unix socket at this path. Where its queue is full, other systems than Linux refuse at once.
#[cfg(not(target_os = "linux"))]
pub(crate) fn connect_unix(name: &str, _limit: Duration) -> io::Result<UnixStream> {
    UnixStream::connect(name)
}

/// Has tokio tell when `fd` is readable.
#[cfg(feature = "tokio")]
pub(crate) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: `AsyncFd` keeps the `OwnedFd`, which keeps one descriptor open and always answers its number.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(registered?)
}

/// A time-out as poll(2) takes it: whole milliseconds rounded up, so that a short wait is not a busy one.
pub(super) fn milliseconds(timeout: Option<Duration>) -> libc::c_int {
    timeout.map_or(-1, |t| {
        libc::c_int::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn our_threads_have_a_name_and_take_no_signals_and_the_maker_keeps_its_mask() {
        let mask = || std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let blocked = |status: &str| {
            let line = status.lines().find(|l| l.starts_with("SigBlk:")).unwrap();
            u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
        };
        let before = blocked(&mask());
        let (tx, rx) = std::sync::mpsc::channel();
        spawn("ironhouse-test", move || tx.send(mask()).unwrap())
            .unwrap()
            .join();
        let theirs = rx.recv().unwrap();
        assert!(theirs.contains("Name:\tironhouse-test"), "{theirs}");
        // SIGINT (2) and SIGTERM (15) among them; SIGKILL and SIGSTOP cannot be blocked.
        assert_eq!(blocked(&theirs) & (1 << 1 | 1 << 14), 1 << 1 | 1 << 14);
        assert_eq!(blocked(&mask()), before);
    }

    #[test]
    fn a_thread_that_is_stuck_holds_up_nobody_for_longer_than_its_patience() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let thread = spawn("ironhouse-test", move || while held.recv().is_ok() {}).unwrap();
        assert!(!thread.is_over());
        thread.join_within(Duration::from_millis(2));
        assert!(release.send(()).is_ok());
        let thread = spawn("ironhouse-test", || ()).unwrap();
        thread.join_within(Duration::MAX);
    }

    #[test]
    fn a_closed_peer_counts_as_readable() {
        let (a, b) = UnixStream::pair().unwrap();
        assert_eq!(
            wait_readable([a.as_fd()], Some(Duration::ZERO)).unwrap(),
            [false]
        );
        drop(b);
        assert_eq!(wait_readable([a.as_fd()], None).unwrap(), [true]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_unix_socket_is_found_by_its_path_and_by_its_abstract_name() {
        use std::io::{Read, Write};
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixListener};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let name = format!("ironhouse-os-{}", std::process::id());
        let listeners = [
            UnixListener::bind(&path).unwrap(),
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
        ];
        let names = [path.to_str().unwrap(), &format!("@{name}")];
        for (listener, name) in listeners.iter().zip(names) {
            let mut ours = connect_unix(name, Duration::from_secs(30)).unwrap();
            ours.write_all(b"x").unwrap();
            let mut theirs = [0];
            listener
                .accept()
                .unwrap()
                .0
                .read_exact(&mut theirs)
                .unwrap();
            assert_eq!(theirs, *b"x");
        }
        for (name, kind) in [
            ("/nowhere/at/all", io::ErrorKind::NotFound),
            (&*"x".repeat(108), io::ErrorKind::InvalidInput),
            (&*"x".repeat(107), io::ErrorKind::NotFound),
        ] {
            let error = connect_unix(name, Duration::MAX).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        }
    }

    #[test]
    fn a_wait_shorter_than_a_millisecond_is_still_a_wait() {
        assert_eq!(milliseconds(Some(Duration::from_nanos(1))), 1);
        assert_eq!(milliseconds(Some(Duration::ZERO)), 0);
        assert_eq!(milliseconds(Some(Duration::MAX)), libc::c_int::MAX);
        assert_eq!(milliseconds(None), -1);
    }
}
