//! Decisions by C's callbacks: who asks, and what is answered.

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::{Arc, Mutex};

use ironhouse::security::{GssapiPeer, Peer, Reply, Verdict};

use crate::arguments::{arguments, c_text};
use crate::boundary::boundary;
use crate::callback::{UserData, no_unwinding};
use crate::handle::{Handle, destroy, lock, make, take};
use crate::result::ironhouse_result_t::{self, IRONHOUSE_INVALID_ARGUMENT};
use crate::result::{Failure, Result};

/// A decision: admit the peer.
pub const IRONHOUSE_ADMIT: c_int = 200;
/// A decision: not now; the peer comes back.
pub const IRONHOUSE_RETRY: c_int = 300;
/// A decision: refuse the peer.
pub const IRONHOUSE_REFUSE: c_int = 400;
/// A decision: something broke; the peer does not come back by itself.
pub const IRONHOUSE_FAIL: c_int = 500;

/// Who wants to be admitted. Texts are valid until the callback returns.
#[repr(C)]
pub struct ironhouse_peer_t {
    /// Size of this structure in bytes, as the library knows it: later versions add fields at its end.
    pub size: usize,
    /// The domain of the socket that the peer wants to connect to.
    pub domain: *const c_char,
    /// Where it is: an IP address, or `localhost:uid:gid:pid`.
    pub address: *const c_char,
    /// Its public key in Z85, which it has proven to be its own (CURVE); else NULL.
    pub public_key: *const c_char,
    /// Its Kerberos principal, which it has proven to be (GSSAPI); else NULL.
    pub principal: *const c_char,
}

/// The answer to one peer.
pub struct ironhouse_reply_t(());

impl Handle for ironhouse_reply_t {
    type Value = Mutex<Answer>;
    const NAME: &'static str = "reply";
}

/// What is answered.
#[derive(Default)]
pub struct Answer {
    /// Where to; with nothing here the peer has its answer, or is told to try again.
    reply: Option<Reply>,
    user_id: Option<String>,
    properties: Vec<(String, String)>,
}

/// How many properties a reply takes: it has no room for more that are worth the name.
const MOST: usize = 1024;

impl Answer {
    fn give(&mut self, status: c_int) {
        let mut verdict = match status {
            IRONHOUSE_ADMIT => Verdict::admit(),
            IRONHOUSE_RETRY => Verdict::retry(),
            IRONHOUSE_FAIL => Verdict::fail(),
            // What it says is not known, so it admits nobody.
            _ => Verdict::refuse(),
        };
        if let Some(user_id) = self.user_id.take() {
            verdict = verdict.user_id(user_id);
        }
        for (name, value) in self.properties.drain(..) {
            verdict = verdict.metadata(name, value);
        }
        if let Some(reply) = self.reply.take() {
            reply.answer(verdict);
        }
    }
}

/// Decides on a peer: returns IRONHOUSE_ADMIT, IRONHOUSE_REFUSE, IRONHOUSE_RETRY or IRONHOUSE_FAIL; anything else refuses.
///
/// It is called by threads of the library, several at a time, and delays its own peer alone. A peer whose decision takes longer than the
/// authenticator's deadline is told to try again, and an authenticator that is destroyed does not wait for longer either. `reply` takes what
/// an admitted peer's messages shall carry, and is destroyed when the callback returns. It must not unwind.
pub type ironhouse_decide_fn = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        peer: *const ironhouse_peer_t,
        reply: *mut ironhouse_reply_t,
    ) -> c_int,
>;

/// Is told of a peer, and has the decision given later, by any thread, through ironhouse_reply_answer().
///
/// It is called by threads of the library, several at a time. Each reply must be answered or destroyed, also when it is too late. It must not
/// unwind.
pub type ironhouse_ask_fn = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        peer: *const ironhouse_peer_t,
        reply: *mut ironhouse_reply_t,
    ),
>;

/// A peer as texts for C.
pub(crate) struct PeerTexts {
    domain: CString,
    address: CString,
    public_key: Option<CString>,
    principal: Option<CString>,
}

impl From<&Peer> for PeerTexts {
    fn from(peer: &Peer) -> Self {
        Self {
            domain: c_text(&peer.domain),
            address: c_text(&peer.address.to_string()),
            public_key: Some(c_text(&peer.key.to_string())),
            principal: None,
        }
    }
}

impl From<&GssapiPeer> for PeerTexts {
    fn from(peer: &GssapiPeer) -> Self {
        Self {
            domain: c_text(&peer.domain),
            address: c_text(&peer.address.to_string()),
            public_key: None,
            principal: Some(c_text(&peer.principal)),
        }
    }
}

