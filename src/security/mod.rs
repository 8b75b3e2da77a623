//! Keys, certificates, stores, policies, and the authenticator that applies them.
//!
//! # The five patterns
//! Each keeps out more than the one before; the programs of these names are in `examples/`.
//!
//! ```text
//!               who gets in                          what is read on the way    Policy::new()…           mechanisms
//!  Grasslands   anybody                              everything                 none                     none
//!  Strawhouse   who comes from certain addresses     everything                 .null().allow(..)        NullServer
//!  Woodhouse    who knows a user's password          everything, passwords too  .plain(..)               PlainServer, PlainClient
//!  Stonehouse   anybody who knows the server's key   nothing                    .curve(any_key())        CurveServer, CurveClient
//!  Ironhouse    whose certificate is in the store    nothing                    .curve(store(..))        CurveServer, CurveClient
//! ```
//!
//! # What is where
//! ```text
//!   files                        in force                       asked for each handshake
//!   certificates ──► CertificateStore ──┐
//!   passwords ─────► PasswordFile ──────┼──► Policy of a domain ──► Authenticator ◄── ZAP ── libzmq ◄── a peer shakes hands
//!   ironhouse.toml ► Config ────────────┘                             │    │    │
//!                    (all are watched: a change                       │    │    └── Domain ──► CurveServer … ──► SocketBuilder::secure
//!                     on disk is a change of                          │    └── peers(), revoke(): who is in, and who no longer
//!                     who is in)                                      └── AuditEvents, JsonLines, Counters, Health, explain()
//! ```
//!
//! # A handshake
//! ```text
//!   client              libzmq's I/O thread            ZAP thread                          workers (32 at most)
//!     │ ── mechanism ──────► │                              │                                   │
//!     │    (CURVE: the key   │ ── address, key ───────────► │ deny list, allow list,            │
//!     │    is proven first)  │                              │ mechanism, then the credential:   │
//!     │                      │ ◄── 200, User-Id, metadata ──│ · memory knows: at once           │
//!     │ ◄── READY ────────── │                              │ · not in the store: once its      │
//!     │                      │                              │   watcher has seen all changes    │
//!     │                      │                              │ · a callback, a password hash ──► │ decides
//!     │ ◄── ERROR ────────── │ ◄── 400: for good ────────── │                                   │
//!     │    (silence) ······· │ ◄── 300: try again ──────────│ ◄── late, stuck or panicking: 300 │
//! ```
//! A verdict of one handshake waits for no other's. After 300 the client comes back by itself, once the *server's*
//! [`HANDSHAKE_IVL`](crate::socket::options::HANDSHAKE_IVL) has ended; after 400 and 500 libzmq's client never does.

mod address;
mod arrivals;
mod audit;
mod authenticator;
mod borrowed;
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
mod listener;
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
#[doc(hidden)]
pub use borrowed::{enforce as enforce_borrowed, listen_to_fed_handshakes, listen_to_handshakes};
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
pub use listener::AuditListener;
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
