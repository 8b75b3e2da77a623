//! Policies: who may connect to the sockets of a domain.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Mutex;

use ironhouse::security::{AddressRule, CurvePolicy, GssapiPolicy, Policy, Refusal, Rule};

use crate::arguments::{IRONHOUSE_NUL, arguments, list, text};
use crate::boundary::boundary;
use crate::callback::{UserData, ironhouse_free_fn};
use crate::handle::{Handle, borrow, destroy, give, lock};
use crate::passwords::ironhouse_passwords_t;
use crate::reply::{
    IRONHOUSE_REFUSE, IRONHOUSE_RETRY, asking, deciding, ironhouse_ask_fn, ironhouse_decide_fn,
};
use crate::result::ironhouse_result_t::{self, IRONHOUSE_INVALID_ARGUMENT};
use crate::result::{Failure, Result};
use crate::store::ironhouse_store_t;

/// A rule of a policy: the peer's address is refused.
pub const IRONHOUSE_RULE_DENY_LIST: c_int = 1;
/// A rule of a policy: the peer's address is none of those that are allowed.
pub const IRONHOUSE_RULE_ALLOW_LIST: c_int = 2;
/// A rule of a policy: the peer's mechanism is not taken.
pub const IRONHOUSE_RULE_MECHANISM: c_int = 3;
/// A rule of a policy: who fails again and again is locked out.
pub const IRONHOUSE_RULE_LOCK_OUT: c_int = 4;
/// A rule of a policy: the peer's credential must be good.
pub const IRONHOUSE_RULE_CREDENTIAL: c_int = 5;

/// Who may connect to the sockets of a domain: by address, mechanism and credential, in this order. A new one refuses everybody, and each
/// call opens one door. In force once it is given to an authenticator, which takes a copy: later calls change the handle alone.
/// May be used by several threads at once.
pub struct ironhouse_policy_t(());

impl Handle for ironhouse_policy_t {
    type Value = Mutex<Policy>;
    const NAME: &'static str = "policy";
}

/// What is behind the handle, as it is now.
pub(crate) fn copy(policy: *const ironhouse_policy_t) -> Result<Policy> {
    let policy = borrow(policy)?;
    let copy = lock(&policy).clone();
    Ok(copy)
}

fn change(policy: *mut ironhouse_policy_t, by: impl FnOnce(Policy) -> Policy) -> Result<()> {
    let policy = borrow(policy)?;
    let replaced = {
        let mut policy = lock(&policy);
        let changed = by(policy.clone());
        std::mem::replace(&mut *policy, changed)
    };
    // Without the lock: what frees a callback's data may use the policy.
    drop(replaced);
    Ok(())
}

/// Makes a policy that refuses everybody.
///
/// Destroy it by ironhouse_policy_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_new(
    policy: *mut *mut ironhouse_policy_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out policy);
        give(policy, Mutex::new(Policy::new()))
    })
}

/// Destroys the handle; the pointer is NULL afterwards.
///
/// Does nothing if it is NULL. Authenticators that the policy was given to keep it.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_destroy(
    policy: *mut *mut ironhouse_policy_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out policy);
        destroy(policy)
    })
}

/// Admits peers of this address or block only (192.0.2.7, 10.0.0.0/8, uid:1000), and of those that other calls allow.
///
/// Without any, the address does not matter.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_allow(
    policy: *mut ironhouse_policy_t,
    address: *const c_char,
    address_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(text address[address_length]);
        let rule: AddressRule = address.parse()?;
        change(policy, |policy| policy.allow(rule))
    })
}

/// Refuses peers of this address or block, whatever else allows them.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_deny(
    policy: *mut ironhouse_policy_t,
    address: *const c_char,
    address_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(text address[address_length]);
        let rule: AddressRule = address.parse()?;
        change(policy, |policy| policy.deny(rule))
    })
}

/// Admits peers without any credential, by their address alone: the NULL mechanism.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_null(
    policy: *mut ironhouse_policy_t,
) -> ironhouse_result_t {
    boundary(|| change(policy, Policy::null))
}

