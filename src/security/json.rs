//! Audit events as lines of JSON. Source: RFC 8259.

use std::fmt::{Display, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::audit::{AuditEvent, Decision, Timed};
use super::candidates::ConnectedPeer;
use super::lockout::{LockedOut, LockoutSubject};
use super::peers::PeerIdentity;
use super::validity::LAST;

/// Appends the line of an event.
pub(super) fn event_line((time, event): &Timed, text: &mut String) {
    let mut line = Line::begin(text, *time, event.name());
    match event {
        AuditEvent::Decision(decision) => decision_fields(decision, &mut line),
        AuditEvent::Malformed(problem) => line.string("problem", problem),
        AuditEvent::Closed(peer) => peer_fields(peer, &mut line),
        AuditEvent::ClockJumped { expected, found } => {
            line.string("expected", Micros(*expected));
            line.string("found", Micros(*found));
        }
        AuditEvent::LockedOut(locked_out) => lockout_fields(locked_out, &mut line),
        AuditEvent::TooManyConnections(closed) => {
            line.string("domain", &closed.domain);
            line.string("address", &closed.address);
            line.string("limit", closed.limit.name());
            line.raw("most", closed.most);
        }
        AuditEvent::HandshakeFailed(failed) => {
            line.string("domain", &failed.domain);
            line.string("endpoint", &failed.endpoint);
            line.string("address", &failed.address);
            line.string("fault", failed.fault.name());
        }
        AuditEvent::ConfigChanged {
            path,
            needs_restart,
        } => {
            line.string("path", path.display());
            line.string("needs_restart", needs_restart.join(" "));
        }
        AuditEvent::ConfigRefused {
            path,
            line: at,
            reason,
        } => {
            line.string("path", path.display());
            match at {
                Some(at) => line.raw("line", at),
                None => line.raw("line", "null"),
            }
            line.string("reason", reason);
        }
        AuditEvent::HandlerDied => {}
    }
    line.end();
}

/// Appends the line that stands for `lost` events which were not written.
pub(super) fn lost_line(time: SystemTime, lost: u64, text: &mut String) {
    let mut line = Line::begin(text, time, "lost");
    line.raw("lost", lost);
    line.end();
}

fn decision_fields(decision: &Decision, line: &mut Line<'_>) {
    line.text("verdict", decision.verdict());
    line.raw("status", decision.status);
    line.text("reason", decision.reason.name());
    line.text("domain", &decision.domain);
    line.string("mechanism", decision.mechanism);
    line.string("address", &decision.address);
    line.optional("identity", decision.identity.name());
    line.optional("fingerprint", decision.fingerprint());
}

fn lockout_fields(locked_out: &LockedOut, line: &mut Line<'_>) {
    let (domain, address, mechanism, identity) = match &locked_out.subject {
        LockoutSubject::Address(address) => (None, Some(address), None, None),
        LockoutSubject::User {
            domain,
            address,
            name,
        } => (
            Some(domain),
            Some(address),
            Some("PLAIN"),
            Some(name.clone()),
        ),
        LockoutSubject::Key { domain, key } => {
            (Some(domain), None, Some("CURVE"), Some(key.to_string()))
        }
        LockoutSubject::Principal { domain, principal } => {
            (Some(domain), None, Some("GSSAPI"), Some(principal.clone()))
        }
    };
    line.optional("domain", domain);
    line.optional("address", address);
    line.optional("mechanism", mechanism);
    line.optional("identity", identity);
    line.raw("seconds", locked_out.remaining.as_secs_f64().ceil());
}

fn peer_fields(peer: &ConnectedPeer, line: &mut Line<'_>) {
    line.string("domain", &peer.domain);
    line.string("address", &peer.address);
    line.string("since", Micros(peer.since));
    line.raw("admitted", peer.admitted);
    line.list("candidates", &peer.candidates, |identity, item| {
        let mechanism = match identity {
            PeerIdentity::Anonymous => "NULL",
            PeerIdentity::User(_) => "PLAIN",
            PeerIdentity::Key(_) => "CURVE",
            PeerIdentity::Principal(_) => "GSSAPI",
        };
        item.text("mechanism", mechanism);
        item.optional("identity", identity.name());
    });
}

/// An object on a line of its own.
struct Line<'a> {
    text: &'a mut String,
    /// Whether a field has been written.
    any: bool,
}

impl<'a> Line<'a> {
    fn begin(text: &'a mut String, time: SystemTime, event: &str) -> Self {
        text.push('{');
        let mut line = Self { text, any: false };
        line.string("time", Micros(time));
        line.text("event", event);
        line
    }

    fn end(self) {
        self.text.push_str("}\n");
    }

