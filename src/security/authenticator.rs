//! `Authenticator`: decides, for all sockets of a context, who may connect.

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use super::address::PeerAddress;
use super::audit::{Audit, AuditEvents};
use super::candidates::ConnectedPeer;
use super::clock::{self, Source};
use super::counters::Counters;
use super::explain::Explanation;
use super::handler::{Handler, Settings};
use super::health::Health;
use super::keys::PublicKey;
use super::limits::Limits;
use super::lockout::LockedOut;
use super::peers::{PeerIdentity, SocketWatch};
use super::policy::Policy;
use super::revoke::RevocationScope;
use super::zap::{Credential, ZapRequest};
use crate::error::{Error, Result};
use crate::socket::{Context, MonitorFeed, check_borrowed, watch_borrowed};

pub(super) const DEADLINE: Duration = Duration::from_secs(10);
pub(super) const THREADS: usize = 32;

/// No deadline is longer, whatever is asked for: libzmq's own time for a handshake ends before that.
const LONGEST_DEADLINE: Duration = Duration::from_millis(i32::MAX as u64);

/// Decides, for all secured sockets of a context, who may connect: a ZAP handler on a thread of its own.
///
/// A handle: the thread ends when it, its [`Domain`]s and all sockets secured with them are dropped. Where a domain has no policy and
/// no [fallback](Self::set_fallback) is set, it refuses.
///
/// Source: RFC 27/ZAP.
#[doc(alias = "zauth")]
#[doc(alias = "ZAP")]
pub struct Authenticator(Arc<Handler>);

/// A ZAP domain of a running authenticator: what a server's mechanism is made with.
#[derive(Clone)]
pub struct Domain {
    handler: Arc<Handler>,
    name: Arc<str>,
}

impl Authenticator {
    /// Starts the authenticator of `context`.
    ///
    /// # Errors
    /// [`Error::HandlerExists`] if the context has one already, ours or another; [`Error::Zmq`] or [`Error::Os`] where a socket or
    /// thread cannot be had; [`Error::Terminated`] after the context was shut down.
    pub fn start(context: &Context) -> Result<Self> {
        Self::builder(context).start()
    }

    /// An authenticator of `context` with limits of its own.
    pub fn builder(context: &Context) -> AuthenticatorBuilder {
        AuthenticatorBuilder {
            context: context.clone(),
            settings: Settings {
                deadline: DEADLINE,
                threads: THREADS,
                scope: RevocationScope::default(),
                skew: clock::SKEW,
                libzmq: context.version(),
                limits: Limits::off(),
            },
            clock: Source::default(),
        }
    }

    /// Sets the policy of the domain `name`, and answers the domain to secure sockets with. An earlier policy is replaced, for its
    /// sockets too. In force when this returns.
    ///
    /// Peers that are connected and that the new policy refuses are put out moments later: by address, by mechanism, by key, and users
    /// whose line in the [`PasswordFile`](super::PasswordFile) is not the one that they were admitted by. Not judged anew are keys that a
    /// callback admitted, which is not asked again: put those out by [`revoke`](Self::revoke), or have them come back and be judged by
    /// [`disconnect`](Self::disconnect).
    ///
    /// # Errors
    /// [`Error::InvalidDomain`] unless the name is 1 to 255 ASCII characters, none of them a control character;
    /// [`Error::GssapiRefusal`] for a policy that this libzmq would not carry out, see [`Policy::gssapi`]. The one in force stays then.
    pub fn domain(&self, name: &str, policy: Policy) -> Result<Domain> {
        if !is_domain(name) {
            return Err(Error::InvalidDomain(name.to_owned()));
        }
        let name: Arc<str> = name.into();
        self.0.shared().set_domain(&name, policy)?;
        Ok(Domain {
            handler: self.0.clone(),
            name,
        })
    }

    /// Sets the policy of all domains that have none, as that of sockets opened by other means than this library. In force when this returns.
    ///
    /// libzmq up to 4.3.5 lets GSSAPI peers in to such sockets whatever it says: guard those by a [`GssapiServer`](super::GssapiServer).
    ///
    /// # Errors
    /// [`Error::GssapiRefusal`] for a policy that this libzmq would not carry out, see [`Policy::gssapi`]. The one in force stays then.
    pub fn set_fallback(&self, policy: Policy) -> Result<()> {
        self.0.shared().set_fallback(policy)
    }

