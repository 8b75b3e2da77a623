//! Kerberos principals: whom a policy admits by GSSAPI, and whether the libzmq at hand heeds its refusals.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Weak};

use super::address::PeerAddress;
use super::audit::Reason;
use super::explain::Trace;
use super::policy::{Judgement, Policy, Question, Rule};
use super::verdict::{Callback, Outcome, Reply, Verdict};
use super::zap::{Metadata, UserId, ZapRequest};
use crate::error::{Error, Result};

/// The last libzmq that lets in over GSSAPI whomever its ZAP handler refuses (issue 4912 of libzmq).
const IGNORES_REFUSALS: (i32, i32, i32) = (4, 3, 5);

/// What a callback is told of a peer that comes by GSSAPI. Its principal is proven: libzmq asks only after the peer has shown a ticket
/// for the server's service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GssapiPeer {
    /// The domain of the socket that it wants to connect to.
    pub domain: String,
    /// Where it is.
    pub address: PeerAddress,
    /// Its principal, as `ada@EXAMPLE.ORG`.
    pub principal: String,
}

/// Which Kerberos principals a [`Policy`](super::Policy) admits.
#[derive(Clone)]
pub struct GssapiPolicy(Principals);

#[derive(Clone)]
enum Principals {
    Any,
    Listed(Arc<HashSet<String>>),
    Callback(Callback<GssapiPeer>),
}

impl GssapiPolicy {
    /// Admits whoever has a ticket for the server: everybody in the realm, and in the realms that it trusts. The principal is the
    /// [`user_id`](crate::Message::user_id) of every message.
    ///
    /// The only one that libzmq up to 4.3.5 carries out.
    pub fn any_principal() -> Self {
        Self(Principals::Any)
    }

    /// Admits these principals, written as Kerberos does: `ada@EXAMPLE.ORG`, `zmq/host.example@EXAMPLE.ORG`.
    pub fn principals<P: Into<String>>(principals: impl IntoIterator<Item = P>) -> Self {
        let principals = principals.into_iter().map(Into::into).collect();
        Self(Principals::Listed(Arc::new(principals)))
    }

    /// Admits whom `callback` admits; as [`CurvePolicy::callback`](super::CurvePolicy::callback).
    pub fn callback(callback: impl Fn(&GssapiPeer) -> Verdict + Send + Sync + 'static) -> Self {
        Self::deferred(move |peer, reply| reply.answer(callback(&peer)))
    }

    /// As [`callback`](Self::callback), but the answer may be given later, by any thread.
    pub fn deferred(callback: impl Fn(GssapiPeer, Reply) + Send + Sync + 'static) -> Self {
        Self(Principals::Callback(Arc::new(callback)))
    }

    /// Judges a peer that has proven to be `principal`. Any principal is decided at once, and by 200: that is what makes it safe with
    /// a libzmq that ignores refusals.
    pub(crate) fn judge(
        &self,
        principal: &[u8],
        request: &ZapRequest<'_>,
        refused: impl Fn(Reason) -> Outcome,
        trace: &mut impl Trace,
    ) -> Judgement {
        let user_id = || UserId::Text(principal.to_vec());
        let admitted = || Judgement::Decided(Outcome::admitted(user_id(), Metadata::new()));
        // Kerberos escapes what is no text; what still is none can be on no list, and no callback could tell it from others.
        let name = std::str::from_utf8(principal).ok();
        match (&self.0, name) {
            (Principals::Any, _) => {
                trace.asked(Rule::Credential, true, || "any principal will do".into());
                admitted()
            }
            (Principals::Listed(listed), Some(name)) if listed.contains(name) => {
                trace.asked(Rule::Credential, true, || {
                    format!("the principal {name:?} is on the list")
                });
                admitted()
            }
            (Principals::Callback(callback), Some(name)) => {
                let peer = GssapiPeer {
                    domain: request.domain.unwrap_or_default().to_owned(),
                    address: request.address.clone(),
                    principal: name.to_owned(),
                };
                let refused = refused(Reason::CallbackRefused);
                Judgement::Ask(Question::callback(callback, peer, user_id(), refused))
            }
            (Principals::Listed(_) | Principals::Callback(_), _) => {
                trace.asked(Rule::Credential, false, || {
                    format!(
                        "the principal {:?} is not on the list",
                        String::from_utf8_lossy(principal)
                    )
                });
                Judgement::Decided(refused(Reason::UnknownPrincipal))
            }
        }
    }
}