impl PeerTexts {
    fn peer(&self) -> ironhouse_peer_t {
        let text = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
        ironhouse_peer_t {
            size: size_of::<ironhouse_peer_t>(),
            domain: self.domain.as_ptr(),
            address: self.address.as_ptr(),
            public_key: text(&self.public_key),
            principal: text(&self.principal),
        }
    }
}

/// A callback that decides at once.
pub(crate) fn deciding<P>(
    decide: ironhouse_decide_fn,
    user_data: UserData,
) -> Result<impl Fn(P, Reply) + Send + Sync + 'static>
where
    for<'a> PeerTexts: From<&'a P>,
{
    let decide = decide.ok_or_else(|| crate::handle::null("decide"))?;
    Ok(move |peer: P, reply: Reply| {
        let texts = PeerTexts::from(&peer);
        let answer = Arc::new(Mutex::new(Answer {
            reply: Some(reply),
            ..Answer::default()
        }));
        // Without a handle the reply is dropped, which tells the peer to try again.
        let Ok(number) = make::<ironhouse_reply_t>(answer.clone()) else {
            return;
        };
        let handle = number as *mut ironhouse_reply_t;
        let peer = texts.peer();
        // SAFETY: the caller's function and data, by contract; the peer's texts live until it returns.
        let status = no_unwinding(|| unsafe { decide(user_data.get(), &peer, handle) });
        // Gone where the callback has answered by itself.
        drop(take(handle));
        lock(&answer).give(status);
    })
}

/// A callback whose answer comes later.
pub(crate) fn asking<P>(
    ask: ironhouse_ask_fn,
    user_data: UserData,
) -> Result<impl Fn(P, Reply) + Send + Sync + 'static>
where
    for<'a> PeerTexts: From<&'a P>,
{
    let ask = ask.ok_or_else(|| crate::handle::null("ask"))?;
    Ok(move |peer: P, reply: Reply| {
        let texts = PeerTexts::from(&peer);
        let answer = Answer {
            reply: Some(reply),
            ..Answer::default()
        };
        let Ok(number) = make::<ironhouse_reply_t>(Arc::new(Mutex::new(answer))) else {
            return;
        };
        let peer = texts.peer();
        // SAFETY: the caller's function and data, by contract; the peer's texts live until it returns.
        no_unwinding(|| unsafe { ask(user_data.get(), &peer, number as *mut ironhouse_reply_t) });
    })
}

/// Sets the User-Id of an admitted peer's messages (zmq_msg_gets(message, "User-Id")), in the place of its key or principal.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_reply_set_user_id(
    reply: *mut ironhouse_reply_t,
    user_id: *const c_char,
    user_id_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle reply as answer, text user_id[user_id_length]);
        lock(&answer).user_id = Some(user_id.to_owned());
        Ok(())
    })
}

/// Adds a property to an admitted peer's messages (zmq_msg_gets()).
///
/// Names are 1 to 255 bytes and none of libzmq's own; all together take at most 64 KiB. A peer whose properties break that is told to try again.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_BAD_TEXT, IRONHOUSE_INVALID_ARGUMENT. Ownership: both are
/// copied. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_reply_add_property(
    reply: *mut ironhouse_reply_t,
    name: *const c_char,
    name_length: usize,
    value: *const c_char,
    value_length: usize,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle reply as answer, text name[name_length], text value[value_length]);
        let mut answer = lock(&answer);
        if answer.properties.len() == MOST {
            return Err(Failure::new(
                IRONHOUSE_INVALID_ARGUMENT,
                format!("a reply takes {MOST} properties at most"),
            ));
        }
        answer.properties.push((name.to_owned(), value.to_owned()));
        Ok(())
    })
}

/// Answers a peer, and destroys the reply; the pointer is NULL afterwards.
///
/// `status` is IRONHOUSE_ADMIT, IRONHOUSE_REFUSE, IRONHOUSE_RETRY or IRONHOUSE_FAIL; anything else refuses. An answer after the authenticator's
/// deadline comes too late: the peer was told to try again.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_reply_answer(
    reply: *mut *mut ironhouse_reply_t,
    status: c_int,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out reply);
        let answer = take(reply.read())?;
        reply.write(std::ptr::null_mut());
        lock(&answer).give(status);
        Ok(())
    })
}

/// Destroys a reply without an answer, which tells the peer to try again; the pointer is NULL afterwards.
///
/// Does nothing if it is NULL.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_reply_destroy(
    reply: *mut *mut ironhouse_reply_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(out reply);
        destroy(reply)
    })
}
