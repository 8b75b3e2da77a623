//! Sockets of the host's: secured here before it binds or connects them.

use std::any::Any;
use std::ffi::{c_char, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use ironhouse::security::{
    CurveClient, CurveServer, GssapiClient, GssapiServer, NullServer, Password, PlainClient,
    PlainServer, enforce_borrowed,
};
use ironhouse::socket::{Mechanism, secure_borrowed};
use zmq_sys_wrap::Api;

use crate::api::ironhouse_api_t;
use crate::arguments::arguments;
use crate::authenticator::ironhouse_authenticator_t;
use crate::boundary::boundary;
use crate::certificate::ironhouse_certificate_t;
use crate::handle::{lock, null};
use crate::result::Result;
use crate::result::ironhouse_result_t;

/// Sets what a mechanism needs.
///
/// # Safety
/// `socket` is NULL, or an open socket that no other thread uses meanwhile.
unsafe fn secure(
    socket: *mut c_void,
    api: &'static Api,
    mechanism: impl Mechanism,
) -> Result<Arc<dyn Any + Send + Sync>> {
    let socket = NonNull::new(socket).ok_or_else(|| null("socket"))?;
    // SAFETY: our caller answers for the socket, and who made `api` for the functions.
    Ok(unsafe { secure_borrowed(socket, api, mechanism) }?)
}

/// Guards a socket by a domain's policy, without encryption: its clients are judged by their address (NULL).
///
/// The socket is the program's, in the context that the authenticator was started on; in another one it refuses everybody. Call this before it is
/// bound or connected: later, libzmq would leave it open to everybody, so that IRONHOUSE_SOCKET_IN_USE is answered. IRONHOUSE_FOREIGN_SOCKET, if
/// another copy of libzmq made it than that of the table. Afterwards leave its options of security alone, and ZMQ_HANDSHAKE_IVL above 0. If this
/// fails, close the socket: it may be secured in part. To be called by the thread that uses the socket.
///
/// Connections that stand are not watched, unless ironhouse_socket_watch() is called too. The socket is used and closed by the program; nothing has
/// to be released. Close it before its authenticator is destroyed, or else it admits nobody from then on.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_FOREIGN_SOCKET,
/// IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_NOT_FOUND, IRONHOUSE_ZMQ. Ownership: the socket stays the program's. Threads: the one that uses the socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_socket_null_server(
    socket: *mut c_void,
    authenticator: *mut ironhouse_authenticator_t,
    domain: *const c_char,
    domain_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house, text domain[domain_length] as name);
        let mechanism = NullServer::new(&house.domain(name)?);
        // SAFETY: the caller's socket, by contract.
        unsafe { secure(socket, house.api(), mechanism) }.map(drop)
    })
}

/// As ironhouse_socket_null_server(), for clients that are judged by their name and password (PLAIN), which travel in clear text.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_FOREIGN_SOCKET,
/// IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_NOT_FOUND, IRONHOUSE_ZMQ. Ownership: the socket stays the program's. Threads: the one that uses the socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_socket_plain_server(
    socket: *mut c_void,
    authenticator: *mut ironhouse_authenticator_t,
    domain: *const c_char,
    domain_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house, text domain[domain_length] as name);
        let mechanism = PlainServer::new(&house.domain(name)?);
        // SAFETY: the caller's socket, by contract.
        unsafe { secure(socket, house.api(), mechanism) }.map(drop)
    })
}

/// As ironhouse_socket_null_server(), encrypted, for clients that are judged by their public key (CURVE).
///
/// `certificate` has the server's key pair.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_FOREIGN_SOCKET,
/// IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_NOT_FOUND, IRONHOUSE_ZMQ, IRONHOUSE_NO_SECRET_KEY, IRONHOUSE_UNSUPPORTED. Ownership: the socket stays the
/// program's, and the keys are copied. Threads: the one that uses the socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_socket_curve_server(
    socket: *mut c_void,
    authenticator: *mut ironhouse_authenticator_t,
    domain: *const c_char,
    domain_length: usize,
    certificate: *const ironhouse_certificate_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(
            handle authenticator as house,
            text domain[domain_length] as name,
            handle certificate,
        );
        let keys = lock(&certificate).secret()?;
        let mechanism = CurveServer::new(&keys, &house.domain(name)?);
        // SAFETY: the caller's socket, by contract.
        unsafe { secure(socket, house.api(), mechanism) }.map(drop)
    })
}

/// As ironhouse_socket_null_server(), encrypted, for clients that are judged by their Kerberos principal (GSSAPI).
///
/// `principal` (or NULL) is the one service of the keytab that it takes tickets for, as "zmq@server.example".
///
/// libzmq up to 4.3.5 lets in whomever a policy refuses, so that there the domain's policy must be one that refuses nobody
/// (IRONHOUSE_GSSAPI_REFUSAL); and it cannot be changed to another any more. Close the socket before its authenticator is destroyed.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_FOREIGN_SOCKET,
/// IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_NOT_FOUND, IRONHOUSE_ZMQ, IRONHOUSE_GSSAPI_REFUSAL, IRONHOUSE_UNSUPPORTED. Ownership: the socket stays the
/// program's. Threads: the one that uses the socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_socket_gssapi_server(
    socket: *mut c_void,
    authenticator: *mut ironhouse_authenticator_t,
    domain: *const c_char,
    domain_length: usize,
    principal: *const c_char,
    principal_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(
            handle authenticator as house,
            text domain[domain_length] as name,
            optional principal[principal_length],
        );
        let mut mechanism = GssapiServer::new(&house.domain(name)?);
        if let Some(principal) = principal {
            mechanism = mechanism.principal(principal);
        }
        // SAFETY: the caller's socket, by contract.
        let held = unsafe { secure(socket, house.api(), mechanism) }?;
        house.hold(name, held);
        Ok(())
    })
}

