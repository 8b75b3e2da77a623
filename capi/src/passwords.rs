//! Users and passwords, for PLAIN.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use ironhouse::security::PasswordFile;

use crate::arguments::arguments;
use crate::boundary::boundary;
use crate::handle::{Handle, borrow, destroy, give};
use crate::result::Failure;
use crate::result::ironhouse_result_t::{self, IRONHOUSE_NOT_FOUND};
use crate::store::{each_text, ironhouse_text_fn};

/// Users and their passwords: in memory, or those of a file of lines `name=password` or `name=` and an Argon2id hash, which is followed.
/// May be used by several threads and policies at once, which keep it by themselves.
pub struct ironhouse_passwords_t(());

impl Handle for ironhouse_passwords_t {
    type Value = Arc<PasswordFile>;
    const NAME: &'static str = "set of passwords";
}

/// Makes an empty set of users in memory.
///
/// Destroy it by ironhouse_passwords_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_passwords_memory(
    passwords: *mut *mut ironhouse_passwords_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out passwords);
        give(passwords, PasswordFile::in_memory().into())
    })
}

/// Opens a password file, which must be open to its owner alone; a changed one is read at the next handshake.
///
/// Destroy it by ironhouse_passwords_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_BAD_FILE, IRONHOUSE_OS. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_passwords_load(
    passwords: *mut *mut ironhouse_passwords_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out passwords, path path[path_length]);
        give(passwords, PasswordFile::load(path)?.into())
    })
}

/// As ironhouse_passwords_load(), of a file that others than its owner may read, or that its group may change: for programs that make one so.
///
/// Whoever can read such a file knows the passwords. IRONHOUSE_BAD_FILE, where everybody may change it.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_BAD_FILE, IRONHOUSE_OS. Ownership: the
/// program destroys the set by ironhouse_passwords_destroy(). Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_passwords_load_exposed(
    passwords: *mut *mut ironhouse_passwords_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out passwords, path path[path_length]);
        give(passwords, PasswordFile::load_exposed(path)?.into())
    })
}

/// Destroys the handle; the pointer is NULL afterwards.
///
/// Does nothing if it is NULL. Policies that use the users keep them.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_passwords_destroy(
    passwords: *mut *mut ironhouse_passwords_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out passwords);
        destroy(passwords)
    })
}

/// Adds a user in memory, or changes the password of one; both are 1 to 255 bytes.
///
/// In force when this returns.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Ownership: both are
/// copied. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_passwords_insert(
    passwords: *mut ironhouse_passwords_t,
    name: *const c_char,
    name_length: usize,
    password: *const c_char,
    password_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle passwords, bytes name[name_length], bytes password[password_length]);
        Ok(passwords.insert(name, password)?)
    })
}

/// Removes a user from memory; IRONHOUSE_NOT_FOUND, if there is none.
///
/// In force when this returns.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_NOT_FOUND.
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_passwords_remove(
    passwords: *mut ironhouse_passwords_t,
    name: *const c_char,
    name_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle passwords, bytes name[name_length]);
        if passwords.remove(name)? {
            Ok(())
        } else {
            Err(Failure::new(
                IRONHOUSE_NOT_FOUND,
                format!("there is no user {:?}", String::from_utf8_lossy(name)),
            ))
        }
    })
}

/// Calls `each` for everything that is wrong with the file, on this thread and before it returns: what, where, and how to mend it.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_passwords_each_problem(
    passwords: *const ironhouse_passwords_t,
    each: ironhouse_text_fn,
    user_data: *mut c_void,
) -> ironhouse_result_t {
    boundary(|| {
        let problems = borrow(passwords)?.problems();
        each_text(each, user_data, problems.iter().map(|it| it.to_string()))
    })
}
