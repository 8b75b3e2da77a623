//! Certificates: a public key with metadata and dates, and where it is known the secret key.

use std::ffi::{c_char, c_void};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ironhouse::security::{Certificate, Keypair, SecretCertificate, SecretKey, Validity};

use crate::arguments::{arguments, c_text};
use crate::boundary::boundary;
use crate::handle::{Handle, destroy, give, lock};
use crate::keys::IRONHOUSE_KEY_SIZE;
use crate::result::ironhouse_result_t::{
    self, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_NO_SECRET_KEY, IRONHOUSE_NOT_FOUND,
};
use crate::result::{Failure, Result};

/// In the place of a date: none.
pub const IRONHOUSE_NO_DATE: i64 = -1;

/// A certificate: a public key, metadata and dates, and where it was made or loaded with it, the secret key, which is wiped when the
/// certificate is destroyed. May be used by several threads at once. Files are those of CZMQ and pyzmq.
pub struct ironhouse_certificate_t(());

/// What is behind the handle.
pub enum Kind {
    Public(Certificate),
    Secret(SecretCertificate),
}

impl Handle for ironhouse_certificate_t {
    type Value = Mutex<Kind>;
    const NAME: &'static str = "certificate";
}

impl Kind {
    pub(crate) fn public(&self) -> &Certificate {
        match self {
            Kind::Public(certificate) => certificate,
            Kind::Secret(secret) => secret.certificate(),
        }
    }

    /// The whole certificate anew, for who takes it over.
    pub(crate) fn secret(&self) -> Result<SecretCertificate> {
        let Kind::Secret(secret) = self else {
            return Err(no_secret());
        };
        let key = SecretKey::from_bytes(secret.secret().expose_bytes())?;
        let copy = SecretCertificate::from_keypair(Keypair::from_secret(key)?);
        Ok(secret
            .certificate()
            .metadata()
            .try_fold(copy, |copy, (name, value)| copy.with_meta(name, value))?)
    }

    /// Changes the certificate, or leaves it as it is.
    pub(crate) fn change(
        &mut self,
        public: impl FnOnce(Certificate) -> ironhouse::Result<Certificate>,
        secret: impl FnOnce(SecretCertificate) -> ironhouse::Result<SecretCertificate>,
    ) -> Result<()> {
        *self = match self {
            Kind::Public(certificate) => Kind::Public(public(certificate.clone())?),
            Kind::Secret(_) => Kind::Secret(secret(self.secret()?)?),
        };
        Ok(())
    }
}

fn no_secret() -> Failure {
    Failure::new(
        IRONHOUSE_NO_SECRET_KEY,
        "this certificate has no secret key: load it by ironhouse_certificate_load_secret()",
    )
}

/// Makes a certificate with a new key pair.
///
/// Destroy it by ironhouse_certificate_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_OS. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_new(
    certificate: *mut *mut ironhouse_certificate_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out certificate);
        give(
            certificate,
            Mutex::new(Kind::Secret(SecretCertificate::generate()?)),
        )
    })
}

/// Makes a certificate of a public key, in Z85.
///
/// Destroy it by ironhouse_certificate_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85, IRONHOUSE_BAD_KEY. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_from_public_key(
    certificate: *mut *mut ironhouse_certificate_t,
    key: *const c_char,
    key_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out certificate, key key[key_length]);
        give(
            certificate,
            Mutex::new(Kind::Public(Certificate::new(key.usable().map_err(
                |problem| Failure::from(ironhouse::Error::from(problem)),
            )?))),
        )
    })
}

/// Makes a certificate of a secret key, in Z85, and the public key that belongs to it.
///
/// Destroy it by ironhouse_certificate_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85, IRONHOUSE_BAD_KEY. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_from_secret_key(
    certificate: *mut *mut ironhouse_certificate_t,
    key: *const c_char,
    key_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out certificate, text key[key_length]);
        let pair = Keypair::from_secret(SecretKey::from_z85(key)?)?;
        give(
            certificate,
            Mutex::new(Kind::Secret(SecretCertificate::from_keypair(pair))),
        )
    })
}

