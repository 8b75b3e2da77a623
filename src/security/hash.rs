//! Password hashes: Argon2id, as text.

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::ffi::sodium::{self, HASH_BYTES, HashCost, HashText};
use crate::security::keys::Password;

/// What the hashes made here cost: 8 MiB, and 6 ms of one core of a server.
const OWN_COST: HashCost = HashCost {
    memory: 8 * 1024,
    passes: 3,
};
/// Most memory of a hash, in KiB.
const MAX_MEMORY: u32 = 16 * 1024;
/// Most memory times passes, in KiB: whatever keeps to both takes 6 to 10 ms there, where the core is free.
const MAX_WORK: u64 = 36 * 1024;

/// How the hashes begin that crypt(3) and its kin make, apart from Argon2's.
const FOREIGN: [&str; 15] = [
    "$1$", "$2$", "$2a$", "$2b$", "$2x$", "$2y$", "$5$", "$6$", "$7$", "$y$", "$gy$", "$apr1$",
    "$sha1$", "$scrypt$", "$pbkdf2",
];

/// Why a password hash cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashProblem {
    /// Made by something else than Argon2id.
    #[error(
        "a password hash of another kind than `$argon2id$`: nobody enters by it, so hash the password anew"
    )]
    Kind,
    /// Cut off, or never whole.
    #[error(
        "not a hash `$argon2id$v=19$m=…,t=…,p=1$…$…` of at most 127 characters: copy it whole, or hash the password anew"
    )]
    Malformed,
    /// One check would take too much time or memory.
    #[error(
        "a check of this hash takes too long: hash the password anew with at most m=16384 (KiB) and m × t = 36864"
    )]
    TooCostly,
}

/// An Argon2id hash whose cost is bounded.
pub(crate) struct Hash {
    text: HashText,
    cost: HashCost,
}

impl Hash {
    /// Whether this is meant as a password hash, of whatever kind, rather than as a password.
    pub(crate) fn is_meant(value: &[u8]) -> bool {
        value.starts_with(b"$argon2")
            || FOREIGN
                .iter()
                .any(|kind| value.starts_with(kind.as_bytes()))
    }

    /// Reads a hash, and leaves the rest of the value to libsodium's own reader.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, HashProblem> {
        let Some(parameters) = value.strip_prefix(b"$argon2id$") else {
            return Err(HashProblem::Kind);
        };
        let cost = cost(parameters).ok_or(HashProblem::Malformed)?;
        if cost.memory > MAX_MEMORY || u64::from(cost.memory) * u64::from(cost.passes) > MAX_WORK {
            return Err(HashProblem::TooCostly);
        }
        // At least one byte stays zero: the end of the text.
        if value.len() >= HASH_BYTES || value.contains(&0) {
            return Err(HashProblem::Malformed);
        }
        let mut text = Box::new(Zeroizing::new([0; HASH_BYTES]));
        for (to, from) in text.iter_mut().zip(value) {
            *to = *from;
        }
        if sodium::is_hash_at(&text, cost) {
            Ok(Self { text, cost })
        } else {
            Err(HashProblem::Malformed)
        }
    }

    /// Hashes a password, as text.
    pub(crate) fn text_of(password: &Password) -> Result<String> {
        let text = sodium::hash_password(password.expose_bytes(), OWN_COST)?;
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8(text.to_vec()).map_err(|error| Error::Os {
            call: "crypto_pwhash_str",
            source: std::io::Error::other(error.utf8_error()),
        })
    }

    /// As it stands in the file, then zeros.
    pub(crate) fn text(&self) -> &[u8] {
        self.text.as_slice()
    }

    /// Whether this is the hash of `password`. Takes milliseconds.
    pub(crate) fn is_of(&self, password: &[u8]) -> bool {
        #[cfg(test)]
        TAKEN.set(TAKEN.get() + 1);
        sodium::is_hash_of(&self.text, password)
    }

    /// Grows with the time that a check takes: a first pass costs twice what each other one does, since it fetches the memory.
    pub(crate) fn work(&self) -> u64 {
        u64::from(self.cost.memory) * (u64::from(self.cost.passes) + 1)
    }
}

/// The parameters of `v=19$m=…,t=…,p=1$…`. Whether what follows is right is for libsodium to say.
fn cost(parameters: &[u8]) -> Option<HashCost> {
    let parameters = parameters.strip_prefix(b"v=19$m=")?;
    let (memory, rest) = number(parameters)?;
    let (passes, rest) = number(rest.strip_prefix(b",t=")?)?;
    rest.strip_prefix(b",p=1$")?;
    Some(HashCost { memory, passes })
}

/// The decimal digits at the start, and what follows them. A number beyond 32 bits is the largest: too costly in any case.
fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(digits)?;
    let number = digits.iter().fold(0u32, |number, &digit| {
        number
            .saturating_mul(10)
            .saturating_add(u32::from(digit.saturating_sub(b'0')))
    });
    (!digits.is_empty()).then_some((number, rest))
}

