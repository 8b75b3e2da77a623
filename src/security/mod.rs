//! Keys, certificates, stores, policies, and the authenticator that applies them.

mod address;
mod arrivals;
mod audit;
mod authenticator;
mod bulk;
mod candidates;
mod certificate;
mod clock;
mod config;
mod connections;
mod counters;
mod directory;
mod endpoint;
mod events;
mod explain;
mod faults;
mod file;
mod fingerprint;
/// Promises of the parsers, for `fuzz/` and the unit tests.
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod generation;
mod gssapi;
mod handler;
mod hash;
mod health;
mod holders;
mod json;
mod jsonl;
mod keyfile;
mod keys;
mod limits;
mod lockout;
mod lockouts;
mod mark;
mod mechanism;
mod memory;
mod meter;
mod pass;
mod passwords;
mod peers;
mod pending;
mod pins;
mod policy;
mod probe;
mod revocations;
mod revoke;
pub mod rotation;
mod secret_source;
mod signing;
mod slots;
mod store;
#[cfg(test)]
mod testing;
mod traces;
mod trail;
mod trust;
mod validity;
mod verdict;
mod watcher;
mod workers;
mod zap;
mod zpl;

pub use address::{AddressRule, AddressSet, Cidr, PeerAddress};
pub use audit::{AuditEvent, AuditEvents, Decision, Reason};
pub use authenticator::{Authenticator, AuthenticatorBuilder, Domain};
pub use candidates::ConnectedPeer;
pub use certificate::{Certificate, SecretCertificate};
pub use config::{Config, ConfigProblem, ConfiguredAuthenticator};
pub use connections::{ConnectionLimit, ExcessConnection};
pub use counters::Counters;
pub use endpoint::EndpointProblem;
pub use explain::{Explanation, PolicySource, Step};
pub use faults::{FailedHandshake, HandshakeFault};
pub use file::{FileKind, FileProblem};
pub use fingerprint::Fingerprint;
pub use gssapi::{GssapiPeer, GssapiPolicy};
pub use hash::HashProblem;
pub use health::{Expiring, Health, Reload, StoreHealth, ThreadHealth};
pub use jsonl::{AuditFile, JsonLines};
pub use keys::{KeyProblem, Keypair, Password, PasswordProblem, PublicKey, SecretKey};
pub use limits::Limits;
pub use lockout::{LockedOut, Lockout, LockoutSubject};
#[doc(hidden)]
pub use lockouts::LockoutTable;
pub use mechanism::{
    CurveClient, CurveServer, GssapiClient, GssapiName, GssapiServer, NullServer, PlainClient,
    PlainServer,
};
pub use passwords::PasswordFile;
pub use peers::PeerIdentity;
pub use pins::ServerKeys;
pub use policy::{CurvePolicy, Policy, Refusal, Rule};
pub use revocations::{Revocation, RevocationList, RevocationProblem};
pub use revoke::RevocationScope;
pub use secret_source::{SecretProblem, SecretSource};
pub use signing::{SignatureProblem, SigningKey, VerifyKey};
pub use store::{CertificateStore, Watching};
pub use trust::Trust;
pub use validity::{Validity, ValidityProblem};
pub use verdict::{Peer, Reply, Verdict};
pub use zap::{Credential, StatusCode, ZapMechanism, ZapProblem};
pub use zpl::SyntaxProblem;
