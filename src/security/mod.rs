//! Keys, certificates, stores, policies, and the authenticator that applies them.

mod address;
mod audit;
mod authenticator;
mod bulk;
mod certificate;
mod directory;
mod events;
mod file;
mod generation;
mod handler;
mod holders;
mod keyfile;
mod keys;
mod mark;
mod mechanism;
mod pass;
mod passwords;
mod policy;
mod store;
mod trail;
mod watcher;
mod workers;
mod zap;
mod zpl;

pub use address::{AddressSet, Cidr, PeerAddress};
pub use audit::{AuditEvent, AuditEvents, Decision, Reason};
pub use authenticator::{Authenticator, Domain};
pub use certificate::{Certificate, SecretCertificate};
pub use file::{FileKind, FileProblem};
pub use keys::{KeyProblem, Keypair, Password, PasswordProblem, PublicKey, SecretKey};
pub use mechanism::{CurveClient, CurveServer, NullServer, PlainClient, PlainServer};
pub use passwords::PasswordFile;
pub use policy::{CurvePolicy, Peer, Policy, Refusal, Verdict};
pub use store::{CertificateStore, Watching};
pub use zap::{StatusCode, ZapMechanism, ZapProblem};
pub use zpl::SyntaxProblem;
