//! Fingerprints: public keys as people read, say and compare them.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::ffi::sodium;
use crate::security::keys::{KeyProblem, PublicKey};

/// Hashed before the key: what was hashed for another purpose is no fingerprint.
const PREFIX: &[u8; 28] = b"ironhouse key fingerprint v1";

/// Crockford's digits: no letter that is taken for another or for a number.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGIT_BITS: u32 = 5;

/// Digits of a fingerprint, and of each group of it.
const LENGTH: usize = 20;
const GROUP: usize = 4;

/// A public key as people compare it: 20 digits in 5 groups, such as `eq3g-xrs3-wcg3-fcem-an2d`, the same wherever one is shown.
///
/// The first 100 bits of BLAKE2b-256 over the 28 bytes `ironhouse key fingerprint v1` and the key's 32 bytes, in Crockford's base 32. To find
/// another key of the same fingerprint takes some 2^100 attempts; compare all five groups.
///
/// [`FromStr`] takes either case, O for 0, I and L for 1, and hyphens anywhere or nowhere.
///
/// Source: RFC 7693, BLAKE2; <https://www.crockford.com/base32.html>.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(u128);

impl PublicKey {
    /// The key as people compare it.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut input = [0; PREFIX.len() + 32];
        let (prefix, key) = input.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        key.copy_from_slice(self.as_bytes());
        let hash = sodium::blake2b(&input);
        let start = hash.iter().take(16);
        let start = start.fold(0, |bits: u128, byte| bits << 8 | u128::from(*byte));
        Fingerprint(start >> (u128::BITS - LENGTH as u32 * DIGIT_BITS))
    }
}

impl Fingerprint {
    /// As it displays.
    pub(crate) fn to_ascii(self) -> [u8; LENGTH + LENGTH / GROUP - 1] {
        let mut text = [b'-'; LENGTH + LENGTH / GROUP - 1];
        // Each group, and the hyphen before the next one.
        for (group, digits) in text.chunks_mut(GROUP + 1).enumerate() {
            for (place, digit) in digits.iter_mut().take(GROUP).enumerate() {
                let at = LENGTH - 1 - group * GROUP - place;
                let value = (self.0 >> (at as u32 * DIGIT_BITS)) as usize % DIGITS.len();
                *digit = DIGITS.get(value).copied().unwrap_or_default();
            }
        }
        text
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.to_ascii()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut number = 0;
        let mut length = 0;
        for byte in text.bytes().filter(|byte| *byte != b'-') {
            let byte = match byte.to_ascii_lowercase() {
                b'o' => b'0',
                b'i' | b'l' => b'1',
                other => other,
            };
            let digit = DIGITS.iter().position(|digit| *digit == byte);
            let digit = digit.ok_or(KeyProblem::Fingerprint)?;
            length += 1;
            if length > LENGTH {
                return Err(KeyProblem::Fingerprint.into());
            }
            number = number << DIGIT_BITS | digit as u128;
        }
        if length < LENGTH {
            return Err(KeyProblem::Fingerprint.into());
        }
        Ok(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<Fingerprint> {
        match text.parse() {
            Ok(fingerprint) => Some(fingerprint),
            Err(Error::Key(KeyProblem::Fingerprint)) => None,
            Err(other) => panic!("{other}"),
        }
    }

    /// Computed by Python's `hashlib.blake2b(b"ironhouse key fingerprint v1" + key, digest_size=32)`.
    #[test]
    fn fingerprints_are_those_that_another_program_computes() {
        let mut counting = [0; 32];
        (0..).zip(&mut counting).for_each(|(n, byte)| *byte = n);
        for (key, expected) in [
            (counting, "eq3g-xrs3-wcg3-fcem-an2d"),
            ([0; 32], "r704-27dm-xsb3-a0wj-ag1r"),
            ([0xff; 32], "wb3z-zjct-z56j-mmg0-t5w4"),
        ] {
            let fingerprint = PublicKey::from_bytes(key).fingerprint();
            assert_eq!(fingerprint.to_string(), expected);
            assert_eq!(parse(expected), Some(fingerprint));
        }
    }

    #[test]
    fn what_people_write_is_read() {
        let wanted = parse("0101-1abc-defg-hjkm-npqz").unwrap();
        for text in [
            "oIO1-LABC-DEFG-HJKM-NPQZ",
            "01011abcdefghjkmnpqz",
            "-0-1011abcdefghjkmnpqz-",
        ] {
            assert_eq!(parse(text), Some(wanted), "{text}");
        }
        for text in [
            "",
            "0101-1abc-defg-hjkm-npq",
            "0101-1abc-defg-hjkm-npqzz",
            "u101-1abc-defg-hjkm-npqz",
            "0101 1abc defg hjkm npqz",
            "0101-1abc-defg-hjkm-npqä",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        let shown = format!("{:?} {wanted:>26}", wanted);
        assert_eq!(
            shown,
            "Fingerprint(0101-1abc-defg-hjkm-npqz)   0101-1abc-defg-hjkm-npqz"
        );
    }

    proptest! {
        #[test]
        fn any_fingerprint_survives_its_text(key: [u8; 32]) {
            let fingerprint = PublicKey::from_bytes(key).fingerprint();
            let text = fingerprint.to_string();
            prop_assert_eq!(text.len(), 24);
            prop_assert_eq!(parse(&text), Some(fingerprint));
            prop_assert_eq!(parse(&text.to_uppercase()), Some(fingerprint));
        }

        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "\\PC{0,30}|[0-9a-zA-Z-]{18,26}") {
            if let Some(read) = parse(&text) {
                prop_assert_eq!(parse(&read.to_string()), Some(read));
            }
        }
    }
}
