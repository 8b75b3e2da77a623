//! CZMQ: its clients at our server, our clients at its server, each other's files.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use ironhouse::security::{
    Certificate, CertificateStore, CurveClient, CurvePolicy, Password, PasswordFile, PlainClient,
    Policy, Reason, RevocationList, SecretCertificate, SigningKey, Trust, Validity,
};

use super::{LOGINS, Server, build, greet, is_refused, metadata, mode, password_file, run};
use crate::common::{SOON, folder, within};

fn program() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    Command::new(PROGRAM.get_or_init(|| build("czmq_peer", "libczmq")))
}

#[test]
#[ignore = "needs libczmq-dev"]
fn czmq_client_is_admitted_by_the_certificate_it_wrote_and_refused_without() {
    within(SOON * 4, || {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let make = |name: &str| run!(program(), "make", path(name), name).output().remove(0);
        let known = make("known");
        let stranger = make("stranger");

        fs::create_dir(path("clients")).unwrap();
        fs::copy(path("known"), path("clients/known")).unwrap();
        let store = CertificateStore::directory(path("clients")).unwrap();
        let policy = Policy::new().curve(CurvePolicy::store(store));
        let own = SecretCertificate::generate().unwrap();
        own.certificate().save(path("server")).unwrap();

        for transport in ["tcp", "ipc"] {
            let server = Server::curve(transport, policy.clone(), &own);
            let client = |name: &str| {
                let server_certificate = path("server");
                run!(
                    program(),
                    "curve-client",
                    path(name),
                    server_certificate,
                    server.endpoint
                )
            };
            let decision = server.refuses(client("stranger"), Reason::UnknownKey);
            assert_eq!(decision.identity.name().as_deref(), Some(&*stranger));
            assert_eq!(decision.address.ip().is_some(), transport == "tcp");

            let hello = server.admits(client("known"));
            assert_eq!(hello.user_id(), Some(&*known));
            assert_eq!(hello.property("name"), Some("known"));
            let organisation = Some("pump & valve, room #7");
            assert_eq!(hello.property("organisation"), organisation);
        }
    });
}

#[test]
#[ignore = "needs libczmq-dev"]
fn czmq_server_admits_our_client_by_the_certificate_we_wrote_and_refuses_another() {
    within(SOON * 4, || {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let ours = |name: &str| {
            let made = SecretCertificate::generate().unwrap();
            // CZMQ makes nothing of its having ended.
            let ended = Validity::new().with_not_after(SystemTime::UNIX_EPOCH);
            made.with_meta("name", name)
                .and_then(|c| c.with_validity(ended))
                .unwrap()
                .save(path(name))
                .unwrap();
            SecretCertificate::load(path(name)).unwrap()
        };
        let (known, stranger) = (ours("known"), ours("stranger"));
        fs::create_dir(path("clients")).unwrap();
        known.certificate().save(path("clients/known")).unwrap();
        run!(program(), "make", path("server"), "server").output();
        let server_key = *Certificate::load(path("server")).unwrap().public_key();

        let server = run!(program(), "curve-server", path("server"), path("clients"));
        let endpoint = server.line();
        is_refused(&endpoint, CurveClient::new(&stranger, server_key));
        let reply = greet(&endpoint, CurveClient::new(&known, server_key)).unwrap();
        assert_eq!(reply, "World");
        assert_eq!(server.line(), format!("{} Hello", known.public_key()));
    });
}

