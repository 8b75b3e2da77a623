//! What C passes: texts with explicit lengths, places for answers.
//!
//! A function reads its arguments by `arguments!`, in their order: what each is, its name, and in brackets the names of those that go with it.

use std::ffi::{CString, OsStr, c_char};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

use crate::handle::null;
use crate::result::ironhouse_result_t::{
    IRONHOUSE_BAD_TEXT, IRONHOUSE_BUFFER_TOO_SMALL, IRONHOUSE_INVALID_ARGUMENT,
};
use crate::result::{Failure, Result};

/// In the place of a text's length: the text ends with a NUL.
pub(crate) const IRONHOUSE_NUL: usize = usize::MAX;

/// Longest text that a NUL may end.
const LONGEST: usize = 64 * 1024;

/// Reads arguments, each under its own name or the one behind `as`; the first that will not do ends the function.
macro_rules! arguments {
    ($($kind:ident $name:ident $([$($with:ident),+])? $(as $new:ident)?),+ $(,)?) => {
        $($crate::arguments::argument!($kind $name [$($($with)+)?] $($new)?);)+
    };
}

/// One of them. Callers of a C function answer for what it takes, by the contract that the header states.
macro_rules! argument {
    ($kind:ident $name:ident [$($with:ident)*] $new:ident) => {
        let $new = $crate::arguments::argument!(@ $kind $name $($with)*);
    };
    ($kind:ident $name:ident [$($with:ident)*]) => {
        let $name = $crate::arguments::argument!(@ $kind $name $($with)*);
    };
    // A handle of the type that the argument has.
    (@ handle $name:ident) => {
        $crate::handle::borrow($name)?
    };
    // A pointer that is used by libzmq alone.
    (@ pointer $name:ident) => {
        ::std::ptr::NonNull::new($name).ok_or_else(|| $crate::handle::null(stringify!($name)))?
    };
    // A place for an answer.
    (@ out $name:ident) => {
        // SAFETY: the caller's place, by contract.
        unsafe { $crate::arguments::Out::new(stringify!($name), $name) }?
    };
    // The same, or `None` for NULL.
    (@ place $name:ident) => {
        // SAFETY: the caller's place, by contract.
        unsafe { $crate::arguments::Out::new(stringify!($name), $name) }.ok()
    };
    // A structure that says how large it is, and may be written.
    (@ structure $name:ident) => {
        // SAFETY: the caller's structure, by contract.
        unsafe { $crate::arguments::Structure::new(stringify!($name), $name) }?
    };
    // A buffer of this size, with a place for the length.
    (@ buffer $name:ident $size:ident $length:ident) => {
        // SAFETY: the caller's buffer, by contract.
        unsafe { $crate::arguments::Buffer::new(stringify!($name), $name, $size, $length) }
    };
    // A buffer of a size that the header names.
    (@ buffer $name:ident $size:ident) => {
        // SAFETY: the caller's buffer, by contract.
        unsafe { $crate::arguments::Buffer::of_size(stringify!($name), $name, $size) }?
    };
    // A text in UTF-8.
    (@ text $name:ident $length:ident) => {
        // SAFETY: the caller's text, by contract.
        unsafe { $crate::arguments::text(stringify!($name), $name, $length) }?
    };
    // The same, or `None` for NULL.
    (@ optional $name:ident $length:ident) => {
        if $name.is_null() {
            None
        } else {
            Some($crate::arguments::argument!(@ text $name $length))
        }
    };
    // A text of any bytes.
    (@ bytes $name:ident $length:ident) => {
        // SAFETY: the caller's text, by contract.
        unsafe { $crate::arguments::text_bytes(stringify!($name), $name, $length) }?
    };
    (@ path $name:ident $length:ident) => {
        // SAFETY: the caller's text, by contract.
        unsafe { $crate::arguments::path(stringify!($name), $name, $length) }?
    };
    // A public key in Z85.
    (@ key $name:ident $length:ident) => {
        $crate::arguments::argument!(@ text $name $length)
            .parse::<::ironhouse::security::PublicKey>()?
    };
    (@ verify_key $name:ident $length:ident) => {
        $crate::arguments::argument!(@ text $name $length)
            .parse::<::ironhouse::security::VerifyKey>()?
    };
    // The functions of a libzmq.
    (@ api $name:ident) => {
        // SAFETY: the caller's table, by contract.
        unsafe { $crate::api::of_host($name) }?
    };
    // A context of theirs.
    (@ context $name:ident $api:ident) => {
        // SAFETY: the caller's context, by contract.
        unsafe { $crate::authenticator::host_context($name, $api) }?
    };
}

