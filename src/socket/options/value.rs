//! Values of options, as the bytes that libzmq takes.

use std::time::Duration;

use zeroize::Zeroizing;

use super::sealed;
use crate::error::{Error, Result};

/// The most bytes that are read of an option's value.
pub(in crate::socket) const LONGEST: usize = 1024;

/// A type that the value of an option can have.
pub trait OptionValue: sealed::Value {}

macro_rules! integer_values {
    ($($type:ty),*) => {$(
        impl OptionValue for $type {}
        impl sealed::Value for $type {
            const CAPACITY: usize = size_of::<$type>();
            fn encode(self, _: &'static str) -> Result<Zeroizing<Vec<u8>>> {
                Ok(Zeroizing::new(self.to_ne_bytes().to_vec()))
            }
            fn decode(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(<$type>::from_ne_bytes)
            }
        }
    )*};
}
integer_values!(i32, i64, u64);

impl OptionValue for bool {}
impl sealed::Value for bool {
    const CAPACITY: usize = 4;
    fn encode(self, option: &'static str) -> Result<Zeroizing<Vec<u8>>> {
        i32::from(self).encode(option)
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        i32::decode(bytes).map(|n| n != 0)
    }
}

/// Whole milliseconds, rounded up.
impl OptionValue for Duration {}
impl sealed::Value for Duration {
    const CAPACITY: usize = 4;
    fn encode(self, option: &'static str) -> Result<Zeroizing<Vec<u8>>> {
        let ms = i32::try_from(self.as_nanos().div_ceil(1_000_000)).map_err(|_| {
            Error::InvalidOption {
                name: option,
                reason: format!("{self:?} is longer than the 2147483647 ms libzmq can count"),
            }
        })?;
        ms.encode(option)
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        let ms = u64::try_from(i32::decode(bytes)?).ok()?;
        Some(Duration::from_millis(ms))
    }
}

/// Whole milliseconds, rounded up; `None` stands for libzmq's -1 (for ever, or never, as the option says).
impl OptionValue for Option<Duration> {}
impl sealed::Value for Option<Duration> {
    const CAPACITY: usize = 4;
    fn encode(self, option: &'static str) -> Result<Zeroizing<Vec<u8>>> {
        self.map_or_else(|| (-1).encode(option), |time| time.encode(option))
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Duration::decode(bytes))
    }
}

impl OptionValue for Vec<u8> {}
impl sealed::Value for Vec<u8> {
    const CAPACITY: usize = LONGEST;
    fn encode(self, _: &'static str) -> Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::new(self))
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

/// Text, which libzmq ends with a NUL where it hands it out.
impl OptionValue for String {}
impl sealed::Value for String {
    const CAPACITY: usize = LONGEST;
    fn encode(self, option: &'static str) -> Result<Zeroizing<Vec<u8>>> {
        match self.bytes().position(|b| b == 0) {
            Some(at) => Err(Error::InvalidOption {
                name: option,
                reason: format!("byte {at} of {self:?} is NUL"),
            }),
            None => Ok(Zeroizing::new(self.into_bytes())),
        }
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        Some(String::from_utf8_lossy(text).into_owned())
    }
}
