//! Functions of C's that we call, with what they are given.

use std::ffi::c_void;

/// What frees a callback's user data. It is called once, after the last use of the data, by any thread, also where the call that took the data
/// failed. May be NULL. It must not unwind.
pub type ironhouse_free_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// What C gave with a callback.
pub(crate) struct UserData {
    data: *mut c_void,
    free: ironhouse_free_fn,
}

// SAFETY: the header says that callbacks, and the function that frees their data, are called by threads of the library, several at a time.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl UserData {
    pub(crate) fn new(data: *mut c_void, free: ironhouse_free_fn) -> Self {
        Self { data, free }
    }

    pub(crate) fn get(&self) -> *mut c_void {
        self.data
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(free) = self.free.take() {
            let data = self.data;
            no_unwinding(|| {
                // SAFETY: the caller's function and its data, by contract; it is called once.
                unsafe { free(data) }
            });
        }
    }
}

/// Calls into C. What unwinds from there, such as a C++ exception, ends the process: it must not pass through frames of Rust, and
/// who threw it has not decided anything.
pub(crate) fn no_unwinding<T>(call: impl FnOnce() -> T) -> T {
    extern "C" fn border<T, F: FnOnce() -> T>(call: &mut Option<F>, answer: &mut Option<T>) {
        // Nothing unwinds out of a function with this ABI: the process aborts first.
        *answer = call.take().map(|call| call());
    }
    let (mut call, mut answer) = (Some(call), None);
    border(&mut call, &mut answer);
    match answer {
        Some(answer) => answer,
        None => std::process::abort(),
    }
}
