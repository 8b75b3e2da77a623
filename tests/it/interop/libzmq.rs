//! Bare libzmq in C: clients that set the socket options themselves, and a server that nobody guards.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use ironhouse::security::{
    CertificateStore, CurveClient, CurvePolicy, PasswordFile, Policy, PublicKey, Reason,
    SecretCertificate,
};
use ironhouse::socket::ProtocolError;

use super::{LOGINS, Peer, Server, build, greet, is_refused, password_file, run};
use crate::common::{SOON, folder, within};

fn program() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    Command::new(PROGRAM.get_or_init(|| build("libzmq_peer", "libzmq")))
}

fn store(known: &SecretCertificate) -> CurvePolicy {
    let store = CertificateStore::in_memory();
    store.insert(known.certificate().clone()).unwrap();
    CurvePolicy::store(store)
}

fn curve_client(
    form: &str,
    keys: &SecretCertificate,
    server_key: &PublicKey,
    endpoint: &str,
) -> Peer {
    run!(
        program(),
        "curve-client",
        form,
        keys.public_key().to_string(),
        *keys.secret().expose_z85(),
        server_key.to_string(),
        endpoint,
    )
}

#[test]
#[ignore = "needs a C compiler and libzmq3-dev"]
fn bare_curve_clients_are_judged_by_key_address_and_mechanism() {
    within(SOON * 4, || {
        let own = SecretCertificate::generate().unwrap();
        let known = SecretCertificate::generate().unwrap();
        let stranger = SecretCertificate::generate().unwrap();
        let policy = Policy::new().curve(store(&known));
        let client = |form: &str, keys: &SecretCertificate, server: &Server| {
            curve_client(form, keys, own.public_key(), &server.endpoint)
        };

        let server = Server::curve("tcp", policy.clone(), &own);
        for form in ["z85", "binary"] {
            server.refuses(client(form, &stranger, &server), Reason::UnknownKey);
            let hello = server.admits(client(form, &known, &server));
            let key = known.public_key().to_string();
            assert_eq!(hello.user_id(), Some(&*key));
        }

        let denied = policy.deny("127.0.0.1".parse().unwrap());
        let server = Server::curve("tcp", denied, &own);
        server.refuses(client("z85", &known, &server), Reason::AddressDenied);

        let server = Server::curve("tcp", Policy::new(), &own);
        server.refuses(client("z85", &known, &server), Reason::MechanismNotAllowed);
    });
}

#[test]
#[ignore = "needs a C compiler and libzmq3-dev"]
fn bare_plain_clients_are_judged_by_password() {
    within(SOON * 4, || {
        let folder = folder();
        let passwords = PasswordFile::load(password_file(folder.path())).unwrap();
        let server = Server::plain(Policy::new().plain(passwords));
        for (name, password, good) in LOGINS {
            let client = run!(program(), "plain-client", name, password, server.endpoint);
            if good {
                assert_eq!(server.admits(client).user_id(), Some(name));
            } else {
                server.refuses(client, Reason::WrongPassword);
            }
        }
    });
}

#[test]
#[ignore = "needs a C compiler and libzmq3-dev"]
fn bare_clients_of_another_mechanism_do_not_reach_the_authenticator() {
    within(SOON * 4, || {
        let own = SecretCertificate::generate().unwrap();
        let any = Policy::new().null().curve(CurvePolicy::any_key());
        let server = Server::curve("tcp", any, &own);
        // Both see the mismatch; who sees it first closes the connection, which may be all that the other sees.
        let mismatch = ProtocolError::MECHANISM_MISMATCH.0;
        let outcomes = [
            format!("HANDSHAKE_FAILED_PROTOCOL {mismatch}"),
            format!("HANDSHAKE_FAILED_NO_DETAIL {}", libc::EPIPE),
        ];
        for client in [
            run!(
                program(),
                "plain-client",
                "admin",
                "secret",
                server.endpoint
            ),
            run!(program(), "null-client", server.endpoint),
        ] {
            let output = client.output();
            assert!(
                output.len() == 1 && outcomes.contains(&output[0]),
                "{output:?}"
            );
        }

        // So the first decision is on the client that comes after them.
        let keys = SecretCertificate::generate().unwrap();
        let client = curve_client("z85", &keys, own.public_key(), &server.endpoint);
        server.admits(client);
    });
}

/// What the other tests show is our doing: libzmq by itself lets the stranger in.
#[test]
#[ignore = "needs a C compiler and libzmq3-dev"]
fn an_unguarded_server_admits_the_stranger_that_ours_refuses() {
    within(SOON * 4, || {
        let own = SecretCertificate::generate().unwrap();
        let known = SecretCertificate::generate().unwrap();
        let stranger = SecretCertificate::generate().unwrap();
        let client = || CurveClient::new(&stranger, *own.public_key());

        let unguarded = run!(program(), "open-server", *own.secret().expose_z85());
        assert_eq!(greet(&unguarded.line(), client()).unwrap(), "World");
        assert_eq!(unguarded.line(), "Hello");

        let guarded = Server::curve("tcp", Policy::new().curve(store(&known)), &own);
        is_refused(&guarded.endpoint, client());
        assert_eq!(guarded.decision().reason, Reason::UnknownKey);
    });
}
