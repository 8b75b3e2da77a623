//! Functions of C's that we call.

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
