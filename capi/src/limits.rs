//! How much of an authenticator one address may take up, and who is locked out.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use ironhouse::security::{Limits, Lockout, LockoutSubject, PeerAddress};

use crate::arguments::{arguments, c_text};
use crate::authenticator::{ironhouse_authenticator_options_t, ironhouse_authenticator_t};
use crate::boundary::boundary;
use crate::callback::no_unwinding;
use crate::handle::null;
use crate::result::ironhouse_result_t::{self, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_NOT_FOUND};
use crate::result::{Failure, Result};

/// Limits: none, but that 10,000 requests may wait for their decision.
pub const IRONHOUSE_LIMITS_OFF: u32 = 0;
/// Limits for networks where an address is one machine: who fails 20 times from it, or 10 times with one name or key, is locked out for about 10
/// minutes; from one address at most 256 connections, 64 of them half-open, 64 requests that wait and 4 callbacks or password hashes at a time;
/// 1024 half-open connections in all.
pub const IRONHOUSE_LIMITS_STANDARD: u32 = 1;
/// Limits for networks where many machines come from one address: 1000 failures from it, or 10 with one name or key; from one address at most 512
/// half-open connections, 2500 requests that wait and 16 callbacks or password hashes at a time; 1024 half-open connections in all.
pub const IRONHOUSE_LIMITS_BEHIND_NAT: u32 = 2;

/// The limits that a program asks for.
pub(crate) fn limits(options: &ironhouse_authenticator_options_t) -> Result<Limits> {
    let (mut limits, lockout) = match options.limits {
        IRONHOUSE_LIMITS_OFF => (Limits::off(), None),
        IRONHOUSE_LIMITS_STANDARD => (Limits::standard(), Some(Lockout::standard())),
        IRONHOUSE_LIMITS_BEHIND_NAT => (Limits::behind_nat(), Some(Lockout::behind_nat())),
        other => {
            return Err(Failure::new(
                IRONHOUSE_INVALID_ARGUMENT,
                format!("limits: {other} is none of the header's IRONHOUSE_LIMITS_..."),
            ));
        }
    };
    let set = |value: u32| (value > 0).then_some(value as usize);
    if let Some(most) = set(options.connections) {
        limits = limits.connections(most);
    }
    if let Some(most) = set(options.connections_per_address) {
        limits = limits.connections_per_address(most);
    }
    if let Some(most) = set(options.half_open) {
        limits = limits.half_open(most);
    }
    if let Some(most) = set(options.half_open_per_address) {
        limits = limits.half_open_per_address(most);
    }
    if let Some(most) = set(options.requests) {
        limits = limits.requests(most);
    }
    if let Some(most) = set(options.requests_per_address) {
        limits = limits.requests_per_address(most);
    }
    if let Some(most) = set(options.threads_per_address) {
        limits = limits.threads_per_address(most);
    }
    Ok(limits.lockout(self::lockout(options, lockout)))
}

/// The lock-out that a program asks for, in the place of that of its preset.
fn lockout(
    options: &ironhouse_authenticator_options_t,
    preset: Option<Lockout>,
) -> Option<Lockout> {
    let (address, credential) = (options.lockout_by_address, options.lockout_by_credential);
    let none = Lockout::standard().by_address(None).by_credential(None);
    let mut lockout = match preset {
        None if address == 0 && credential == 0 => return None,
        preset => preset.unwrap_or(none),
    };
    if address > 0 {
        lockout = lockout.by_address(address);
    }
    if credential > 0 {
        lockout = lockout.by_credential(credential);
    }
    if options.lockout_half_life > 0 {
        lockout = lockout.half_life(Duration::from_secs(options.lockout_half_life.into()));
    }
    Some(lockout)
}

