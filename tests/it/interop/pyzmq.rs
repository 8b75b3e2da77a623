//! pyzmq: its clients at our server, our clients at its `zmq.auth` server, each other's files.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use ironhouse::Error;
use ironhouse::security::{
    Certificate, CertificateStore, CurveClient, CurvePolicy, FileProblem, Password, PasswordFile,
    PlainClient, Policy, Reason, SecretCertificate, SigningKey,
};

use super::{LOGINS, Peer, Server, greet, is_refused, mode, password_file, run, set_mode};
use crate::common::{SOON, folder, within};

/// Our program, in a Python that has pyzmq. The one in the path may be another than the system's.
fn program() -> Command {
    static PYTHON: OnceLock<&str> = OnceLock::new();
    let has_pyzmq = |python: &&str| {
        let mut command = Command::new(python);
        command.args(["-c", "import zmq.auth"]);
        let status = command.stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let python = PYTHON.get_or_init(|| {
        let mut found = ["python3", "/usr/bin/python3"].into_iter();
        found
            .find(has_pyzmq)
            .expect("neither python3 nor /usr/bin/python3 can import zmq.auth: install python3-zmq")
    });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(python);
    command.arg(folder.join("tests/it/interop/pyzmq_peer.py"));
    command
}

/// What our certificate's loader says of a secret file that pyzmq wrote, until its mode is mended.
fn mend(path: &Path) -> SecretCertificate {
    let secret = path.with_extension("key_secret");
    set_mode(&secret, 0o644); // as pyzmq leaves it under the usual umask
    let error = SecretCertificate::load(path).unwrap_err();
    let hint = format!("chmod 600 {}", secret.display());
    assert!(error.to_string().contains(&hint), "{error}");
    let Error::File { problem, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(problem, FileProblem::Exposed { mode: 0o644, .. }));
    set_mode(&secret, 0o600);
    SecretCertificate::load(path).unwrap()
}

#[test]
#[ignore = "needs python3-zmq"]
fn pyzmq_client_is_admitted_by_the_certificate_it_wrote_and_refused_without() {
    within(SOON * 4, || {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let make = |name: &str| {
            let made = run!(program(), "make", folder.path(), name);
            made.output().remove(0)
        };
        let known = make("known");
        let stranger = make("stranger");
        fs::create_dir(path("clients")).unwrap();
        fs::copy(path("known.key"), path("clients/known.key")).unwrap();
        let store = CertificateStore::directory(path("clients")).unwrap();
        let policy = Policy::new().curve(CurvePolicy::store(store));
        let own = SecretCertificate::generate().unwrap();
        own.certificate().save(path("server")).unwrap();

        for transport in ["tcp", "ipc"] {
            let server = Server::curve(transport, policy.clone(), &own);
            let client = |name: &str| {
                let (client, server_certificate) = (path(name), path("server"));
                let endpoint = &server.endpoint;
                run!(
                    program(),
                    "curve-client",
                    client,
                    server_certificate,
                    endpoint
                )
            };
            let refused = client("stranger.key_secret");
            let decision = server.refuses(refused, Reason::UnknownKey);
            assert_eq!(decision.identity.name().as_deref(), Some(&*stranger));
            let hello = server.admits(client("known.key_secret"));
            assert_eq!(hello.user_id(), Some(&*known));
        }
    });
}

#[test]
#[ignore = "needs python3-zmq"]
fn pyzmq_server_admits_our_client_by_the_certificate_we_wrote_and_refuses_another() {
    within(SOON * 4, || {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let known = SecretCertificate::generate().unwrap();
        let stranger = SecretCertificate::generate().unwrap();
        fs::create_dir(path("clients")).unwrap();
        // pyzmq takes no other extension.
        known.certificate().save(path("clients/known.key")).unwrap();
        let server_key = run!(program(), "make", folder.path(), "server")
            .output()
            .remove(0);
        let server_key = server_key.parse().unwrap();

        let (own, clients) = (path("server.key_secret"), path("clients"));
        let server = run!(program(), "curve-server", own, clients);
        let endpoint = server.line();
        is_refused(&endpoint, CurveClient::new(&stranger, server_key));
        let reply = greet(&endpoint, CurveClient::new(&known, server_key)).unwrap();
        assert_eq!(reply, "World");
        assert_eq!(server.line(), format!("{} Hello", known.public_key()));
    });
}

#[test]
#[ignore = "needs python3-zmq"]
fn pyzmq_and_we_admit_the_same_users() {
    within(SOON * 4, || {
        let folder = folder();
        let passwords = PasswordFile::load(password_file(folder.path())).unwrap();
        let ours = Server::plain(Policy::new().plain(passwords));
        // It has no password files.
        let mut theirs = program();
        theirs.arg("plain-server");
        for (name, password, _) in LOGINS.iter().filter(|(.., good)| *good) {
            theirs.args([name, password]);
        }
        let theirs = Peer::start(&mut theirs);
        let endpoint = theirs.line();
        for (name, password, good) in LOGINS {
            let at = &ours.endpoint;
            let client = run!(program(), "plain-client", name, password, at);
            let login = PlainClient::new(name, Password::new(password).unwrap());
            if good {
                assert_eq!(ours.admits(client).user_id(), Some(name));
                assert_eq!(greet(&endpoint, login).unwrap(), "World");
                assert_eq!(theirs.line(), format!("{name} Hello"));
            } else {
                ours.refuses(client, Reason::WrongPassword);
                is_refused(&endpoint, login);
            }
        }
    });
}

#[test]
#[ignore = "needs python3-zmq"]
fn pyzmq_reads_our_certificates_and_we_read_its_own() {
    within(SOON * 4, || {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let show = |path: &Path| run!(program(), "show", path).output();

        let ours = SecretCertificate::generate().unwrap();
        let ours = ours.with_meta("odd", " a = 'b' # c ").unwrap();
        ours.save(path("ours")).unwrap();
        let public = ours.public_key().to_string();
        let secret = ours.secret().expose_z85().to_string();
        assert_eq!(show(&path("ours")), [&*public, "-"]);
        assert_eq!(show(&path("ours_secret")), [public, secret]);

        run!(program(), "make", folder.path(), "theirs").output();
        let public = Certificate::load(path("theirs.key")).unwrap();
        assert_eq!(public.metadata().count(), 0); // pyzmq writes them to the secret file alone
        let theirs = mend(&path("theirs.key"));
        assert_eq!(theirs.public_key(), public.public_key());
        assert_eq!(theirs.certificate().meta("name"), Some("theirs"));
        assert_eq!(theirs.certificate().meta("room"), Some("12"));
        let lines = [
            theirs.public_key().to_string(),
            theirs.secret().expose_z85().to_string(),
        ];
        assert_eq!(show(&path("theirs.key_secret")), lines);

        theirs.save(path("copy")).unwrap();
        assert_eq!(mode(path("copy_secret")), 0o600);
        assert_eq!(show(&path("copy_secret")), lines);
    });
}

#[test]
#[ignore = "needs python3-zmq"]
fn pyzmq_reads_signed_certificates_and_admits_by_them() {
    within(SOON * 4, || {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let administrator = SigningKey::generate().unwrap();
        let ours = SecretCertificate::generate().unwrap();
        let ours = ours.with_meta("role", "reader").unwrap();
        let ours = ours.sign(&administrator).unwrap();
        fs::create_dir(path("clients")).unwrap();
        ours.save(path("clients/known.key")).unwrap();
        let public = ours.public_key().to_string();
        let secret = ours.secret().expose_z85().to_string();
        let show = |name: &str| run!(program(), "show", path(name)).output();
        assert_eq!(show("clients/known.key"), [&*public, "-"]);
        assert_eq!(show("clients/known.key_secret"), [&*public, &*secret]);

        let made = run!(program(), "make", folder.path(), "server").output();
        let server_key = made[0].parse().unwrap();
        let (own, clients) = (path("server.key_secret"), path("clients"));
        let server = run!(program(), "curve-server", own, clients);
        let reply = greet(&server.line(), CurveClient::new(&ours, server_key)).unwrap();
        assert_eq!(reply, "World");
        assert_eq!(server.line(), format!("{public} Hello"));
    });
}