#[cfg(test)]
thread_local! {
    /// Hashes taken on this thread.
    pub(crate) static TAKEN: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: &str = "c2FsdHNhbHRzYWx0c2FsdA";
    const DIGEST: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";

    fn with(parameters: &str) -> String {
        format!("$argon2id$v=19${parameters}${SALT}${DIGEST}")
    }

    fn problem(value: &str) -> Option<HashProblem> {
        Hash::parse(value.as_bytes()).err()
    }

    #[test]
    fn own_hash_is_read_and_is_that_of_its_password() {
        let password = Password::new("correct horse").unwrap();
        let text = Hash::text_of(&password).unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=8192,t=3,p=1$"), "{text}");
        let hash = Hash::parse(text.as_bytes()).unwrap();
        assert_eq!(hash.cost, OWN_COST);
        assert!(hash.is_of(b"correct horse"));
        assert!(!hash.is_of(b"correct horsf") && !hash.is_of(b""));
        assert_ne!(text, Hash::text_of(&password).unwrap());
    }

    #[test]
    fn hash_that_another_program_made_is_that_of_its_password() {
        let vector =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let hash = Hash::parse(vector.as_bytes()).unwrap();
        assert!(hash.is_of(b"password") && !hash.is_of(b"passwore"));
    }

    #[test]
    fn hash_that_costs_too_much_is_refused_before_any_of_it_is_spent() {
        for dear in [
            "m=16385,t=1,p=1",
            "m=16384,t=3,p=1",
            "m=8,t=4609,p=1",
            "m=4294967295,t=4294967295,p=1",
            "m=99999999999999999999,t=1,p=1",
            "m=8,t=99999999999999999999,p=1",
        ] {
            assert_eq!(problem(&with(dear)), Some(HashProblem::TooCostly), "{dear}");
        }
        for fair in [
            "m=16384,t=2,p=1",
            "m=12288,t=3,p=1",
            "m=9216,t=4,p=1",
            "m=8,t=1,p=1",
        ] {
            assert_eq!(problem(&with(fair)), None, "{fair}");
        }
    }

    #[test]
    fn broken_hash_is_refused() {
        let whole = with("m=64,t=1,p=1");
        assert_eq!(problem(&whole), None);
        // Shortened by up to 21 bytes the digest is only a shorter one, if its last group can be.
        for end in "$argon2id$".len()..whole.len() - 22 {
            let cut = &whole[..end];
            assert_eq!(problem(cut), Some(HashProblem::Malformed), "{cut}");
        }
        for parameters in [
            "m=64,t=1,p=2",
            "m=64,t=1,p=10",
            "m=64,t=1",
            "m=64,p=1,t=1",
            "t=1,m=64,p=1",
            "m=7,t=1,p=1",
            "m=64,t=0,p=1",
            "m=064,t=1,p=1",
            "m=+64,t=1,p=1",
            "m=-64,t=1,p=1",
            "m= 64,t=1,p=1",
            "m=,t=1,p=1",
            "m=64,t=1,p=1,keyid=AA",
        ] {
            let value = with(parameters);
            assert_eq!(problem(&value), Some(HashProblem::Malformed), "{value}");
        }
        for value in [
            whole.replace("v=19", "v=16"),
            whole.replace("v=19$", ""),
            whole.replace(SALT, ""),
            whole.replace(SALT, "c2Fs"),
            whole.replace(SALT, &format!("{SALT}==")),
            whole.replace(DIGEST, ""),
            whole.replace(DIGEST, "MDEy"),
            whole.replace(DIGEST, &DIGEST.repeat(2)),
            whole.replace('M', "*"),
            format!("{whole}$"),
            format!("{whole} "),
            format!("{whole}\0"),
            format!("{whole}\r"),
        ] {
            assert_eq!(problem(&value), Some(HashProblem::Malformed), "{value}");
        }
    }

    #[test]
    fn hashes_of_other_kinds_are_told_from_passwords() {
        for value in [
            "$argon2i$v=19$m=64,t=1,p=1$c2FsdA$aGFzaA",
            "$argon2d$",
            "$argon2",
            "$2b$12$abcdefghijklmnopqrstuu",
            "$6$rounds=5000$salt$hash",
            "$y$j9T$salt$hash",
            "$apr1$salt$hash",
            "$pbkdf2-sha256$29000$salt$hash",
        ] {
            assert!(Hash::is_meant(value.as_bytes()), "{value}");
            assert_eq!(problem(value), Some(HashProblem::Kind), "{value}");
        }
        for password in [
            "$", "$$", "$ecret$", "$2", "$100$", "a$6$", " $6$", "$argon",
        ] {
            assert!(!Hash::is_meant(password.as_bytes()), "{password}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes: Vec<u8>, tail in "[$,=a-z0-9]{0,130}") {
            let _ = Hash::parse(&bytes);
            let _ = Hash::parse(format!("$argon2id$v=19$m={tail}").as_bytes());
        }

        #[test]
        fn what_is_read_keeps_to_the_bounds(memory in 0u32..40_000, passes in 0u32..8, lanes in 0u32..3) {
            let read = Hash::parse(with(&format!("m={memory},t={passes},p={lanes}")).as_bytes());
            let wanted = (8..=16_384).contains(&memory) && passes > 0 && memory * passes <= 36_864 && lanes == 1;
            prop_assert_eq!(read.is_ok(), wanted);
        }
    }
}
