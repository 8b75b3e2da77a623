//! The authenticator of a host's context.

use std::any::Any;
use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ironhouse::Context;
use ironhouse::security::{
    AuditListener, Authenticator, Config, ConfiguredAuthenticator, Domain, PeerIdentity,
};
use zmq_sys_wrap::Api;

use crate::api::ironhouse_api_t;
use crate::arguments::{Versioned, argument, arguments, c_text};
use crate::boundary::boundary;
use crate::callback::{UserData, ironhouse_free_fn, no_unwinding};
use crate::certificate::seconds;
use crate::event::{ironhouse_event_fn, listening};
use crate::handle::{Handle, destroy, give, lock, null};
use crate::limits::limits;
use crate::policy::{copy, ironhouse_policy_t};
use crate::result::ironhouse_result_t::{self, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_NOT_FOUND};
use crate::result::{Failure, Result};
use crate::store::{each_text, ironhouse_text_fn};

/// Decides, for all secured sockets of a context, who may connect: a ZAP handler on a thread of the library. May be used by several threads at
/// once.
pub struct ironhouse_authenticator_t(());

impl Handle for ironhouse_authenticator_t {
    type Value = House;
    const NAME: &'static str = "authenticator";
}

/// What is behind the handle. The order of its fields is that in which they end: who listens hears all until the end.
pub struct House {
    /// The domains that have a policy of the program's.
    domains: Mutex<HashMap<String, Domain>>,
    /// What keeps the policies of GSSAPI servers such that libzmq carries them out, by domain.
    held: Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>,
    kind: Kind,
    listeners: Mutex<Vec<AuditListener>>,
    api: &'static Api,
}

enum Kind {
    Plain(Authenticator),
    Configured(ConfiguredAuthenticator),
}

/// How many functions may listen to one authenticator.
const MOST_LISTENERS: usize = 64;

impl House {
    fn new(kind: Kind, api: &'static Api) -> Self {
        Self {
            domains: Mutex::default(),
            held: Mutex::default(),
            kind,
            listeners: Mutex::default(),
            api,
        }
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        match &self.kind {
            Kind::Plain(authenticator) => authenticator,
            Kind::Configured(configured) => configured.authenticator(),
        }
    }

    fn configured(&self) -> Result<&ConfiguredAuthenticator> {
        match &self.kind {
            Kind::Configured(configured) => Ok(configured),
            Kind::Plain(_) => Err(Failure::new(
                IRONHOUSE_INVALID_ARGUMENT,
                "this authenticator has no file: start one by ironhouse_authenticator_load()",
            )),
        }
    }

    /// A domain that has a policy.
    pub(crate) fn domain(&self, name: &str) -> Result<Domain> {
        let domains = lock(&self.domains);
        if let Some(domain) = domains.get(name) {
            return Ok(domain.clone());
        }
        drop(domains);
        match &self.kind {
            Kind::Configured(configured) => Ok(configured.domain(name)?),
            Kind::Plain(_) => Err(Failure::new(
                IRONHOUSE_NOT_FOUND,
                format!(
                    "the domain {name:?} has no policy: give it one by ironhouse_authenticator_set_policy()"
                ),
            )),
        }
    }

    pub(crate) fn api(&self) -> &'static Api {
        self.api
    }

    /// Keeps something for a domain as long as the authenticator lives.
    pub(crate) fn hold(&self, domain: &str, what: Arc<dyn Any + Send + Sync>) {
        let mut held = lock(&self.held);
        held.insert(domain.to_owned(), what);
    }
}

