//! Audit events as lines of JSON. Source: RFC 8259.

mod line;

use std::time::SystemTime;

use super::audit::{AuditEvent, Decision, Timed};
use super::candidates::ConnectedPeer;
use super::lockout::{LockedOut, LockoutSubject};
use super::peers::PeerIdentity;
use line::{Line, Micros};
pub(super) use line::{Recent, Seconds};

/// Appends the line of an event.
pub(super) fn event_line((time, event): &Timed, recent: &mut Recent, text: &mut String) {
    let mut line = Line::begin(text, recent, *time, event.name());
    match event {
        AuditEvent::Decision(decision) => decision_fields(decision, recent, &mut line),
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

/// Has what the lines of these events need fetched from memory.
pub(super) fn fetch<'e>(events: impl Iterator<Item = &'e Timed>, recent: &Recent) {
    recent.fetch(events.filter_map(|(_, event)| match event {
        AuditEvent::Decision(decision) => match &decision.identity {
            PeerIdentity::Key(key) => Some(key),
            _ => None,
        },
        _ => None,
    }));
}

/// Appends the line that stands for `lost` events which were not written.
pub(super) fn lost_line(time: SystemTime, lost: u64, recent: &mut Recent, text: &mut String) {
    let mut line = Line::begin(text, recent, time, "lost");
    line.raw("lost", lost);
    line.end();
}

/// By far the most lines: what needs no escapes is not searched for any, and what is text already is not displayed.
fn decision_fields(decision: &Decision, recent: &mut Recent, line: &mut Line<'_>) {
    line.append(recent.common(decision, common_fields));
    if let PeerIdentity::Key(key) = &decision.identity {
        line.ascii("identity", &key.to_z85());
        line.ascii("fingerprint", &recent.fingerprint(key).to_ascii());
    } else {
        line.optional("identity", decision.identity.name());
        line.raw("fingerprint", "null");
    }
}

/// Those in which decisions are most often alike.
fn common_fields(decision: &Decision, line: &mut Line<'_>) {
    line.word("verdict", decision.verdict());
    line.raw("status", decision.status);
    line.word("reason", decision.reason.name());
    line.text("domain", &decision.domain);
    line.word("mechanism", decision.mechanism.name());
    line.string("address", &decision.address);
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::security::audit::Reason;
    use crate::security::{
        ConnectionLimit, ExcessConnection, PeerAddress, StatusCode, ZapMechanism, ZapProblem,
    };
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(event: &Timed) -> Value {
        let mut text = String::from("before");
        event_line(event, &mut Recent::new(), &mut text);
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
        lost_line(at, 7, &mut Recent::new(), &mut text);
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
            &mut Recent::new(),
            &mut text,
        );
        let shown = r#""identity":"Zoë 'x' \u001b[31m\u202e\u2028\u007f\ue000\ud834\udd73""#;
        assert!(text.contains(shown), "{text}");
    }

    #[test]
    fn a_line_is_the_same_whatever_came_before() {
        type Change = fn(&mut Decision);
        let changes: [Change; 6] = [
            |it| it.status = StatusCode::TemporaryError,
            |it| it.reason = Reason::Late,
            |it| it.domain = "other".into(),
            |it| it.address = PeerAddress::parse("::1"),
            |it| it.mechanism = ZapMechanism::Gssapi,
            |it| it.identity = PeerIdentity::Principal("ada".into()),
        ];
        let mut recent = Recent::new();
        for change in changes {
            let (time, before) = decision(Some("ada".into()));
            let AuditEvent::Decision(mut changed) = before.clone() else {
                panic!();
            };
            change(&mut changed);
            for event in [before, AuditEvent::Decision(changed)] {
                let (event, mut line, mut fresh) = ((time, event), String::new(), String::new());
                event_line(&event, &mut recent, &mut line);
                event_line(&event, &mut Recent::new(), &mut fresh);
                assert_eq!(line, fresh);
            }
        }
    }

    #[test]
    fn a_key_is_shown_as_everywhere_else() {
        let key = crate::security::PublicKey::from_bytes([7; 32]);
        let (time, AuditEvent::Decision(mut decision)) = decision(None) else {
            panic!();
        };
        decision.identity = PeerIdentity::Key(key);
        decision.mechanism = ZapMechanism::Curve;
        let line = read(&(time, AuditEvent::Decision(decision)));
        assert_eq!(line["mechanism"], "CURVE");
        assert_eq!(line["identity"], key.to_string());
        assert_eq!(line["fingerprint"], key.fingerprint().to_string());
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(identity in ".*|[\\x00-\\x1f\"\\\\\u{80}-\u{10ffff}]*") {
            let value = read(&decision(Some(identity.clone())));
            prop_assert_eq!(value["identity"].as_str(), Some(identity.as_str()));
        }
    }
}
