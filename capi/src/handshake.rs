//! What becomes of the connections that a host's socket makes.

use std::ffi::{c_char, c_void};

use ironhouse::security::listen_to_handshakes;
use ironhouse::socket::{HandshakeEvent, HandshakeOutcome, HandshakeProblem};

use crate::api::ironhouse_api_t;
use crate::arguments::{arguments, c_text};
use crate::boundary::boundary;
use crate::callback::{UserData, ironhouse_free_fn, no_unwinding};
use crate::handle::null;
use crate::result::Result;
use crate::result::ironhouse_result_t;

/// What became of a connection, as a number. It keeps its meaning for ever; later versions may add some.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ironhouse_verdict_t {
    /// Messages can flow, by the socket's mechanism.
    IRONHOUSE_VERDICT_SECURED = 0,
    /// The endpoint's host name does not lead to an address.
    IRONHOUSE_VERDICT_UNRESOLVED = 1,
    /// Nobody accepted a connection in time.
    IRONHOUSE_VERDICT_UNREACHABLE = 2,
    /// Somebody accepted the connection, and then said nothing that ends the handshake.
    IRONHOUSE_VERDICT_SILENT = 3,
    /// The peer closed the connection during the handshake without a reason.
    IRONHOUSE_VERDICT_CLOSED = 4,
    /// Something else than ZeroMQ is at the endpoint.
    IRONHOUSE_VERDICT_NOT_ZMTP = 5,
    /// The peer speaks a version of ZMTP that knows no security.
    IRONHOUSE_VERDICT_OLD_PROTOCOL = 6,
    /// The two ends have different mechanisms. libzmq does not connect again.
    IRONHOUSE_VERDICT_MECHANISM_MISMATCH = 7,
    /// Both ends are servers of their mechanism.
    IRONHOUSE_VERDICT_BOTH_SERVERS = 8,
    /// Both ends are clients of their mechanism.
    IRONHOUSE_VERDICT_BOTH_CLIENTS = 9,
    /// The server did not prove to hold the key that this client was given for it (CURVE).
    IRONHOUSE_VERDICT_WRONG_SERVER_KEY = 10,
    /// The server said nothing of our credential: its authenticator failed for the moment, or there is none.
    IRONHOUSE_VERDICT_NO_VERDICT = 11,
    /// The server's authenticator refused us. libzmq does not connect again, unless by IRONHOUSE_RETRY.
    IRONHOUSE_VERDICT_REFUSED = 12,
    /// The two ends do not understand each other.
    IRONHOUSE_VERDICT_PROTOCOL = 13,
    /// Something else: the text says what.
    IRONHOUSE_VERDICT_OTHER = 14,
}

use ironhouse_verdict_t::*;

impl From<&HandshakeOutcome> for ironhouse_verdict_t {
    fn from(outcome: &HandshakeOutcome) -> Self {
        use HandshakeProblem as Problem;
        let HandshakeOutcome::Failed(problem) = outcome else {
            return IRONHOUSE_VERDICT_SECURED;
        };
        match problem {
            Problem::Unresolved { .. } => IRONHOUSE_VERDICT_UNRESOLVED,
            Problem::Unreachable { .. } => IRONHOUSE_VERDICT_UNREACHABLE,
            Problem::Silent { .. } => IRONHOUSE_VERDICT_SILENT,
            Problem::Closed(_) => IRONHOUSE_VERDICT_CLOSED,
            Problem::NotZmtp { .. } => IRONHOUSE_VERDICT_NOT_ZMTP,
            Problem::OldProtocol { .. } => IRONHOUSE_VERDICT_OLD_PROTOCOL,
            Problem::MechanismMismatch { .. } => IRONHOUSE_VERDICT_MECHANISM_MISMATCH,
            Problem::BothServers { .. } => IRONHOUSE_VERDICT_BOTH_SERVERS,
            Problem::BothClients { .. } => IRONHOUSE_VERDICT_BOTH_CLIENTS,
            Problem::WrongServerKey { .. } => IRONHOUSE_VERDICT_WRONG_SERVER_KEY,
            Problem::NoVerdict { .. } => IRONHOUSE_VERDICT_NO_VERDICT,
            Problem::Refused { .. } => IRONHOUSE_VERDICT_REFUSED,
            Problem::Protocol(_) => IRONHOUSE_VERDICT_PROTOCOL,
            _ => IRONHOUSE_VERDICT_OTHER,
        }
    }
}

