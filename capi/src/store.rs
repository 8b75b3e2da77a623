//! Certificate stores: whose keys a policy admits.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use ironhouse::security::CertificateStore;

use crate::arguments::{arguments, c_text};
use crate::boundary::boundary;
use crate::callback::no_unwinding;
use crate::certificate::{Kind, ironhouse_certificate_t};
use crate::handle::{Handle, borrow, destroy, give, lock, null};
use crate::result::ironhouse_result_t::{self, IRONHOUSE_NOT_FOUND};
use crate::result::{Failure, Result};

/// A set of certificates whose owners a policy may admit: in memory, or those of a directory or key file, which are followed change by change.
/// May be used by several threads and policies at once, which keep it by themselves.
pub struct ironhouse_store_t(());

impl Handle for ironhouse_store_t {
    type Value = Arc<CertificateStore>;
    const NAME: &'static str = "certificate store";
}

/// What is called for each of several texts, which is valid until it returns. It must not unwind.
pub type ironhouse_text_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, text: *const c_char)>;

/// Calls C with each of several texts.
pub(crate) fn each_text(
    each: ironhouse_text_fn,
    user_data: *mut c_void,
    texts: impl IntoIterator<Item = String>,
) -> Result<()> {
    let each = each.ok_or_else(|| null("each"))?;
    for text in texts {
        let text = c_text(&text);
        // SAFETY: the caller's function, by contract; the text ends with a NUL.
        no_unwinding(|| unsafe { each(user_data, text.as_ptr()) });
    }
    Ok(())
}

/// Makes an empty store in memory.
///
/// Destroy it by ironhouse_store_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_memory(
    store: *mut *mut ironhouse_store_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out store);
        give(store, CertificateStore::in_memory().into())
    })
}

/// Opens the certificate files in a directory, which may come into being later.
///
/// Loaded when this returns, and followed by a thread of the library; what cannot be used admits nobody, and ironhouse_store_each_problem() says why.
/// Destroy it by ironhouse_store_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_OS. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_directory(
    store: *mut *mut ironhouse_store_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out store, path path[path_length]);
        give(store, CertificateStore::directory(path)?.into())
    })
}

/// As ironhouse_store_directory(), of a key file: many certificates in one file, a line each.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_OS. Ownership: the program destroys the
/// store by ironhouse_store_destroy(). Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_keyfile(
    store: *mut *mut ironhouse_store_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out store, path path[path_length]);
        give(store, CertificateStore::keyfile(path)?.into())
    })
}

/// Destroys the handle; the pointer is NULL afterwards.
///
/// Does nothing if it is NULL. Policies that use the store keep it.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_destroy(
    store: *mut *mut ironhouse_store_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out store);
        destroy(store)
    })
}

/// Adds a certificate's public part in memory, in the place of an earlier one of the same key.
///
/// Also to a store of files, which it does not change. In force when this returns.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_SIGNATURE. Ownership: the certificate is copied. Threads:
/// any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_insert(
    store: *mut ironhouse_store_t,
    certificate: *const ironhouse_certificate_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle store, handle certificate);
        let public = lock(&certificate).public().clone();
        Ok(store.insert(public)?)
    })
}

/// Removes the certificate of a public key that was added in memory; IRONHOUSE_NOT_FOUND, if there is none.
///
/// In force when this returns.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85,
/// IRONHOUSE_BAD_KEY, IRONHOUSE_NOT_FOUND. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_remove(
    store: *mut ironhouse_store_t,
    key: *const c_char,
    key_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle store, key key[key_length]);
        if store.remove(&key) {
            Ok(())
        } else {
            Err(not_found(&key.fingerprint().to_string()))
        }
    })
}

/// Looks a public key up; its certificate is a copy, to be destroyed by ironhouse_certificate_destroy().
///
/// IRONHOUSE_NOT_FOUND, if there is none.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85,
/// IRONHOUSE_BAD_KEY, IRONHOUSE_NOT_FOUND. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_lookup(
    store: *const ironhouse_store_t,
    key: *const c_char,
    key_length: usize,
    certificate: *mut *mut ironhouse_certificate_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle store, key key[key_length], out certificate);
        match store.lookup(&key) {
            Some(found) => give(certificate, Kind::Public(found).into()),
            None => Err(not_found(&key.fingerprint().to_string())),
        }
    })
}

fn not_found(fingerprint: &str) -> Failure {
    Failure::new(
        IRONHOUSE_NOT_FOUND,
        format!("the store has no certificate with the key {fingerprint}"),
    )
}

/// Counts the certificates.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_size(
    store: *const ironhouse_store_t,
    size: *mut usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle store, out size);
        size.write(store.len());
        Ok(())
    })
}

/// Calls `each` for the public key (Z85) of every certificate that it holds at this moment, in their order as texts.
///
/// On this thread, and before it returns; `each` may use the store.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_each_key(
    store: *const ironhouse_store_t,
    each: ironhouse_text_fn,
    user_data: *mut c_void,
) -> ironhouse_result_t {
    boundary(|| {
        let keys = borrow(store)?.keys();
        let mut keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        keys.sort_unstable();
        each_text(each, user_data, keys)
    })
}

/// Returns once every change made on disk before the call is in force; IRONHOUSE_AGAIN, if that takes longer than `milliseconds`.
///
/// Not needed for a peer to be admitted: a key that is not known is looked for in what has changed before its peer is refused.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_AGAIN. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_sync(
    store: *const ironhouse_store_t,
    milliseconds: u32,
) -> ironhouse_result_t {
    boundary(|| Ok(borrow(store)?.sync(Duration::from_millis(milliseconds.into()))?))
}

/// Calls `each` for everything that is wrong with the files, on this thread and before it returns: what, where, and how to mend it.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_store_each_problem(
    store: *const ironhouse_store_t,
    each: ironhouse_text_fn,
    user_data: *mut c_void,
) -> ironhouse_result_t {
    boundary(|| {
        let problems = borrow(store)?.problems();
        each_text(each, user_data, problems.iter().map(|it| it.to_string()))
    })
}