/// Loads a public certificate from exactly this file.
///
/// Destroy it by ironhouse_certificate_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_BAD_FILE, IRONHOUSE_BAD_Z85,
/// IRONHOUSE_BAD_KEY. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_load(
    certificate: *mut *mut ironhouse_certificate_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out certificate, path path[path_length]);
        give(
            certificate,
            Mutex::new(Kind::Public(Certificate::load(path)?)),
        )
    })
}

/// Loads a certificate with its secret key from the file `path`_secret, which must be open to its owner alone.
///
/// Destroy it by ironhouse_certificate_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_BAD_FILE, IRONHOUSE_BAD_Z85,
/// IRONHOUSE_BAD_KEY. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_load_secret(
    certificate: *mut *mut ironhouse_certificate_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out certificate, path path[path_length]);
        give(
            certificate,
            Mutex::new(Kind::Secret(SecretCertificate::load(path)?)),
        )
    })
}

/// As ironhouse_certificate_load_secret(), from exactly this file, whatever it is called: what ironhouse_certificate_save_secret_file() wrote.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO, IRONHOUSE_BAD_FILE, IRONHOUSE_BAD_Z85,
/// IRONHOUSE_BAD_KEY. Ownership: the program destroys the certificate by ironhouse_certificate_destroy(). Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_load_secret_file(
    certificate: *mut *mut ironhouse_certificate_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out certificate, path path[path_length]);
        give(
            certificate,
            Mutex::new(Kind::Secret(SecretCertificate::load_file(path)?)),
        )
    })
}

/// Destroys a certificate and wipes its secret key; the pointer is NULL afterwards.
///
/// Does nothing if it is NULL.
///
/// Sockets that were secured with it do not need it any more.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_destroy(
    certificate: *mut *mut ironhouse_certificate_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out certificate);
        destroy(certificate)
    })
}

/// Saves the certificate: its public part as `path`, and where it has a secret key, all of it as `path`_secret with mode 0600.
///
/// Each file is written as a whole or not at all.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO,
/// IRONHOUSE_BAD_FILE. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_save(
    certificate: *const ironhouse_certificate_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate, path path[path_length]);
        match &*lock(&certificate) {
            Kind::Public(certificate) => certificate.save(path)?,
            Kind::Secret(secret) => secret.save(path)?,
        }
        Ok(())
    })
}

/// Saves the public part alone, as `path`: for who is to know the key.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO,
/// IRONHOUSE_BAD_FILE. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_save_public(
    certificate: *const ironhouse_certificate_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate, path path[path_length]);
        Ok(lock(&certificate).public().save(path)?)
    })
}

/// Saves all of it as exactly this file, with mode 0600; IRONHOUSE_NO_SECRET_KEY, where it has none.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_IO,
/// IRONHOUSE_BAD_FILE, IRONHOUSE_NO_SECRET_KEY. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_save_secret_file(
    certificate: *const ironhouse_certificate_t,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate, path path[path_length]);
        match &*lock(&certificate) {
            Kind::Public(_) => Err(no_secret()),
            Kind::Secret(secret) => Ok(secret.save_file(path)?),
        }
    })
}

/// Writes the public key, in Z85.
///
/// The buffer takes IRONHOUSE_KEY_SIZE bytes.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_public_key(
    certificate: *const ironhouse_certificate_t,
    key: *mut c_char,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate, buffer key[IRONHOUSE_KEY_SIZE]);
        key.write(&lock(&certificate).public().public_key().to_string())
    })
}

/// Writes the secret key, in Z85.
///
/// The buffer takes IRONHOUSE_KEY_SIZE bytes; wipe it after use, by ironhouse_wipe().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_NO_SECRET_KEY. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_secret_key(
    certificate: *const ironhouse_certificate_t,
    key: *mut c_char,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate, buffer key[IRONHOUSE_KEY_SIZE]);
        match &*lock(&certificate) {
            Kind::Public(_) => Err(no_secret()),
            Kind::Secret(secret) => key.write(&secret.secret().expose_z85()),
        }
    })
}

/// Sets a metadata value, in the place of an earlier one of that name.
///
/// Names are letters, digits and `$-_@.&+/`; values are one line of text.
///
/// The metadata of an admitted peer's certificate are properties of every message that it sends (zmq_msg_gets()).
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_set_meta(
    certificate: *mut ironhouse_certificate_t,
    name: *const c_char,
    name_length: usize,
    value: *const c_char,
    value_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate, text name[name_length], text value[value_length]);
        lock(&certificate).change(
            |public| public.with_meta(name, value),
            |secret| secret.with_meta(name, value),
        )
    })
}