/// What became of a connection that a socket made. Texts are valid until the callback returns.
#[repr(C)]
pub struct ironhouse_handshake_t {
    /// Size of this structure in bytes, as the library knows it: later versions add fields at its end.
    pub size: usize,
    /// The endpoint connected to, as libzmq names it.
    pub endpoint: *const c_char,
    /// Whether messages can flow, by the socket's mechanism.
    pub secured: bool,
    /// Why not, in words, and how to mend it; NULL where they can.
    pub problem: *const c_char,
    /// The same as a number.
    pub verdict: ironhouse_verdict_t,
}

/// Is told of a handshake. It must not unwind.
pub type ironhouse_handshake_fn = Option<
    unsafe extern "C-unwind" fn(user_data: *mut c_void, handshake: *const ironhouse_handshake_t),
>;

/// What hands handshakes on to C.
pub(crate) fn listening(
    listen: ironhouse_handshake_fn,
    user_data: UserData,
) -> Result<impl FnMut(HandshakeEvent) + Send + 'static> {
    let listen = listen.ok_or_else(|| null("listen"))?;
    Ok(move |event: HandshakeEvent| {
        let problem = match &event.outcome {
            HandshakeOutcome::Secured => None,
            HandshakeOutcome::Failed(problem) => Some(c_text(&problem.to_string())),
        };
        let endpoint = c_text(&event.endpoint);
        let handshake = ironhouse_handshake_t {
            size: size_of::<ironhouse_handshake_t>(),
            endpoint: endpoint.as_ptr(),
            secured: problem.is_none(),
            problem: problem.as_ref().map_or(std::ptr::null(), |it| it.as_ptr()),
            verdict: (&event.outcome).into(),
        };
        // SAFETY: the caller's function and data, by contract; the texts live until it returns.
        no_unwinding(|| unsafe { listen(user_data.get(), &handshake) });
    })
}

/// Has `listen` told of each connection that a client's socket makes whether it is secured, and if not, why not.
///
/// A trouble is told once, until it changes or passes, while libzmq tries again.
///
/// To be called after the socket was secured, if it is, and before it is connected (IRONHOUSE_SOCKET_IN_USE), by the thread that uses it; the socket
/// is in `context`. To find out what libzmq does not tell, short connections of its own are made to an endpoint in trouble. This takes the one
/// monitor that libzmq has for the socket (zmq_socket_monitor()): where the program has its own, it gets no more reports; where it starts one later,
/// these end. ironhouse_feed_handshakes() does the same and leaves the monitor to the program.
///
/// `listen` is called on a thread of its own until the socket is closed or its context terminated, a handshake at a time; where it is slow, it misses
/// what goes beyond 4096 of libzmq's reports. `free_user_data` (or NULL) frees `user_data`, once, on any thread: after the last call of `listen`,
/// which may be moments after the end of the context, or at once if this call fails.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_FOREIGN_SOCKET, IRONHOUSE_SOCKET_IN_USE,
/// IRONHOUSE_TERMINATED, IRONHOUSE_ZMQ, IRONHOUSE_OS. Ownership: the socket and the context stay the program's. Threads: the one that uses the
/// socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_socket_on_handshake(
    socket: *mut c_void,
    api: *const ironhouse_api_t,
    context: *mut c_void,
    listen: ironhouse_handshake_fn,
    user_data: *mut c_void,
    free_user_data: ironhouse_free_fn,
) -> ironhouse_result_t {
    let user_data = UserData::new(user_data, free_user_data);
    boundary(|| {
        let listen = listening(listen, user_data)?;
        arguments!(api api, context context[api], pointer socket);
        // SAFETY: the caller's socket in the caller's context, by contract.
        Ok(unsafe { listen_to_handshakes(socket, &context, listen) }?)
    })
}