    /// Refuses `key` from now on in every domain, whatever its policy or store says, until [`unrevoke`](Self::unrevoke); and closes its
    /// connections.
    ///
    /// The next handshake after the return is refused (status 400). Connections to sockets of this library are closed moments later, and
    /// what the peer sent and the program did not receive by then is dropped; whom else that may hit, the
    /// [scope](AuthenticatorBuilder::revocation) says. A receive that waits goes on waiting when all there is was dropped: after a poll, use
    /// [`try_recv`](crate::Socket::try_recv).
    ///
    /// The same becomes of the connections of a key whose certificate leaves its store or ends, of a user whose password changes or who is
    /// removed, and of peers that a new policy refuses, as long as they are refused.
    ///
    /// Not closed are connections that the server itself made ([`connect`](crate::Socket::connect)), from which messages are dropped just
    /// the same, and those of sockets that were opened by other means than this library. A [`proxy`](crate::socket::proxy) reads messages
    /// by itself: it passes on what was received before a connection was closed.
    pub fn revoke(&self, key: &PublicKey) {
        self.0.shared().revoke(*key);
    }

    /// Takes back [`revoke`](Self::revoke): policies decide on `key` again. Whether it was revoked.
    pub fn unrevoke(&self, key: &PublicKey) -> bool {
        self.0.shared().unrevoke(key)
    }

    /// Closes the connections of all peers whom `is_meant` picks, as [`revoke`](Self::revoke) does, and forbids nothing: they connect again,
    /// and are judged anew. For those whom a callback admitted, which does not tell when it would not any more.
    ///
    /// A decision that is being made meanwhile stands: let the callback know first.
    pub fn disconnect(&self, is_meant: impl Fn(&PeerIdentity) -> bool) {
        self.0.shared().peers.disconnect(is_meant);
    }

    /// Who is locked out, by the [`Lockout`](super::Lockout) of its [limits](AuthenticatorBuilder::limits). Of users, keys and principals, 4096 are
    /// listed at most.
    pub fn lockouts(&self) -> Vec<LockedOut> {
        let lockouts = self.0.shared().lockouts.as_ref();
        lockouts.map_or_else(Vec::new, |lockouts| lockouts.list())
    }

    /// Ends the lock-out of the block of addresses that `address` is in, and of all users there, and forgets their failures. Whether
    /// anybody was locked out.
    pub fn unlock(&self, address: &PeerAddress) -> bool {
        let lockouts = self.0.shared().lockouts.as_ref();
        lockouts.is_some_and(|lockouts| lockouts.unlock_address(address))
    }

    /// Ends the lock-out of `key` in every domain, and forgets its failures. Whether it was locked out.
    pub fn unlock_key(&self, key: &PublicKey) -> bool {
        let lockouts = self.0.shared().lockouts.as_ref();
        lockouts.is_some_and(|lockouts| lockouts.unlock_key(key))
    }

    /// Who is connected to the secured sockets of this library, oldest first; who connects or leaves at this moment may be missing or
    /// listed.
    pub fn peers(&self) -> Vec<ConnectedPeer> {
        self.0.shared().peers.connected()
    }

    /// What would become of a peer, and by which rules: without a handshake, by the code that decides in earnest.
    ///
    /// Asks callbacks, and waits for stores to be current, for at most the deadline of a decision. Leaves no audit event.
    pub fn explain(
        &self,
        domain: &str,
        address: &PeerAddress,
        credential: Credential<'_>,
    ) -> Explanation {
        let request = ZapRequest {
            domain: Some(domain),
            address: address.clone().into(),
            credential,
        };
        self.0.shared().explain(&request)
    }

    /// Believes the system's clock again, whatever it has shown before: for when it was wrong, ran ahead, and was set back, as
    /// [`AuditEvent::ClockJumped`](super::AuditEvent::ClockJumped) told. Certificates whose end only that wrong clock had passed admit again.
    pub fn trust_clock(&self) {
        self.0.shared().clock.trust();
    }

    /// A reader of every decision from now on.
    ///
    /// With the feature `tracing`, the same events go to the subscriber that is the calling thread's default when the authenticator is
    /// started, or else to the global one, with the target `ironhouse`: admissions at the level info, the death of the thread at error, all
    /// else at warn. A decision has the fields `domain`, `mechanism`, `address`, `identity`, `fingerprint`, `status` and `reason`. They are
    /// handed over by a thread of their own: a subscriber that is slow delays nobody, and misses what goes beyond its queue.
    pub fn events(&self) -> AuditEvents {
        self.0.shared().audit.subscribe()
    }