/// Removes a metadata value, if there is one of that name.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_unset_meta(
    certificate: *mut ironhouse_certificate_t,
    name: *const c_char,
    name_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate, text name[name_length]);
        lock(&certificate).change(
            |public| Ok(public.without_meta(name)),
            |secret| Ok(secret.without_meta(name)),
        )
    })
}

/// Writes the metadata value of this name; IRONHOUSE_NOT_FOUND, if there is none.
///
/// Writes at most `size` bytes, the NUL at the end among them, and the text's length without it to `length`, if that is not NULL.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_BUFFER_TOO_SMALL,
/// IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_NOT_FOUND. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_meta(
    certificate: *const ironhouse_certificate_t,
    name: *const c_char,
    name_length: usize,
    value: *mut c_char,
    size: usize,
    length: *mut usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate, text name[name_length], buffer value[size, length]);
        match lock(&certificate).public().meta(name) {
            Some(found) => value.write(found),
            None => Err(Failure::new(
                IRONHOUSE_NOT_FOUND,
                format!("the certificate has no metadata value {name:?}"),
            )),
        }
    })
}

/// What is called for each metadata value: its name and text, which are valid until it returns. It must not unwind.
pub type ironhouse_meta_fn = Option<
    unsafe extern "C-unwind" fn(user_data: *mut c_void, name: *const c_char, value: *const c_char),
>;

/// Calls `each` for every metadata value, in the order of the file, on this thread and before it returns.
///
/// `each` may use the certificate.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_each_meta(
    certificate: *const ironhouse_certificate_t,
    each: ironhouse_meta_fn,
    user_data: *mut c_void,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate);
        let each = each.ok_or_else(|| crate::handle::null("each"))?;
        let public = lock(&certificate).public().clone();
        for (name, value) in public.metadata() {
            let (name, value) = (c_text(name), c_text(value));
            crate::callback::no_unwinding(|| {
                // SAFETY: the caller's function, by contract; both texts end with a NUL.
                unsafe { each(user_data, name.as_ptr(), value.as_ptr()) }
            });
        }
        Ok(())
    })
}

/// Sets from when to when the certificate admits its owner, in the place of what was set before.
///
/// Dates are seconds since 1970 (UTC): `not_before` is the first second, `not_after` the first at which it is over, and IRONHOUSE_NO_DATE stands for
/// none. A disabled one admits nobody.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_set_validity(
    certificate: *mut ironhouse_certificate_t,
    not_before: i64,
    not_after: i64,
    disabled: bool,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate);
        let mut validity = Validity::new().with_disabled(disabled);
        if let Some(time) = date("not_before", not_before)? {
            validity = validity.with_not_before(time);
        }
        if let Some(time) = date("not_after", not_after)? {
            validity = validity.with_not_after(time);
        }
        lock(&certificate).change(
            |public| public.with_validity(validity),
            |secret| secret.with_validity(validity),
        )
    })
}

/// Tells from when to when the certificate admits its owner, as ironhouse_certificate_set_validity() takes it.
///
/// Each place may be NULL.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_certificate_validity(
    certificate: *const ironhouse_certificate_t,
    not_before: *mut i64,
    not_after: *mut i64,
    disabled: *mut bool,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle certificate, place not_before, place not_after, place disabled);
        let validity = lock(&certificate).public().validity();
        let date = |time: Option<_>| time.map_or(IRONHOUSE_NO_DATE, seconds);
        not_before.inspect(|place| place.write(date(validity.not_before())));
        not_after.inspect(|place| place.write(date(validity.not_after())));
        disabled.inspect(|place| place.write(validity.is_disabled()));
        Ok(())
    })
}

fn date(what: &str, seconds: i64) -> Result<Option<SystemTime>> {
    if seconds == IRONHOUSE_NO_DATE {
        return Ok(None);
    }
    u64::try_from(seconds)
        .ok()
        .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .map(Some)
        .ok_or_else(|| {
            Failure::new(
                IRONHOUSE_INVALID_ARGUMENT,
                format!("{what}: {seconds} is no date of the years 1970 to 9999, in seconds"),
            )
        })
}

pub(crate) fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