/// Admits peers that know a name and its password (PLAIN).
///
/// Both travel in clear text.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Ownership: the policy keeps the users by itself. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_plain(
    policy: *mut ironhouse_policy_t,
    passwords: *const ironhouse_passwords_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle passwords);
        change(policy, |policy| policy.plain((*passwords).clone()))
    })
}

/// Admits whoever encrypts by CURVE, without asking who it is.
///
/// Replaces what other calls say of CURVE.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_curve_any(
    policy: *mut ironhouse_policy_t,
) -> ironhouse_result_t {
    boundary(|| change(policy, |policy| policy.curve(CurvePolicy::any_key())))
}

/// Admits the owners of the certificates in any of `count` stores.
///
/// Their metadata are properties of every message that they send. Replaces what other calls say of CURVE.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Ownership: the policy keeps the stores by
/// itself. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_curve_stores(
    policy: *mut ironhouse_policy_t,
    stores: *const *const ironhouse_store_t,
    count: usize,
) -> ironhouse_result_t {
    boundary(|| {
        // SAFETY: the caller's list, by contract.
        let handles = unsafe { list("stores", stores, count) }?;
        let stores: Vec<_> = handles
            .iter()
            .map(|store| Ok((*borrow(*store)?).clone()))
            .collect::<Result<_>>()?;
        change(policy, |policy| policy.curve(CurvePolicy::stores(stores)))
    })
}

/// Admits the owners of the certificates in a store: ironhouse_policy_curve_stores() of one.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Ownership: the policy keeps the store by itself. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_curve_store(
    policy: *mut ironhouse_policy_t,
    store: *const ironhouse_store_t,
) -> ironhouse_result_t {
    boundary(|| {
        let store = (*borrow(store)?).clone();
        change(policy, |policy| policy.curve(CurvePolicy::store(store)))
    })
}

/// Admits over CURVE whom `decide` admits.
///
/// Replaces what other calls say of CURVE.
///
/// `user_data` goes to every call of `decide`. `free_user_data` (or NULL) frees it, once, on any thread: after the last policy that has it is gone,
/// or at once if this call fails.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_curve_callback(
    policy: *mut ironhouse_policy_t,
    decide: ironhouse_decide_fn,
    user_data: *mut c_void,
    free_user_data: ironhouse_free_fn,
) -> ironhouse_result_t {
    let user_data = UserData::new(user_data, free_user_data);
    boundary(|| {
        let callback = deciding(decide, user_data)?;
        change(policy, |policy| {
            policy.curve(CurvePolicy::deferred(callback))
        })
    })
}

/// As ironhouse_policy_curve_callback(), but the answer may be given later: for programs that ask another service.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Ownership: `user_data` is freed as ironhouse_policy_curve_callback() says.
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_curve_deferred(
    policy: *mut ironhouse_policy_t,
    ask: ironhouse_ask_fn,
    user_data: *mut c_void,
    free_user_data: ironhouse_free_fn,
) -> ironhouse_result_t {
    let user_data = UserData::new(user_data, free_user_data);
    boundary(|| {
        let callback = asking(ask, user_data)?;
        change(policy, |policy| {
            policy.curve(CurvePolicy::deferred(callback))
        })
    })
}

/// Admits every Kerberos principal over GSSAPI: the only rule that libzmq up to 4.3.5 carries out.
///
/// Replaces what other calls say of GSSAPI.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_gssapi_any(
    policy: *mut ironhouse_policy_t,
) -> ironhouse_result_t {
    boundary(|| {
        change(policy, |policy| {
            policy.gssapi(GssapiPolicy::any_principal())
        })
    })
}

/// Admits `count` Kerberos principals over GSSAPI.
///
/// Each is a text that a NUL ends, written as Kerberos does: "ada@EXAMPLE.ORG". Replaces what other calls say of GSSAPI.
///
/// An authenticator takes it only where libzmq, from 4.3.6 on, carries refusals out; else it answers IRONHOUSE_GSSAPI_REFUSAL.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Ownership: the texts are
/// copied. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_gssapi_principals(
    policy: *mut ironhouse_policy_t,
    principals: *const *const c_char,
    count: usize,
) -> ironhouse_result_t {
    boundary(|| {
        // SAFETY: the caller's list, by contract.
        let principals = unsafe { list("principals", principals, count) }?;
        let principals: Vec<String> = principals
            .iter()
            .map(|principal| {
                // SAFETY: the caller's text, by contract.
                let text = unsafe { text("principal", *principal, IRONHOUSE_NUL) }?;
                Ok(text.to_owned())
            })
            .collect::<Result<_>>()?;
        change(policy, |policy| {
            policy.gssapi(GssapiPolicy::principals(principals))
        })
    })
}

