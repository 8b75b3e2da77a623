//! libzmq as one table of function pointers.
//!
//! Every call of the library above goes through such a table, because a process may hold more than one libzmq: a
//! socket must be driven by the copy that made it.

use core::ffi::{c_char, c_int, c_long, c_void};

use crate::zmq::{zmq_free_fn, zmq_msg_t, zmq_pollitem_t, zmq_timer_fn};

macro_rules! api {
    (
        $($(#[$doc:meta])* $name:ident: fn($($arg:ty),*) $(-> $ret:ty)?;)*
        => $($draft:ident = $symbol:ident: fn($($darg:ty),*) -> $dret:ty;)*
    ) => {
        /// The functions of one libzmq (4.3.0 or later), named as in `zmq.h` without the prefix `zmq_`.
        ///
        /// The layout is C's: a host fills the table in its own translation unit. `size` comes first, so that a
        /// table made for an older layout is recognised; new entries are only ever added at the end, as `Option`.
        /// Every other entry is in all libzmq since 4.3.0. The man page of each is its contract.
        #[repr(C)]
        #[derive(Debug, Clone, Copy)]
        pub struct Api {
            /// Size of the table in bytes, as its maker knows it.
            pub size: usize,
            $($(#[$doc])* #[allow(missing_docs)] pub $name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)*
            $(
                /// Draft: `None` where the library was built without its draft API.
                pub $draft: Option<unsafe extern "C" fn($($darg),*) -> $dret>,
            )*
        }

        impl Api {
            /// The libzmq this program is linked with. Its draft functions are in the table with the feature `draft`.
            #[cfg(feature = "linked")]
            pub fn linked() -> &'static Api {
                static LINKED: Api = Api {
                    size: size_of::<Api>(),
                    $($name: linked::$name,)*
                    $($draft: None,)*
                };
                #[cfg(feature = "draft")]
                return {
                    static DRAFT: std::sync::OnceLock<Api> = std::sync::OnceLock::new();
                    DRAFT.get_or_init(|| draft::complete(LINKED))
                };
                #[cfg(not(feature = "draft"))]
                &LINKED
            }
        }

        /// The draft functions of the embedded library, which was built with them.
        #[cfg(all(feature = "linked", feature = "draft", embedded))]
        mod draft {
            use super::*;

            unsafe extern "C" {
                $(fn $symbol($(_: $darg),*) -> $dret;)*
            }

            pub(super) fn complete(mut api: Api) -> Api {
                $(api.$draft = Some($symbol);)*
                api
            }
        }

        /// The draft functions of the system's library, looked up: it may be another one at run time than at the build.
        #[cfg(all(feature = "linked", feature = "draft", not(embedded)))]
        mod draft {
            use core::ffi::CStr;

            use super::*;

            pub(super) fn complete(mut api: Api) -> Api {
                $(
                    let name = concat!(stringify!($symbol), "\0");
                    if let Some(found) = CStr::from_bytes_with_nul(name.as_bytes()).ok().and_then(find) {
                        // SAFETY: a function of libzmq's by this name has this signature.
                        let function = unsafe {
                            core::mem::transmute::<*mut c_void, unsafe extern "C" fn($($darg),*) -> $dret>(found)
                        };
                        api.$draft = Some(function);
                    }
                )*
                api
            }

            /// A function of the libzmq that we are linked with: of another copy in this process it would be worse than none.
            fn find(name: &CStr) -> Option<*mut c_void> {
                // One that nobody takes the address of: else a program that was not built position-independent would answer its own.
                let anchor = library_of(look_up(c"zmq_ctx_destroy"))?;
                let found = look_up(name);
                (library_of(found)? == anchor).then_some(found)
            }

            fn look_up(name: &CStr) -> *mut c_void {
                // SAFETY: dlsym reads a C string.
                unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
            }

            /// Where the library that holds this address was loaded.
            fn library_of(address: *mut c_void) -> Option<*mut c_void> {
                if address.is_null() {
                    return None;
                }
                let mut about = core::mem::MaybeUninit::<libc::Dl_info>::zeroed();
                // SAFETY: dladdr takes any address, and writes to a valid pointer.
                let known = unsafe { libc::dladdr(address, about.as_mut_ptr()) };
                // SAFETY: all zeros is a valid value, and dladdr has written a better one where it knows the address.
                let about = unsafe { about.assume_init() };
                (known != 0).then_some(about.dli_fbase)
            }
        }
    };
}

api! {
    errno: fn() -> c_int;
    strerror: fn(c_int) -> *const c_char;
    version: fn(*mut c_int, *mut c_int, *mut c_int);
    has: fn(*const c_char) -> c_int;
    ctx_new: fn() -> *mut c_void;
    ctx_term: fn(*mut c_void) -> c_int;
    ctx_shutdown: fn(*mut c_void) -> c_int;
    ctx_set: fn(*mut c_void, c_int, c_int) -> c_int;
    ctx_get: fn(*mut c_void, c_int) -> c_int;
    msg_init: fn(*mut zmq_msg_t) -> c_int;
    msg_init_size: fn(*mut zmq_msg_t, usize) -> c_int;
    msg_init_data: fn(*mut zmq_msg_t, *mut c_void, usize, zmq_free_fn, *mut c_void) -> c_int;
    msg_send: fn(*mut zmq_msg_t, *mut c_void, c_int) -> c_int;
    msg_recv: fn(*mut zmq_msg_t, *mut c_void, c_int) -> c_int;
    msg_close: fn(*mut zmq_msg_t) -> c_int;
    msg_move: fn(*mut zmq_msg_t, *mut zmq_msg_t) -> c_int;
    msg_copy: fn(*mut zmq_msg_t, *mut zmq_msg_t) -> c_int;
    msg_data: fn(*mut zmq_msg_t) -> *mut c_void;
    msg_size: fn(*const zmq_msg_t) -> usize;
    msg_more: fn(*const zmq_msg_t) -> c_int;
    msg_get: fn(*const zmq_msg_t, c_int) -> c_int;
    msg_set: fn(*mut zmq_msg_t, c_int, c_int) -> c_int;
    msg_gets: fn(*const zmq_msg_t, *const c_char) -> *const c_char;
    socket: fn(*mut c_void, c_int) -> *mut c_void;
    close: fn(*mut c_void) -> c_int;
    setsockopt: fn(*mut c_void, c_int, *const c_void, usize) -> c_int;
    getsockopt: fn(*mut c_void, c_int, *mut c_void, *mut usize) -> c_int;
    bind: fn(*mut c_void, *const c_char) -> c_int;
    connect: fn(*mut c_void, *const c_char) -> c_int;
    unbind: fn(*mut c_void, *const c_char) -> c_int;
    disconnect: fn(*mut c_void, *const c_char) -> c_int;
    send: fn(*mut c_void, *const c_void, usize, c_int) -> c_int;
    recv: fn(*mut c_void, *mut c_void, usize, c_int) -> c_int;
    socket_monitor: fn(*mut c_void, *const c_char, c_int) -> c_int;
    poll: fn(*mut zmq_pollitem_t, c_int, c_long) -> c_int;
    proxy: fn(*mut c_void, *mut c_void, *mut c_void) -> c_int;
    proxy_steerable: fn(*mut c_void, *mut c_void, *mut c_void, *mut c_void) -> c_int;
    timers_new: fn() -> *mut c_void;
    timers_destroy: fn(*mut *mut c_void) -> c_int;
    timers_add: fn(*mut c_void, usize, zmq_timer_fn, *mut c_void) -> c_int;
    timers_cancel: fn(*mut c_void, c_int) -> c_int;
    timers_set_interval: fn(*mut c_void, c_int, usize) -> c_int;
    timers_reset: fn(*mut c_void, c_int) -> c_int;
    timers_timeout: fn(*mut c_void) -> c_long;
    timers_execute: fn(*mut c_void) -> c_int;
    =>
    ctx_set_ext = zmq_ctx_set_ext: fn(*mut c_void, c_int, *const c_void, usize) -> c_int;
    ctx_get_ext = zmq_ctx_get_ext: fn(*mut c_void, c_int, *mut c_void, *mut usize) -> c_int;
    join = zmq_join: fn(*mut c_void, *const c_char) -> c_int;
    leave = zmq_leave: fn(*mut c_void, *const c_char) -> c_int;
    connect_peer = zmq_connect_peer: fn(*mut c_void, *const c_char) -> u32;
    msg_set_routing_id = zmq_msg_set_routing_id: fn(*mut zmq_msg_t, u32) -> c_int;
    msg_routing_id = zmq_msg_routing_id: fn(*mut zmq_msg_t) -> u32;
    msg_set_group = zmq_msg_set_group: fn(*mut zmq_msg_t, *const c_char) -> c_int;
    msg_group = zmq_msg_group: fn(*mut zmq_msg_t) -> *const c_char;
    socket_get_peer_state = zmq_socket_get_peer_state: fn(*mut c_void, *const c_void, usize) -> c_int;
    socket_monitor_versioned = zmq_socket_monitor_versioned: fn(*mut c_void, *const c_char, u64, c_int, c_int) -> c_int;
    socket_monitor_pipes_stats = zmq_socket_monitor_pipes_stats: fn(*mut c_void) -> c_int;
}

/// The linked functions under the table's names.
#[cfg(feature = "linked")]
mod linked {
    pub(super) use crate::zmq::{
        zmq_bind as bind, zmq_close as close, zmq_connect as connect, zmq_ctx_get as ctx_get,
        zmq_ctx_new as ctx_new, zmq_ctx_set as ctx_set, zmq_ctx_shutdown as ctx_shutdown,
        zmq_ctx_term as ctx_term, zmq_disconnect as disconnect, zmq_errno as errno,
        zmq_getsockopt as getsockopt, zmq_has as has, zmq_msg_close as msg_close,
        zmq_msg_copy as msg_copy, zmq_msg_data as msg_data, zmq_msg_get as msg_get,
        zmq_msg_gets as msg_gets, zmq_msg_init as msg_init, zmq_msg_init_data as msg_init_data,
        zmq_msg_init_size as msg_init_size, zmq_msg_more as msg_more, zmq_msg_move as msg_move,
        zmq_msg_recv as msg_recv, zmq_msg_send as msg_send, zmq_msg_set as msg_set,
        zmq_msg_size as msg_size, zmq_poll as poll, zmq_proxy as proxy,
        zmq_proxy_steerable as proxy_steerable, zmq_recv as recv, zmq_send as send,
        zmq_setsockopt as setsockopt, zmq_socket as socket, zmq_socket_monitor as socket_monitor,
        zmq_strerror as strerror, zmq_timers_add as timers_add, zmq_timers_cancel as timers_cancel,
        zmq_timers_destroy as timers_destroy, zmq_timers_execute as timers_execute,
        zmq_timers_new as timers_new, zmq_timers_reset as timers_reset,
        zmq_timers_set_interval as timers_set_interval, zmq_timers_timeout as timers_timeout,
        zmq_unbind as unbind, zmq_version as version,
    };
}

#[cfg(all(test, feature = "linked"))]
mod tests {
    use super::Api;

    #[test]
    fn linked_libzmq_is_recent_enough() {
        let (mut major, mut minor, mut patch) = (0, 0, 0);
        // SAFETY: three valid pointers to int, as zmq_version(3) wants.
        unsafe { (Api::linked().version)(&mut major, &mut minor, &mut patch) };
        assert!((major, minor) >= (4, 3), "libzmq {major}.{minor}.{patch}");
    }

    #[test]
    fn embedded_libzmq_has_curve_and_knows_interfaces_by_name() {
        if !crate::VENDORED {
            return;
        }
        let api = Api::linked();
        // SAFETY: a C string, as zmq_has(3) wants.
        assert_eq!(unsafe { (api.has)(c"curve".as_ptr()) }, 1);

        // SAFETY: takes nothing; the context is terminated below.
        let context = unsafe { (api.ctx_new)() };
        // SAFETY: a context made by the same library.
        let socket = unsafe { (api.socket)(context, crate::zmq::ZMQ_PULL as i32) };
        let name = if cfg!(target_os = "linux") {
            c"tcp://lo:*"
        } else {
            c"tcp://lo0:*"
        };
        // SAFETY: an open socket of this thread, and a C string.
        let bound = unsafe { (api.bind)(socket, name.as_ptr()) };
        // SAFETY: an open socket, not used after this.
        unsafe { (api.close)(socket) };
        // SAFETY: its one socket is closed.
        unsafe { (api.ctx_term)(context) };
        assert_eq!(
            bound, 0,
            "the embedded libzmq was built without our platform.hpp"
        );
    }
}