/// How wide and how long decisions may be, and how much of them one address may take up. What is 0 is as if it were not set: fill it with zeros, set
/// `size`, and then what is wanted.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ironhouse_authenticator_options_t {
    /// Size of this structure in bytes, as the program knows it.
    pub size: usize,
    /// Milliseconds that a decision may take before its peer is told to try again; 0 for 10000. Keep it below the servers' ZMQ_HANDSHAKE_IVL.
    pub deadline: u32,
    /// How many callbacks may run at a time; 0 for 32.
    pub callback_threads: u32,
    /// IRONHOUSE_LIMITS_OFF (0), IRONHOUSE_LIMITS_STANDARD or IRONHOUSE_LIMITS_BEHIND_NAT: what the limits below are where they are 0. An address is
    /// one of IPv4, or a block of 2^64 of IPv6; over ipc, a user of the system.
    pub limits: u32,
    /// Most connections in all. This limit and the next three hold for sockets that are watched (ironhouse_socket_watch()); above them, the oldest
    /// connection is closed whose peer is not admitted yet, or else the new one.
    pub connections: u32,
    /// Most connections from one address.
    pub connections_per_address: u32,
    /// Most half-open connections in all: accepted, and their peer not admitted yet.
    pub half_open: u32,
    /// Most half-open connections from one address.
    pub half_open_per_address: u32,
    /// Most requests that may wait for their decision; their peers are told to try again above it.
    pub requests: u32,
    /// Most requests from one address that may wait for their decision.
    pub requests_per_address: u32,
    /// Most callbacks and password hashes of one address that may run at a time; the others wait for their turn.
    pub threads_per_address: u32,
    /// Failed attempts from one address that lock it out, 1 to 100000: whoever comes from there and was not admitted before.
    pub lockout_by_address: u32,
    /// Failed attempts with one name at an address, or with one key or principal, that lock it out, 1 to 100000.
    pub lockout_by_credential: u32,
    /// Seconds in which counts of failures halve, which is how long a lock-out lasts; 600, where a lock-out has no other.
    pub lockout_half_life: u32,
}

// SAFETY: it starts with its size, and has numbers alone.
unsafe impl Versioned for ironhouse_authenticator_options_t {}

/// A host's context.
///
/// # Safety
/// `context` is NULL, or a live context of the library behind `api`.
pub(crate) unsafe fn host_context(context: *mut c_void, api: &'static Api) -> Result<Context> {
    let context = NonNull::new(context).ok_or_else(|| null("context"))?;
    if !context.cast::<usize>().is_aligned() {
        return Err(Failure::new(
            IRONHOUSE_INVALID_ARGUMENT,
            "context: the pointer is not aligned as that of a context is",
        ));
    }
    // SAFETY: our caller answers for the context; the header says how long it must live.
    Ok(unsafe { Context::borrow_raw(context, api) })
}

/// Starts the authenticator of a context that the program owns.
///
/// IRONHOUSE_HANDLER_EXISTS, if it has a ZAP handler already, ours or another (CZMQ's zauth, pyzmq's). Destroy it by
/// ironhouse_authenticator_destroy().
///
/// Set the context's options before: its socket makes ZMQ_IO_THREADS final, and counts as one of ZMQ_MAX_SOCKETS. `options` may be NULL.
///
/// The context may be terminated before the authenticator is destroyed, or after it; call nothing but that in between. As long as neither was done,
/// domains without a policy refuse everybody.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_HANDLER_EXISTS, IRONHOUSE_TERMINATED, IRONHOUSE_ZMQ,
/// IRONHOUSE_OS. Ownership: the program destroys the authenticator, which keeps nothing of its arguments but the context. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_start(
    authenticator: *mut *mut ironhouse_authenticator_t,
    api: *const ironhouse_api_t,
    context: *mut c_void,
    options: *const ironhouse_authenticator_options_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out authenticator, api api, context context[api]);
        let mut builder = Authenticator::builder(&context);
        if !options.is_null() {
            let options = options.cast_mut();
            let options = argument!(@ structure options).read();
            if options.deadline > 0 {
                builder = builder.deadline(Duration::from_millis(options.deadline.into()));
            }
            if options.callback_threads > 0 {
                builder = builder.callback_threads(options.callback_threads as usize);
            }
            builder = builder.limits(limits(&options)?);
        }
        give(
            authenticator,
            House::new(Kind::Plain(builder.start()?), api),
        )
    })
}

