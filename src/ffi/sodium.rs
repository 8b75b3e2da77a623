//! libsodium behind safe functions: random bytes, Curve25519 keys, Ed25519 signatures, hashes and password hashes.

use std::ffi::CStr;
use std::sync::OnceLock;

use zeroize::Zeroizing;
use zmq_sys_wrap::sodium;

use crate::error::{Error, Result};

/// Bytes of a public and of a secret key.
pub(crate) const KEY_BYTES: usize = sodium::crypto_box_PUBLICKEYBYTES as usize;
const _: () = assert!(KEY_BYTES == sodium::crypto_box_SECRETKEYBYTES as usize);
const _: () = assert!(KEY_BYTES == sodium::crypto_scalarmult_BYTES as usize);
const _: () = assert!(KEY_BYTES == sodium::crypto_scalarmult_SCALARBYTES as usize);

/// Bytes of a box's nonce, and those that a box is longer than what is in it.
pub(crate) const NONCE_BYTES: usize = sodium::crypto_box_NONCEBYTES as usize;
const MAC_BYTES: usize = sodium::crypto_box_MACBYTES as usize;

/// The bytes of a key, wiped when dropped. Boxed, so that moving them leaves no copy behind.
pub(crate) type SecretBytes = Box<Zeroizing<[u8; KEY_BYTES]>>;

/// Bytes of an Ed25519 signature.
pub(crate) const SIGNATURE_BYTES: usize = sodium::crypto_sign_BYTES as usize;
/// Bytes of the key that verifies signatures, and of the seed that both keys are made from.
pub(crate) const VERIFY_KEY_BYTES: usize = sodium::crypto_sign_PUBLICKEYBYTES as usize;
const _: () = assert!(VERIFY_KEY_BYTES == sodium::crypto_sign_SEEDBYTES as usize);
const SIGNING_KEY_BYTES: usize = sodium::crypto_sign_SECRETKEYBYTES as usize;
const _: () = assert!(SIGNING_KEY_BYTES == 2 * VERIFY_KEY_BYTES);

/// A key that signs as libsodium has it: the seed, then the key that verifies. Wiped when dropped.
pub(crate) type SigningBytes = Box<Zeroizing<[u8; SIGNING_KEY_BYTES]>>;

/// Bytes of a password hash as text, its final NUL included.
pub(crate) const HASH_BYTES: usize = sodium::crypto_pwhash_STRBYTES as usize;

/// A password hash as text: ASCII, with a NUL after it.
pub(crate) type HashText = Box<Zeroizing<[u8; HASH_BYTES]>>;

/// What an Argon2id hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashCost {
    /// KiB of memory: `m`.
    pub(crate) memory: u32,
    /// How often it is passed over: `t`.
    pub(crate) passes: u32,
}

impl HashCost {
    /// As libsodium counts memory; `None` where the machine cannot address so much.
    fn bytes(self) -> Option<usize> {
        usize::try_from(self.memory).ok()?.checked_mul(1024)
    }
}

/// Makes libsodium ready, once for the process; every function below that needs it calls it first.
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

/// The BLAKE2b hash of `input`, 32 bytes, without a key.
pub(crate) fn blake2b(input: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    // SAFETY: `hash` is valid for writes of its length and `input` for reads of its; a null key of no bytes is no key.
    let rc = unsafe {
        sodium::crypto_generichash(
            hash.as_mut_ptr(),
            hash.len(),
            input.as_ptr(),
            input.len() as u64,
            std::ptr::null(),
            0,
        )
    };
    // Fails for lengths out of range only, and needs nothing that sodium_init(3) makes ready.
    debug_assert_eq!(rc, 0);
    hash
}

/// Encrypts and authenticates `message` from the holder of `secret` to that of `public`: 16 bytes longer.
pub(crate) fn seal_box(
    message: &[u8],
    nonce: &[u8; NONCE_BYTES],
    public: &[u8; KEY_BYTES],
    secret: &[u8; KEY_BYTES],
) -> Result<Vec<u8>> {
    ready()?;
    let mut sealed = vec![0; message.len() + MAC_BYTES];
    // SAFETY: `sealed` is valid for writes of the message's length and MAC_BYTES, the others for reads of their lengths, which are
    // crypto_box's sizes.
    let rc = unsafe {
        sodium::crypto_box_easy(
            sealed.as_mut_ptr(),
            message.as_ptr(),
            message.len() as u64,
            nonce.as_ptr(),
            public.as_ptr(),
            secret.as_ptr(),
        )
    };
    if rc == 0 {
        Ok(sealed)
    } else {
        Err(failure("crypto_box_easy", "not a usable public key"))
    }
}

