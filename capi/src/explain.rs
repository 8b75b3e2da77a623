//! What would become of a peer, and by which rules.

use std::ffi::{c_char, c_int};

use ironhouse::security::{Credential, PeerAddress};

use crate::arguments::{IRONHOUSE_NUL, Structure, Versioned, arguments, text, text_bytes};
use crate::authenticator::ironhouse_authenticator_t;
use crate::boundary::boundary;
use crate::result::ironhouse_result_t::{self, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT};
use crate::result::{Failure, Result};

/// What a peer presents: see ironhouse_authenticator_explain().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ironhouse_credential_t {
    /// Size of this structure in bytes, as the program knows it.
    pub size: usize,
    /// "NULL", "PLAIN", "CURVE" or "GSSAPI", ended by a NUL.
    pub mechanism: *const c_char,
    /// The user's name (PLAIN), public key in Z85 (CURVE) or principal (GSSAPI).
    pub name: *const c_char,
    /// Its length, or IRONHOUSE_NUL.
    pub name_length: usize,
    /// The password (PLAIN).
    pub password: *const c_char,
    /// Its length, or IRONHOUSE_NUL.
    pub password_length: usize,
}

// SAFETY: it starts with its size, and has pointers and numbers alone.
unsafe impl Versioned for ironhouse_credential_t {}

/// Tells what would become of a peer of this domain, address and credential, and by which rules.
///
/// There is no handshake, but the code that decides in earnest. Callbacks are asked, on threads of the library or on this one.
///
/// `status`, if it is not NULL, gets IRONHOUSE_ADMIT, IRONHOUSE_RETRY, IRONHOUSE_REFUSE or IRONHOUSE_FAIL; `text` several lines for people.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_BUFFER_TOO_SMALL,
/// IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85, IRONHOUSE_BAD_KEY. Ownership: nothing is kept of the credential. Threads: any, until the context is
/// terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_explain(
    authenticator: *const ironhouse_authenticator_t,
    domain: *const c_char,
    domain_length: usize,
    address: *const c_char,
    address_length: usize,
    credential: *const ironhouse_credential_t,
    status: *mut c_int,
    text: *mut c_char,
    size: usize,
    length: *mut usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(
            handle authenticator as house,
            text domain[domain_length],
            text address[address_length],
            place status,
            buffer text[size, length],
        );
        // SAFETY: the caller's credential, by contract.
        let credential = unsafe { read_credential(credential) }?;
        let explanation =
            house
                .authenticator()
                .explain(domain, &PeerAddress::parse(address), credential);
        status.inspect(|place| place.write(explanation.status.number().into()));
        text.write(&explanation.to_string())
    })
}

/// # Safety
/// `credential` is NULL, or points to a structure of the size that it says in its first field, with texts that live as long as the result.
unsafe fn read_credential<'a>(credential: *const ironhouse_credential_t) -> Result<Credential<'a>> {
    // SAFETY: our caller answers for the structure, which is only read.
    let credential = unsafe { Structure::new("credential", credential.cast_mut()) }?.read();
    // SAFETY: our caller answers for the text.
    let mechanism = unsafe { text("mechanism", credential.mechanism, IRONHOUSE_NUL) }?;
    // SAFETY: our caller answers for the text.
    let name = || unsafe { text_bytes("name", credential.name, credential.name_length) };
    match mechanism {
        "NULL" => Ok(Credential::Null),
        "PLAIN" => {
            let name = name()?;
            // SAFETY: our caller answers for the text.
            let password =
                unsafe { text_bytes("password", credential.password, credential.password_length) }?;
            Ok(Credential::Plain { name, password })
        }
        "CURVE" => {
            let name = std::str::from_utf8(name()?).map_err(|_| {
                Failure::new(IRONHOUSE_BAD_TEXT, "name: a public key in Z85 is ASCII")
            })?;
            Ok(Credential::Curve(name.parse()?))
        }
        "GSSAPI" => Ok(Credential::Gssapi { principal: name()? }),
        other => Err(Failure::new(
            IRONHOUSE_INVALID_ARGUMENT,
            format!("mechanism: {other:?} is none of NULL, PLAIN, CURVE and GSSAPI"),
        )),
    }
}
