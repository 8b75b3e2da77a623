//! `Policy`: who may connect to the sockets of one domain.

mod judgement;

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use judgement::check_password;
pub(crate) use judgement::{Judgement, Question};

use super::address::{AddressRule, AddressSet, PeerAddress};
use super::audit::Reason;
use super::clock::Reading;
use super::explain::Trace;
use super::generation::Hook;
use super::gssapi::GssapiPolicy;
use super::keys::PublicKey;
use super::passwords::{PasswordFile, Proof};
use super::store::CertificateStore;
use super::validity::{Date, Validity};
use super::verdict::{Callback, Outcome, Peer, Reply, Verdict};
use super::zap::{Credential, Metadata, StatusCode, UserId, Whence, ZapRequest};

/// Who may connect to the sockets of one domain: by address, mechanism and credential, in this order.
///
/// A new policy refuses everybody; each method opens one door:
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::{CurvePolicy, Policy};
/// let policy = Policy::new().allow("10.0.0.0/8".parse()?).curve(CurvePolicy::any_key());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Policy {
    allow: AddressSet,
    deny: AddressSet,
    null: bool,
    plain: Option<Arc<PasswordFile>>,
    curve: Option<CurvePolicy>,
    gssapi: Option<GssapiPolicy>,
    refusals: [Refusal; 4],
    /// Whether who is locked out is told so for good.
    locks_out_for_good: bool,
}

/// The rules of a policy, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The peer's address must not be on the deny list.
    DenyList,
    /// The peer's address must be on the allow list, unless that is empty.
    AllowList,
    /// The policy must take the peer's mechanism.
    Mechanism,
    /// The peer must not be [locked out](super::Lockout), unless it is admitted by a key in a store, or without a credential.
    LockOut,
    /// The peer's credential must be good.
    Credential,
}

/// What a refused peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Refusal {
    /// Status 400: libzmq's client never connects again by itself, though its `send` goes on succeeding. A certificate added
    /// later helps only a client that disconnects and connects anew.
    #[default]
    Final,
    /// Status 300: the connection stays open and silent until the *server's* [`HANDSHAKE_IVL`](crate::socket::options::HANDSHAKE_IVL)
    /// ends; then libzmq's client connects again, for ever. That option is the delay of the retry.
    Retry,
}

/// Which keys a [`Policy`] admits.
#[derive(Clone)]
pub struct CurvePolicy(Keys);

#[derive(Clone)]
enum Keys {
    Any,
    Stores(Vec<Arc<CertificateStore>>),
    Callback(Callback<Peer>),
}

impl Policy {
    /// A policy that refuses everybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Admits peers of these addresses only, and of those that other calls allow. Without any, the address does not matter.
    ///
    /// Blocks of IP addresses name no peer over ipc, nor `uid:` and `gid:` one over IP: with either kind alone, the other peers are refused.
    pub fn allow(mut self, rule: AddressRule) -> Self {
        self.allow.insert(rule);
        self
    }

    /// Refuses peers of these addresses, whatever else allows them.
    pub fn deny(mut self, rule: AddressRule) -> Self {
        self.deny.insert(rule);
        self
    }

    /// Takes back one [`allow`](Self::allow) of exactly this rule. With the last of them gone, the address does not matter.
    pub fn remove_allow(mut self, rule: &AddressRule) -> Self {
        self.allow.remove(rule);
        self
    }

    /// Takes back one [`deny`](Self::deny) of exactly this rule.
    pub fn remove_deny(mut self, rule: &AddressRule) -> Self {
        self.deny.remove(rule);
        self
    }

    /// The addresses that are allowed; all, where there is none.
    pub fn allowed(&self) -> &AddressSet {
        &self.allow
    }

    /// The addresses that are denied.
    pub fn denied(&self) -> &AddressSet {
        &self.deny
    }

    /// Admits peers without any credential, by their address alone: the NULL mechanism.
    pub fn null(mut self) -> Self {
        self.null = true;
        self
    }

    /// Admits peers that know a name and its password. Both travel in clear text.
    pub fn plain(mut self, passwords: impl Into<Arc<PasswordFile>>) -> Self {
        self.plain = Some(passwords.into());
        self
    }

    /// Admits peers by their public key.
    pub fn curve(mut self, keys: CurvePolicy) -> Self {
        self.curve = Some(keys);
        self
    }

