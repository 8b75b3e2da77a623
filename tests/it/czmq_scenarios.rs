//! What CZMQ's own tests of its security classes show, shown of ours.
//!
//! | CZMQ | scenario | test |
//! |---|---|---|
//! | zauth | no authentication | [`without_an_authenticator_everybody_is_served`] |
//! | | deny list | [`a_denied_address_is_refused`] |
//! | | allow list | [`an_allowed_address_is_admitted_and_another_refused`] |
//! | | PLAIN without a password file | [`plain_without_passwords_admits_nobody`] |
//! | | PLAIN with a file, right and wrong password | [`plain_with_a_file_admits_by_the_right_password_only`] |
//! | | CURVE without a policy | [`curve_without_keys_admits_nobody`] |
//! | | CURVE, any key | [`curve_with_any_key_admits_whoever_encrypts`] |
//! | | CURVE by directory; metadata and User-Id | [`a_certificate_in_the_directory_names_its_sender_in_every_message`] |
//! | | a custom store | [`a_callback_serves_as_a_store_of_any_kind`] |
//! | | the handler gone (CZMQ admits everybody again) | `mechanism::a_dead_authenticator_admits_nobody_not_even_by_a_retry`, `mechanism::a_secured_socket_keeps_its_authenticator_when_all_handles_are_dropped` |
//! | zcert | new, from keys, equality, dup | [`certificates_are_made_copied_and_compared`] |
//! | | metadata: set, unset, keys | [`metadata_are_set_listed_and_unset`] |
//! | | save, load, public and secret | [`a_certificate_is_saved_as_two_files_and_loaded_from_either`] |
//! | zcertstore | insert, lookup | [`a_store_finds_what_is_inserted_beside_its_files`] |
//! | | a certificate saved into the directory, and removed | [`a_certificate_counts_while_its_file_is_in_the_directory`] |
//! | | a loader of one's own | [`a_callback_serves_as_a_store_of_any_kind`] |

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use ironhouse::security::{
    AuditEvents, Authenticator, Certificate, CertificateStore, CurveClient, CurvePolicy,
    CurveServer, Domain, Keypair, NullServer, Password, PasswordFile, PlainClient, PlainServer,
    Policy, PublicKey, Reason, SecretCertificate, SecretKey, Verdict,
};
use ironhouse::socket::{HandshakeProblem, Mechanism, SocketBuilder, options};
use ironhouse::{Context, Error, Message, Socket, SocketType};

use crate::common::{SOON, connected, folder, serve, within, write_private};

/// A server, and the domain that guards it.
struct Server {
    context: Context,
    domain: Domain,
    events: AuditEvents,
    socket: Socket,
    endpoint: String,
}

impl Server {
    fn new<M: Mechanism>(policy: Policy, mechanism: impl FnOnce(&Domain) -> M) -> Self {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let domain = authenticator.domain("scenario", policy).unwrap();
        let socket = context
            .socket(SocketType::Pull)
            .set(options::RCV_TIMEO, Some(SOON))
            .secure(mechanism(&domain));
        let (socket, endpoint) = serve(socket);
        Self {
            context,
            domain,
            events: authenticator.events(),
            socket,
            endpoint,
        }
    }

    fn curve(policy: Policy, certificate: &SecretCertificate) -> Self {
        Self::new(policy, |domain| CurveServer::new(certificate, domain))
    }

    fn client(&self) -> SocketBuilder {
        self.context.socket(SocketType::Push)
    }

    /// The client gets in; answers the message that arrives.
    #[track_caller]
    fn admits(&self, client: SocketBuilder) -> Message {
        let client = client.connect_checked(&self.endpoint, SOON).unwrap();
        client.send("Hello").unwrap();
        let hello = self.socket.recv().unwrap();
        assert_eq!(hello, "Hello");
        let decision = self.events.next_decision(SOON).unwrap();
        assert_eq!(decision.reason, Reason::Admitted);
        hello
    }

    /// The client is told that it is refused, and the audit tells why.
    #[track_caller]
    fn refuses(&self, client: SocketBuilder, reason: Reason) {
        let error = client.connect_checked(&self.endpoint, SOON).unwrap_err();
        let Error::Handshake { problem, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*problem, HandshakeProblem::Refused { status: 400 });
        assert_eq!(self.events.next_decision(SOON).unwrap().reason, reason);
    }
}

fn generate() -> SecretCertificate {
    SecretCertificate::generate().unwrap()
}

fn plain(user: &str, password: &str) -> PlainClient {
    PlainClient::new(user, Password::new(password).unwrap())
}

/// A password file that its owner alone may read.
fn password_file(folder: &Path, content: &str) -> PasswordFile {
    let path = folder.join("passwords");
    write_private(&path, content);
    PasswordFile::load(path).unwrap()
}

