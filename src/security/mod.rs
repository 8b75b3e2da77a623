//! Keys, certificates, stores, policies, and the authenticator that applies them.

pub mod address;
mod audit;
mod authenticator;
pub mod certificate;
pub mod file;
mod handler;
pub mod keys;
mod mechanism;
pub mod passwords;
mod policy;
mod store;
mod workers;
mod zap;
pub mod zpl;

pub use address::{AddressSet, Cidr, PeerAddress};
pub use audit::{AuditEvent, AuditEvents, Decision, Reason};
pub use authenticator::{Authenticator, Domain};
pub use certificate::{Certificate, SecretCertificate};
pub use file::{FileKind, FileProblem};
pub use keys::{KeyProblem, Keypair, Password, PasswordProblem, PublicKey, SecretKey};
pub use mechanism::{CurveClient, CurveServer, NullServer, PlainClient, PlainServer};
pub use passwords::PasswordFile;
pub use policy::{CurvePolicy, Peer, Policy, Refusal, Verdict};
pub use zap::{StatusCode, ZapMechanism, ZapProblem};
pub use zpl::SyntaxProblem;