    /// Admits peers by their Kerberos principal.
    ///
    /// libzmq up to 4.3.5 lets in over GSSAPI whomever a policy refuses (its issue 4912). There a policy that takes GSSAPI must take
    /// every peer: [`GssapiPolicy::any_principal`], and no rules on addresses. Another is refused by whatever it is given to
    /// ([`Error::GssapiRefusal`](crate::Error::GssapiRefusal)).
    pub fn gssapi(mut self, principals: GssapiPolicy) -> Self {
        self.gssapi = Some(principals);
        self
    }

    /// What peers are told that any rule refuses; [`Refusal::Final`] unless set. Not those who are locked out: that passes, so they are told
    /// [`Refusal::Retry`], unless [`refusal_by`](Self::refusal_by) sets something else.
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.refusals = [refusal; 4];
        self
    }

    /// What peers are told that this rule refuses.
    pub fn refusal_by(mut self, rule: Rule, refusal: Refusal) -> Self {
        let [deny, allow, mechanism, credential] = &mut self.refusals;
        *match rule {
            Rule::DenyList => deny,
            Rule::AllowList => allow,
            Rule::Mechanism => mechanism,
            Rule::LockOut => {
                self.locks_out_for_good = refusal == Refusal::Final;
                return self;
            }
            Rule::Credential => credential,
        } = refusal;
        self
    }

    /// Judges a request from what is in memory; `trace` is told of each rule asked.
    pub(crate) fn judge(
        &self,
        request: &ZapRequest<'_>,
        reading: &mut Reading<'_>,
        trace: &mut impl Trace,
    ) -> Judgement {
        if let Some(refused) = self.judge_address(&request.address, trace) {
            return refused;
        }
        let mechanism = request.credential.mechanism();
        let passed = match request.credential {
            Credential::Null => self.null,
            Credential::Plain { .. } => self.plain.is_some(),
            Credential::Curve(_) => self.curve.is_some(),
            Credential::Gssapi { .. } => self.gssapi.is_some(),
        };
        trace.asked(Rule::Mechanism, passed, || {
            format!(
                "the policy {} {mechanism}",
                if passed { "takes" } else { "does not take" }
            )
        });
        match (&request.credential, &self.plain, &self.curve, &self.gssapi) {
            (Credential::Null, ..) if self.null => {
                Judgement::Decided(Outcome::admitted(UserId::default(), Metadata::new()))
            }
            (Credential::Plain { name, password }, Some(passwords), ..) => {
                let refused = self.refused(Rule::Credential, Reason::WrongPassword);
                if !passwords.is_quick() {
                    return Judgement::Ask(Box::new(Question::Password {
                        passwords: passwords.clone(),
                        name: name.to_vec(),
                        password: Zeroizing::new(password.to_vec()),
                        refused,
                    }));
                }
                let outcome = check_password(passwords, name.to_vec(), password, refused);
                let passed = outcome.reason == Reason::Admitted;
                trace.asked(Rule::Credential, passed, || outcome.reason.to_string());
                Judgement::Decided(outcome)
            }
            (Credential::Curve(key), _, Some(CurvePolicy(keys)), _) => {
                self.judge_key(*key, keys, request, reading, trace)
            }
            (Credential::Gssapi { principal }, .., Some(principals)) => {
                let refused = |reason| self.refused(Rule::Credential, reason);
                principals.judge(principal, request, refused, trace)
            }
            _ => self.refuse(Rule::Mechanism, Reason::MechanismNotAllowed),
        }
    }

    /// Judges a request for which a user who is locked out gave a password: that is not looked at.
    pub(crate) fn judge_locked_out_user(
        &self,
        request: &ZapRequest<'_>,
        reading: &mut Reading<'_>,
        trace: &mut impl Trace,
    ) -> Judgement {
        if self.plain.is_none() {
            return self.judge(request, reading, trace);
        }
        if let Some(refused) = self.judge_address(&request.address, trace) {
            return refused;
        }
        trace.asked(Rule::Mechanism, true, || "the policy takes PLAIN".into());
        Judgement::Decided(self.lock_out(trace))
    }

    /// Refuses a peer that is locked out.
    pub(crate) fn lock_out(&self, trace: &mut impl Trace) -> Outcome {
        trace.asked(Rule::LockOut, false, || {
            "too many attempts from this address, or with this name or key, have failed lately"
                .into()
        });
        self.refused(Rule::LockOut, Reason::LockedOut)
    }

    fn judge_address(&self, address: &Whence<'_>, trace: &mut impl Trace) -> Option<Judgement> {
        // What cannot be read cannot be compared: where addresses matter, it is none of the good ones.
        let readable = || !matches!(**address, PeerAddress::Unknown(_));
        let denied = matching(&self.deny, address);
        let passed = self.deny.is_empty() || (denied.is_none() && readable());
        trace.asked(Rule::DenyList, passed, || match denied {
            Some(rule) => format!("{address} is denied by {rule}"),
            None if !passed => format!("{address} cannot be compared with the deny list"),
            None if self.deny.is_empty() => "the deny list is empty".into(),
            None => format!("{address} is not on the deny list"),
        });
        if !passed {
            return Some(self.refuse(Rule::DenyList, Reason::AddressDenied));
        }
        let allowed = matching(&self.allow, address);
        let passed = self.allow.is_empty() || allowed.is_some();
        trace.asked(Rule::AllowList, passed, || match allowed {
            Some(rule) => format!("{address} is allowed by {rule}"),
            None if passed => "the allow list is empty, so any address will do".into(),
            None => format!("{address} is not on the allow list"),
        });
        (!passed).then(|| self.refuse(Rule::AllowList, Reason::AddressNotAllowed))
    }

    /// Whether one who was admitted would be refused now, as far as memory tells: of a password there is only the proof, and no callback
    /// is asked.
    pub(crate) fn would_refuse(
        &self,
        request: &ZapRequest<'_>,
        proof: Option<&Proof>,
        reading: &mut Reading<'_>,
    ) -> bool {
        match &request.credential {
            Credential::Plain { .. } => {
                let confirmed = self.plain.as_ref().zip(proof);
                !confirmed.is_some_and(|(passwords, proof)| passwords.confirms(proof))
                    || self.judge_address(&request.address, &mut ()).is_some()
            }
            _ => match self.judge(request, reading, &mut ()) {
                Judgement::Decided(outcome) => outcome.reply.status != StatusCode::Success,
                Judgement::NotInStores { .. } => true,
                Judgement::Ask(_) => false,
            },
        }
    }

    /// Which principals it admits, if it takes GSSAPI.
    pub(crate) fn principals(&self) -> Option<&GssapiPolicy> {
        self.gssapi.as_ref()
    }

    /// Calls `hook` after each change of the keys and users that it admits.
    pub(crate) fn hook(&self, hook: &Hook) {
        self.stores().for_each(|store| store.hook(hook));
        if let Some(passwords) = &self.plain {
            passwords.hook(hook);
        }
    }

    /// The stores that hold the keys it admits.
    pub(crate) fn stores(&self) -> impl Iterator<Item = &Arc<CertificateStore>> {
        match &self.curve {
            Some(CurvePolicy(Keys::Stores(stores))) => stores.iter(),
            _ => [].iter(),
        }
    }

    fn judge_key(
        &self,
        key: PublicKey,
        keys: &Keys,
        request: &ZapRequest<'_>,
        reading: &mut Reading<'_>,
        trace: &mut impl Trace,
    ) -> Judgement {
        if key.usable().is_err() {
            trace.asked(Rule::Credential, false, || {
                "a key of zeros belongs to nobody".into()
            });
            return self.refuse(Rule::Credential, Reason::UnknownKey);
        }
        match keys {
            Keys::Any => {
                trace.asked(Rule::Credential, true, || "any key will do".into());
                Judgement::Decided(Outcome::admitted(UserId::Key(key), Metadata::new()))
            }
            Keys::Stores(stores) => {
                let mut refused = None;
                for certificate in stores.iter().filter_map(|store| store.lookup(&key)) {
                    let life = certificate.validity();
                    let admits = reading.admits(&life);
                    trace.asked(Rule::Credential, admits.is_ok(), || {
                        describe(&key, &life, reading)
                    });
                    match admits {
                        Ok(()) => {
                            return Judgement::Decided(Outcome::admitted(
                                UserId::Key(key),
                                certificate.properties(),
                            ));
                        }
                        Err(reason) => refused = Some(reason),
                    }
                }
                if refused.is_none() {
                    trace.asked(Rule::Credential, false, || {
                        let fingerprint = key.fingerprint();
                        format!("there is no certificate with the key {key} ({fingerprint})")
                    });
                }
                let reason = refused.unwrap_or(Reason::UnknownKey);
                Judgement::NotInStores {
                    stores: stores.clone(),
                    refused: self.refused(Rule::Credential, reason),
                }
            }
            Keys::Callback(callback) => {
                let peer = Peer {
                    domain: request.domain.unwrap_or_default().to_owned(),
                    address: request.address.clone(),
                    key,
                };
                let refused = self.refused(Rule::Credential, Reason::CallbackRefused);
                let user_id = UserId::Key(key);
                Judgement::Ask(Question::callback(callback, peer, user_id, refused))
            }
        }
    }

    fn refuse(&self, rule: Rule, reason: Reason) -> Judgement {
        Judgement::Decided(self.refused(rule, reason))
    }

    fn refused(&self, rule: Rule, reason: Reason) -> Outcome {
        let [deny, allow, mechanism, credential] = self.refusals;
        let refusal = match rule {
            Rule::DenyList => deny,
            Rule::AllowList => allow,
            Rule::Mechanism => mechanism,
            Rule::LockOut if self.locks_out_for_good => Refusal::Final,
            Rule::LockOut => Refusal::Retry,
            Rule::Credential => credential,
        };
        let status = match refusal {
            Refusal::Final => StatusCode::AuthenticationFailure,
            Refusal::Retry => StatusCode::TemporaryError,
        };
        Outcome::refused(status, reason)
    }
}