pub(crate) use {argument, arguments};

/// A place for an answer.
pub(crate) struct Out<T>(NonNull<T>);

impl<T: Copy> Out<T> {
    /// # Safety
    /// `place` is NULL, or may be read and written as long as the result lives, by nobody else.
    pub(crate) unsafe fn new(what: &str, place: *mut T) -> Result<Self> {
        NonNull::new(place).map(Self).ok_or_else(|| null(what))
    }

    pub(crate) fn write(&self, value: T) {
        // SAFETY: who called `new` answers for the place; it is not read, so it may be uninitialised.
        unsafe { self.0.write(value) };
    }

    pub(crate) fn read(&self) -> T {
        // SAFETY: who called `new` answers for the place.
        unsafe { self.0.read() }
    }
}

/// # Safety
/// `data` is NULL, or `length` bytes can be read from it as long as the result lives.
pub(crate) unsafe fn bytes<'a>(what: &str, data: *const u8, length: usize) -> Result<&'a [u8]> {
    // SAFETY: as our caller says.
    unsafe { list(what, data, length) }
}

/// # Safety
/// `data` is NULL, or `count` values can be read from it as long as the result lives.
pub(crate) unsafe fn list<'a, T>(what: &str, data: *const T, count: usize) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(null(what));
    }
    let size = count.checked_mul(size_of::<T>());
    if size.is_none_or(|size| size > isize::MAX as usize) || !data.is_aligned() {
        return Err(Failure::new(
            IRONHOUSE_INVALID_ARGUMENT,
            format!("{what}: {count} of them are more than memory holds, or not where they can be"),
        ));
    }
    // SAFETY: it is neither NULL nor misaligned, and the caller answers for that many values.
    Ok(unsafe { std::slice::from_raw_parts(data, count) })
}

/// The bytes of a text, without the NUL at its end.
///
/// # Safety
/// `data` is NULL, or can be read as long as the result lives: for `length` bytes, or up to the first NUL if that is [`IRONHOUSE_NUL`].
pub(crate) unsafe fn text_bytes<'a>(
    what: &str,
    data: *const c_char,
    length: usize,
) -> Result<&'a [u8]> {
    if data.is_null() {
        return Err(null(what));
    }
    let length = if length == IRONHOUSE_NUL {
        // SAFETY: the caller answers for all bytes up to a NUL, and no more than LONGEST are looked at.
        let found = unsafe { libc::strnlen(data, LONGEST) };
        if found == LONGEST {
            return Err(Failure::new(
                IRONHOUSE_BAD_TEXT,
                format!(
                    "{what}: no NUL within {LONGEST} bytes: end the text by one, or pass its length"
                ),
            ));
        }
        found
    } else {
        length
    };
    // SAFETY: the caller answers for that many bytes.
    unsafe { bytes(what, data.cast(), length) }
}

/// # Safety
/// As [`text_bytes`].
pub(crate) unsafe fn text<'a>(what: &str, data: *const c_char, length: usize) -> Result<&'a str> {
    // SAFETY: as our caller says.
    let bytes = unsafe { text_bytes(what, data, length) }?;
    std::str::from_utf8(bytes).map_err(|error| {
        Failure::new(
            IRONHOUSE_BAD_TEXT,
            format!("{what}: not UTF-8 from byte {} on", error.valid_up_to()),
        )
    })
}

/// # Safety
/// As [`text_bytes`].
pub(crate) unsafe fn path<'a>(what: &str, data: *const c_char, length: usize) -> Result<&'a Path> {
    // SAFETY: as our caller says.
    let bytes = unsafe { text_bytes(what, data, length) }?;
    Ok(Path::new(OsStr::from_bytes(bytes)))
}

