//! What the tests ask of the operating system and of libzmq behind the library's back; the one file of the tests with `unsafe`.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use ironhouse::socket::{Context, Socket};
use zmq_sys_wrap::Api;

/// A thread that can be interrupted.
#[derive(Clone, Copy)]
pub struct Target(libc::pthread_t);

impl Target {
    /// The calling thread. From now on SIGUSR1 interrupts what it waits in, and does nothing else.
    pub fn current() -> Self {
        static HANDLER: Once = Once::new();
        extern "C" fn nothing(_: libc::c_int) {}
        HANDLER.call_once(|| {
            // SAFETY: all zeros is a valid `sigaction`: no flags (so no SA_RESTART) and an empty mask.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            // SAFETY: the handler does nothing, which is safe in any signal's context.
            let rc = unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) };
            assert_eq!(rc, 0);
        });
        // SAFETY: pthread_self has no precondition.
        Self(unsafe { libc::pthread_self() })
    }

    /// Sends the signal. The thread must not have been joined.
    pub fn interrupt(self) {
        // SAFETY: the callers join the thread only after they stopped interrupting it.
        unsafe { libc::pthread_kill(self.0, libc::SIGUSR1) };
    }
}

/// Runs `child` in a forked child, which then ends without any further clean-up; whether it returned in time, and without a panic.
pub fn fork(deadline: Duration, child: impl FnOnce()) -> bool {
    // SAFETY: the child runs `child` and ends by _exit: no destructor of the parent's runs in it but those that `child` calls.
    let pid = unsafe { libc::fork() };
    assert_ne!(pid, -1, "{}", std::io::Error::last_os_error());
    if pid == 0 {
        let result = catch_unwind(AssertUnwindSafe(child));
        // SAFETY: _exit has no precondition.
        unsafe { libc::_exit(i32::from(result.is_err())) };
    }
    let start = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: waits for our own child; the status goes to a valid pointer.
        let rc = unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) };
        if rc == pid {
            return libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
        }
        if start.elapsed() > deadline {
            // SAFETY: our own child, not yet waited for, so the number is still its.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            // SAFETY: as above.
            unsafe { libc::waitpid(pid, &mut status, 0) };
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Sets an option as a C program does, past all that the library sees to.
pub fn set_raw(socket: &Socket, option: u32, value: &[u8]) {
    // SAFETY: an open socket, and a value of the length given.
    let rc = unsafe {
        (Api::linked().setsockopt)(
            socket.as_raw(),
            option as i32,
            value.as_ptr().cast(),
            value.len(),
        )
    };
    assert_eq!(rc, 0, "option {option}");
}

/// A context as a C program has it.
#[derive(Clone, Copy)]
pub struct HostContext(NonNull<c_void>);

// SAFETY: zmq_ctx_new(3): a context is thread safe.
unsafe impl Send for HostContext {}

impl HostContext {
    pub fn new() -> Self {
        // SAFETY: no precondition.
        Self(NonNull::new(unsafe { (Api::linked().ctx_new)() }).unwrap())
    }

    /// A handle to it. It must not be used once `term` has returned.
    pub fn borrow(self) -> Context {
        // SAFETY: the tests keep what is said above.
        unsafe { Context::borrow_raw(self.0, Api::linked()) }
    }

    /// `zmq_ctx_term`, to be called once.
    pub fn term(self) -> i32 {
        // SAFETY: a live context, terminated once.
        unsafe { (Api::linked().ctx_term)(self.0.as_ptr()) }
    }
}

/// The number of a descriptor as a program finds one that it was started with: open, without close-on-exec, and nobody's.
// High, so that no other test is given the same number once it is closed.
pub fn handed_over(thing: impl AsFd) -> i32 {
    const FIRST: libc::c_int = 900;
    let number = thing.as_fd().as_raw_fd();
    // SAFETY: duplicates a descriptor that is borrowed, and so open.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD, FIRST) };
    assert!(copy >= FIRST, "{}", std::io::Error::last_os_error());
    copy
}

/// From now on the calling thread opens no file that is not open to it, even if it is root's.
pub fn drop_file_privileges() {
    const NOBODY: libc::uid_t = 65534;
    // SAFETY: setfsuid has no precondition; who may not change it keeps his own.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::setfsuid(NOBODY)
    };
}
