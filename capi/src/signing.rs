//! Administrators: who signs certificates, and whose signatures a store believes.

use std::ffi::c_char;
use std::path::PathBuf;
use std::sync::Mutex;

use ironhouse::security::{CertificateStore, SigningKey, Trust, VerifyKey};

use crate::arguments::{argument, arguments};
use crate::boundary::boundary;
use crate::certificate::ironhouse_certificate_t;
use crate::handle::{Handle, borrow, destroy, give, lock};
use crate::result::Result;
use crate::result::ironhouse_result_t;
use crate::store::ironhouse_store_t;

/// Size of a buffer for a verify key as text: "ed25519:", 40 characters and the NUL at the end.
pub const IRONHOUSE_VERIFY_KEY_SIZE: usize = 49;

/// The key by which an administrator signs certificates (Ed25519); wiped when it is destroyed.
pub struct ironhouse_signing_key_t(());

impl Handle for ironhouse_signing_key_t {
    type Value = SigningKey;
    const NAME: &'static str = "signing key";
}

/// Which administrators a store believes, and what it asks for beside their signatures. A copy is taken by what uses it.
pub struct ironhouse_trust_t(());

impl Handle for ironhouse_trust_t {
    type Value = Mutex<Believed>;
    const NAME: &'static str = "trust";
}

/// What is behind the handle.
#[derive(Default)]
pub struct Believed {
    administrators: Vec<(VerifyKey, Option<PathBuf>)>,
    memory: Option<PathBuf>,
}

impl Believed {
    fn add(&mut self, key: VerifyKey, list: Option<PathBuf>) {
        match self
            .administrators
            .iter_mut()
            .find(|(known, _)| *known == key)
        {
            Some((_, known)) => *known = list.or(known.take()),
            None => self.administrators.push((key, list)),
        }
    }

    fn trust(&self) -> Trust {
        let mut trust = Trust::new(self.administrators.iter().map(|(key, _)| *key));
        for (key, list) in &self.administrators {
            if let Some(list) = list {
                trust = trust.revocations(*key, list);
            }
        }
        match &self.memory {
            Some(path) => trust.remember(path),
            None => trust,
        }
    }
}

fn trust(handle: *const ironhouse_trust_t) -> Result<Trust> {
    let believed = borrow(handle)?;
    Ok(lock(&believed).trust())
}

/// Makes a new signing key.
///
/// Destroy it by ironhouse_signing_key_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_OS. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_signing_key_new(
    key: *mut *mut ironhouse_signing_key_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out key);
        give(key, SigningKey::generate()?)
    })
}

/// Loads a signing key from its file, which must be open to its owner alone.
///
/// Destroy it by ironhouse_signing_key_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_BAD_FILE. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_signing_key_load(
    key: *mut *mut ironhouse_signing_key_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out key, path path[path_length]);
        give(key, SigningKey::load(path)?)
    })
}

/// Destroys a signing key and wipes it; the pointer is NULL afterwards.
///
/// Does nothing if it is NULL.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_signing_key_destroy(
    key: *mut *mut ironhouse_signing_key_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out key);
        destroy(key)
    })
}

/// Saves a signing key to a file of mode 0600.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO,
/// IRONHOUSE_BAD_FILE. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_signing_key_save(
    key: *const ironhouse_signing_key_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle key, path path[path_length]);
        Ok(key.save(path)?)
    })
}

/// Writes the key by which others verify what this one signs.
///
/// The buffer takes IRONHOUSE_VERIFY_KEY_SIZE bytes.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_signing_key_verify_key(
    key: *const ironhouse_signing_key_t,
    verify_key: *mut c_char,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle key, buffer verify_key[IRONHOUSE_VERIFY_KEY_SIZE]);
        verify_key.write(&key.verify_key().to_string())
    })
}

/// Has an administrator sign a certificate with all its metadata.
///
/// Whatever is changed afterwards breaks the signature.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Ownership: nothing is kept of the signing key. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_sign(
    certificate: *mut ironhouse_certificate_t,
    key: *const ironhouse_signing_key_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate, handle key);
        lock(&certificate).change(|public| public.sign(&key), |secret| secret.sign(&key))
    })
}

/// Whether the administrator with this verify key has signed the certificate as it is; IRONHOUSE_BAD_SIGNATURE if not.
///
/// Looks at no revocation list: stores do.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_SIGNATURE.
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_verify(
    certificate: *const ironhouse_certificate_t,
    verify_key: *const c_char,
    verify_key_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate, verify_key verify_key[verify_key_length]);
        lock(&certificate).public().verify(&[verify_key])?;
        Ok(())
    })
}

/// Makes a trust in nobody.
///
/// Destroy it by ironhouse_trust_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_trust_new(
    trust: *mut *mut ironhouse_trust_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out trust);
        give(trust, Mutex::default())
    })
}

/// Destroys the handle; the pointer is NULL afterwards.
///
/// Does nothing if it is NULL.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_trust_destroy(
    trust: *mut *mut ironhouse_trust_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out trust);
        destroy(trust)
    })
}

/// Believes an administrator.
///
/// `revocations` (or NULL) is the path of his revocation list, which is followed; while it is not in force, nobody is admitted.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_SIGNATURE.
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_trust_believe(
    trust: *mut ironhouse_trust_t,
    verify_key: *const c_char,
    verify_key_length: usize,
    revocations: *const c_char,
    revocations_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle trust, verify_key verify_key[verify_key_length]);
        let list = if revocations.is_null() {
            None
        } else {
            Some(argument!(@ path revocations revocations_length).to_owned())
        };
        lock(&trust).add(verify_key, list);
        Ok(())
    })
}

/// Keeps the serials of the newest revocation lists in a file, which the store writes, so that older ones are refused after a restart too.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_trust_remember(
    trust: *mut ironhouse_trust_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle trust, path path[path_length]);
        lock(&trust).memory = Some(path.to_owned());
        Ok(())
    })
}

/// As ironhouse_store_directory(), of the certificates alone that administrators have signed whom `trust` names.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO,
/// IRONHOUSE_OS. Ownership: the trust is copied, and the program destroys the store by ironhouse_store_destroy(). Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_signed_directory(
    store: *mut *mut ironhouse_store_t,
    path: *const c_char,
    path_length: usize,
    trust: *const ironhouse_trust_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out store, path path[path_length]);
        let trust = self::trust(trust)?;
        give(
            store,
            CertificateStore::signed_directory(path, trust)?.into(),
        )
    })
}

/// As ironhouse_store_keyfile(), of the lines alone that administrators have signed whom `trust` names.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO,
/// IRONHOUSE_OS. Ownership: the trust is copied, and the program destroys the store by ironhouse_store_destroy(). Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_signed_keyfile(
    store: *mut *mut ironhouse_store_t,
    path: *const c_char,
    path_length: usize,
    trust: *const ironhouse_trust_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out store, path path[path_length]);
        let trust = self::trust(trust)?;
        give(store, CertificateStore::signed_keyfile(path, trust)?.into())
    })
}

/// Has a signed store believe other administrators from now on: in force once ironhouse_store_sync() returns.
///
/// Who is admitted no more is refused.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Ownership: the trust is copied. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_set_trust(
    store: *mut ironhouse_store_t,
    trust: *const ironhouse_trust_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle store);
        Ok(store.set_trust(self::trust(trust)?)?)
    })
}
