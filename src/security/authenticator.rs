//! `Authenticator`: decides, for all sockets of a context, who may connect.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::address::PeerAddress;
use super::audit::AuditEvents;
use super::explain::Explanation;
use super::handler::{Handler, Limits};
use super::policy::Policy;
use super::zap::{Credential, ZapRequest};
use crate::error::{Error, Result};
use crate::socket::Context;

const DEADLINE: Duration = Duration::from_secs(10);
const THREADS: usize = 32;

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
            limits: Limits {
                deadline: DEADLINE,
                threads: THREADS,
            },
        }
    }

    /// Sets the policy of the domain `name`, and answers the domain to secure sockets with. An earlier policy is replaced, for its
    /// sockets too; connections that stand are not judged anew. In force when this returns.
    ///
    /// # Errors
    /// [`Error::InvalidDomain`] unless the name is 1 to 255 ASCII characters, none of them a control character.
    pub fn domain(&self, name: &str, policy: Policy) -> Result<Domain> {
        // libzmq ignores the handler for a socket without a domain, and aborts over one with PLAIN: there is no empty domain.
        if name.is_empty() || name.len() > 255 || !name.bytes().all(|b| (b' '..=b'~').contains(&b))
        {
            return Err(Error::InvalidDomain(name.to_owned()));
        }
        let name: Arc<str> = name.into();
        self.0.shared().set_domain(name.clone(), policy);
        Ok(Domain {
            handler: self.0.clone(),
            name,
        })
    }

    /// Sets the policy of all domains that have none, as that of sockets opened by other means than this library. In force when this returns.
    pub fn set_fallback(&self, policy: Policy) {
        self.0.shared().set_fallback(policy);
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
            address: address.clone(),
            credential,
        };
        self.0.shared().explain(&request)
    }

    /// A reader of every decision from now on.
    pub fn events(&self) -> AuditEvents {
        self.0.shared().audit.subscribe()
    }

    /// Has the thread panic, so that a test can see that nobody gets in then.
    #[doc(hidden)]
    pub fn crash_for_test(&self) {
        self.0.shared().crash();
    }
}

/// Starts an [`Authenticator`] with limits of its own.
#[derive(Debug)]
#[must_use = "start() starts it"]
pub struct AuthenticatorBuilder {
    context: Context,
    limits: Limits,
}

impl AuthenticatorBuilder {
    /// How long a decision may take before the peer is told to try again; 10 s unless set. Keep it below the servers'
    /// [`HANDSHAKE_IVL`](crate::socket::options::HANDSHAKE_IVL), after which libzmq gives up by itself.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.limits.deadline = deadline;
        self
    }

    /// How many callbacks may run at a time; 32 unless set, 1 at least. Their threads are started as they are needed.
    pub fn callback_threads(mut self, threads: usize) -> Self {
        self.limits.threads = threads.max(1);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// As [`Authenticator::start`].
    pub fn start(self) -> Result<Authenticator> {
        Handler::start(&self.context, self.limits)
            .map(Arc::new)
            .map(Authenticator)
    }
}

impl Domain {
    /// The domain's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Replaces the policy. In force when this returns; connections that stand are not judged anew.
    pub fn set_policy(&self, policy: Policy) {
        self.handler.shared().set_domain(self.name.clone(), policy);
    }

    /// Replaces the policy by what `change` makes of the one in force, which nobody else changes meanwhile: so rules can be added
    /// and removed one by one. In force when this returns. `change` must not use the authenticator.
    pub fn update(&self, change: impl FnOnce(Policy) -> Policy) {
        self.handler.shared().update_domain(&self.name, change);
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
