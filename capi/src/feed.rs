//! Reports of monitors that hosts have by themselves.

use std::ffi::{c_char, c_void};

use ironhouse::security::listen_to_fed_handshakes;
use ironhouse::socket::MonitorFeed;

use crate::api::ironhouse_api_t;
use crate::arguments::{arguments, bytes};
use crate::authenticator::ironhouse_authenticator_t;
use crate::boundary::boundary;
use crate::callback::{UserData, ironhouse_free_fn};
use crate::handle::{Handle, destroy, give};
use crate::handshake::{ironhouse_handshake_fn, listening};
use crate::result::ironhouse_result_t::{self, IRONHOUSE_INVALID_ARGUMENT};
use crate::result::{Failure, Result};

/// What a program's own monitor of a socket tells, on its way to the library. libzmq has one monitor for a socket, and a second ends the first
/// without an error: a program that has its own hands its reports over here. May be used by several threads, but reports count in the order in
/// which they are handed over.
pub struct ironhouse_feed_t(());

impl Handle for ironhouse_feed_t {
    type Value = MonitorFeed;
    const NAME: &'static str = "feed";
}

/// As ironhouse_socket_on_handshake(), by the reports of the program's own monitor of the socket.
///
/// The monitor must tell at least ZMQ_EVENT_CONNECTED, ZMQ_EVENT_CONNECT_DELAYED, ZMQ_EVENT_CONNECT_RETRIED, ZMQ_EVENT_DISCONNECTED and the four of
/// handshakes (ZMQ_EVENT_ALL does), from before the socket is connected on. To be called as ironhouse_socket_on_handshake().
///
/// `listen` is called on a thread of its own until the feed is destroyed, or was handed ZMQ_EVENT_MONITOR_STOPPED; the end of the socket or of its
/// context does not end it. `free_user_data` (or NULL) frees `user_data`, once, on any thread: after the last call of `listen`, which may be moments
/// after that end, or at once if this call fails. Destroy the feed by ironhouse_feed_destroy().
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_FOREIGN_SOCKET, IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_ZMQ,
/// IRONHOUSE_OS. Ownership: the program destroys the feed, and nothing is kept of the socket. Threads: the one that uses the socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_feed_handshakes(
    feed: *mut *mut ironhouse_feed_t,
    socket: *mut c_void,
    api: *const ironhouse_api_t,
    listen: ironhouse_handshake_fn,
    user_data: *mut c_void,
    free_user_data: ironhouse_free_fn,
) -> ironhouse_result_t {
    let user_data = UserData::new(user_data, free_user_data);
    boundary(|| {
        let listen = listening(listen, user_data)?;
        arguments!(out feed, api api, pointer socket);
        // SAFETY: the caller's socket, by contract.
        give(feed, unsafe {
            listen_to_fed_handshakes(socket, api, listen)
        }?)
    })
}

/// As ironhouse_socket_watch(), by the reports of the program's own monitor of the socket.
///
/// The monitor must tell at least ZMQ_EVENT_ACCEPTED, ZMQ_EVENT_CONNECTED, ZMQ_EVENT_DISCONNECTED and the four of handshakes (ZMQ_EVENT_ALL does),
/// from before the socket is bound or connected on. To be called as ironhouse_socket_watch().
///
/// Hand each report over as it comes: they name connections by file descriptors, which the system uses anew. Where one comes late, it may remain
/// unknown whose a connection is; one that has ended by then, or whose descriptor is another's now, is never closed in its place. Destroy the feed by
/// ironhouse_feed_destroy(), after which the connections are listed and closed no more.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_FOREIGN_SOCKET,
/// IRONHOUSE_SOCKET_IN_USE, IRONHOUSE_NOT_FOUND, IRONHOUSE_ZMQ. Ownership: the program destroys the feed, and nothing is kept of the socket. Threads:
/// the one that uses the socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_feed_watch(
    feed: *mut *mut ironhouse_feed_t,
    socket: *mut c_void,
    authenticator: *mut ironhouse_authenticator_t,
    domain: *const c_char,
    domain_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(
            out feed,
            handle authenticator as house,
            text domain[domain_length] as name,
            pointer socket,
        );
        let domain = house.domain(name)?;
        // SAFETY: the caller's socket, by contract.
        give(feed, unsafe { domain.watch_fed(socket) }?)
    })
}

/// Hands over a report: the event's number and value, and the endpoint, as zmq_socket_monitor() defines them.
///
/// After ZMQ_EVENT_MONITOR_STOPPED there is nothing more to tell: later reports are ignored.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_feed_report(
    feed: *mut ironhouse_feed_t,
    event: u16,
    value: u32,
    endpoint: *const c_char,
    endpoint_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle feed, bytes endpoint[endpoint_length]);
        feed.report(event, value, endpoint);
        Ok(())
    })
}

/// As ironhouse_feed_report(), of the two frames of a report as the program's monitor receives them.
///
/// The first is event and value (6 bytes), the second the endpoint. IRONHOUSE_INVALID_ARGUMENT for another form, as that of
/// zmq_socket_monitor_versioned() is.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_feed_frames(
    feed: *mut ironhouse_feed_t,
    first: *const c_void,
    first_size: usize,
    second: *const c_void,
    second_size: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle feed);
        // SAFETY: the caller's frame, by contract.
        let first = unsafe { bytes("first", first.cast(), first_size) }?;
        // SAFETY: the caller's frame, by contract.
        let second = unsafe { bytes("second", second.cast(), second_size) }?;
        let (event, value) = numbers(first)?;
        feed.report(event, value, second);
        Ok(())
    })
}

/// The event and the value in the first frame of a report.
fn numbers(frame: &[u8]) -> Result<(u16, u32)> {
    let numbers = frame.split_first_chunk().and_then(|(event, value)| {
        let value = u32::from_ne_bytes(value.try_into().ok()?);
        Some((u16::from_ne_bytes(*event), value))
    });
    numbers.ok_or_else(|| {
        Failure::new(
            IRONHOUSE_INVALID_ARGUMENT,
            format!(
                "first: {} bytes, where the first frame of a report of zmq_socket_monitor() has 6",
                frame.len()
            ),
        )
    })
}

/// Ends a feed; the pointer is NULL afterwards.
///
/// Does nothing if it is NULL. May be called before or after the end of socket, context and authenticator.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_feed_destroy(
    feed: *mut *mut ironhouse_feed_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out feed);
        destroy(feed)
    })
}
