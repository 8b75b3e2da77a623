//! Which libzmq this build was made with.

use std::fmt;

/// Version of the `zmq.h` this build was made with, as `4.3.4`; `None` without the feature `linked`, which reads none.
///
/// The libzmq at run time may be another: shared libraries are replaced without a new build.
pub const HEADER_VERSION: Option<&str> = option_env!("IRONHOUSE_LIBZMQ_VERSION");

/// Where libzmq and libsodium come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The system's shared libraries, found by pkg-config.
    System,
    /// Built from source and linked statically (feature `vendored`).
    Embedded,
}

/// Where the libraries of this build come from.
pub fn origin() -> Origin {
    match option_env!("IRONHOUSE_LIBZMQ_ORIGIN") {
        Some("embedded") => Origin::Embedded,
        _ => Origin::System,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::Embedded => "embedded",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER_VERSION, Origin, origin};

    #[test]
    fn origin_is_that_of_the_raw_declarations() {
        assert_eq!(origin() == Origin::Embedded, zmq_sys_wrap::VENDORED);
    }

    #[cfg(feature = "linked")]
    #[test]
    fn header_version_is_three_numbers() {
        let parts: Vec<u32> = HEADER_VERSION
            .unwrap()
            .split('.')
            .map(|part| part.parse().unwrap())
            .collect();
        assert!(parts.as_slice() >= [4, 3, 0].as_slice(), "{parts:?}");
        assert_eq!(parts.len(), 3);
    }

    #[cfg(not(feature = "linked"))]
    #[test]
    fn build_without_libzmq_reads_no_header() {
        assert_eq!(HEADER_VERSION, None);
    }
}
