//! The certificate directory as a client meets it: every change on disk, then a handshake.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ironhouse::security::{
    Authenticator, Certificate, CertificateStore, CurveClient, CurvePolicy, CurveServer, Policy,
    RevocationScope, SecretCertificate,
};
use ironhouse::socket::HandshakeProblem;
use ironhouse::{Context, Error, Socket, SocketType};

use crate::common::{SOON, folder, secured, within};

/// A server that admits the certificates in `directory`.
struct House {
    context: Context,
    certificate: SecretCertificate,
    store: Arc<CertificateStore>,
    endpoint: String,
    _server: Socket,
    root: tempfile::TempDir,
    directory: PathBuf,
}

impl House {
    /// The directory is `name` in a folder of its own; it does not exist yet.
    fn new(name: &str) -> Self {
        let root = folder();
        let directory = root.path().join(name);
        let context = Context::new().unwrap();
        let certificate = SecretCertificate::generate().unwrap();
        let store = Arc::new(CertificateStore::directory(&directory).unwrap());
        // So that who is put out takes no neighbour with him, who may just be arriving.
        let authenticator = Authenticator::builder(&context)
            .revocation(RevocationScope::Exact)
            .start()
            .unwrap();
        let policy = Policy::new().curve(CurvePolicy::store(store.clone()));
        let domain = authenticator.domain("house", policy).unwrap();
        let curve = CurveServer::new(&certificate, &domain);
        let (server, endpoint) = secured(&context, SocketType::Pull, curve);
        Self {
            context,
            certificate,
            store,
            endpoint,
            _server: server,
            root,
            directory,
        }
    }