    /// Names are our own, and need no escapes.
    fn name(&mut self, name: &str) {
        if std::mem::replace(&mut self.any, true) {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    /// A field whose value is JSON as it displays: a number, `true`, `null`.
    fn raw(&mut self, name: &str, value: impl Display) {
        self.name(name);
        // A `String` takes anything.
        let _ = write!(self.text, "{value}");
    }

    /// A field with a text.
    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.text.push('"');
        let _ = Escaped(self.text).write_str(text);
        self.text.push('"');
    }

    /// A field with the text that its value displays.
    fn string(&mut self, name: &str, value: impl Display) {
        self.name(name);
        self.text.push('"');
        let _ = write!(Escaped(self.text), "{value}");
        self.text.push('"');
    }

    /// The same, or null.
    fn optional(&mut self, name: &str, value: Option<impl Display>) {
        match value {
            Some(value) => self.string(name, value),
            None => self.raw(name, "null"),
        }
    }

    /// A field with a list of objects.
    fn list<T>(&mut self, name: &str, values: &[T], mut fields: impl FnMut(&T, &mut Line<'_>)) {
        self.name(name);
        self.text.push('[');
        for (number, value) in values.iter().enumerate() {
            self.text.push_str(if number > 0 { ",{" } else { "{" });
            let mut item = Line {
                text: self.text,
                any: false,
            };
            fields(value, &mut item);
            self.text.push('}');
        }
        self.text.push(']');
    }
}

/// Writes text between the quotes of a string. Whatever does not show as itself on a terminal is escaped too.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        // All of them are looked at, as that is many at a time.
        if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
            self.0.push_str(text);
            return Ok(());
        }
        for c in text.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                ' '..='~' => self.0.push(c),
                _ if c.escape_debug().len() == 1 => self.0.push(c),
                _ => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(self.0, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether a byte stands for itself, as most do.
fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) & (byte != b'"') & (byte != b'\\')
}

/// A time in UTC with microseconds, as RFC 3339 writes it; the nearest one that it can write.
struct Micros(SystemTime);

impl Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_rfc3339_micros(nearest(self.0)).fmt(f)
    }
}

/// The same, to the second.
pub(super) struct Seconds(pub(super) SystemTime);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_rfc3339_seconds(nearest(self.0)).fmt(f)
    }
}