/// As ironhouse_authenticator_start(), with the domains and policies of a file (ironhouse.toml), which is followed from now on.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_HANDLER_EXISTS, IRONHOUSE_TERMINATED,
/// IRONHOUSE_ZMQ, IRONHOUSE_OS, IRONHOUSE_GSSAPI_REFUSAL, IRONHOUSE_IO, IRONHOUSE_BAD_FILE. Ownership: the program destroys the authenticator by
/// ironhouse_authenticator_destroy(). Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_load(
    authenticator: *mut *mut ironhouse_authenticator_t,
    api: *const ironhouse_api_t,
    context: *mut c_void,
    path: *const c_char,
    path_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out authenticator, api api, context context[api], path path[path_length]);
        let configured = Config::load(path)?.start(&context)?;
        give(authenticator, House::new(Kind::Configured(configured), api))
    })
}

/// Ends an authenticator; the pointer is NULL afterwards.
///
/// Does nothing if it is NULL.
///
/// Sockets that it guards admit nobody from now on, but for those over GSSAPI: there libzmq admits every principal, so close these before. Waits for
/// a callback in progress at most until its deadline, and for an audit callback two seconds; not at all in a callback. User data is freed when this
/// returns, but that of a callback that goes on.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_destroy(
    authenticator: *mut *mut ironhouse_authenticator_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out authenticator);
        destroy(authenticator)
    })
}

/// Sets the policy of a domain (1 to 255 ASCII characters), in the place of an earlier one.
///
/// In force for every handshake from when this returns.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_GSSAPI_REFUSAL.
/// Ownership: the policy is copied. Threads: any, until the context is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_set_policy(
    authenticator: *mut ironhouse_authenticator_t,
    domain: *const c_char,
    domain_length: usize,
    policy: *const ironhouse_policy_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house, text domain[domain_length] as name);
        let domain = house.authenticator().domain(name, copy(policy)?)?;
        let mut domains = lock(&house.domains);
        domains.insert(name.to_owned(), domain);
        Ok(())
    })
}

/// Sets the policy of all domains that have none, as those of sockets that the program secured by itself.
///
/// Without it, they refuse everybody.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_GSSAPI_REFUSAL. Ownership: the policy is copied. Threads: any,
/// until the context is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_set_fallback(
    authenticator: *mut ironhouse_authenticator_t,
    policy: *const ironhouse_policy_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house);
        Ok(house.authenticator().set_fallback(copy(policy)?)?)
    })
}

/// Refuses a public key from now on in every domain, whatever its policy says.
///
/// Its connections are closed where the socket is watched (ironhouse_socket_watch()); else those that stand go on.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85,
/// IRONHOUSE_BAD_KEY. Threads: any, until the context is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_revoke(
    authenticator: *mut ironhouse_authenticator_t,
    key: *const c_char,
    key_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house, key key[key_length]);
        house.authenticator().revoke(&key);
        Ok(())
    })
}

/// Takes ironhouse_authenticator_revoke() back; IRONHOUSE_NOT_FOUND, if the key was not revoked.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85,
/// IRONHOUSE_BAD_KEY, IRONHOUSE_NOT_FOUND. Threads: any, until the context is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_unrevoke(
    authenticator: *mut ironhouse_authenticator_t,
    key: *const c_char,
    key_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house, key key[key_length]);
        if house.authenticator().unrevoke(&key) {
            return Ok(());
        }
        Err(Failure::new(
            IRONHOUSE_NOT_FOUND,
            format!("the key {} was not revoked", key.fingerprint()),
        ))
    })
}

/// Closes the connections of a public key to sockets that are watched, and forbids nothing.
///
/// The peer connects again, and is judged anew. For those whom a callback admitted, which does not tell when it would not any more.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_Z85,
/// IRONHOUSE_BAD_KEY. Threads: any, until the context is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_disconnect(
    authenticator: *mut ironhouse_authenticator_t,
    key: *const c_char,
    key_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house, key key[key_length]);
        let meant = PeerIdentity::Key(key);
        house.authenticator().disconnect(|peer| *peer == meant);
        Ok(())
    })
}

