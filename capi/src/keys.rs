//! Key pairs, and keys as text (Z85).

use std::ffi::c_char;
use std::ptr::NonNull;

use ironhouse::security::{Keypair, SecretKey};
use zeroize::Zeroize;

use crate::arguments::{arguments, bytes};
use crate::boundary::boundary;
use crate::result::ironhouse_result_t;

/// Size of a buffer for a key as text (Z85, RFC 32): 40 characters and the NUL at the end.
pub const IRONHOUSE_KEY_SIZE: usize = 41;

/// Size of a buffer that takes any fingerprint of a key, with the NUL at the end.
pub const IRONHOUSE_FINGERPRINT_SIZE: usize = 64;

/// Makes a new CURVE key pair, as texts.
///
/// Both buffers take IRONHOUSE_KEY_SIZE bytes.
///
/// Wipe the secret key after use, by ironhouse_wipe(). May be called by any thread.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_OS. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_keypair(
    public_key: *mut c_char,
    secret_key: *mut c_char,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(
            buffer public_key[IRONHOUSE_KEY_SIZE],
            buffer secret_key[IRONHOUSE_KEY_SIZE],
        );
        let pair = Keypair::generate()?;
        public_key.write(&pair.public().to_string())?;
        secret_key.write(&pair.secret().expose_z85())
    })
}

/// Computes the public key that belongs to a secret one.
///
/// The buffer takes IRONHOUSE_KEY_SIZE bytes.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85, IRONHOUSE_BAD_KEY. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_public_key(
    secret_key: *const c_char,
    secret_key_length: usize,
    public_key: *mut c_char,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(
            text secret_key[secret_key_length],
            buffer public_key[IRONHOUSE_KEY_SIZE],
        );
        let key = SecretKey::from_z85(secret_key)?.public_key()?;
        public_key.write(&key.to_string())
    })
}

/// Writes a key's 32 bytes as text.
///
/// The buffer takes IRONHOUSE_KEY_SIZE bytes.
///
/// Errors: IRONHOUSE_NULL_POINTER. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_z85_encode(
    key: *const u8,
    encoded: *mut c_char,
) -> ironhouse_result_t {
    boundary(|| {
        // SAFETY: the caller's key, by contract.
        let key = unsafe { bytes("key", key, 32) }?;
        arguments!(buffer encoded[IRONHOUSE_KEY_SIZE]);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(key);
        let secret = SecretKey::from_bytes(&bytes);
        bytes.zeroize();
        encoded.write(&secret?.expose_z85())
    })
}

/// Reads a key's 32 bytes from its text, which may be a secret key's.
///
/// `key` takes 32 bytes.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85, IRONHOUSE_BAD_KEY. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_z85_decode(
    encoded: *const c_char,
    encoded_length: usize,
    key: *mut u8,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(text encoded[encoded_length], pointer key);
        let secret = SecretKey::from_z85(encoded)?;
        // SAFETY: the caller answers for 32 bytes, which are not ours.
        unsafe { std::ptr::copy_nonoverlapping(secret.expose_bytes().as_ptr(), key.as_ptr(), 32) };
        Ok(())
    })
}

/// Writes the fingerprint of a public key: short enough to be compared by people.
///
/// IRONHOUSE_FINGERPRINT_SIZE bytes are enough.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_BUFFER_TOO_SMALL, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85, IRONHOUSE_BAD_KEY.
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_fingerprint(
    public_key: *const c_char,
    public_key_length: usize,
    fingerprint: *mut c_char,
    size: usize,
    length: *mut usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(key public_key[public_key_length], buffer fingerprint[size, length]);
        fingerprint.write(&public_key.fingerprint().to_string())
    })
}

/// Overwrites a secret in a way that no compiler leaves out.
///
/// Does nothing for NULL. Ownership: the memory is the program's, which nobody else uses meanwhile. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_wipe(memory: *mut u8, size: usize) {
    let Some(memory) = NonNull::new(memory).filter(|_| size <= isize::MAX as usize) else {
        return;
    };
    // SAFETY: the caller answers for that many bytes, which nobody else uses meanwhile.
    let secret = unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), size) };
    secret.zeroize();
}