/// Has libzmq ask the authenticator about the peers of a server that the program has secured by itself, option by option.
///
/// As long as the context has no authenticator, they are refused.
///
/// For programs whose sockets get their options from other code: libzmq lets everybody in where it asks nobody, as without a domain and without an
/// authenticator. The socket is judged by the policy of its domain (ZMQ_ZAP_DOMAIN), or gets `domain`; where that has none, by
/// ironhouse_authenticator_set_fallback(). It may have any mechanism but GSSAPI, whose peers libzmq up to 4.3.5 lets in all the same.
///
/// To be called after the options of security are set and before the socket is bound or connected (IRONHOUSE_SOCKET_IN_USE), by the thread that uses
/// it; again, it does nothing. IRONHOUSE_FOREIGN_SOCKET, if another copy of libzmq made it than that of the table.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_FOREIGN_SOCKET,
/// IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_ZMQ. Ownership: the socket stays the program's. Threads: the one that uses the socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_socket_enforce(
    socket: *mut c_void,
    api: *const ironhouse_api_t,
    domain: *const c_char,
    domain_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(api api, text domain[domain_length], pointer socket);
        // SAFETY: the caller's socket, by contract.
        Ok(unsafe { enforce_borrowed(socket, api, domain) }?)
    })
}

/// Has the authenticator watch the connections of a server's socket, which one of the calls above has secured for the same domain.
///
/// They are listed by ironhouse_authenticator_each_peer(), and those of peers who are no longer admitted (revoked, certificate removed, password
/// changed, refused by a new policy) are closed. What such a peer sent before that is received all the same.
///
/// This takes the one monitor that libzmq has for the socket (zmq_socket_monitor()): where the program has its own, it gets no more reports; where it
/// starts one later, the watch ends. ironhouse_feed_watch() does the same and leaves the monitor to the program. To be called before the socket is
/// bound or connected, by the thread that uses it. Nothing has to be released: a thread of the library reads until the socket is closed or its
/// context terminated.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_FOREIGN_SOCKET,
/// IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_NOT_FOUND, IRONHOUSE_ZMQ, IRONHOUSE_TERMINATED, IRONHOUSE_OS. Ownership: the socket stays the program's.
/// Threads: the one that uses the socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_socket_watch(
    socket: *mut c_void,
    authenticator: *mut ironhouse_authenticator_t,
    domain: *const c_char,
    domain_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(
            handle authenticator as house,
            text domain[domain_length] as name,
            pointer socket,
        );
        let domain = house.domain(name)?;
        // SAFETY: the caller's socket, by contract.
        Ok(unsafe { domain.watch_borrowed(socket) }?)
    })
}

/// Has a client's socket present a name and a password (PLAIN), in clear text.
///
/// Both are 1 to 255 bytes.
///
/// To be called before the socket is bound or connected, by the thread that uses it; the rest as for ironhouse_socket_null_server().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_FOREIGN_SOCKET,
/// IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_ZMQ. Ownership: the socket stays the program's, and the password is copied. Threads: the one that uses the
/// socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_socket_plain_client(
    socket: *mut c_void,
    api: *const ironhouse_api_t,
    name: *const c_char,
    name_length: usize,
    password: *const c_char,
    password_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(api api, text name[name_length], bytes password[password_length]);
        let mechanism = PlainClient::new(name, Password::new(password)?);
        // SAFETY: the caller's socket, by contract.
        unsafe { secure(socket, api, mechanism) }.map(drop)
    })
}

/// Has a client's socket encrypt (CURVE), and talk to none but the server with the public key `server_key` (Z85).
///
/// `certificate` has the client's key pair.
///
/// To be called before the socket is bound or connected, by the thread that uses it; the rest as for ironhouse_socket_null_server().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API,
/// IRONHOUSE_FOREIGN_SOCKET, IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_ZMQ, IRONHOUSE_NO_SECRET_KEY, IRONHOUSE_UNSUPPORTED, IRONHOUSE_BAD_Z85,
/// IRONHOUSE_BAD_KEY. Ownership: the socket stays the program's, and the keys are copied. Threads: the one that uses the socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_socket_curve_client(
    socket: *mut c_void,
    api: *const ironhouse_api_t,
    certificate: *const ironhouse_certificate_t,
    server_key: *const c_char,
    server_key_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(api api, handle certificate, key server_key[server_key_length]);
        let keys = lock(&certificate).secret()?;
        let mechanism = CurveClient::new(&keys, server_key);
        // SAFETY: the caller's socket, by contract.
        unsafe { secure(socket, api, mechanism) }.map(drop)
    })
}

/// Has a client's socket present a Kerberos ticket for `service`, as "zmq@server.example", and encrypt (GSSAPI).
///
/// `principal` (or NULL) says whose, where the credential cache holds several.
///
/// To be called before the socket is bound or connected, by the thread that uses it; the rest as for ironhouse_socket_null_server().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_FOREIGN_SOCKET,
/// IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_ZMQ, IRONHOUSE_UNSUPPORTED. Ownership: the socket stays the program's. Threads: the one that uses the socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_socket_gssapi_client(
    socket: *mut c_void,
    api: *const ironhouse_api_t,
    service: *const c_char,
    service_length: usize,
    principal: *const c_char,
    principal_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(
            api api,
            text service[service_length],
            optional principal[principal_length],
        );
        let mut mechanism = GssapiClient::new(service);
        if let Some(principal) = principal {
            mechanism = mechanism.principal(principal);
        }
        // SAFETY: the caller's socket, by contract.
        unsafe { secure(socket, api, mechanism) }.map(drop)
    })
}