/// A connection of an admitted peer. Texts are valid until the callback returns.
#[repr(C)]
pub struct ironhouse_connection_t {
    /// Size of this structure in bytes, as the library knows it: later versions add fields at its end.
    pub size: usize,
    /// The domain of the socket.
    pub domain: *const c_char,
    /// Where the peer is.
    pub address: *const c_char,
    /// When the connection was accepted, in seconds since 1970 (UTC).
    pub since: i64,
    /// The user's name, public key in Z85 or principal; NULL where the peer presented none, or where it is not certain (yet) who it is.
    pub identity: *const c_char,
}

/// What is called for each connection. It must not unwind.
pub type ironhouse_connection_fn = Option<
    unsafe extern "C-unwind" fn(user_data: *mut c_void, connection: *const ironhouse_connection_t),
>;

/// Calls `each` for every connection of an admitted peer to a socket that is watched (ironhouse_socket_watch()), oldest first.
///
/// On this thread, and before it returns; `each` may use the authenticator. Who connects or leaves at this moment may be missing or listed.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any, until the context is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_each_peer(
    authenticator: *const ironhouse_authenticator_t,
    each: ironhouse_connection_fn,
    user_data: *mut c_void,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house);
        let each = each.ok_or_else(|| null("each"))?;
        for peer in house.authenticator().peers() {
            let (domain, address) = (c_text(&peer.domain), c_text(&peer.address.to_string()));
            let identity = peer.identity().and_then(PeerIdentity::name);
            let identity = identity.map(|name| c_text(&name));
            let connection = ironhouse_connection_t {
                size: size_of::<ironhouse_connection_t>(),
                domain: domain.as_ptr(),
                address: address.as_ptr(),
                since: seconds(peer.since),
                identity: identity.as_ref().map_or(std::ptr::null(), |it| it.as_ptr()),
            };
            // SAFETY: the caller's function, by contract; the texts live until it returns.
            no_unwinding(|| unsafe { each(user_data, &connection) });
        }
        Ok(())
    })
}

/// Puts the file of ironhouse_authenticator_load() into force as it is now, without waiting for it to be at rest; or not at all.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_GSSAPI_REFUSAL, IRONHOUSE_IO,
/// IRONHOUSE_BAD_FILE. Threads: any, until the context is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_reload(
    authenticator: *mut ironhouse_authenticator_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house);
        Ok(house.configured()?.reload()?)
    })
}

/// Calls `each` for everything that is wrong with its file and with the stores that its policies use, on this thread and before it returns.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any, until the context is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_each_problem(
    authenticator: *const ironhouse_authenticator_t,
    each: ironhouse_text_fn,
    user_data: *mut c_void,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house);
        let mut problems = house.authenticator().health().problems();
        if let Kind::Configured(configured) = &house.kind {
            problems.extend(configured.problems());
        }
        each_text(each, user_data, problems.iter().map(|it| it.to_string()))
    })
}

/// Has `listen` told of every decision and of what else happens, from now on until the authenticator is destroyed.
///
/// It is called on a thread of its own, one event at a time; decisions never wait for it, and where it is slow it misses what goes beyond 4096 events
/// (`dropped` counts them). `free_user_data` (or NULL) frees `user_data`, once, on any thread: after the last call of `listen`, or at once if this
/// call fails. An authenticator takes 64 of them.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_OS. Threads: any, until the context
/// is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_on_event(
    authenticator: *mut ironhouse_authenticator_t,
    listen: ironhouse_event_fn,
    user_data: *mut c_void,
    free_user_data: ironhouse_free_fn,
) -> ironhouse_result_t {
    let user_data = UserData::new(user_data, free_user_data);
    boundary(|| {
        let listen = listening(listen, user_data)?;
        arguments!(handle authenticator as house);
        let mut listeners = lock(&house.listeners);
        if listeners.len() == MOST_LISTENERS {
            return Err(Failure::new(
                IRONHOUSE_INVALID_ARGUMENT,
                format!("an authenticator takes {MOST_LISTENERS} audit callbacks at most"),
            ));
        }
        listeners.push(AuditListener::start(house.authenticator(), listen)?);
        Ok(())
    })
}
