//! libsodium behind safe functions: random bytes and Curve25519 keys.

use std::sync::OnceLock;

use zeroize::Zeroizing;
use zmq_sys_wrap::sodium;

use crate::error::{Error, Result};

/// Bytes of a public and of a secret key.
pub(crate) const KEY_BYTES: usize = sodium::crypto_box_PUBLICKEYBYTES as usize;
const _: () = assert!(KEY_BYTES == sodium::crypto_box_SECRETKEYBYTES as usize);
const _: () = assert!(KEY_BYTES == sodium::crypto_scalarmult_BYTES as usize);
const _: () = assert!(KEY_BYTES == sodium::crypto_scalarmult_SCALARBYTES as usize);

/// The bytes of a key, wiped when dropped. Boxed, so that moving them leaves no copy behind.
pub(crate) type SecretBytes = Box<Zeroizing<[u8; KEY_BYTES]>>;

/// Makes libsodium ready, once for the process; every function below calls it first.
fn ready() -> Result<()> {
    static READY: OnceLock<bool> = OnceLock::new();
    // SAFETY: sodium_init(3) takes no argument and may be called from any thread, any number of times.
    let ready = *READY.get_or_init(|| unsafe { sodium::sodium_init() } >= 0);
    if ready {
        Ok(())
    } else {
        Err(failure(
            "sodium_init",
            "libsodium found no source of random numbers",
        ))
    }
}

/// A failure of libsodium, which sets no error number.
fn failure(call: &'static str, reason: &'static str) -> Error {
    Error::Os {
        call,
        source: std::io::Error::other(reason),
    }
}

/// Fills `buffer` from the system's generator.
pub(crate) fn random(buffer: &mut [u8]) -> Result<()> {
    ready()?;
    // SAFETY: `buffer` is valid for writes of its length for the whole call.
    unsafe { sodium::randombytes_buf(buffer.as_mut_ptr().cast(), buffer.len()) };
    Ok(())
}

/// A new Curve25519 pair: public key, secret key.
pub(crate) fn keypair() -> Result<([u8; KEY_BYTES], SecretBytes)> {
    ready()?;
    let mut public = [0; KEY_BYTES];
    let mut secret = Box::new(Zeroizing::new([0; KEY_BYTES]));
    // SAFETY: both buffers are valid for writes of KEY_BYTES, which the assertions above tie to crypto_box's sizes.
    let rc = unsafe { sodium::crypto_box_keypair(public.as_mut_ptr(), secret.as_mut_ptr()) };
    if rc == 0 {
        Ok((public, secret))
    } else {
        Err(failure("crypto_box_keypair", "no key pair was made"))
    }
}

/// The public key that belongs to `secret`.
pub(crate) fn public_from_secret(secret: &[u8; KEY_BYTES]) -> Result<[u8; KEY_BYTES]> {
    ready()?;
    let mut public = [0; KEY_BYTES];
    // SAFETY: `public` is valid for writes and `secret` for reads of KEY_BYTES, tied to crypto_scalarmult's sizes above.
    let rc = unsafe { sodium::crypto_scalarmult_base(public.as_mut_ptr(), secret.as_ptr()) };
    if rc == 0 {
        Ok(public)
    } else {
        Err(failure("crypto_scalarmult_base", "not a usable secret key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_key_of_a_generated_pair_is_derived_from_its_secret() {
        let (public, secret) = keypair().unwrap();
        assert_eq!(public_from_secret(&secret).unwrap(), public);
    }

    #[test]
    fn random_bytes_differ_between_calls() {
        let (mut first, mut second) = ([0; 32], [0; 32]);
        random(&mut first).unwrap();
        random(&mut second).unwrap();
        assert_ne!(first, second);
    }

    #[test]
    fn sodium_is_made_ready_by_many_threads_at_once() {
        let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(keypair)).collect();
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    }
}
