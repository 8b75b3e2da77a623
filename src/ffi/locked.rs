//! Memory for a secret key that is never written to swap space or a core dump.

use std::alloc::{self, Layout};
use std::fmt;
use std::io;
use std::ops::Deref;
use std::ptr::NonNull;

use zmq_sys_wrap::sodium;

use super::sodium::KEY_BYTES;

/// The bytes of a key on a page of their own, locked in memory; wiped when dropped.
// A page cannot be locked twice, and unlocking it unlocks all that is on it: so there is nothing else on it.
pub(crate) struct LockedBytes {
    page: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it owns its page as a Box would, and no thread has anything to do with the lock.
unsafe impl Send for LockedBytes {}
// SAFETY: through a shared reference the page is only read.
unsafe impl Sync for LockedBytes {}

impl LockedBytes {
    /// A locked copy. `sodium_mlock(3)`, which is `mlock(2)` and `MADV_DONTDUMP`.
    pub(crate) fn new(secret: &[u8; KEY_BYTES]) -> io::Result<Self> {
        // SAFETY: sysconf(3) takes any number and touches no memory of ours.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let size = usize::try_from(size).map_err(io::Error::other)?;
        let size = size.max(KEY_BYTES);
        let layout = Layout::from_size_align(size, size).map_err(io::Error::other)?;
        // SAFETY: the layout's size is not zero: it is a page.
        let page = NonNull::new(unsafe { alloc::alloc_zeroed(layout) })
            .ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: the page was allocated above with this size, and nobody else knows it.
        let rc = unsafe { sodium::sodium_mlock(page.as_ptr().cast(), layout.size()) };
        if rc != 0 {
            let error = io::Error::last_os_error();
            // SAFETY: allocated above with this layout, and not used again.
            unsafe { alloc::dealloc(page.as_ptr(), layout) };
            return Err(error);
        }
        // SAFETY: the page has room for KEY_BYTES, and is not where `secret` is.
        unsafe { page.copy_from_nonoverlapping(NonNull::from(secret).cast(), KEY_BYTES) };
        Ok(Self { page, layout })
    }
}

impl Deref for LockedBytes {
    type Target = [u8; KEY_BYTES];

    fn deref(&self) -> &Self::Target {
        // SAFETY: the page begins with KEY_BYTES that `new` wrote, bytes need no alignment, and it lives as long as `self`.
        unsafe { self.page.cast::<[u8; KEY_BYTES]>().as_ref() }
    }
}

impl Drop for LockedBytes {
    fn drop(&mut self) {
        // SAFETY: the page that `new` locked, with its size; this wipes it whatever becomes of the lock.
        unsafe { sodium::sodium_munlock(self.page.as_ptr().cast(), self.layout.size()) };
        // SAFETY: allocated in `new` with this layout, and nobody refers to it any more.
        unsafe { alloc::dealloc(self.page.as_ptr(), self.layout) };
    }
}

impl fmt::Debug for LockedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockedBytes(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of the pages at this address: `lo` locked, `dd` not in core dumps.
    #[cfg(target_os = "linux")]
    fn flags(address: usize) -> Vec<String> {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut here = false;
        for line in maps.lines() {
            let range = line
                .split(' ')
                .next()
                .and_then(|range| range.split_once('-'));
            if let Some((start, end)) = range {
                let number = |text| usize::from_str_radix(text, 16);
                if let (Ok(start), Ok(end)) = (number(start), number(end)) {
                    here = (start..end).contains(&address);
                }
            }
            if let Some(flags) = line.strip_prefix("VmFlags: ").filter(|_| here) {
                return flags.split(' ').map(str::to_owned).collect();
            }
        }
        panic!("no page at {address:x}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn page_is_locked_and_left_out_of_core_dumps_and_no_two_share_one() {
        let one = LockedBytes::new(&[1; KEY_BYTES]).unwrap();
        let two = LockedBytes::new(&[2; KEY_BYTES]).unwrap();
        let at = |bytes: &LockedBytes| bytes.as_ptr() as usize;
        drop(two);
        let flags = flags(at(&one));
        for flag in ["lo", "dd"] {
            assert!(flags.iter().any(|found| found == flag), "{flags:?}");
        }
        assert_eq!(*one, [1; KEY_BYTES]);
    }
}