#[test]
#[ignore = "needs libczmq-dev"]
fn czmq_and_we_admit_the_same_users_of_one_password_file() {
    within(SOON * 4, || {
        let folder = folder();
        let passwords = password_file(folder.path());
        let ours = Server::plain(Policy::new().plain(PasswordFile::load(&passwords).unwrap()));
        let theirs = run!(program(), "plain-server", passwords);
        let endpoint = theirs.line();
        for (name, password, good) in LOGINS {
            let client = run!(program(), "plain-client", name, password, ours.endpoint);
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
#[ignore = "needs libczmq-dev"]
fn czmq_reads_our_certificates_and_we_read_its_own() {
    within(SOON * 4, || {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let copy = |from: &str, to: &str| run!(program(), "copy", path(from), path(to)).output();
        let lines = |certificate: &SecretCertificate| {
            let mut lines = vec![certificate.public_key().to_string()];
            lines.push(certificate.secret().expose_z85().to_string());
            let pairs = metadata(certificate.certificate());
            lines.extend(pairs.iter().map(|(name, value)| format!("{name}={value}")));
            lines
        };
        let check = |name: &str, expected: &SecretCertificate| {
            let secret = SecretCertificate::load(path(name)).unwrap();
            assert_eq!(lines(&secret), lines(expected));
            let public = Certificate::load(path(name)).unwrap();
            assert_eq!(public.public_key(), expected.public_key());
            assert_eq!(metadata(&public), metadata(expected.certificate()));
            assert_eq!(mode(path(&format!("{name}_secret"))), 0o600);
        };

        let mut ours = SecretCertificate::generate().unwrap();
        for (name, value) in [
            ("name", "pump 7"),
            ("e-mail", "pump@example.org"),
            ("empty", ""),
            ("odd", "  a = 'b' # c, 50 % of Größe  "),
            ("role", "operator"),
            ("group", "hall 3"),
        ] {
            ours = ours.with_meta(name, value).unwrap();
        }
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let life = Validity::new()
            .with_not_before(start)
            .with_not_after(start + Duration::from_millis(1500))
            .with_disabled(true);
        ours = ours.with_validity(life).unwrap();
        ours.save(path("ours")).unwrap();
        assert_eq!(copy("ours", "their-copy"), lines(&ours));
        check("their-copy", &ours);
        let copy_of_ours = Certificate::load(path("their-copy")).unwrap();
        assert_eq!(copy_of_ours.validity(), life);

        run!(program(), "make", path("theirs"), "theirs").output();
        let theirs = SecretCertificate::load(path("theirs")).unwrap();
        check("theirs", &theirs);
        theirs.save(path("our-copy")).unwrap();
        assert_eq!(copy("our-copy", "back"), lines(&theirs));
        check("back", &theirs);
    });
}

#[test]
#[ignore = "needs libczmq-dev"]
fn czmq_reads_signed_certificates_and_what_it_writes_is_signed_as_before() {
    within(SOON * 4, || {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let administrator = SigningKey::generate().unwrap();
        let trusted = *administrator.verify_key();
        let ours = SecretCertificate::generate()
            .unwrap()
            .with_meta("odd", "  a = 'b' # c, 50 % of Größe  ")
            .unwrap()
            .with_meta("name", "")
            .unwrap()
            .sign(&administrator)
            .unwrap();
        ours.save(path("ours")).unwrap();
        let printed = run!(program(), "copy", path("ours"), path("copy")).output();
        assert_eq!(printed[0], ours.public_key().to_string());
        let copy = Certificate::load(path("copy")).unwrap();
        assert_eq!(metadata(&copy), metadata(ours.certificate()));
        assert_eq!(copy.verify(&[trusted]).unwrap(), trusted);
        // A directory for both: its authenticator admits by it, and so do we. It passes over the list.
        fs::create_dir(path("clients")).unwrap();
        fs::copy(path("copy"), path("clients/client")).unwrap();
        let list = path("clients/revoked");
        let month = std::time::Duration::from_secs(30 * 86_400);
        let revoked = RevocationList::new().issue(&list, &administrator, month);
        assert_eq!(revoked.unwrap().revoked().len(), 0);
        run!(program(), "make", path("server"), "server").output();
        let server_key = *Certificate::load(path("server")).unwrap().public_key();
        let server = run!(program(), "curve-server", path("server"), path("clients"));
        let reply = greet(&server.line(), CurveClient::new(&ours, server_key)).unwrap();
        assert_eq!(reply, "World");
        assert_eq!(server.line(), format!("{} Hello", ours.public_key()));
        let trust = Trust::default().revocations(trusted, list);
        let store = CertificateStore::signed_directory(path("clients"), trust).unwrap();
        assert_eq!(store.keys(), [*ours.public_key()]);
        assert!(store.problems().is_empty(), "{:?}", store.problems());
    });
}