impl fmt::Debug for GssapiPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Principals::Any => f.write_str("GssapiPolicy::any_principal()"),
            Principals::Listed(listed) => write!(f, "GssapiPolicy::principals({listed:?})"),
            Principals::Callback(_) => f.write_str("GssapiPolicy::callback(..)"),
        }
    }
}

/// What in this policy could refuse a peer over GSSAPI; `None` where it takes every principal from everywhere, which memory tells at
/// once.
fn could_refuse(policy: &Policy) -> Option<&'static str> {
    if !policy.denied().is_empty() {
        return Some("its deny list is not empty");
    }
    if !policy.allowed().is_empty() {
        return Some("its allow list is not empty");
    }
    match policy.principals().map(|principals| &principals.0) {
        Some(Principals::Any) => None,
        Some(Principals::Listed(_)) => Some("it takes the principals of a list only"),
        Some(Principals::Callback(_)) => Some("a callback decides on principals"),
        None => Some("it does not take GSSAPI"),
    }
}

/// The domains that guard GSSAPI servers, and what this libzmq makes of their policies.
#[derive(Default)]
pub(crate) struct GssapiServers {
    /// The version of the libzmq that asks.
    libzmq: (i32, i32, i32),
    /// What the servers of a domain hold.
    held: HashMap<Arc<str>, Weak<()>>,
}

impl GssapiServers {
    pub(crate) fn new(libzmq: (i32, i32, i32)) -> Self {
        Self {
            libzmq,
            held: HashMap::new(),
        }
    }

    /// Whether `policy`, of this domain or the fallback, may be set: where it is asked by GSSAPI, or takes it, its decisions must be
    /// what libzmq does.
    ///
    /// # Errors
    /// [`Error::GssapiRefusal`].
    pub(crate) fn check(&self, domain: Option<&str>, policy: &Policy) -> Result<()> {
        let held = domain.and_then(|name| self.held.get(name));
        if policy.principals().is_some() || held.is_some_and(|held| held.strong_count() > 0) {
            self.carries_out(domain, policy)
        } else {
            Ok(())
        }
    }

    /// Has [`check`](Self::check) know of one more server of this domain, as long as the result lives.
    ///
    /// # Errors
    /// [`Error::GssapiRefusal`] where the domain's policy is one that libzmq does not carry out.
    pub(crate) fn hold(&mut self, domain: &Arc<str>, policy: &Policy) -> Result<Arc<()>> {
        self.carries_out(Some(domain), policy)?;
        let held = self.held.entry(domain.clone()).or_default();
        let hold = held.upgrade().unwrap_or_default();
        *held = Arc::downgrade(&hold);
        Ok(hold)
    }