/// Sizes that a structure of C's may say that it has: less cannot be meant, and more is none of ours.
const SIZES: std::ops::RangeInclusive<usize> = 16..=4096;

/// A structure of the header's that a program reads or fills, of any version: fields are only ever added, at its end.
///
/// # Safety
/// Its first field is a `usize`, the number of its bytes as the program knows it; zeros are a value of every field.
pub(crate) unsafe trait Versioned: Copy {}

/// A structure of C's.
pub(crate) struct Structure<T> {
    place: NonNull<T>,
    /// How much of it there is, both here and there.
    size: usize,
    /// How much of it there is there.
    pub(crate) said: usize,
}

impl<T: Versioned> Structure<T> {
    /// # Safety
    /// `place` is NULL, or as many bytes as it says can be read from it, and written if the result is, as long as that lives.
    pub(crate) unsafe fn new(what: &str, place: *mut T) -> Result<Self> {
        // SAFETY: our caller answers for the first field.
        let said = unsafe { Out::new(what, place.cast::<usize>()) }?.read();
        let place = NonNull::new(place).filter(|_| SIZES.contains(&said));
        let place = place.ok_or_else(|| {
            Failure::new(
                IRONHOUSE_INVALID_ARGUMENT,
                format!("{what}: its size is {said}: set it to sizeof the structure"),
            )
        })?;
        Ok(Self {
            place,
            size: said.min(size_of::<T>()),
            said,
        })
    }

    /// What is there; zeros for what a program built with an older header has not.
    pub(crate) fn read(&self) -> T {
        let mut value = MaybeUninit::<T>::zeroed();
        let (from, to) = (self.place.as_ptr().cast::<u8>(), value.as_mut_ptr().cast());
        // SAFETY: who called `new` answers for as many bytes, and no value of ours has fewer.
        unsafe { std::ptr::copy_nonoverlapping(from, to, self.size) };
        // SAFETY: its fields are C's or zeros, and of a `Versioned` both are values.
        unsafe { value.assume_init() }
    }

    /// Writes what there is room for.
    pub(crate) fn write(&self, value: &T) {
        let from = std::ptr::from_ref(value).cast::<u8>();
        let to = self.place.as_ptr().cast();
        // SAFETY: who called `new` answers for as many bytes, and `value` has no fewer.
        unsafe { std::ptr::copy_nonoverlapping(from, to, self.size) };
    }
}

/// A buffer of C's for a text.
pub(crate) struct Buffer {
    what: &'static str,
    text: *mut c_char,
    size: usize,
    length: *mut usize,
}

impl Buffer {
    /// # Safety
    /// `text` is NULL, or `size` bytes can be written to it; `length` is NULL or can be written to; both as long as the result lives.
    pub(crate) unsafe fn new(
        what: &'static str,
        text: *mut c_char,
        size: usize,
        length: *mut usize,
    ) -> Self {
        Self {
            what,
            text,
            size,
            length,
        }
    }

    /// A buffer that must be there.
    ///
    /// # Safety
    /// `text` is NULL, or `size` bytes can be written to it as long as the result lives.
    pub(crate) unsafe fn of_size(
        what: &'static str,
        text: *mut c_char,
        size: usize,
    ) -> Result<Self> {
        if text.is_null() {
            return Err(null(what));
        }
        // SAFETY: our caller answers for the buffer.
        Ok(unsafe { Self::new(what, text, size, std::ptr::null_mut()) })
    }