    /// A reader of every event from now on, and of every handshake with a secured socket of this library that fails without a decision
    /// ([`AuditEvent::HandshakeFailed`](super::AuditEvent)): by a wrong key, another mechanism, silence. To find out why somebody cannot
    /// connect.
    ///
    /// For the audit there is [`events`](Self::events): anybody who reaches the port can make handshakes fail at no cost, and so many that
    /// a reader misses something else.
    pub fn handshakes(&self) -> AuditEvents {
        self.0.shared().audit.subscribe_to_handshakes()
    }

    /// A domain that has its policy already.
    pub(super) fn existing_domain(&self, name: Arc<str>) -> Domain {
        Domain {
            handler: self.0.clone(),
            name,
        }
    }

    pub(super) fn handler(&self) -> &Handler {
        &self.0
    }

    /// How many decisions were made since the start, and of what kind. Costs nothing worth mentioning; asks nobody.
    ///
    /// With the feature `metrics`, these go through the `metrics` facade to the recorder that is installed globally, before the authenticator
    /// is started. Labels take few values: `domain` is one that has a policy or else `?`, `verdict` is `admitted`, `deferred` or `refused`,
    /// `reason` a [name](super::Reason::name), `store` the path of a store that a policy uses, or `memory` for all that have none.
    ///
    /// | metric | kind | labels |
    /// |---|---|---|
    /// | `ironhouse_decisions_total` | counter | `domain`, `mechanism`, `verdict`, `reason` |
    /// | `ironhouse_decision_seconds` (from reading a request to its answer) | histogram | `domain`, `mechanism`, `verdict` |
    /// | `ironhouse_pending_decisions` | gauge | |
    /// | `ironhouse_malformed_total` (messages that are no requests) | counter | |
    /// | `ironhouse_closed_total` (connections of peers no longer admitted) | counter | `domain` |
    /// | `ironhouse_excess_connections_total` (closed because there was one too many) | counter | `domain`, `limit` |
    /// | `ironhouse_failed_handshakes_total` (without a decision) | counter | `domain`, `fault` |
    /// | `ironhouse_lockouts_total` (that began) | counter | |
    /// | `ironhouse_audit_dropped_total` (events that readers missed) | counter | |
    /// | `ironhouse_certificates` | gauge | `store` |
    /// | `ironhouse_zap_threads` (alive, one per authenticator) | gauge | |
    /// | `ironhouse_zap_thread_deaths_total` | counter | |
    pub fn counters(&self) -> Counters {
        self.audit().counts.read()
    }

    /// How its thread, the stores that its policies use and the [files](super::JsonLines) of audit events fare.
    ///
    /// Asks the thread for a sign of life, for at most a second. Counts the certificates that were added in memory to a store of files.
    pub fn health(&self) -> Health {
        self.0.shared().health()
    }

    pub(super) fn audit(&self) -> &Audit {
        &self.0.shared().audit
    }

    /// Has the thread panic, so that a test can see that nobody gets in then.
    #[doc(hidden)]
    pub fn crash_for_test(&self) {
        self.0.shared().crash();
    }
}

/// Whether this can be the name of a domain.
// libzmq ignores the handler for a socket without a domain, and aborts over one with PLAIN: there is no empty domain.
pub(super) fn is_domain(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Starts an [`Authenticator`] with limits of its own.
#[derive(Debug)]
#[must_use = "start() starts it"]
pub struct AuthenticatorBuilder {
    context: Context,
    settings: Settings,
    clock: Source,
}

impl AuthenticatorBuilder {
    /// How long a decision may take before the peer is told to try again; 10 s unless set. Keep it below the servers'
    /// [`HANDSHAKE_IVL`](crate::socket::options::HANDSHAKE_IVL), after which libzmq gives up by itself.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline.min(LONGEST_DEADLINE);
        self
    }

    /// How many callbacks may run at a time; 32 unless set, 1 at least. Their threads are started as they are needed.
    ///
    /// A callback keeps its thread until it returns, and others wait where none is left. By Little's law as many are at work as come a second,
    /// times the seconds each takes: where 100 a second take 50 ms, that is 5 on average. Allow for that and four times its square root
    /// (14), as they do not come evenly. A [`deferred`](super::CurvePolicy::deferred) answer keeps no thread.
    pub fn callback_threads(mut self, threads: usize) -> Self {
        self.settings.threads = threads.max(1);
        self
    }

    /// By how much the clocks of those who date certificates and of this machine may differ; 60 s unless set, as machines that keep time over
    /// the network differ by far less. Certificates admit that much earlier than `not-before` and later than `not-after`.
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.settings.skew = skew;
        self
    }

    /// Has the authenticator take `clock` for the system's, so that a test can set it.
    #[doc(hidden)]
    pub fn clock_for_test(
        mut self,
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Self {
        self.clock = Source::wall(clock);
        self
    }

    /// What is closed where a revoked peer's connection cannot be told from others; [`RevocationScope::Address`] unless set.
    pub fn revocation(mut self, scope: RevocationScope) -> Self {
        self.settings.scope = scope;
        self
    }

    /// How much one address may take up, and all of them together; [`Limits::off`] unless set.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// As [`Authenticator::start`]; [`Error::InvalidOption`] for limits that cannot be meant.
    pub fn start(self) -> Result<Authenticator> {
        Handler::start(&self.context, self.settings, self.clock)
            .map(Arc::new)
            .map(Authenticator)
    }
}