    fn carries_out(&self, domain: Option<&str>, policy: &Policy) -> Result<()> {
        match could_refuse(policy) {
            Some(rule) if self.libzmq <= IGNORES_REFUSALS => Err(Error::GssapiRefusal {
                policy: domain.map_or("the fallback".into(), |name| format!("domain {name:?}")),
                rule,
                libzmq: self.libzmq,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::audit::Audit;
    use super::super::clock::{Clock, Reading, Source};
    use super::super::keys::PublicKey;
    use super::super::policy::CurvePolicy;
    use super::super::zap::{Credential, StatusCode};
    use super::*;

    const OLD: [(i32, i32, i32); 3] = [(4, 3, 0), (4, 3, 4), (4, 3, 5)];
    const NEW: [(i32, i32, i32); 3] = [(4, 3, 6), (4, 4, 0), (5, 0, 0)];

    fn any() -> Policy {
        Policy::new().gssapi(GssapiPolicy::any_principal())
    }

    /// Each could refuse a principal, by another rule.
    fn doubtful() -> [Policy; 4] {
        let callback = GssapiPolicy::callback(|_| Verdict::admit());
        [
            any().deny("192.0.2.1".parse().unwrap()),
            any().allow("0.0.0.0/0".parse().unwrap()),
            Policy::new().gssapi(GssapiPolicy::principals(["ada@REALM"])),
            Policy::new().gssapi(callback),
        ]
    }

    #[test]
    fn a_policy_that_could_refuse_a_principal_is_refused_up_to_4_3_5_only() {
        for version in OLD {
            let servers = GssapiServers::new(version);
            assert!(servers.check(Some("d"), &any()).is_ok());
            for policy in doubtful() {
                assert!(servers.check(Some("d"), &policy).is_err(), "{policy:?}");
                let text = servers.check(None, &policy).unwrap_err().to_string();
                let (major, minor, patch) = version;
                assert!(
                    text.starts_with("the policy of the fallback: ")
                        && text.contains(&format!("libzmq {major}.{minor}.{patch} "))
                        && text.contains("newer than 4.3.5"),
                    "{text}"
                );
            }
        }
        for version in NEW {
            let mut servers = GssapiServers::new(version);
            let _held = servers.hold(&"d".into(), &Policy::new()).unwrap();
            for policy in doubtful() {
                assert!(servers.check(Some("d"), &policy).is_ok(), "{policy:?}");
            }
        }
    }

    #[test]
    fn a_policy_without_gssapi_is_free_unless_a_server_holds_its_domain() {
        let curve = Policy::new()
            .deny("192.0.2.1".parse().unwrap())
            .curve(CurvePolicy::any_key());
        let mut servers = GssapiServers::new((4, 3, 5));
        let [house, other] = ["house", "other"].map(Arc::<str>::from);
        assert!(servers.check(Some("house"), &curve).is_ok());
        assert!(servers.hold(&house, &curve).is_err());
        assert!(servers.check(Some("house"), &curve).is_ok());

        let [first, second] = [(); 2].map(|()| servers.hold(&house, &any()).unwrap());
        assert!(servers.hold(&other, &any()).is_ok());
        for held in [Some(first), Some(second), None] {
            assert_eq!(servers.check(Some("house"), &curve).is_ok(), held.is_none());
            assert!(servers.check(Some("other"), &curve).is_ok());
            assert!(servers.check(None, &curve).is_ok());
        }
    }

    /// The judgement of a policy that asks no clock.
    fn decide(policy: &Policy, request: &ZapRequest<'_>) -> Judgement {
        let clock = Clock::new(Source::default(), Duration::ZERO, Arc::new(Audit::new()));
        policy.judge(request, &mut Reading::new(&clock), &mut ())
    }

    /// What becomes of a principal, asked as by the authenticator.
    fn judge(policy: &Policy, principal: &[u8]) -> Outcome {
        let request = ZapRequest {
            domain: Some("d"),
            address: PeerAddress::parse("?").into(),
            credential: Credential::Gssapi { principal },
        };
        match decide(policy, &request) {
            Judgement::Decided(outcome) => outcome,
            Judgement::Ask(question) => {
                let (sender, answer) = std::sync::mpsc::channel();
                question.ask(move |outcome| sender.send(outcome).unwrap());
                answer.recv().unwrap()
            }
            Judgement::NotInStores { .. } => panic!("a principal is in no store"),
        }
    }

    fn is(user_id: UserId, principal: &[u8]) -> bool {
        matches!(user_id, UserId::Text(text) if text == principal)
    }

    #[test]
    fn any_principal_is_admitted_at_once_whatever_its_name_and_address() {
        let policy = any().curve(CurvePolicy::stores([]));
        assert_eq!(could_refuse(&policy), None);
        for principal in [&b"ada@REALM"[..], b"", b"\xff\xfe", &[b'a'; 5000]] {
            let outcome = judge(&policy, principal);
            assert_eq!(outcome.reply.status, StatusCode::Success);
            assert!(is(outcome.reply.user_id, principal));
        }
    }

    #[test]
    fn principals_are_told_apart_by_list_and_callback() {
        let listed = Policy::new().gssapi(GssapiPolicy::principals(["ada@REALM", "\u{fffd}"]));
        let callback = Policy::new().gssapi(GssapiPolicy::callback(|peer| {
            if peer.principal == "ada@REALM" {
                Verdict::admit().metadata("role", "reader")
            } else {
                Verdict::refuse()
            }
        }));
        for (policy, reason) in [
            (listed, Reason::UnknownPrincipal),
            (callback, Reason::CallbackRefused),
        ] {
            let outcome = judge(&policy, b"ada@REALM");
            assert_eq!(outcome.reason, Reason::Admitted);
            assert!(is(outcome.reply.user_id, b"ada@REALM"));
            for other in ["ada@realm", "ada@REALM.TEST", "ada", "", "ada@REALM\0"] {
                assert_eq!(judge(&policy, other.as_bytes()).reason, reason, "{other}");
            }
            // Not text, so not to be taken for what looks like it.
            assert_eq!(judge(&policy, b"\xff").reason, Reason::UnknownPrincipal);
        }
    }

    #[test]
    fn a_principal_is_no_other_credential() {
        for (policy, credential) in [
            (any(), Credential::Null),
            (any(), Credential::Curve(PublicKey::from_bytes([7; 32]))),
            (
                Policy::new().null().curve(CurvePolicy::any_key()),
                Credential::Gssapi {
                    principal: b"ada@REALM",
                },
            ),
        ] {
            let request = ZapRequest {
                domain: Some("d"),
                address: PeerAddress::parse("192.0.2.1").into(),
                credential,
            };
            let Judgement::Decided(outcome) = decide(&policy, &request) else {
                panic!("{credential:?} is decided at once");
            };
            assert_eq!(outcome.reason, Reason::MechanismNotAllowed);
        }
    }

    /// The thread and `explain`, as they are with a libzmq that heeds refusals.
    #[cfg(feature = "linked")]
    #[test]
    fn an_explanation_agrees_with_the_answer() {
        use crate::security::handler::{Handler, Settings};
        use crate::security::limits::Limits;
        use crate::security::revoke::RevocationScope;
        use crate::socket::{Context, SocketType, options};

        let context = Context::new().unwrap();
        let settings = Settings {
            deadline: Duration::from_secs(10),
            threads: 1,
            scope: RevocationScope::default(),
            libzmq: NEW[0],
            skew: Duration::ZERO,
            limits: Limits::off(),
        };
        let handler = Handler::start(&context, settings, Source::default()).unwrap();
        let domain: Arc<str> = "d".into();
        let _held = handler.shared().hold_for_gssapi(&domain).unwrap();
        let asker = context
            .socket(SocketType::Dealer)
            .set(options::RCV_TIMEO, Some(Duration::from_secs(30)))
            .open()
            .unwrap();
        asker.connect("inproc://zeromq.zap.01").unwrap();
        let callback = GssapiPolicy::callback(|peer| match &*peer.principal {
            "ada@REALM" => Verdict::admit(),
            "eve@REALM" => Verdict::retry(),
            _ => Verdict::refuse(),
        });
        let policies =
            doubtful()
                .into_iter()
                .chain([any(), Policy::new().null(), any().gssapi(callback)]);
        for policy in policies {
            handler
                .shared()
                .set_domain(&domain, policy.clone())
                .unwrap();
            for principal in [&b"ada@REALM"[..], b"eve@REALM", b"bob@REALM", b"\xff"] {
                for address in ["192.0.2.1", "192.0.2.2", "localhost:1:2:3", "?"] {
                    let explained = handler.shared().explain(&ZapRequest {
                        domain: Some("d"),
                        address: PeerAddress::parse(address).into(),
                        credential: Credential::Gssapi { principal },
                    });
                    let head = ["", "1.0", "1", "d", address, "", "GSSAPI"].map(str::as_bytes);
                    let frames = head.into_iter().chain([principal]);
                    asker.send_multipart(frames).unwrap();
                    let answer = asker.recv_multipart().unwrap();
                    let status = explained.status.to_string();
                    assert_eq!(answer[3], status, "{policy:?} {principal:?} {address}");
                    let user_id = if status == "200" { principal } else { b"" };
                    assert_eq!(
                        &answer[5][..],
                        user_id,
                        "{policy:?} {principal:?} {address}"
                    );
                    assert!(explained.steps.iter().all(|step| !step.detail.is_empty()));
                }
            }
        }
    }
}