    fn admits(&self, client: &SecretCertificate) -> bool {
        let mechanism = CurveClient::new(client, *self.certificate.public_key());
        match self
            .context
            .socket(SocketType::Push)
            .secure(mechanism)
            .connect_checked(&self.endpoint, SOON)
        {
            Ok(_) => true,
            Err(Error::Handshake {
                problem: HandshakeProblem::Refused { status: 400 },
                ..
            }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether the two are admitted once all changes so far are in force.
    fn admits_after_sync(&self, [first, second]: [&SecretCertificate; 2]) -> [bool; 2] {
        self.store.sync(SOON).unwrap();
        [self.admits(first), self.admits(second)]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

fn client() -> SecretCertificate {
    SecretCertificate::generate().unwrap()
}

fn write(client: &SecretCertificate, path: impl AsRef<Path>) {
    client.certificate().save(path).unwrap();
}

/// Overwrites in place what is at `path`, and gives it back the time it had: what `cp -p` and `rsync -t` may leave.
fn replace_keeping_time(client: &SecretCertificate, path: &Path) {
    let before = fs::metadata(path).unwrap().modified().unwrap();
    let beside = path.with_extension("beside");
    write(client, &beside);
    fs::write(path, fs::read(&beside).unwrap()).unwrap();
    fs::remove_file(beside).unwrap();
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(before)
        .unwrap();
    assert_eq!(fs::metadata(path).unwrap().modified().unwrap(), before);
}

#[test]
fn who_is_copied_in_and_connects_at_once_is_admitted() {
    within(SOON, || {
        let house = House::new("certs");
        fs::create_dir(&house.directory).unwrap();
        house.store.sync(SOON).unwrap();
        for n in 0..20 {
            let client = client();
            write(&client, house.path(&format!("client-{n}")));
            assert!(house.admits(&client), "client {n}");
        }
        // In a subdirectory that is as new as its file.
        let client = client();
        fs::create_dir_all(house.path("team/a")).unwrap();
        write(&client, house.path("team/a/client"));
        assert!(house.admits(&client));
    });
}

#[test]
fn a_removed_certificate_is_refused() {
    within(SOON, || {
        let house = House::new("certs");
        let (leaves, stays) = (client(), client());
        fs::create_dir(&house.directory).unwrap();
        write(&leaves, house.path("leaves"));
        write(&stays, house.path("stays"));
        assert_eq!(house.admits_after_sync([&leaves, &stays]), [true, true]);
        fs::remove_file(house.path("leaves")).unwrap();
        assert_eq!(house.admits_after_sync([&leaves, &stays]), [false, true]);
    });
}

#[test]
fn a_replaced_certificate_is_refused_whatever_its_time_says() {
    within(SOON, || {
        let house = House::new("certs");
        fs::create_dir(&house.directory).unwrap();
        let path = house.path("client");
        let mut old = client();
        write(&old, &path);
        for _ in 0..3 {
            // Of the same size, within the same second, under the same time.
            let new = client();
            replace_keeping_time(&new, &path);
            assert_eq!(house.admits_after_sync([&old, &new]), [false, true]);
            old = new;
        }
        // By a rename over it.
        let new = client();
        write(&new, house.root.path().join("new"));
        fs::rename(house.root.path().join("new"), &path).unwrap();
        assert_eq!(house.admits_after_sync([&old, &new]), [false, true]);
        // By a rename away.
        fs::rename(&path, house.root.path().join("away")).unwrap();
        assert_eq!(house.admits_after_sync([&old, &new]), [false, false]);
    });
}

#[test]
fn a_moved_symbolic_link_takes_its_certificates_along() {
    within(SOON, || {
        let (old, new) = (client(), client());
        // A link to a file; a link to a directory of files, as orchestrators mount secrets; the directory's own path a link.
        for (name, link, path) in [
            ("certs", "certs/client", ""),
            ("certs", "certs/..data", "client"),
            ("link", "link", "client"),
        ] {
            let house = House::new(name);
            let root = house.root.path();
            for (client, version) in [(&old, "v1"), (&new, "v2")] {
                fs::create_dir(root.join(version)).unwrap();
                write(client, root.join(version).join("client"));
            }
            if name == "certs" {
                fs::create_dir(&house.directory).unwrap();
            }
            if link.ends_with("..data") {
                symlink("..data/client", house.path("client")).unwrap();
            }
            let link = root.join(link);
            let target = |version: &str| {
                if path.is_empty() {
                    root.join(version).join("client")
                } else {
                    root.join(version)
                }
            };
            symlink(target("v1"), &link).unwrap();
            assert_eq!(
                house.admits_after_sync([&old, &new]),
                [true, false],
                "{}",
                link.display()
            );
            symlink(target("v2"), root.join("next")).unwrap();
            fs::rename(root.join("next"), &link).unwrap();
            assert_eq!(
                house.admits_after_sync([&old, &new]),
                [false, true],
                "{}",
                link.display()
            );
            fs::remove_file(&link).unwrap();
            assert_eq!(
                house.admits_after_sync([&old, &new]),
                [false, false],
                "{}",
                link.display()
            );
        }
    });
}

#[test]
fn a_directory_may_come_late_vanish_and_come_back() {
    within(SOON, || {
        let house = House::new("a/b/certs");
        let (first, second) = (client(), client());
        assert_eq!(house.admits_after_sync([&first, &second]), [false, false]);
        fs::create_dir_all(&house.directory).unwrap();
        write(&first, house.path("first"));
        assert_eq!(house.admits_after_sync([&first, &second]), [true, false]);
        fs::remove_dir_all(&house.directory).unwrap();
        assert_eq!(house.admits_after_sync([&first, &second]), [false, false]);
        fs::create_dir(&house.directory).unwrap();
        write(&second, house.path("second"));
        assert_eq!(house.admits_after_sync([&first, &second]), [false, true]);
        fs::rename(house.root.path().join("a"), house.root.path().join("z")).unwrap();
        assert_eq!(house.admits_after_sync([&first, &second]), [false, false]);
    });
}

#[test]
fn a_bad_file_is_reported_by_path_and_line_and_admits_nobody_while_the_others_load() {
    within(SOON, || {
        let house = House::new("certs");
        fs::create_dir(&house.directory).unwrap();
        let (good, turns_bad) = (client(), client());
        write(&good, house.path("good"));
        write(&turns_bad, house.path("turns-bad"));
        assert_eq!(house.admits_after_sync([&good, &turns_bad]), [true, true]);

        let text = fs::read_to_string(house.path("turns-bad")).unwrap();
        fs::write(
            house.path("turns-bad"),
            text.replace("public-key = \"", "public-key = \"~"),
        )
        .unwrap();
        let zero = "0".repeat(40);
        let key = good.public_key().to_string();
        for (name, content) in [
            ("empty", String::new()),
            ("tab", "curve\n\tpublic-key = \"x\"\n".into()),
            (
                "short-key",
                format!("curve\n    public-key = \"{}\"\n", &key[..39]),
            ),
            (
                "zero-key",
                format!("metadata\ncurve\n    public-key = \"{zero}\"\n"),
            ),
            (
                "huge",
                format!(
                    "metadata\n    a = \"{}\"\ncurve\n    public-key = \"{key}\"\n",
                    "x".repeat(100 * 1024)
                ),
            ),
        ] {
            fs::write(house.path(name), content).unwrap();
        }
        fs::write(house.path("binary"), [0xff, 0xfe, 0]).unwrap();
        client().save(house.path("secret")).unwrap();
        symlink("nowhere", house.path("dangling")).unwrap();
        assert!(
            std::process::Command::new("mkfifo")
                .arg(house.path("fifo"))
                .status()
                .unwrap()
                .success()
        );

        assert_eq!(house.admits_after_sync([&good, &turns_bad]), [true, false]);
        let problems: Vec<String> = house
            .store
            .problems()
            .iter()
            .map(ToString::to_string)
            .collect();
        let dir = house.directory.display();
        for expected in [
            format!("{dir}/turns-bad:"),
            format!("{dir}/empty: "),
            format!("{dir}/tab:2: "),
            format!("{dir}/short-key:2: "),
            format!("{dir}/zero-key:3: "),
            format!("{dir}/huge: "),
            format!("{dir}/binary"),
            format!("{dir}/secret_secret: "),
            format!("{dir}/fifo: "),
        ] {
            assert!(
                problems
                    .iter()
                    .any(|problem| problem.starts_with(&expected)),
                "{expected} in {problems:#?}"
            );
        }
        assert!(
            !problems
                .iter()
                .any(|problem| problem.contains("/good") || problem.contains(&key)),
            "{problems:#?}"
        );
    });
}

#[test]
fn a_key_in_two_files_is_admitted_until_both_are_gone() {
    within(SOON, || {
        let house = House::new("certs");
        fs::create_dir(&house.directory).unwrap();
        let client = client();
        write(&client, house.path("one"));
        write(&client, house.path("two"));
        assert_eq!(house.admits_after_sync([&client, &client]), [true, true]);
        fs::remove_file(house.path("one")).unwrap();
        assert_eq!(house.admits_after_sync([&client, &client]), [true, true]);
        fs::remove_file(house.path("two")).unwrap();
        assert_eq!(house.admits_after_sync([&client, &client]), [false, false]);
    });
}

#[test]
fn a_store_in_memory_admits_what_was_inserted_and_not_what_was_removed() {
    let store = CertificateStore::in_memory();
    let certificate = Certificate::new(*client().public_key());
    store.insert(certificate.clone()).unwrap();
    assert!(store.lookup(certificate.public_key()).is_some());
    assert!(store.remove(certificate.public_key()));
    assert!(!store.remove(certificate.public_key()));
    assert!(store.lookup(certificate.public_key()).is_none());
}
