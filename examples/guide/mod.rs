//! What the examples from the ZeroMQ Guide share: keys for both sides, and threads that end with their example.

use std::thread::{self, JoinHandle};

use ironhouse::security::{
    Authenticator, CertificateStore, CurvePolicy, Domain, Policy, PublicKey, SecretCertificate,
};
use ironhouse::{Context, Error, Result};

/// Who may talk to whom. In earnest the certificates are files: see the examples `ironhouse_server` and `ironhouse_client`.
pub struct Keys {
    /// Of those who bind.
    pub server: SecretCertificate,
    /// The public half of it, which clients must know.
    pub server_key: PublicKey,
    /// Of those who connect.
    pub client: SecretCertificate,
    /// Admits `client`, and nobody else.
    pub domain: Domain,
}

impl Keys {
    pub fn new(context: &Context) -> Result<Self> {
        let (server, client) = (
            SecretCertificate::generate()?,
            SecretCertificate::generate()?,
        );
        let store = CertificateStore::in_memory();
        store.insert(client.certificate().clone())?;
        let policy = Policy::new().curve(CurvePolicy::store(store));
        let domain = Authenticator::start(context)?.domain("guide", policy)?;
        Ok(Self {
            server_key: *server.public_key(),
            server,
            client,
            domain,
        })
    }
}

/// Threads that work until this is dropped: it shuts the context down, which ends their calls, and waits for them.
pub struct Background(Context, Vec<JoinHandle<()>>);

impl Background {
    pub fn new(context: &Context) -> Self {
        Self(context.clone(), Vec::new())
    }

    pub fn spawn(&mut self, work: impl FnOnce() -> Result<()> + Send + 'static) {
        self.1.push(thread::spawn(move || match work() {
            Ok(()) | Err(Error::Terminated) => {}
            Err(error) => eprintln!("{error}"),
        }));
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            eprintln!("{error}");
        }
        for thread in self.1.drain(..) {
            let _ = thread.join(); // it has said itself why it panicked
        }
    }
}
