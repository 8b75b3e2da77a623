//! Key pairs, and keys as text (Z85).

use std::ffi::c_char;
use std::ptr::NonNull;

use ironhouse::security::{Keypair, PublicKey, SecretKey};
use zeroize::Zeroize;

use crate::arguments::{Buffer, text};
use crate::boundary::boundary;
use crate::handle::null;
use crate::result::Result;
use crate::result::ironhouse_result_t;

/// Size of a buffer for a key as text (Z85, RFC 32): 40 characters and the NUL at the end.
pub const IRONHOUSE_KEY_SIZE: usize = 41;

/// Size of a buffer that takes any fingerprint of a key, with the NUL at the end.
pub const IRONHOUSE_FINGERPRINT_SIZE: usize = 64;

/// A place for a key as text.
pub(crate) struct KeyPlace(NonNull<c_char>);

impl KeyPlace {
    /// # Safety
    /// `place` is NULL, or IRONHOUSE_KEY_SIZE bytes can be written to it as long as the result lives.
    pub(crate) unsafe fn new(what: &str, place: *mut c_char) -> Result<Self> {
        NonNull::new(place).map(Self).ok_or_else(|| null(what))
    }

    pub(crate) fn write(&self, what: &str, key: &str) -> Result<()> {
        // SAFETY: who called `new` answers for that many bytes.
        let buffer =
            unsafe { Buffer::new(self.0.as_ptr(), IRONHOUSE_KEY_SIZE, std::ptr::null_mut()) };
        buffer.write(what, key)
    }
}

/// A public key in Z85.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn public_key(key: *const c_char, length: usize) -> Result<PublicKey> {
    // SAFETY: as our caller says.
    let text = unsafe { text("public key", key, length) }?;
    Ok(text.parse()?)
}

/// Makes a new CURVE key pair, as texts. Both buffers take IRONHOUSE_KEY_SIZE bytes.
///
/// Wipe the secret key after use, by ironhouse_wipe(). May be called by any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_keypair(
    public_key: *mut c_char,
    secret_key: *mut c_char,
) -> ironhouse_result_t {
    boundary(|| {
        // SAFETY: the caller's buffer, by contract.
        let public = unsafe { KeyPlace::new("public_key", public_key) }?;
        // SAFETY: the caller's buffer, by contract.
        let secret = unsafe { KeyPlace::new("secret_key", secret_key) }?;
        let pair = Keypair::generate()?;
        public.write("public_key", &pair.public().to_string())?;
        secret.write("secret_key", &pair.secret().expose_z85())
    })
}

/// Computes the public key that belongs to a secret one. The buffer takes IRONHOUSE_KEY_SIZE bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_public_key(
    secret_key: *const c_char,
    secret_key_length: usize,
    public_key: *mut c_char,
) -> ironhouse_result_t {
    boundary(|| {
        // SAFETY: the caller's text, by contract.
        let secret = unsafe { text("secret_key", secret_key, secret_key_length) }?;
        // SAFETY: the caller's buffer, by contract.
        let public = unsafe { KeyPlace::new("public_key", public_key) }?;
        let key = SecretKey::from_z85(secret)?.public_key()?;
        public.write("public_key", &key.to_string())
    })
}

/// Writes a key's 32 bytes as text. The buffer takes IRONHOUSE_KEY_SIZE bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_z85_encode(
    key: *const u8,
    encoded: *mut c_char,
) -> ironhouse_result_t {
    boundary(|| {
        // SAFETY: the caller's key, by contract.
        let key = unsafe { crate::arguments::bytes("key", key, 32) }?;
        // SAFETY: the caller's buffer, by contract.
        let place = unsafe { KeyPlace::new("encoded", encoded) }?;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(key);
        let secret = SecretKey::from_bytes(&bytes);
        bytes.zeroize();
        place.write("encoded", &secret?.expose_z85())
    })
}

/// Reads a key's 32 bytes from its text, which may be a secret key's. `key` takes 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_z85_decode(
    encoded: *const c_char,
    encoded_length: usize,
    key: *mut u8,
) -> ironhouse_result_t {
    boundary(|| {
        // SAFETY: the caller's text, by contract.
        let text = unsafe { text("encoded", encoded, encoded_length) }?;
        let place = NonNull::new(key).ok_or_else(|| null("key"))?;
        let secret = SecretKey::from_z85(text)?;
        // SAFETY: the caller answers for 32 bytes, which are not ours.
        unsafe {
            std::ptr::copy_nonoverlapping(secret.expose_bytes().as_ptr(), place.as_ptr(), 32)
        };
        Ok(())
    })
}

/// Writes the fingerprint of a public key: short enough to be compared by people. IRONHOUSE_FINGERPRINT_SIZE bytes are enough.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_fingerprint(
    public_key: *const c_char,
    public_key_length: usize,
    fingerprint: *mut c_char,
    size: usize,
    length: *mut usize,
) -> ironhouse_result_t {
    boundary(|| {
        // SAFETY: the caller's text, by contract.
        let key = unsafe { self::public_key(public_key, public_key_length) }?;
        // SAFETY: the caller's buffer, by contract.
        let buffer = unsafe { Buffer::new(fingerprint, size, length) };
        buffer.write("fingerprint", &key.fingerprint().to_string())
    })
}

/// Overwrites a secret in a way that no compiler leaves out. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_wipe(memory: *mut u8, size: usize) {
    let Some(memory) = NonNull::new(memory).filter(|_| size <= isize::MAX as usize) else {
        return;
    };
    // SAFETY: the caller answers for that many bytes, which nobody else uses meanwhile.
    let secret = unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), size) };
    secret.zeroize();
}