/// Admits over GSSAPI whom `decide` admits, as ironhouse_policy_curve_callback().
///
/// An authenticator takes it only where libzmq, from 4.3.6 on, carries refusals out.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Ownership: `user_data` is freed as ironhouse_policy_curve_callback() says.
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_gssapi_callback(
    policy: *mut ironhouse_policy_t,
    decide: ironhouse_decide_fn,
    user_data: *mut c_void,
    free_user_data: ironhouse_free_fn,
) -> ironhouse_result_t {
    let user_data = UserData::new(user_data, free_user_data);
    boundary(|| {
        let callback = deciding(decide, user_data)?;
        change(policy, |policy| {
            policy.gssapi(GssapiPolicy::deferred(callback))
        })
    })
}

/// As ironhouse_policy_gssapi_callback(), but the answer may be given later: for programs that ask another service.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Ownership: `user_data` is freed as ironhouse_policy_curve_callback() says.
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_gssapi_deferred(
    policy: *mut ironhouse_policy_t,
    ask: ironhouse_ask_fn,
    user_data: *mut c_void,
    free_user_data: ironhouse_free_fn,
) -> ironhouse_result_t {
    let user_data = UserData::new(user_data, free_user_data);
    boundary(|| {
        let callback = asking(ask, user_data)?;
        change(policy, |policy| {
            policy.gssapi(GssapiPolicy::deferred(callback))
        })
    })
}

/// Sets what refused peers are told.
///
/// IRONHOUSE_REFUSE, as long as nothing is set: libzmq's client does not come back by itself. IRONHOUSE_RETRY: it does once the server's
/// ZMQ_HANDSHAKE_IVL is over.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_refusal(
    policy: *mut ironhouse_policy_t,
    status: c_int,
) -> ironhouse_result_t {
    boundary(|| {
        let refusal = refusal(status)?;
        change(policy, |policy| policy.refusal(refusal))
    })
}

/// Sets what peers are told that one rule refuses, in the place of what ironhouse_policy_refusal() says.
///
/// Who is locked out is told IRONHOUSE_RETRY, whatever ironhouse_policy_refusal() says, as long as nothing is set here. `rule` is one of the
/// IRONHOUSE_RULE_ constants, and `status` as in ironhouse_policy_refusal().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_policy_refusal_by(
    policy: *mut ironhouse_policy_t,
    rule: c_int,
    status: c_int,
) -> ironhouse_result_t {
    boundary(|| {
        let rule = match rule {
            IRONHOUSE_RULE_DENY_LIST => Rule::DenyList,
            IRONHOUSE_RULE_ALLOW_LIST => Rule::AllowList,
            IRONHOUSE_RULE_MECHANISM => Rule::Mechanism,
            IRONHOUSE_RULE_LOCK_OUT => Rule::LockOut,
            IRONHOUSE_RULE_CREDENTIAL => Rule::Credential,
            _ => {
                return Err(Failure::new(
                    IRONHOUSE_INVALID_ARGUMENT,
                    format!("rule: {rule} is none of the header's IRONHOUSE_RULE_ constants"),
                ));
            }
        };
        let refusal = refusal(status)?;
        change(policy, |policy| policy.refusal_by(rule, refusal))
    })
}

fn refusal(status: c_int) -> Result<Refusal> {
    match status {
        IRONHOUSE_REFUSE => Ok(Refusal::Final),
        IRONHOUSE_RETRY => Ok(Refusal::Retry),
        _ => Err(Failure::new(
            IRONHOUSE_INVALID_ARGUMENT,
            format!("status: {status} is neither IRONHOUSE_REFUSE nor IRONHOUSE_RETRY"),
        )),
    }
}