fn nearest(time: SystemTime) -> SystemTime {
    time.clamp(UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(LAST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::audit::Reason;
    use crate::security::{
        ConnectionLimit, ExcessConnection, PeerAddress, StatusCode, ZapMechanism, ZapProblem,
    };
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(event: &Timed) -> Value {
        let mut text = String::from("before");
        event_line(event, &mut text);
        let line = text.strip_prefix("before").unwrap();
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
        serde_json::from_str(line).unwrap()
    }

    fn decision(identity: Option<String>) -> Timed {
        let time = UNIX_EPOCH + Duration::from_nanos(1_801_396_800_000_001_999);
        let decision = Decision {
            time,
            domain: "iron".into(),
            address: PeerAddress::parse("192.0.2.7"),
            mechanism: ZapMechanism::Plain,
            identity: identity.map_or(PeerIdentity::Anonymous, PeerIdentity::User),
            status: StatusCode::AuthenticationFailure,
            reason: Reason::WrongPassword,
        };
        (time, AuditEvent::Decision(decision))
    }

    #[test]
    fn lines_have_the_fields_that_are_documented() {
        assert_eq!(
            read(&decision(Some("ada".into()))),
            json!({
                "time": "2027-01-31T12:00:00.000001Z", "event": "decision", "verdict": "refused", "status": 400,
                "reason": "wrong_password", "domain": "iron", "mechanism": "PLAIN", "address": "192.0.2.7",
                "identity": "ada", "fingerprint": null,
            })
        );
        assert_eq!(read(&decision(None))["identity"], Value::Null);

        let at = UNIX_EPOCH + Duration::from_secs(1);
        let key = crate::security::PublicKey::from_bytes([7; 32]);
        let peer = ConnectedPeer {
            domain: "iron".into(),
            address: PeerAddress::parse("::1"),
            since: UNIX_EPOCH,
            candidates: vec![
                PeerIdentity::Anonymous,
                PeerIdentity::User("ada".into()),
                PeerIdentity::Key(key),
                PeerIdentity::Principal("ada@EXAMPLE".into()),
            ]
            .into(),
            admitted: true,
        };
        assert_eq!(
            read(&(at, AuditEvent::Closed(peer))),
            json!({
                "time": "1970-01-01T00:00:01.000000Z", "event": "closed", "domain": "iron", "address": "::1",
                "since": "1970-01-01T00:00:00.000000Z", "admitted": true, "candidates": [
                    {"mechanism": "NULL", "identity": null},
                    {"mechanism": "PLAIN", "identity": "ada"},
                    {"mechanism": "CURVE", "identity": key.to_string()},
                    {"mechanism": "GSSAPI", "identity": "ada@EXAMPLE"},
                ],
            })
        );
        assert_eq!(
            read(&(at, AuditEvent::Malformed(ZapProblem::Version)))["problem"],
            "a ZAP request of another version than 1.0"
        );
        assert_eq!(
            read(&(at, AuditEvent::HandlerDied)),
            json!({"time": "1970-01-01T00:00:01.000000Z", "event": "handler_died"})
        );
        let jump = AuditEvent::ClockJumped {
            expected: at,
            found: UNIX_EPOCH,
        };
        assert_eq!(
            read(&(at, jump)),
            json!({
                "time": "1970-01-01T00:00:01.000000Z", "event": "clock_jumped",
                "expected": "1970-01-01T00:00:01.000000Z", "found": "1970-01-01T00:00:00.000000Z",
            })
        );
        let locked_out = |subject| {
            let remaining = Duration::from_millis(1500);
            let mut line = read(&(at, AuditEvent::LockedOut(LockedOut { subject, remaining })));
            let line = line.as_object_mut().unwrap();
            assert_eq!(
                (line.remove("seconds"), line.remove("event")),
                (Some(json!(2)), Some(json!("locked_out")))
            );
            line.remove("time");
            Value::from(line.clone())
        };
        let domain = || "iron".into();
        let subject = LockoutSubject::Address("192.0.2.0/24".parse().unwrap());
        assert_eq!(
            locked_out(subject),
            json!({"domain": null, "address": "192.0.2.0/24", "mechanism": null, "identity": null})
        );
        let subject = LockoutSubject::User {
            domain: domain(),
            address: "192.0.2.7".parse().unwrap(),
            name: "ada".into(),
        };
        assert_eq!(
            locked_out(subject),
            json!({"domain": "iron", "address": "192.0.2.7", "mechanism": "PLAIN", "identity": "ada"})
        );
        let subject = LockoutSubject::Key {
            domain: domain(),
            key,
        };
        assert_eq!(
            locked_out(subject),
            json!({"domain": "iron", "address": null, "mechanism": "CURVE", "identity": key.to_string()})
        );
        let excess = ExcessConnection {
            domain: domain(),
            address: PeerAddress::parse("192.0.2.7"),
            limit: ConnectionLimit::HalfOpen,
            most: 3,
        };
        assert_eq!(
            read(&(at, AuditEvent::TooManyConnections(excess))),
            json!({
                "time": "1970-01-01T00:00:01.000000Z", "event": "too_many_connections", "domain": "iron",
                "address": "192.0.2.7", "limit": "half_open", "most": 3,
            })
        );
        let changed = AuditEvent::ConfigChanged {
            path: "/etc/ironhouse.toml".into(),
            needs_restart: vec!["skew", "scope"],
        };
        assert_eq!(
            read(&(at, changed)),
            json!({
                "time": "1970-01-01T00:00:01.000000Z", "event": "config_changed", "path": "/etc/ironhouse.toml",
                "needs_restart": "skew scope",
            })
        );
        for (line, value) in [(Some(7), json!(7)), (None, Value::Null)] {
            let refused = AuditEvent::ConfigRefused {
                path: "/etc/ironhouse.toml".into(),
                line,
                reason: "an unknown key".into(),
            };
            assert_eq!(
                read(&(at, refused)),
                json!({
                    "time": "1970-01-01T00:00:01.000000Z", "event": "config_refused", "path": "/etc/ironhouse.toml",
                    "line": value, "reason": "an unknown key",
                })
            );
        }
        let mut text = String::new();
        lost_line(at, 7, &mut text);
        assert_eq!(
            text,
            "{\"time\":\"1970-01-01T00:00:01.000000Z\",\"event\":\"lost\",\"lost\":7}\n"
        );
    }

    #[test]
    fn what_would_act_on_a_terminal_is_escaped_and_the_rest_is_legible() {
        let mut text = String::new();
        event_line(
            &decision(Some(
                "Zoë 'x' \u{1b}[31m\u{202e}\u{2028}\u{7f}\u{e000}\u{1d173}".into(),
            )),
            &mut text,
        );
        let shown = r#""identity":"Zoë 'x' \u001b[31m\u202e\u2028\u007f\ue000\ud834\udd73""#;
        assert!(text.contains(shown), "{text}");
    }

    #[test]
    fn times_that_cannot_be_written_are_the_nearest_that_can() {
        let early = UNIX_EPOCH - Duration::from_secs(1);
        let late = UNIX_EPOCH + Duration::from_secs(LAST + 1);
        assert_eq!(Micros(early).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Micros(late).to_string(), "9999-12-31T23:59:59.000000Z");
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(identity in ".*|[\\x00-\\x1f\"\\\\\u{80}-\u{10ffff}]*") {
            let value = read(&decision(Some(identity.clone())));
            prop_assert_eq!(value["identity"].as_str(), Some(identity.as_str()));
        }
    }
}