    /// Writes a text and the NUL at its end, or says how long it is.
    pub(crate) fn write(&self, text: &str) -> Result<()> {
        let what = self.what;
        if !self.length.is_null() {
            // SAFETY: who called `new` answers for the place.
            unsafe { self.length.write(text.len()) };
        }
        if self.text.is_null() {
            return if self.size == 0 && !self.length.is_null() {
                Ok(())
            } else {
                Err(null(what))
            };
        }
        if text.len() >= self.size {
            if self.size > 0 {
                // SAFETY: the buffer has a byte, says who called `new`.
                unsafe { self.text.write(0) };
            }
            return Err(Failure::new(
                IRONHOUSE_BUFFER_TOO_SMALL,
                format!(
                    "{what}: it takes {} bytes with the NUL at its end, and the buffer has {}",
                    text.len() + 1,
                    self.size
                ),
            ));
        }
        // SAFETY: the buffer has more than that many bytes, and is not ours.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr().cast(), self.text, text.len()) };
        // SAFETY: one behind the text is within the buffer, by the check above.
        let end = unsafe { self.text.add(text.len()) };
        // SAFETY: as above.
        unsafe { end.write(0) };
        Ok(())
    }
}

/// A text for C that ends with a NUL. What is behind a NUL within it is cut off.
pub(crate) fn c_text(text: &str) -> CString {
    let until = text.split('\0').next().unwrap_or_default();
    CString::new(until).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_has_no_end_is_refused() {
        let endless = vec![b'a'; LONGEST + 1];
        // SAFETY: as many bytes as are looked at.
        let refused = unsafe { text("name", endless.as_ptr().cast(), IRONHOUSE_NUL) };
        assert_eq!(refused.unwrap_err().result, IRONHOUSE_BAD_TEXT);
    }

    #[test]
    fn text_takes_an_explicit_length_or_a_nul() {
        let pump = c"pump 7";
        // SAFETY: within the text.
        assert_eq!(unsafe { text("name", pump.as_ptr(), 4) }.unwrap(), "pump");
        // SAFETY: it ends with a NUL.
        let whole = unsafe { text("name", pump.as_ptr(), IRONHOUSE_NUL) };
        assert_eq!(whole.unwrap(), "pump 7");
    }

    #[test]
    fn small_buffer_is_told_how_much_is_needed() {
        let (mut place, mut length) = ([1; 4], 0);
        // SAFETY: a buffer of four bytes and a length, both alive.
        let buffer = unsafe { Buffer::new("name", place.as_mut_ptr(), place.len(), &mut length) };
        let failure = buffer.write("pump").unwrap_err();
        assert_eq!(failure.result, IRONHOUSE_BUFFER_TOO_SMALL);
        assert_eq!((place[0], length), (0, 4));
        // SAFETY: as above.
        let buffer = unsafe { Buffer::new("name", place.as_mut_ptr(), place.len(), &mut length) };
        buffer.write("abc").unwrap();
        assert_eq!(place.map(|c| c as u8), *b"abc\0");
    }

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Pump {
        size: usize,
        pressure: u64,
        added_later: u64,
    }
    // SAFETY: it starts with its size, and has numbers alone.
    unsafe impl Versioned for Pump {}

    #[test]
    fn structure_of_an_older_header_lacks_what_was_added() {
        let mut pump = Pump {
            size: 16,
            pressure: 7,
            added_later: 8,
        };
        // SAFETY: it has as many bytes as it says, and more.
        let place = unsafe { Structure::new("pump", &raw mut pump) }.unwrap();
        let read = place.read();
        assert_eq!((read.pressure, read.added_later), (7, 0));
        place.write(&Pump {
            size: place.said,
            pressure: 1,
            added_later: 2,
        });
        assert_eq!((pump.size, pump.pressure, pump.added_later), (16, 1, 8));
    }

    #[test]
    fn structure_without_its_size_is_refused() {
        let mut pump = Pump {
            size: 0,
            pressure: 7,
            added_later: 8,
        };
        // SAFETY: it has a first field.
        let refused = unsafe { Structure::new("pump", &raw mut pump) };
        assert_eq!(refused.err().unwrap().result, IRONHOUSE_INVALID_ARGUMENT);
    }

    #[test]
    fn length_alone_can_be_asked_for() {
        let mut length = 0;
        // SAFETY: no buffer, and a length.
        let buffer = unsafe { Buffer::new("name", std::ptr::null_mut(), 0, &mut length) };
        buffer.write("pump").unwrap();
        assert_eq!(length, 4);
    }
}
