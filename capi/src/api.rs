//! libzmq as the host hands it over: a table of its functions.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::Mutex;

use zmq_sys_wrap::Api;
use zmq_sys_wrap::zmq::{zmq_msg_t, zmq_pollitem_t};

use crate::arguments::arguments;
use crate::boundary::boundary;
use crate::handle::{lock, null};
use crate::result::ironhouse_result_t::{self, IRONHOUSE_BAD_API, IRONHOUSE_NOT_FOUND};
use crate::result::{Failure, Result};

/// The version of ironhouse_api_t's layout. Later ones add functions at its end.
pub const IRONHOUSE_API_VERSION: u32 = 1;

/// The oldest libzmq that will do.
const OLDEST: (c_int, c_int, c_int) = (4, 3, 0);

/// How many tables are kept: one for each libzmq in the process.
const MOST: usize = 64;

/// What is done with each function; the type is written out below, where cbindgen reads it.
macro_rules! table {
    ($($symbol:ident as $name:ident,)*) => {
        impl ironhouse_api_t {
            /// The table as the library below takes it.
            fn to_api(self) -> Result<Api> {
                let mut missing = Vec::new();
                $(if self.$symbol.is_none() { missing.push(stringify!($symbol)); })*
                if !missing.is_empty() {
                    return Err(Failure::new(
                        IRONHOUSE_BAD_API,
                        format!("the table of libzmq's functions lacks {}: fill it by ironhouse_api_init(), or by ironhouse_api_from_library()", missing.join(", ")),
                    ));
                }
                let gap = || Failure::new(IRONHOUSE_BAD_API, "the table of libzmq's functions has gaps");
                Ok(Api {
                    size: size_of::<Api>(),
                    $($name: self.$symbol.ok_or_else(gap)?,)*
                    ctx_set_ext: None,
                    ctx_get_ext: None,
                    join: None,
                    leave: None,
                    connect_peer: None,
                    msg_set_routing_id: None,
                    msg_routing_id: None,
                    msg_set_group: None,
                    msg_group: None,
                    socket_get_peer_state: None,
                    socket_monitor_versioned: None,
                    socket_monitor_pipes_stats: None,
                })
            }

            /// # Safety
            /// `library` is what dlopen answered, and still open.
            #[allow(clippy::missing_transmute_annotations)] // each field says what it is
            unsafe fn look_up(library: *mut c_void) -> Result<Self> {
                Ok(Self {
                    size: size_of::<Self>(),
                    version: IRONHOUSE_API_VERSION,
                    $($symbol: {
                        // SAFETY: as our caller says.
                        let found = unsafe { symbol(library, concat!(stringify!($symbol), "\0")) }?;
                        // SAFETY: the function of libzmq's by this name has the signature of the field, and it is not null.
                        Some(unsafe { std::mem::transmute::<*mut c_void, _>(found) })
                    },)*
                })
            }

            /// The functions' addresses, which tell one table from another.
            fn addresses(&self) -> Vec<usize> {
                vec![$(self.$symbol.map_or(0, |function| function as usize),)*]
            }
        }
    };
}

table! {
    zmq_errno as errno,
    zmq_strerror as strerror,
    zmq_version as version,
    zmq_has as has,
    zmq_ctx_new as ctx_new,
    zmq_ctx_term as ctx_term,
    zmq_ctx_shutdown as ctx_shutdown,
    zmq_ctx_set as ctx_set,
    zmq_ctx_get as ctx_get,
    zmq_msg_init as msg_init,
    zmq_msg_init_size as msg_init_size,
    zmq_msg_init_data as msg_init_data,
    zmq_msg_send as msg_send,
    zmq_msg_recv as msg_recv,
    zmq_msg_close as msg_close,
    zmq_msg_move as msg_move,
    zmq_msg_copy as msg_copy,
    zmq_msg_data as msg_data,
    zmq_msg_size as msg_size,
    zmq_msg_more as msg_more,
    zmq_msg_get as msg_get,
    zmq_msg_set as msg_set,
    zmq_msg_gets as msg_gets,
    zmq_socket as socket,
    zmq_close as close,
    zmq_setsockopt as setsockopt,
    zmq_getsockopt as getsockopt,
    zmq_bind as bind,
    zmq_connect as connect,
    zmq_unbind as unbind,
    zmq_disconnect as disconnect,
    zmq_send as send,
    zmq_recv as recv,
    zmq_socket_monitor as socket_monitor,
    zmq_poll as poll,
    zmq_proxy as proxy,
    zmq_proxy_steerable as proxy_steerable,
    zmq_timers_new as timers_new,
    zmq_timers_destroy as timers_destroy,
    zmq_timers_add as timers_add,
    zmq_timers_cancel as timers_cancel,
    zmq_timers_set_interval as timers_set_interval,
    zmq_timers_reset as timers_reset,
    zmq_timers_timeout as timers_timeout,
    zmq_timers_execute as timers_execute,
}

