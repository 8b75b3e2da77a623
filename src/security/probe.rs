//! Who holds the server key of an endpoint: a CURVE HELLO, which only the key's owner can answer with a WELCOME.
//!
//! A server proves its key in its first word, before it asks for a credential; so nothing of a client's key is needed, and no authenticator
//! hears of it. Bytes in, bytes out.
//!
//! Source: RFC 26/CURVEZMQ, and RFC 25/ZMTP-CURVE for the frames.

use std::fmt;

use crate::error::Result;
use crate::ffi::sodium::{self, KEY_BYTES, NONCE_BYTES, SecretBytes};
use crate::security::keys::PublicKey;
use crate::socket::probe::{Challenge, Proof};

/// Bytes of a HELLO and of a WELCOME, from the length of the name on.
const HELLO_BYTES: usize = 200;
const WELCOME_BYTES: usize = 168;

/// What a WELCOME's box holds: a key of the server's for this connection, and a cookie.
const WELCOME_CONTENT: usize = KEY_BYTES + 96;

/// The server key that a client was given.
pub(super) struct ServerProof {
    pub(super) key: PublicKey,
    /// Where it was taken from, for people.
    pub(super) origin: Option<String>,
}

impl Proof for ServerProof {
    fn challenge(&self) -> Result<Box<dyn Challenge>> {
        Ok(Box::new(Hello::new(self.key)?))
    }

    fn expected(&self) -> String {
        self.to_string()
    }
}

/// The key, and in parentheses its fingerprint and origin.
impl fmt::Display for ServerProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.key, self.key.fingerprint())?;
        if let Some(origin) = &self.origin {
            write!(f, ", {origin}")?;
        }
        f.write_str(")")
    }
}

/// A HELLO to the holder of a server key, by a key of its own.
pub(super) struct Hello {
    server: PublicKey,
    secret: SecretBytes,
    command: Vec<u8>,
}

impl Hello {
    pub(super) fn new(server: PublicKey) -> Result<Self> {
        let (public, secret) = sodium::keypair()?;
        // A key is used for one box, so any number will do.
        let short_nonce = 1u64.to_be_bytes();
        let sealed = sodium::seal_box(
            &[0; 64],
            &nonce(b"CurveZMQHELLO---", &short_nonce),
            server.as_bytes(),
            &secret,
        )?;
        let command = [
            &b"\x05HELLO\x01\x00"[..],
            &[0; 72], // so that an answer is never longer than the question
            &public,
            &short_nonce,
            &sealed,
        ]
        .concat();
        debug_assert_eq!(command.len(), HELLO_BYTES);
        Ok(Self {
            server,
            secret,
            command,
        })
    }
}

impl Challenge for Hello {
    fn command(&self) -> &[u8] {
        &self.command
    }

    fn is_met_by(&self, answer: &[u8]) -> bool {
        let Some(body) = answer.strip_prefix(b"\x07WELCOME") else {
            return false;
        };
        if answer.len() != WELCOME_BYTES {
            return false;
        }
        let Some((long_nonce, sealed)) = body.split_first_chunk::<16>() else {
            return false;
        };
        let nonce = nonce(b"WELCOME-", long_nonce);
        sodium::open_box(sealed, &nonce, self.server.as_bytes(), &self.secret)
            .is_some_and(|content| content.len() == WELCOME_CONTENT)
    }
}

/// A nonce of two parts, 24 bytes together.
fn nonce(prefix: &[u8], rest: &[u8]) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    for (to, from) in nonce.iter_mut().zip(prefix.iter().chain(rest)) {
        *to = *from;
    }
    nonce
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a server with this secret key answers, if it holds the key that the HELLO is for.
    fn welcome(hello: &[u8], secret: &[u8; KEY_BYTES]) -> Option<Vec<u8>> {
        assert_eq!(hello.len(), HELLO_BYTES);
        assert!(hello.starts_with(b"\x05HELLO\x01\x00"));
        let client: [u8; KEY_BYTES] = hello[80..112].try_into().unwrap();
        let opened = sodium::open_box(
            &hello[120..],
            &nonce(b"CurveZMQHELLO---", &hello[112..120]),
            &client,
            secret,
        )?;
        assert_eq!(opened.as_slice(), [0; 64]);
        let long_nonce = [7; 16];
        let sealed = sodium::seal_box(
            &[9; WELCOME_CONTENT],
            &nonce(b"WELCOME-", &long_nonce),
            &client,
            secret,
        );
        Some([&b"\x07WELCOME"[..], &long_nonce, &sealed.unwrap()].concat())
    }

    #[test]
    fn only_the_owner_of_the_key_can_answer() {
        let (key, secret) = sodium::keypair().unwrap();
        let hello = Hello::new(PublicKey::from_bytes(key)).unwrap();
        let answer = welcome(hello.command(), &secret).unwrap();
        assert!(hello.is_met_by(&answer));
        let (_, other) = sodium::keypair().unwrap();
        assert!(welcome(hello.command(), &other).is_none());
        // An answer to somebody else, and one to an earlier HELLO.
        for again in [PublicKey::from_bytes(key), PublicKey::from_bytes([3; 32])] {
            let other = Hello::new(again).unwrap();
            assert!(!other.is_met_by(&answer));
        }
    }

    #[test]
    fn answer_that_was_changed_or_cut_proves_nothing() {
        let (key, secret) = sodium::keypair().unwrap();
        let hello = Hello::new(PublicKey::from_bytes(key)).unwrap();
        let answer = welcome(hello.command(), &secret).unwrap();
        for at in 0..answer.len() {
            let mut changed = answer.clone();
            changed[at] ^= 1;
            assert!(!hello.is_met_by(&changed), "{at}");
            assert!(!hello.is_met_by(&answer[..at]), "{at}");
        }
        assert!(!hello.is_met_by(&[&answer[..], b"x"].concat()));
    }

    #[test]
    fn no_hello_is_made_for_a_key_that_is_none() {
        assert!(Hello::new(PublicKey::from_bytes([0; 32])).is_err());
    }

    proptest! {
        #[test]
        fn any_answer_is_refused_without_panic(
            head in prop::sample::select(vec![&b""[..], b"\x07WELCOME", b"\x05ERROR"]),
            tail in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let hello = Hello::new(PublicKey::from_bytes([1; 32])).unwrap();
            prop_assert!(!hello.is_met_by(&[head, &tail].concat()));
        }
    }
}
