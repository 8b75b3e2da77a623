//! Users of the PLAIN mechanism at real handshakes: what the password file says now is what counts.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

use ironhouse::security::{
    AuditEvents, Authenticator, Domain, FileProblem, HashProblem, Password, PasswordFile,
    PlainClient, PlainServer, Policy, Reason, RevocationScope,
};
use ironhouse::{Context, Error, Socket, SocketType};

use crate::common::{SOON, folder, replace_private, rounds, secured, within, write_private};
use crate::zap::Asker;

/// A server whose users are those of a file, or in memory.
struct House {
    context: Context,
    authenticator: Authenticator,
    events: AuditEvents,
    _domain: Domain,
    _server: Socket,
    endpoint: String,
}

impl House {
    fn new(users: &PasswordFile) -> Self {
        let context = Context::new().unwrap();
        // So that who is put out takes no neighbour with him, who would come back and be decided on once more.
        let authenticator = Authenticator::builder(&context)
            .revocation(RevocationScope::Exact)
            .start()
            .unwrap();
        let events = authenticator.events();
        let domain = authenticator
            .domain("house", Policy::new().plain(users.clone()))
            .unwrap();
        let (server, endpoint) = secured(&context, SocketType::Pull, PlainServer::new(&domain));
        Self {
            context,
            authenticator,
            events,
            _domain: domain,
            _server: server,
            endpoint,
        }
    }

