//! What to do about an error number of libzmq's, where that is known.

use std::ffi::c_int;

use zmq_sys_wrap::zmq::ZMQ_HAUSNUMERO;

/// libzmq's own numbers (`zmq.h`).
const EFSM: c_int = ZMQ_HAUSNUMERO as c_int + 51;
const ENOCOMPATPROTO: c_int = ZMQ_HAUSNUMERO as c_int + 52;
const EMTHREAD: c_int = ZMQ_HAUSNUMERO as c_int + 54;

/// How to mend a failed `call`; empty where its number says all there is to say.
///
/// Source: the *Errors* of each call's man page, and what libzmq answers besides.
pub(super) fn cure(call: &str, errno: c_int) -> &'static str {
    match (call, errno) {
        ("zmq_bind", libc::EADDRINUSE) => {
            "a socket is bound there already: close that one, or take another port (`*` stands for one that is free)"
        }
        ("zmq_bind", libc::EADDRNOTAVAIL | libc::ENODEV) => {
            "this machine has no such address, nor an interface or host of that name: take one of its own, or `*` for all"
        }
        ("zmq_bind", libc::EACCES) => {
            "this user may not: ports below 1024, and folders of other users, need a right to them"
        }
        ("zmq_bind", libc::ENOENT) => "the folder of this path does not exist: make it first",
        ("zmq_bind" | "zmq_connect", libc::EINVAL) => {
            "an endpoint is transport://address, such as tcp://127.0.0.1:5555, ipc:///run/my.sock or inproc://name"
        }
        ("zmq_bind" | "zmq_connect", libc::EPROTONOSUPPORT) => {
            "this libzmq has no such transport: take tcp, ipc or inproc, or a libzmq that was built with it"
        }
        ("zmq_bind" | "zmq_connect", ENOCOMPATPROTO) => {
            "sockets of this type do not use this transport: take tcp, ipc or inproc"
        }
        ("zmq_bind" | "zmq_connect", EMTHREAD) => {
            "the context has no I/O threads (IO_THREADS is 0), so only inproc works"
        }
        ("zmq_connect", libc::ECONNREFUSED) => "nobody is bound there: bind first",
        ("zmq_unbind", libc::ENOENT) => {
            "the socket is not bound there: give the endpoint as bind() returned it"
        }
        ("zmq_disconnect", libc::ENOENT) => {
            "the socket is not connected there: give the endpoint as connect() got it"
        }
        ("zmq_socket", libc::EMFILE) => {
            "all sockets or descriptors are in use: close some, or raise MAX_SOCKETS of the context or the process's limit (ulimit -n)"
        }
        ("zmq_msg_send" | "zmq_send", EFSM) => {
            "it is the peer's turn: a REQ receives the reply first, a REP the next request"
        }
        ("zmq_msg_recv", EFSM) => {
            "it is this end's turn: a REQ sends a request first, a REP the reply to the last one"
        }
        ("zmq_msg_send" | "zmq_send", libc::ENOTSUP) => "sockets of this type do not send",
        ("zmq_msg_recv", libc::ENOTSUP) => "sockets of this type do not receive",
        ("zmq_msg_send" | "zmq_send", libc::EHOSTUNREACH) => {
            "no peer with this routing id is connected"
        }
        ("zmq_msg_send", libc::EINVAL) => "sockets of this type send messages of one frame only",
        ("zmq_join", libc::EINVAL) => {
            "the socket is in this group already, or the name has more than 255 bytes"
        }
        ("zmq_leave", libc::EINVAL) => {
            "the socket is not in this group, or the name has more than 255 bytes"
        }
        (
            "zmq_join" | "zmq_leave" | "zmq_connect_peer" | "zmq_socket_get_peer_state",
            libc::ENOTSUP,
        ) => "sockets of this type do not have this",
        ("zmq_socket_get_peer_state", libc::EHOSTUNREACH) => {
            "no peer with this routing id is connected"
        }
        _ => "",
    }
}