/// Opens what the holder of `public` sealed for that of `secret`; `None` where it was not, or is not whole.
pub(crate) fn open_box(
    sealed: &[u8],
    nonce: &[u8; NONCE_BYTES],
    public: &[u8; KEY_BYTES],
    secret: &[u8; KEY_BYTES],
) -> Option<Zeroizing<Vec<u8>>> {
    ready().ok()?;
    let mut message = Zeroizing::new(vec![0; sealed.len().checked_sub(MAC_BYTES)?]);
    // SAFETY: `message` is valid for writes of the box's length without MAC_BYTES, the others for reads of their lengths, which are
    // crypto_box's sizes.
    let rc = unsafe {
        sodium::crypto_box_open_easy(
            message.as_mut_ptr(),
            sealed.as_ptr(),
            sealed.len() as u64,
            nonce.as_ptr(),
            public.as_ptr(),
            secret.as_ptr(),
        )
    };
    (rc == 0).then_some(message)
}

/// The Ed25519 pair of a seed: the key that verifies, the key that signs.
pub(crate) fn signing_pair(
    seed: &[u8; VERIFY_KEY_BYTES],
) -> Result<([u8; VERIFY_KEY_BYTES], SigningBytes)> {
    ready()?;
    let mut verify = [0; VERIFY_KEY_BYTES];
    let mut signing = Box::new(Zeroizing::new([0; SIGNING_KEY_BYTES]));
    // SAFETY: the keys are valid for writes, and the seed for reads, of the sizes that the constants above take from the header.
    let rc = unsafe {
        sodium::crypto_sign_seed_keypair(verify.as_mut_ptr(), signing.as_mut_ptr(), seed.as_ptr())
    };
    if rc == 0 {
        Ok((verify, signing))
    } else {
        Err(failure("crypto_sign_seed_keypair", "no key pair was made"))
    }
}

/// The Ed25519 signature of a message.
pub(crate) fn sign(message: &[u8], key: &[u8; SIGNING_KEY_BYTES]) -> Result<[u8; SIGNATURE_BYTES]> {
    ready()?;
    let mut signature = [0; SIGNATURE_BYTES];
    // SAFETY: `signature` is valid for writes of crypto_sign_BYTES, `message` for reads of its length, `key` for reads of
    // crypto_sign_SECRETKEYBYTES; a null pointer says that the length is not wanted.
    let rc = unsafe {
        sodium::crypto_sign_detached(
            signature.as_mut_ptr(),
            std::ptr::null_mut(),
            message.as_ptr(),
            message.len() as u64,
            key.as_ptr(),
        )
    };
    if rc == 0 {
        Ok(signature)
    } else {
        Err(failure("crypto_sign_detached", "no signature was made"))
    }
}

/// Whether `signature` is that of `message` by the owner of `key`. Takes some 50 µs.
pub(crate) fn verifies(
    signature: &[u8; SIGNATURE_BYTES],
    message: &[u8],
    key: &[u8; VERIFY_KEY_BYTES],
) -> bool {
    if ready().is_err() {
        return false;
    }
    // SAFETY: all three are valid for reads: the message of its length, the others of the sizes that the constants above take from
    // the header.
    let rc = unsafe {
        sodium::crypto_sign_verify_detached(
            signature.as_ptr(),
            message.as_ptr(),
            message.len() as u64,
            key.as_ptr(),
        )
    };
    rc == 0
}

/// The Argon2id hash of a password, with a new salt. Takes the time and the memory that `cost` says.
pub(crate) fn hash_password(password: &[u8], cost: HashCost) -> Result<HashText> {
    ready()?;
    let failed = || {
        failure(
            "crypto_pwhash_str",
            "no memory for it, or a cost out of range",
        )
    };
    let memory = cost.bytes().ok_or_else(failed)?;
    let mut text = Box::new(Zeroizing::new([0; HASH_BYTES]));
    // SAFETY: `text` is valid for writes of HASH_BYTES, which is crypto_pwhash_STRBYTES, and `password` for reads of its length.
    let rc = unsafe {
        sodium::crypto_pwhash_str(
            text.as_mut_ptr().cast(),
            password.as_ptr().cast(),
            password.len() as u64,
            cost.passes.into(),
            memory,
        )
    };
    if rc == 0 { Ok(text) } else { Err(failed()) }
}

/// Whether `text` is the hash of `password`, compared in constant time; false where it is no hash, or memory is short. Takes the
/// time and the memory that the text says.
pub(crate) fn is_hash_of(text: &[u8; HASH_BYTES], password: &[u8]) -> bool {
    if ready().is_err() || CStr::from_bytes_until_nul(text).is_err() {
        return false;
    }
    // SAFETY: `text` holds a NUL, as was seen above, and `password` is valid for reads of its length.
    let rc = unsafe {
        sodium::crypto_pwhash_str_verify(
            text.as_ptr().cast(),
            password.as_ptr().cast(),
            password.len() as u64,
        )
    };
    rc == 0
}