impl Domain {
    /// The domain's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Replaces the policy, as [`Authenticator::domain`] does.
    ///
    /// # Errors
    /// [`Error::GssapiRefusal`] for a policy that this libzmq would not carry out: one that takes GSSAPI, or is that of an open
    /// [`GssapiServer`](super::GssapiServer), and could refuse a principal. The one in force stays then.
    pub fn set_policy(&self, policy: Policy) -> Result<()> {
        self.handler.shared().set_domain(&self.name, policy)
    }

    /// Replaces the policy by what `change` makes of the one in force, which nobody else changes meanwhile: so rules can be added
    /// and removed one by one. In force when this returns, also for those who are connected. `change` must not use the authenticator.
    ///
    /// # Errors
    /// As [`set_policy`](Self::set_policy).
    pub fn update(&self, change: impl FnOnce(Policy) -> Policy) -> Result<()> {
        self.handler.shared().update_domain(&self.name, change)
    }

    /// Keeps the domain's policy one that this libzmq carries out over GSSAPI, as long as the result lives.
    ///
    /// # Errors
    /// [`Error::GssapiRefusal`] where it is none.
    pub(super) fn hold_for_gssapi(&self) -> Result<Arc<()>> {
        self.handler.shared().hold_for_gssapi(&self.name)
    }

    /// A watch over one more socket of the domain, and what says when its messages must be looked at.
    pub(super) fn watch(&self) -> (SocketWatch, Arc<AtomicBool>) {
        self.handler.shared().peers.watch(self.name.clone())
    }

    /// Watches the connections of a host's socket that a mechanism of this domain secures, before the host binds or connects it: they are
    /// [listed](Authenticator::peers), and those of peers who are no longer admitted are closed. What such a peer sent before that the host
    /// receives all the same. This takes libzmq's one monitor of the socket.
    ///
    /// # Safety
    /// `socket` is an open socket in the authenticator's context, which no other thread uses meanwhile.
    ///
    /// # Errors
    /// As [`secure_borrowed`](crate::socket::secure_borrowed).
    #[doc(hidden)]
    #[allow(unsafe_code)]
    pub unsafe fn watch_borrowed(&self, socket: NonNull<c_void>) -> Result<()> {
        let (watch, _) = self.watch();
        // SAFETY: our caller keeps the contract, which is the same.
        unsafe { watch_borrowed(socket, self.context(), Arc::new(watch)) }
    }

    /// The same by what the host's own monitor of the socket tells, which it hands to the feed as it comes, and until that is dropped.
    ///
    /// # Safety
    /// As [`watch_borrowed`](Self::watch_borrowed).
    ///
    /// # Errors
    /// As [`secure_borrowed`](crate::socket::secure_borrowed).
    #[doc(hidden)]
    #[allow(unsafe_code)]
    pub unsafe fn watch_fed(&self, socket: NonNull<c_void>) -> Result<MonitorFeed> {
        // SAFETY: our caller keeps the contract, which is the same.
        unsafe { check_borrowed(socket, self.context().api()) }?;
        let (watch, _) = self.watch();
        Ok(MonitorFeed::to_watch(Arc::new(watch)))
    }

    /// The context whose sockets the authenticator guards.
    pub(crate) fn context(&self) -> &Context {
        self.handler.context()
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator(..)")
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({:?})", self.name)
    }
}