impl CurvePolicy {
    /// Admits whoever encrypts, without asking who it is ("Stonehouse").
    pub fn any_key() -> Self {
        Self(Keys::Any)
    }

    /// Admits the keys of the certificates in `store` ("Ironhouse"). The certificate's metadata, but for its `signature`, are
    /// properties of every message that the peer sends. When each admits, its [`Validity`](super::Validity) says.
    pub fn store(store: impl Into<Arc<CertificateStore>>) -> Self {
        Self::stores([store.into()])
    }

    /// Admits the keys of the certificates in any of `stores`; the first that has one which admits now gives the metadata.
    pub fn stores(stores: impl IntoIterator<Item = Arc<CertificateStore>>) -> Self {
        Self(Keys::Stores(stores.into_iter().collect()))
    }

    /// Admits whom `callback` admits. It runs on a thread of the authenticator's pool and delays nobody but its own peer; one that
    /// panics, or does not return before the authenticator's deadline, admits nobody.
    ///
    /// A callback that owns a [`Domain`](super::Domain) or socket of its own authenticator keeps it alive for ever.
    pub fn callback(callback: impl Fn(&Peer) -> Verdict + Send + Sync + 'static) -> Self {
        Self::deferred(move |peer, reply| reply.answer(callback(&peer)))
    }