/// Whether `text` is a hash that libsodium can read, and costs just this.
pub(crate) fn is_hash_at(text: &[u8; HASH_BYTES], cost: HashCost) -> bool {
    if ready().is_err() || CStr::from_bytes_until_nul(text).is_err() {
        return false;
    }
    let Some(memory) = cost.bytes() else {
        return false;
    };
    // SAFETY: `text` holds a NUL, as was seen above, and is as long as the function's declaration says.
    let rc = unsafe {
        sodium::crypto_pwhash_str_needs_rehash(text.as_ptr().cast(), cost.passes.into(), memory)
    };
    rc == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: HashCost = HashCost {
        memory: 8,
        passes: 1,
    };

    #[test]
    fn hash_is_that_of_its_password_alone_and_salted_anew() {
        let hash = hash_password(b"secret", CHEAP).unwrap();
        assert!(is_hash_of(&hash, b"secret"));
        for other in [&b""[..], b"secre", b"secret\0", b"Secret"] {
            assert!(!is_hash_of(&hash, other));
        }
        assert!(**hash != **hash_password(b"secret", CHEAP).unwrap());
    }

    #[test]
    fn text_without_an_end_or_without_a_hash_is_the_hash_of_nothing() {
        for text in [[0; HASH_BYTES], [b'$'; HASH_BYTES]] {
            assert!(!is_hash_of(&text, b"") && !is_hash_at(&text, CHEAP));
        }
    }

    #[test]
    fn hash_tells_its_cost() {
        let hash = hash_password(b"secret", CHEAP).unwrap();
        assert!(is_hash_at(&hash, CHEAP));
        for (memory, passes) in [(9, 1), (8, 2), (u32::MAX, 1), (0, 0)] {
            assert!(!is_hash_at(&hash, HashCost { memory, passes }));
        }
    }

    #[test]
    fn cost_below_the_least_is_an_error() {
        for (memory, passes) in [(8, 0), (7, 1), (0, 1)] {
            let refused = hash_password(b"secret", HashCost { memory, passes });
            assert!(matches!(refused, Err(Error::Os { .. })));
        }
    }

    #[test]
    fn public_key_of_a_generated_pair_is_derived_from_its_secret() {
        let (public, secret) = keypair().unwrap();
        assert_eq!(public_from_secret(&secret).unwrap(), public);
    }

    #[test]
    fn box_is_opened_by_its_two_keys_alone_and_only_whole() {
        let ((alice, a), (bob, b)) = (keypair().unwrap(), keypair().unwrap());
        let (nonce, other) = ([1; NONCE_BYTES], [2; NONCE_BYTES]);
        let sealed = seal_box(b"hello", &nonce, &bob, &a).unwrap();
        assert_eq!(sealed.len(), 5 + MAC_BYTES);
        assert_eq!(
            open_box(&sealed, &nonce, &alice, &b).unwrap().as_slice(),
            b"hello"
        );
        assert!(open_box(&sealed, &other, &alice, &b).is_none());
        assert!(open_box(&sealed, &nonce, &bob, &b).is_none());
        assert!(open_box(&sealed, &nonce, &alice, &keypair().unwrap().1).is_none());
        for end in 0..sealed.len() {
            assert!(open_box(&sealed[..end], &nonce, &alice, &b).is_none());
        }
        assert!(seal_box(b"", &nonce, &[0; KEY_BYTES], &a).is_err());
    }

    #[test]
    fn signature_is_that_of_rfc_8032_and_holds_for_its_message_and_key_alone() {
        // Section 7.1, test 3.
        let (verify, signing) = signing_pair(&bytes(
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        ))
        .unwrap();
        assert_eq!(
            verify,
            bytes("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
        );
        let signature = sign(&[0xaf, 0x82], &signing).unwrap();
        assert_eq!(
            signature,
            bytes(
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                 18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
            )
        );
        assert!(verifies(&signature, &[0xaf, 0x82], &verify));
        assert!(!verifies(&signature, &[0xaf, 0x83], &verify));
        assert!(!verifies(&signature, &[0xaf], &verify));
        let (other, _) = signing_pair(&[1; 32]).unwrap();
        assert!(!verifies(&signature, &[0xaf, 0x82], &other));
        for at in 0..SIGNATURE_BYTES {
            let mut forged = signature;
            forged[at] ^= 1;
            assert!(!verifies(&forged, &[0xaf, 0x82], &verify));
        }
    }

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        assert_eq!(hex.len(), 2 * N);
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
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