    /// The verdict on a client that connects now.
    #[track_caller]
    fn admits(&self, name: &str, password: &str) -> bool {
        let client = PlainClient::new(name, Password::new(password).unwrap());
        let connected = self
            .context
            .socket(SocketType::Push)
            .secure(client)
            .connect_checked(&self.endpoint, Duration::from_secs(10));
        let decision = self.events.next_decision(SOON).expect("no decision");
        let wanted = match connected {
            Ok(_) => Reason::Admitted,
            Err(Error::Handshake { .. }) => Reason::WrongPassword,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(decision.reason, wanted);
        wanted == Reason::Admitted
    }
}

/// A folder, and a password file in it.
fn file(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = folder();
    let path = folder.path().join("passwords");
    write_private(&path, content);
    (folder, path)
}

fn hash(password: &str) -> String {
    PasswordFile::hash(&Password::new(password).unwrap()).unwrap()
}

#[test]
fn user_is_added_changed_and_removed_at_the_next_handshake() {
    within(SOON, || {
        let (_folder, path) = file("ada=1\n");
        let house = House::new(&PasswordFile::load(&path).unwrap());
        assert!(house.admits("ada", "1"));
        for put in [write_private, replace_private] {
            put(&path, "ada=1\nbob=2\n");
            assert!(house.admits("bob", "2") && house.admits("ada", "1"));
            put(&path, "ada=3\nbob=2\n");
            assert!(!house.admits("ada", "1"));
            assert!(house.admits("ada", "3"));
            put(&path, "ada=1\n");
            assert!(!house.admits("bob", "2"));
        }
    });
}

#[test]
fn hash_line_admits_who_knows_its_password() {
    within(SOON, || {
        let line = hash("open sesame");
        let (_folder, path) = file(&format!("ada={line}\nbob=plain\n"));
        let users = PasswordFile::load(&path).unwrap();
        assert!(users.problems().is_empty());
        let house = House::new(&users);
        assert!(house.admits("ada", "open sesame") && house.admits("bob", "plain"));
        for (name, password) in [
            ("ada", "open sesam"),
            ("ada", "plain"),
            ("ada", &line),
            ("bob", "open sesame"),
            ("eve", "open sesame"),
        ] {
            assert!(!house.admits(name, password), "{name} {password}");
        }
        replace_private(&path, &format!("ada={}\n", hash("another")));
        assert!(!house.admits("ada", "open sesame"));
        assert!(house.admits("ada", "another"));
    });
}

#[test]
fn hash_that_cannot_be_checked_admits_nobody_and_is_reported() {
    within(SOON, || {
        let (_folder, path) = file("ada=1\nbob=2\n");
        let users = PasswordFile::load(&path).unwrap();
        let house = House::new(&users);
        let dear = hash("1").replace("m=8192", "m=1048576");
        replace_private(&path, &format!("bob=2\nada={dear}\neve=$6$salt$digest\n"));
        assert!(!house.admits("ada", "1") && !house.admits("ada", &dear));
        assert!(!house.admits("eve", "$6$salt$digest"));
        assert!(house.admits("bob", "2"));
        let found: Vec<_> = users
            .problems()
            .into_iter()
            .map(|problem| match problem {
                Error::File {
                    line: Some(line),
                    problem: FileProblem::PasswordHash(problem),
                    ..
                } => (line, problem),
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(found, [(2, HashProblem::TooCostly), (3, HashProblem::Kind)]);
    });
}

#[test]
fn file_that_vanishes_or_opens_to_others_admits_nobody_until_it_is_back() {
    within(SOON, || {
        let (_folder, path) = file("ada=1\n");
        let users = PasswordFile::load(&path).unwrap();
        let house = House::new(&users);
        assert!(house.admits("ada", "1"));

        fs::remove_file(&path).unwrap();
        assert!(!house.admits("ada", "1"));
        assert!(matches!(users.problems()[..], [Error::Io { .. }]));
        write_private(&path, "ada=1\n");
        assert!(house.admits("ada", "1") && users.problems().is_empty());

        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(!house.admits("ada", "1"));
        let problem = users.problems().remove(0).to_string();
        assert!(problem.contains("chmod 600"), "{problem}");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(house.admits("ada", "1") && users.problems().is_empty());

        // What orchestrators do with mounted secrets.
        let kept = path.with_extension("kept");
        write_private(&kept, "bob=2\n");
        symlink(&kept, path.with_extension("link")).unwrap();
        fs::rename(path.with_extension("link"), &path).unwrap();
        assert!(!house.admits("ada", "1"));
        assert!(house.admits("bob", "2"));
    });
}

#[test]
fn who_has_no_password_does_not_wait_for_those_that_are_checked() {
    within(SOON, || {
        let hashes = rounds(50).max(10);
        let users = PasswordFile::in_memory();
        users.insert_hash("ada", &hash("1")).unwrap();
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let policy = Policy::new().plain(users).null();
        authenticator.set_fallback(policy).unwrap();
        let asker = Asker::new(&context);
        let ask = |id: &str, mechanism: &str, credentials: &[&[u8]]| {
            let head = ["", "1.0", id, "d", "127.0.0.1", "", mechanism].map(str::as_bytes);
            asker.send(&[&head, credentials].concat());
        };
        for _ in 0..hashes {
            ask("hash", "PLAIN", &[b"ada", b"1"]);
        }
        ask("none", "NULL", &[]);
        let mut last = String::new();
        for _ in 0..=hashes {
            let reply = asker.reply();
            assert_eq!(reply[3], "200");
            last = reply[2].as_str().unwrap().to_owned();
        }
        // A third of a second of hashes, and it was not the last.
        assert_ne!(last, "none");
    });
}

#[test]
fn users_in_memory_are_admitted_by_password_and_by_hash() {
    within(SOON, || {
        let users = PasswordFile::in_memory();
        let house = House::new(&users);
        assert!(!house.admits("ada", "1"));
        users.insert("ada", "1").unwrap();
        users.insert_hash("bob", &hash("2")).unwrap();
        assert!(house.admits("ada", "1") && house.admits("bob", "2"));
        assert!(!house.admits("ada", "2"));
        assert!(users.remove("bob").unwrap());
        assert!(!house.admits("bob", "2"));
    });
}

#[test]
fn nothing_that_is_shown_holds_a_password_or_its_hash() {
    within(SOON, || {
        let line = hash("hunter two");
        let digest = line.rsplit('$').next().unwrap();
        let (_folder, path) = file(&format!(
            "ada={line}\nbob=hunter two\neve={line}$\nhunter two\n"
        ));
        let users = PasswordFile::load(&path).unwrap();
        let house = House::new(&users);
        assert!(house.admits("ada", "hunter two") && !house.admits("eve", "hunter two"));
        let mut shown = format!("{users:?} {:?}", house.authenticator);
        for problem in users.problems() {
            shown.push_str(&format!("{problem} {problem:?}"));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        shown.push_str(&format!("{:?}", users.problems()));
        assert!(
            !shown.contains("hunter") && !shown.contains(digest),
            "{shown}"
        );
    });
}
