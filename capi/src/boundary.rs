//! Between C and Rust: no panic crosses, and the reason of a failure stays with the thread.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::result::ironhouse_result_t::{self, IRONHOUSE_INTERNAL, IRONHOUSE_OK};
use crate::result::{Failure, Result};

thread_local! {
    static TEXT: RefCell<CString> = RefCell::default();
    static NUMBER: Cell<c_int> = const { Cell::new(0) };
}

/// Runs the body of a function that C calls.
pub(crate) fn boundary(body: impl FnOnce() -> Result<()>) -> ironhouse_result_t {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => IRONHOUSE_OK,
        Ok(Err(failure)) => report(failure),
        Err(panic) => {
            // What it carries may panic again when it is dropped.
            std::mem::forget(panic);
            report(Failure::new(
                IRONHOUSE_INTERNAL,
                "a fault of ironhouse itself stopped the call: please report it",
            ))
        }
    }
}

fn report(failure: Failure) -> ironhouse_result_t {
    let text: Vec<u8> = failure.text.bytes().filter(|byte| *byte != 0).collect();
    let text = CString::new(text).unwrap_or_default();
    // The thread may be ending, and its texts be gone.
    let _ = TEXT.try_with(|last| last.replace(text));
    let _ = NUMBER.try_with(|last| last.set(failure.errno));
    failure.result
}

/// Why the last call that failed on this thread did: what was tried, on what, and how to mend it.
///
/// Empty, if none did; never NULL, and never a secret. Ownership: the text is the library's, and valid until the next call of it on the same thread;
/// copy it to keep it. Threads: any, each with a reason of its own.
#[unsafe(no_mangle)]
pub extern "C" fn ironhouse_last_error() -> *const c_char {
    const NONE: &CStr = c"";
    TEXT.try_with(|text| text.borrow().as_ptr())
        .unwrap_or(NONE.as_ptr())
}

/// The errno of the operating system or of libzmq behind the last call that failed on this thread; 0 where there is none.
///
/// Threads: any, each with a number of its own.
#[unsafe(no_mangle)]
pub extern "C" fn ironhouse_last_errno() -> c_int {
    NUMBER.try_with(Cell::get).unwrap_or(0)
}