/// The functions of one libzmq (4.3.0 or later): the host's, through which all of its contexts and sockets are used.
///
/// Fill it by ironhouse_api_init(), which takes the functions of the libzmq that the calling program is linked with, or by
/// ironhouse_api_from_library(). It is copied by every call that takes it, and may go out of scope at once. The library whose functions are in it
/// must stay loaded.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ironhouse_api_t {
    /// Size of the table in bytes, as the program that fills it knows it.
    pub size: usize,
    /// IRONHOUSE_API_VERSION, as that program knows it.
    pub version: u32,
    pub zmq_errno: Option<unsafe extern "C" fn() -> c_int>,
    pub zmq_strerror: Option<unsafe extern "C" fn(c_int) -> *const c_char>,
    pub zmq_version: Option<unsafe extern "C" fn(*mut c_int, *mut c_int, *mut c_int)>,
    pub zmq_has: Option<unsafe extern "C" fn(*const c_char) -> c_int>,
    pub zmq_ctx_new: Option<unsafe extern "C" fn() -> *mut c_void>,
    pub zmq_ctx_term: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    pub zmq_ctx_shutdown: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    pub zmq_ctx_set: Option<unsafe extern "C" fn(*mut c_void, c_int, c_int) -> c_int>,
    pub zmq_ctx_get: Option<unsafe extern "C" fn(*mut c_void, c_int) -> c_int>,
    pub zmq_msg_init: Option<unsafe extern "C" fn(*mut zmq_msg_t) -> c_int>,
    pub zmq_msg_init_size: Option<unsafe extern "C" fn(*mut zmq_msg_t, usize) -> c_int>,
    pub zmq_msg_init_data: Option<
        unsafe extern "C" fn(
            *mut zmq_msg_t,
            *mut c_void,
            usize,
            Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
            *mut c_void,
        ) -> c_int,
    >,
    pub zmq_msg_send: Option<unsafe extern "C" fn(*mut zmq_msg_t, *mut c_void, c_int) -> c_int>,
    pub zmq_msg_recv: Option<unsafe extern "C" fn(*mut zmq_msg_t, *mut c_void, c_int) -> c_int>,
    pub zmq_msg_close: Option<unsafe extern "C" fn(*mut zmq_msg_t) -> c_int>,
    pub zmq_msg_move: Option<unsafe extern "C" fn(*mut zmq_msg_t, *mut zmq_msg_t) -> c_int>,
    pub zmq_msg_copy: Option<unsafe extern "C" fn(*mut zmq_msg_t, *mut zmq_msg_t) -> c_int>,
    pub zmq_msg_data: Option<unsafe extern "C" fn(*mut zmq_msg_t) -> *mut c_void>,
    pub zmq_msg_size: Option<unsafe extern "C" fn(*const zmq_msg_t) -> usize>,
    pub zmq_msg_more: Option<unsafe extern "C" fn(*const zmq_msg_t) -> c_int>,
    pub zmq_msg_get: Option<unsafe extern "C" fn(*const zmq_msg_t, c_int) -> c_int>,
    pub zmq_msg_set: Option<unsafe extern "C" fn(*mut zmq_msg_t, c_int, c_int) -> c_int>,
    pub zmq_msg_gets:
        Option<unsafe extern "C" fn(*const zmq_msg_t, *const c_char) -> *const c_char>,
    pub zmq_socket: Option<unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void>,
    pub zmq_close: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    pub zmq_setsockopt:
        Option<unsafe extern "C" fn(*mut c_void, c_int, *const c_void, usize) -> c_int>,
    pub zmq_getsockopt:
        Option<unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, *mut usize) -> c_int>,
    pub zmq_bind: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int>,
    pub zmq_connect: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int>,
    pub zmq_unbind: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int>,
    pub zmq_disconnect: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int>,
    pub zmq_send: Option<unsafe extern "C" fn(*mut c_void, *const c_void, usize, c_int) -> c_int>,
    pub zmq_recv: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, usize, c_int) -> c_int>,
    pub zmq_socket_monitor:
        Option<unsafe extern "C" fn(*mut c_void, *const c_char, c_int) -> c_int>,
    pub zmq_poll: Option<unsafe extern "C" fn(*mut zmq_pollitem_t, c_int, c_long) -> c_int>,
    pub zmq_proxy: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void) -> c_int>,
    pub zmq_proxy_steerable:
        Option<unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void, *mut c_void) -> c_int>,
    pub zmq_timers_new: Option<unsafe extern "C" fn() -> *mut c_void>,
    pub zmq_timers_destroy: Option<unsafe extern "C" fn(*mut *mut c_void) -> c_int>,
    pub zmq_timers_add: Option<
        unsafe extern "C" fn(
            *mut c_void,
            usize,
            Option<unsafe extern "C" fn(c_int, *mut c_void)>,
            *mut c_void,
        ) -> c_int,
    >,
    pub zmq_timers_cancel: Option<unsafe extern "C" fn(*mut c_void, c_int) -> c_int>,
    pub zmq_timers_set_interval: Option<unsafe extern "C" fn(*mut c_void, c_int, usize) -> c_int>,
    pub zmq_timers_reset: Option<unsafe extern "C" fn(*mut c_void, c_int) -> c_int>,
    pub zmq_timers_timeout: Option<unsafe extern "C" fn(*mut c_void) -> c_long>,
    pub zmq_timers_execute: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
}