#[test]
fn without_an_authenticator_everybody_is_served() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let pair = (SocketType::Pull, SocketType::Push);
        let (server, client) = connected(&context, "tcp", pair);
        client.send("Hello").unwrap();
        assert_eq!(server.recv().unwrap(), "Hello");

        // With one, too, where the socket does not ask it.
        let authenticator = Authenticator::start(&context).unwrap();
        let events = authenticator.events();
        let (server, client) = connected(&context, "tcp", pair);
        client.send("Hello").unwrap();
        assert_eq!(server.recv().unwrap(), "Hello");
        drop(authenticator);
        assert_eq!(events.next(None), None);
    });
}

#[test]
fn a_denied_address_is_refused() {
    within(SOON, || {
        let policy = Policy::new().null().deny("127.0.0.1".parse().unwrap());
        let server = Server::new(policy, NullServer::new);
        server.refuses(server.client(), Reason::AddressDenied);
        // Another address of the same machine is not the one denied.
        let elsewhere = Policy::new().null().deny("127.0.0.2".parse().unwrap());
        server.domain.set_policy(elsewhere).unwrap();
        server.admits(server.client());
    });
}

#[test]
fn an_allowed_address_is_admitted_and_another_refused() {
    within(SOON, || {
        let policy = Policy::new().null().allow("127.0.0.0/8".parse().unwrap());
        let server = Server::new(policy, NullServer::new);
        server.admits(server.client());
        let elsewhere = Policy::new().null().allow("192.0.2.0/24".parse().unwrap());
        server.domain.set_policy(elsewhere).unwrap();
        server.refuses(server.client(), Reason::AddressNotAllowed);
    });
}

#[test]
fn plain_without_passwords_admits_nobody() {
    within(SOON, || {
        let server = Server::new(Policy::new(), PlainServer::new);
        let client = || server.client().secure(plain("admin", "Password"));
        server.refuses(client(), Reason::MechanismNotAllowed);
        let empty = Policy::new().plain(PasswordFile::in_memory());
        server.domain.set_policy(empty).unwrap();
        server.refuses(client(), Reason::WrongPassword);
    });
}

#[test]
fn plain_with_a_file_admits_by_the_right_password_only() {
    within(SOON, || {
        let folder = folder();
        let users = password_file(folder.path(), "# users\nadmin=Password\nguest=a = b\n");
        let server = Server::new(Policy::new().plain(users), PlainServer::new);
        for (user, password) in [("admin", "Password"), ("guest", "a = b")] {
            let hello = server.admits(server.client().secure(plain(user, password)));
            assert_eq!(hello.user_id(), Some(user));
        }
        for (user, password) in [
            ("admin", "Bogus"),
            ("admin", "a = b"),
            ("Admin", "Password"),
            ("nobody", "Password"),
        ] {
            let client = server.client().secure(plain(user, password));
            server.refuses(client, Reason::WrongPassword);
        }
    });
}

#[test]
fn curve_without_keys_admits_nobody() {
    within(SOON, || {
        let (own, client) = (generate(), generate());
        let server = Server::curve(Policy::new(), &own);
        let client = CurveClient::new(&client, *own.public_key());
        let client = server.client().secure(client);
        server.refuses(client, Reason::MechanismNotAllowed);
    });
}

#[test]
fn curve_with_any_key_admits_whoever_encrypts() {
    within(SOON, || {
        let own = generate();
        let server = Server::curve(Policy::new().curve(CurvePolicy::any_key()), &own);
        // Who does not encrypt does not even get to the authenticator: the next decision is on another.
        let error = server
            .client()
            .connect_checked(&server.endpoint, SOON)
            .unwrap_err();
        assert!(matches!(error, Error::Handshake { .. }), "{error}");
        for _ in 0..2 {
            let client = generate();
            let mechanism = CurveClient::new(&client, *own.public_key());
            let hello = server.admits(server.client().secure(mechanism));
            let key = client.public_key().to_string();
            assert_eq!(hello.user_id(), Some(key.as_str()));
        }
    });
}

#[test]
fn a_certificate_in_the_directory_names_its_sender_in_every_message() {
    within(SOON, || {
        let folder = folder();
        let own = generate();
        let client = generate()
            .with_meta("Hello", "World!")
            .and_then(|client| client.with_meta("name", "Client test certificate"))
            .unwrap();
        let store = CertificateStore::directory(folder.path()).unwrap();
        let server = Server::curve(Policy::new().curve(CurvePolicy::store(store)), &own);
        let connect = || {
            let mechanism = CurveClient::new(&client, *own.public_key());
            server.client().secure(mechanism)
        };
        server.refuses(connect(), Reason::UnknownKey);
        let path = folder.path().join("client");
        client.certificate().save(path).unwrap();
        let hello = server.admits(connect());
        assert_eq!(hello.property("Hello"), Some("World!"));
        assert_eq!(hello.property("name"), Some("Client test certificate"));
        let key = client.public_key().to_string();
        assert_eq!(hello.user_id(), Some(key.as_str()));
    });
}

