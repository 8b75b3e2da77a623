//! Audit events, for C's callbacks.

use std::ffi::{CString, c_char, c_int, c_void};

use ironhouse::security::{AuditEvent, Decision};

use crate::arguments::c_text;
use crate::callback::{UserData, no_unwinding};
use crate::handle::null;
use crate::result::Result;

/// Something that an authenticator did. Texts are valid until the callback returns, and hold no secret.
#[repr(C)]
pub struct ironhouse_event_t {
    /// Size of this structure in bytes, as the library knows it: later versions add fields at its end.
    pub size: usize,
    /// What happened, in a word for machines: "decision", "malformed", "closed", "clock_jumped", "locked_out", "config_changed", "config_refused",
    /// "handler_died"; later versions may add some.
    pub name: *const c_char,
    /// The same in a line for people.
    pub text: *const c_char,
    /// Of a decision: IRONHOUSE_ADMIT, IRONHOUSE_RETRY, IRONHOUSE_REFUSE or IRONHOUSE_FAIL; else 0.
    pub status: c_int,
    /// Of a decision: why, in a word for machines; else NULL.
    pub reason: *const c_char,
    /// Of a decision: the domain; else NULL.
    pub domain: *const c_char,
    /// Of a decision: where the peer is; else NULL.
    pub address: *const c_char,
    /// Of a decision: "NULL", "PLAIN", "CURVE" or "GSSAPI"; else NULL.
    pub mechanism: *const c_char,
    /// Of a decision: the user's name, public key in Z85 or principal; NULL, where the peer presented none.
    pub identity: *const c_char,
}

/// Is told of an event. It must not unwind.
pub type ironhouse_event_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, event: *const ironhouse_event_t)>;

/// A decision's texts for C.
struct DecisionTexts {
    reason: CString,
    domain: CString,
    address: CString,
    mechanism: CString,
    identity: Option<CString>,
}

impl From<&Decision> for DecisionTexts {
    fn from(decision: &Decision) -> Self {
        Self {
            reason: c_text(decision.reason.name()),
            domain: c_text(&decision.domain),
            address: c_text(&decision.address.to_string()),
            mechanism: c_text(&decision.mechanism.to_string()),
            identity: decision.identity.name().map(|name| c_text(&name)),
        }
    }
}

/// What hands events on to C.
pub(crate) fn listening(
    listen: ironhouse_event_fn,
    user_data: UserData,
) -> Result<impl FnMut(AuditEvent) + Send + 'static> {
    let listen = listen.ok_or_else(|| null("listen"))?;
    Ok(move |event: AuditEvent| {
        let (name, text) = (c_text(event.name()), c_text(&event.to_string()));
        let decision = match &event {
            AuditEvent::Decision(decision) => Some(decision),
            _ => None,
        };
        let texts = decision.map(DecisionTexts::from);
        let pointer = |of: fn(&DecisionTexts) -> Option<&CString>| {
            let text = texts.as_ref().and_then(of);
            text.map_or(std::ptr::null(), |text| text.as_ptr())
        };
        let event = ironhouse_event_t {
            size: size_of::<ironhouse_event_t>(),
            name: name.as_ptr(),
            text: text.as_ptr(),
            status: decision.map_or(0, |decision| decision.status.number().into()),
            reason: pointer(|texts| Some(&texts.reason)),
            domain: pointer(|texts| Some(&texts.domain)),
            address: pointer(|texts| Some(&texts.address)),
            mechanism: pointer(|texts| Some(&texts.mechanism)),
            identity: pointer(|texts| texts.identity.as_ref()),
        };
        // SAFETY: the caller's function and data, by contract; the event's texts live until it returns.
        no_unwinding(|| unsafe { listen(user_data.get(), &event) });
    })
}