/// The tables that were used, which live as long as the process: threads use them until they end.
static TABLES: Mutex<Vec<(Vec<usize>, &'static Api)>> = Mutex::new(Vec::new());

/// The host's libzmq.
///
/// # Safety
/// `api` is NULL, or as many bytes can be read from it as it says in its first field. The functions in it are libzmq's, and stay loaded.
pub(crate) unsafe fn of_host(api: *const ironhouse_api_t) -> Result<&'static Api> {
    if api.is_null() {
        return Err(null("api"));
    }
    // SAFETY: it is not NULL, and every table starts with its size.
    let size = unsafe { api.cast::<usize>().read() };
    if size < size_of::<ironhouse_api_t>() || size > 64 * 1024 {
        return Err(Failure::new(
            IRONHOUSE_BAD_API,
            format!(
                "the table of libzmq's functions says it has {size} bytes, and this library needs {}: fill it by ironhouse_api_init()",
                size_of::<ironhouse_api_t>()
            ),
        ));
    }
    // SAFETY: it has as many bytes, by the check above.
    let table = unsafe { api.read() };
    if table.version < IRONHOUSE_API_VERSION {
        return Err(Failure::new(
            IRONHOUSE_BAD_API,
            format!(
                "the table of libzmq's functions is of version {}: fill it by ironhouse_api_init()",
                table.version
            ),
        ));
    }
    let api = table.to_api()?;
    let (mut major, mut minor, mut patch) = (0, 0, 0);
    // SAFETY: zmq_version writes three ints, each through a valid pointer.
    unsafe { (api.version)(&mut major, &mut minor, &mut patch) };
    if (major, minor, patch) < OLDEST {
        return Err(Failure::new(
            IRONHOUSE_BAD_API,
            format!("this is libzmq {major}.{minor}.{patch}: 4.3.0 is the oldest that will do"),
        ));
    }
    let addresses = table.addresses();
    let mut tables = lock(&TABLES);
    if let Some((_, known)) = tables.iter().find(|(known, _)| *known == addresses) {
        return Ok(known);
    }
    if tables.len() == MOST {
        return Err(Failure::new(
            IRONHOUSE_BAD_API,
            format!("this process has handed over {MOST} tables of libzmq's functions already"),
        ));
    }
    let api: &'static Api = Box::leak(Box::new(api));
    tables.push((addresses, api));
    Ok(api)
}