#[test]
fn a_callback_serves_as_a_store_of_any_kind() {
    within(SOON, || {
        let (own, known) = (generate(), generate());
        let table: HashMap<PublicKey, &str> = HashMap::from([(*known.public_key(), "reader")]);
        let policy = CurvePolicy::callback(move |peer| match table.get(&peer.key) {
            Some(role) => Verdict::admit().user_id("known").metadata("role", *role),
            None => Verdict::refuse(),
        });
        let server = Server::curve(Policy::new().curve(policy), &own);
        let connect = |client| {
            let mechanism = CurveClient::new(client, *own.public_key());
            server.client().secure(mechanism)
        };
        let hello = server.admits(connect(&known));
        assert_eq!(hello.user_id(), Some("known"));
        assert_eq!(hello.property("role"), Some("reader"));
        server.refuses(connect(&generate()), Reason::CallbackRefused);
    });
}

#[test]
fn certificates_are_made_copied_and_compared() {
    let made = generate();
    let text = made.public_key().to_string();
    assert_eq!((text.len(), made.secret().expose_z85().len()), (40, 40));

    // From its keys, as bytes and as text.
    let secret = SecretKey::from_bytes(made.secret().expose_bytes()).unwrap();
    let again = SecretCertificate::from_keypair(Keypair::from_secret(secret).unwrap());
    assert_eq!(again.certificate(), made.certificate());
    assert!(again.secret().ct_eq(made.secret()));
    assert_eq!(&Certificate::new(text.parse().unwrap()), made.certificate());

    // Only the public part can be copied.
    let copy = made.certificate().clone();
    assert_eq!(&copy, made.certificate());
    assert_ne!(&copy, generate().certificate());
    // Metadata count in a comparison, while CZMQ compares keys alone.
    let named = copy.clone().with_meta("name", "x").unwrap();
    assert_ne!(named, copy);
    assert_eq!(named.public_key(), copy.public_key());
}

#[test]
fn metadata_are_set_listed_and_unset() {
    let mut certificate = generate();
    for (name, value) in [
        ("email", "ph@example.org"),
        ("name", "Jane"),
        ("name", "Jane Doe"),
        ("organization", "Example"),
    ] {
        certificate = certificate.with_meta(name, value).unwrap();
    }
    let public = certificate.certificate();
    assert_eq!(public.meta("name"), Some("Jane Doe"));
    assert_eq!(public.meta("moon"), None);
    let names = |certificate: &Certificate| -> Vec<String> {
        certificate
            .metadata()
            .map(|(name, _)| name.to_owned())
            .collect()
    };
    assert_eq!(names(public), ["email", "name", "organization"]);
    let certificate = certificate.without_meta("name").without_meta("moon");
    let public = certificate.certificate();
    assert_eq!(public.meta("name"), None);
    assert_eq!(names(public), ["email", "organization"]);
}

#[test]
fn a_certificate_is_saved_as_two_files_and_loaded_from_either() {
    let folder = folder();
    let path = folder.path().join("mycert");
    let secret = folder.path().join("mycert_secret");
    let made = generate().with_meta("name", "Jane Doe").unwrap();
    made.save(&path).unwrap();
    assert_eq!(&Certificate::load(&path).unwrap(), made.certificate());
    for path in [&path, &secret] {
        let loaded = SecretCertificate::load(path).unwrap();
        assert_eq!(loaded.certificate(), made.certificate());
        assert!(loaded.secret().ct_eq(made.secret()));
    }
    // Without the secret file, the public one is a public certificate still.
    fs::remove_file(&secret).unwrap();
    assert!(SecretCertificate::load(&path).is_err());
    assert_eq!(&Certificate::load(&path).unwrap(), made.certificate());
}

#[test]
fn a_store_finds_what_is_inserted_beside_its_files() {
    let folder = folder();
    let (saved, inserted) = (generate(), generate().with_meta("name", "x").unwrap());
    let path = folder.path().join("saved");
    saved.certificate().save(path).unwrap();
    let store = CertificateStore::directory(folder.path()).unwrap();
    store.insert(inserted.certificate().clone()).unwrap();
    for known in [&saved, &inserted] {
        let found = store.lookup(known.public_key()).unwrap();
        assert_eq!(&found, known.certificate());
    }
    assert_eq!(store.len(), 2);
    assert!(store.lookup(generate().public_key()).is_none());
    // Reading the files anew, as CZMQ's store does whenever one changes, forgets nothing that was inserted.
    store.sync(SOON).unwrap();
    assert!(store.remove(inserted.public_key()));
    assert_eq!(store.keys(), [*saved.public_key()]);
}

#[test]
fn a_certificate_counts_while_its_file_is_in_the_directory() {
    let folder = folder();
    let store = CertificateStore::directory(folder.path()).unwrap();
    assert!(store.is_empty());
    let certificate = generate().with_meta("name", "John Doe").unwrap();
    let path = folder.path().join("mycert.txt");
    certificate.certificate().save(&path).unwrap();
    store.sync(SOON).unwrap();
    let found = store.lookup(certificate.public_key()).unwrap();
    assert_eq!(found.meta("name"), Some("John Doe"));
    fs::remove_file(&path).unwrap();
    store.sync(SOON).unwrap();
    assert!(store.lookup(certificate.public_key()).is_none() && store.is_empty());
}