/// Somebody who is locked out. Texts are valid until the callback returns.
#[repr(C)]
pub struct ironhouse_lockout_t {
    /// Size of this structure in bytes, as the library knows it: later versions add fields at its end.
    pub size: usize,
    /// The domain; NULL where it holds in all of them.
    pub domain: *const c_char,
    /// The address or block of addresses that it holds for; NULL where it holds wherever the peer comes from.
    pub address: *const c_char,
    /// The user's name (PLAIN), public key in Z85 (CURVE) or principal (GSSAPI); NULL where it holds for whoever comes from the address and was not
    /// admitted before.
    pub identity: *const c_char,
    /// For how many milliseconds more, unless more attempts fail that are under way.
    pub remaining: u64,
    /// The same in a line for people.
    pub text: *const c_char,
}

/// What is called for each lock-out. It must not unwind.
pub type ironhouse_lockout_fn = Option<
    unsafe extern "C-unwind" fn(user_data: *mut c_void, lockout: *const ironhouse_lockout_t),
>;

/// Calls `each` for everybody who is locked out, on this thread and before it returns: nobody, unless the authenticator was started with limits.
///
/// Of users, keys and principals, 4096 are listed at most. `each` may use the authenticator.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any, until the context is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_each_lockout(
    authenticator: *const ironhouse_authenticator_t,
    each: ironhouse_lockout_fn,
    user_data: *mut c_void,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house);
        let each = each.ok_or_else(|| null("each"))?;
        for lockout in house.authenticator().lockouts() {
            let (domain, address, identity) = match &lockout.subject {
                LockoutSubject::Address(address) => (None, Some(address), None),
                LockoutSubject::User {
                    domain,
                    address,
                    name,
                } => (Some(domain), Some(address), Some(name.clone())),
                LockoutSubject::Key { domain, key } => (Some(domain), None, Some(key.to_string())),
                LockoutSubject::Principal { domain, principal } => {
                    (Some(domain), None, Some(principal.clone()))
                }
                // The text has it.
                _ => (None, None, None),
            };
            let domain = domain.map(|domain| c_text(domain));
            let address = address.map(|address| c_text(&address.to_string()));
            let identity = identity.map(|identity| c_text(&identity));
            let text = c_text(&lockout.to_string());
            let pointer = |text: &Option<std::ffi::CString>| {
                text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr())
            };
            let milliseconds = lockout.remaining.as_millis();
            let lockout = ironhouse_lockout_t {
                size: size_of::<ironhouse_lockout_t>(),
                domain: pointer(&domain),
                address: pointer(&address),
                identity: pointer(&identity),
                remaining: u64::try_from(milliseconds).unwrap_or(u64::MAX),
                text: text.as_ptr(),
            };
            // SAFETY: the caller's function, by contract; the texts live until it returns.
            no_unwinding(|| unsafe { each(user_data, &lockout) });
        }
        Ok(())
    })
}

/// Ends the lock-out of the block of addresses that an address is in, and of all users there, and forgets their failures.
///
/// IRONHOUSE_NOT_FOUND, if nobody was locked out.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_NOT_FOUND.
/// Threads: any, until the context is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_unlock_address(
    authenticator: *mut ironhouse_authenticator_t,
    address: *const c_char,
    address_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house, text address[address_length]);
        let peer = PeerAddress::parse(address);
        found(house.authenticator().unlock(&peer), address)
    })
}

/// Ends the lock-out of a public key in every domain, and forgets its failures; IRONHOUSE_NOT_FOUND, if it was not locked out.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85,
/// IRONHOUSE_BAD_KEY, IRONHOUSE_NOT_FOUND. Threads: any, until the context is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_unlock_key(
    authenticator: *mut ironhouse_authenticator_t,
    key: *const c_char,
    key_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house, key key[key_length]);
        let unlocked = house.authenticator().unlock_key(&key);
        found(unlocked, &format!("the key {}", key.fingerprint()))
    })
}

fn found(unlocked: bool, who: &str) -> Result<()> {
    if unlocked {
        return Ok(());
    }
    Err(Failure::new(
        IRONHOUSE_NOT_FOUND,
        format!("{who} was not locked out"),
    ))
}
