//! What would become of a peer, and by which rules.

use std::ffi::{c_char, c_int};

use ironhouse::security::{Credential, PeerAddress};

use crate::arguments::{Buffer, IRONHOUSE_NUL, Out, text, text_bytes};
use crate::authenticator::ironhouse_authenticator_t;
use crate::boundary::boundary;
use crate::handle::{borrow, null};
use crate::result::ironhouse_result_t::{self, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT};
use crate::result::{Failure, Result};

/// What a peer presents: see ironhouse_authenticator_explain().
#[repr(C)]
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

/// Tells what would become of a peer of this domain, address and credential, and by which rules: without a handshake, by the code that decides in
/// earnest. Callbacks are asked, on threads of the library or on this one.
///
/// `status`, if it is not NULL, gets IRONHOUSE_ADMIT, IRONHOUSE_RETRY, IRONHOUSE_REFUSE or IRONHOUSE_FAIL; `text` several lines for people.
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
        let house = borrow(authenticator)?;
        // SAFETY: the caller's text, by contract.
        let domain = unsafe { self::text("domain", domain, domain_length) }?;
        // SAFETY: the caller's text, by contract.
        let address = unsafe { self::text("address", address, address_length) }?;
        // SAFETY: the caller's credential, by contract.
        let credential = unsafe { read_credential(credential) }?;
        // SAFETY: the caller's buffer, by contract.
        let buffer = unsafe { Buffer::new(text, size, length) };
        let explanation =
            house
                .authenticator()
                .explain(domain, &PeerAddress::parse(address), credential);
        // SAFETY: the caller's place, by contract.
        if let Ok(place) = unsafe { Out::new("status", status) } {
            place.write(explanation.status.number().into());
        }
        buffer.write("text", &explanation.to_string())
    })
}

/// # Safety
/// `credential` is NULL, or points to a structure of the size that it says in its first field, with texts that live as long as the result.
unsafe fn read_credential<'a>(credential: *const ironhouse_credential_t) -> Result<Credential<'a>> {
    if credential.is_null() {
        return Err(null("credential"));
    }
    // SAFETY: it is not NULL, and every such structure starts with its size.
    let size = unsafe { credential.cast::<usize>().read() };
    if size < size_of::<ironhouse_credential_t>() {
        return Err(Failure::new(
            IRONHOUSE_INVALID_ARGUMENT,
            format!("credential: its size is {size}: set it to sizeof the structure"),
        ));
    }
    // SAFETY: it has as many bytes, by the check above, and nobody changes it meanwhile.
    let credential = unsafe { &*credential };
    // SAFETY: our caller answers for the text.
    let mechanism = unsafe { self::text("mechanism", credential.mechanism, IRONHOUSE_NUL) }?;
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