/// # Safety
/// `library` is what dlopen answered, and still open.
unsafe fn symbol(library: *mut c_void, name: &str) -> Result<*mut c_void> {
    let c_name = CStr::from_bytes_with_nul(name.as_bytes()).unwrap_or_default();
    // SAFETY: a library that is open, and a C string.
    let found = unsafe { libc::dlsym(library, c_name.as_ptr()) };
    if found.is_null() {
        return Err(Failure::new(
            IRONHOUSE_BAD_API,
            format!(
                "the library has no {}: it is no libzmq of 4.3.0 or later",
                name.trim_end_matches('\0')
            ),
        ));
    }
    Ok(found)
}

/// Fills a table with the functions of a libzmq that was loaded by dlopen(): for programs that have no zmq.h, as through ctypes.
///
/// `library` is what dlopen() answered for the very library that the host's contexts were made by (on Linux the same path or SONAME gives the same
/// copy); it is looked at, not kept, and must stay loaded. May be called by any thread.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_API. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_api_from_library(
    library: *mut c_void,
    api: *mut ironhouse_api_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out api);
        if library.is_null() {
            return Err(null("library"));
        }
        // SAFETY: the caller's library, by contract.
        let table = unsafe { ironhouse_api_t::look_up(library) }?;
        api.write(table);
        Ok(())
    })
}

/// The version of the libzmq behind a table, which need not be that of the headers that the host was built with.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_API. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_api_zmq_version(
    api: *const ironhouse_api_t,
    major: *mut c_int,
    minor: *mut c_int,
    patch: *mut c_int,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(api api);
        for place in [major, minor, patch] {
            if place.is_null() {
                return Err(null("version"));
            }
        }
        // SAFETY: zmq_version writes three ints, each through a pointer that is not NULL.
        unsafe { (api.version)(major, minor, patch) };
        Ok(())
    })
}

/// Whether the libzmq behind a table has a capability, as zmq_has() names them: "curve", "gssapi", "ipc".
///
/// Answers IRONHOUSE_UNSUPPORTED if not.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT, IRONHOUSE_BAD_API, IRONHOUSE_UNSUPPORTED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_api_zmq_has(
    api: *const ironhouse_api_t,
    capability: *const c_char,
    capability_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(api api, text capability[capability_length] as name);
        let c_name = crate::arguments::c_text(name);
        // SAFETY: zmq_has reads a C string.
        if unsafe { (api.has)(c_name.as_ptr()) } == 1 {
            return Ok(());
        }
        Err(Failure::new(
            ironhouse_result_t::IRONHOUSE_UNSUPPORTED,
            format!("this libzmq was built without {name}"),
        ))
    })
}

/// The file that the libzmq behind a table was loaded from; for one that is linked statically, the program.
///
/// Writes at most `size` bytes, the NUL at the end among them, and the text's length without it to `length`, if that is not NULL.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BUFFER_TOO_SMALL, IRONHOUSE_BAD_API, IRONHOUSE_NOT_FOUND. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_api_zmq_file(
    api: *const ironhouse_api_t,
    file: *mut c_char,
    size: usize,
    length: *mut usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(api api, buffer file[size, length]);
        match ironhouse::socket::library_of(api)? {
            Some(path) => file.write(&path.to_string_lossy()),
            None => Err(Failure::new(
                IRONHOUSE_NOT_FOUND,
                "the system does not know which file this libzmq is from",
            )),
        }
    })
}