    /// As [`callback`](Self::callback), but the answer may be given later, by any thread: for programs that ask another service.
    pub fn deferred(callback: impl Fn(Peer, Reply) + Send + Sync + 'static) -> Self {
        Self(Keys::Callback(Arc::new(callback)))
    }
}

impl fmt::Debug for CurvePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Keys::Any => f.write_str("CurvePolicy::any_key()"),
            Keys::Stores(stores) => write!(f, "CurvePolicy::stores({stores:?})"),
            Keys::Callback(_) => f.write_str("CurvePolicy::callback(..)"),
        }
    }
}

/// The rule that names the address, which is read only where there are rules.
fn matching(rules: &AddressSet, address: &Whence<'_>) -> Option<AddressRule> {
    if rules.is_empty() {
        return None;
    }
    rules.matching(address)
}

/// What there is to say of a certificate, for an explanation.
fn describe(key: &PublicKey, life: &Validity, reading: &mut Reading<'_>) -> String {
    let fingerprint = key.fingerprint();
    let mut text = format!("there is a certificate with the key {key} ({fingerprint})");
    if life.is_disabled() {
        text += ", which is disabled";
    } else if *life != Validity::new() {
        let (now, skew) = reading.shown();
        text += &format!(", valid {life}; it is {}, give or take {skew:?}", Date(now));
    }
    text
}
