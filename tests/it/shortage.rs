//! Stores and password files where the operating system has no descriptors, watches or queues left for file events.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ironhouse::security::{
    Authenticator, CertificateStore, CurveClient, CurvePolicy, CurveServer, FileProblem, Password,
    PasswordFile, PlainClient, PlainServer, Policy, PublicKey, SecretCertificate, Watching,
};
use ironhouse::socket::{EventKind, Monitor, options};
use ironhouse::{Context, Error, SocketType};

use crate::common::{SOON, alone, folder, replace_private, secured, serve, wait, within};

fn key(n: u8) -> PublicKey {
    PublicKey::from_bytes([n; 32])
}

fn text(n: u8) -> String {
    format!("curve\n    public-key = \"{}\"\n", key(n))
}

fn sorted(store: &CertificateStore) -> Vec<PublicKey> {
    let mut keys = store.keys();
    keys.sort_by_key(|key| *key.as_bytes());
    keys
}

/// After `sync`, exactly these keys are admitted.
#[track_caller]
fn admits(store: &CertificateStore, keys: impl IntoIterator<Item = u8>) {
    store.sync(SOON).unwrap();
    assert!(sorted(store).into_iter().eq(keys.into_iter().map(key)));
}

/// The store has what one has that is opened now.
#[track_caller]
fn equals_a_fresh_load(store: &CertificateStore, path: &Path) {
    store.sync(SOON).unwrap();
    let fresh = CertificateStore::directory(path).unwrap();
    assert_eq!(sorted(store), sorted(&fresh));
}

fn is_not_watched(problem: &Error) -> bool {
    let Error::File { problem, .. } = problem else {
        return false;
    };
    matches!(problem, FileProblem::NotWatched { .. })
}

/// It is polled, and says why, how it is to be mended, and where.
#[track_caller]
fn says_that_it_is_polled(store: &CertificateStore, path: &Path, reason: &str) {
    assert_eq!(store.watching(), Some(Watching::Polling));
    let said = store.problems();
    assert!(is_not_watched(&said[0]), "{said:?}");
    let said = said[0].to_string();
    assert!(said.starts_with(&format!("{}: ", path.display())), "{said}");
    for words in [reason, "max_user_watches", "max_user_instances"] {
        assert!(said.contains(words), "{said}");
    }
}

/// A user that is removed from a file that cannot be watched is put out all the same.
fn a_removed_user_is_put_out(folder: &Path) {
    let path = folder.join("passwords");
    replace_private(&path, "ada=1\n");
    let users = PasswordFile::load(&path).unwrap();
    let problems = users.problems();
    assert!(problems.len() == 1 && is_not_watched(&problems[0]));
    let context = Context::new().unwrap();
    let authenticator = Authenticator::start(&context).unwrap();
    let domain = authenticator
        .domain("d", Policy::new().plain(users))
        .unwrap();
    let (_server, endpoint) = secured(&context, SocketType::Push, PlainServer::new(&domain));
    let client = context
        .socket(SocketType::Pull)
        .secure(PlainClient::new("ada", Password::new("1").unwrap()))
        .open()
        .unwrap();
    let monitor = Monitor::attach(&client).unwrap();
    client.connect(&endpoint).unwrap();
    let wait_for =
        |kind: EventKind| while monitor.next(Some(SOON)).unwrap().unwrap().kind != kind {};
    wait_for(EventKind::HandshakeSucceeded);
    wait(|| authenticator.peers().len() == 1);
    replace_private(&path, "bob=1\n");
    wait_for(EventKind::HandshakeFailedAuth(400));
}

/// Has a shell run `script` before the test, in the test's process.
fn by_shell(script: &str) -> impl FnOnce(&mut Command) {
    let script = format!("{script}\nexec \"$@\"");
    move |test| {
        let mut shell = Command::new("sh");
        shell.args(["-ec", &script, "sh"]);
        shell.arg(test.get_program()).args(test.get_args());
        *test = shell;
    }
}

/// Takes all descriptors that this process may still have.
fn take_all() -> Vec<File> {
    let mut taken = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => taken.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                return taken;
            }
        }
        assert!(taken.len() < 1000);
    }
}

#[test]
fn without_descriptors_for_events_a_store_is_polled_and_says_so_and_nobody_is_put_out() {
    alone(
        "shortage::without_descriptors_for_events_a_store_is_polled_and_says_so_and_nobody_is_put_out",
        by_shell("ulimit -n 100"),
        || {
            within(2 * SOON, || {
                let folder = folder();
                let path = folder.path().join("certs");
                fs::create_dir_all(path.join("sub")).unwrap();
                for n in 1..4 {
                    fs::write(path.join(n.to_string()), text(n)).unwrap();
                }
                fs::write(folder.path().join("9"), text(9)).unwrap();

                let mut taken = take_all();
                // An inotify instance and what waits for it take three.
                taken.truncate(taken.len() - 2);
                let store = CertificateStore::directory(&path).unwrap();
                says_that_it_is_polled(&store, &path, "Too many open files");
                admits(&store, 1..4);
                fs::write(path.join("sub/4"), text(4)).unwrap();
                fs::remove_file(path.join("1")).unwrap();
                admits(&store, 2..5);
                fs::rename(path.join("2"), path.join("sub/2")).unwrap();
                fs::write(path.join("3"), text(5)).unwrap();
                // Longer than a file counts as changed just now, and is read again.
                std::thread::sleep(Duration::from_millis(100));
                admits(&store, [2, 4, 5]);

                // Without any at all: nothing new is read, and what is known stays as long as it is there.
                let rest = take_all();
                admits(&store, [2, 4, 5]);
                fs::remove_file(path.join("sub/4")).unwrap();
                fs::rename(folder.path().join("9"), path.join("9")).unwrap();
                admits(&store, [2, 5]);
                let said = store.problems();
                assert!(said.len() >= 2, "{said:?}");
                drop(rest);
                admits(&store, [2, 5, 9]);
                assert_eq!(store.problems().len(), 1);
                drop(taken);
                equals_a_fresh_load(&store, &path);
            });
        },
    );
}

#[test]
fn a_lack_of_descriptors_puts_nobody_out() {
    alone(
        "shortage::a_lack_of_descriptors_puts_nobody_out",
        by_shell("ulimit -n 200"),
        || {
            within(2 * SOON, || {
                let folder = folder();
                let [certificate, client] =
                    [(); 2].map(|()| SecretCertificate::generate().unwrap());
                client
                    .certificate()
                    .save(folder.path().join("client"))
                    .unwrap();
                // Longer than a file counts as changed just now, and is read again.
                std::thread::sleep(Duration::from_millis(100));
                let store = Arc::new(CertificateStore::directory(folder.path()).unwrap());
                let context = Context::new().unwrap();
                let authenticator = Authenticator::start(&context).unwrap();
                let policy = Policy::new().curve(CurvePolicy::store(store.clone()));
                let domain = authenticator.domain("d", policy).unwrap();
                let server = context
                    .socket(SocketType::Pull)
                    .set(options::RCV_TIMEO, Some(SOON))
                    .secure(CurveServer::new(&certificate, &domain));
                let (server, endpoint) = serve(server);
                let socket = context
                    .socket(SocketType::Push)
                    .secure(CurveClient::new(&client, *certificate.public_key()))
                    .connect_checked(&endpoint, SOON)
                    .unwrap();
                let monitor = Monitor::attach(&socket).unwrap();
                wait(|| authenticator.peers().len() == 1);

                let mut taken = Vec::new();
                for _ in 0..20 {
                    // libzmq gives back what it does not need any more in its own time.
                    taken.extend(take_all());
                    // Compares everything: without a descriptor there is no bell to ring.
                    store.sync(SOON).unwrap();
                    assert!(store.lookup(client.public_key()).is_some());
                    socket.send("still in").unwrap();
                    assert_eq!(server.recv().unwrap(), "still in");
                }
                drop(taken);
                wait(|| store.problems().is_empty());
                while let Some(event) = monitor.next(Some(Duration::ZERO)).unwrap() {
                    assert!(!matches!(event.kind, EventKind::Disconnected { .. }));
                }
            });
        },
    );
}

/// A folder, and in it a directory with the certificate of key 1.
fn directory() -> (tempfile::TempDir, PathBuf) {
    let folder = folder();
    let path = folder.path().join("certs");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("1"), text(1)).unwrap();
    (folder, path)
}

/// Has a shell set a limit that holds for the test's process alone: that of a user namespace.
fn with_limit(name: &str, value: u32) -> String {
    format!(
        "exec unshare --user --map-root-user \
         sh -ec 'echo {value} >/proc/sys/user/{name}; exec \"$@\"' sh \"$@\""
    )
}

#[test]
#[ignore = "needs user namespaces"]
fn without_watches_left_a_store_is_polled_and_says_so() {
    alone(
        "shortage::without_watches_left_a_store_is_polled_and_says_so",
        by_shell(&with_limit("max_inotify_watches", 4)),
        || {
            within(2 * SOON, || {
                let (_folder, path) = directory();
                let store = CertificateStore::directory(&path).unwrap();
                admits(&store, [1]);
                assert_eq!(store.watching(), Some(Watching::Events));
                assert!(store.problems().is_empty());
                for n in 2..8 {
                    let sub = path.join(format!("sub-{n}"));
                    fs::create_dir(&sub).unwrap();
                    fs::write(sub.join("key"), text(n)).unwrap();
                }
                admits(&store, 1..8);
                says_that_it_is_polled(&store, &path, "no watch is left");
                fs::remove_dir_all(path.join("sub-2")).unwrap();
                fs::rename(path.join("sub-3"), path.join("other")).unwrap();
                fs::write(path.join("1"), text(8)).unwrap();
                admits(&store, 3..9);
                // Without being asked, too.
                fs::remove_file(path.join("other/key")).unwrap();
                wait(|| store.lookup(&key(3)).is_none());
                equals_a_fresh_load(&store, &path);
                // A tree that needs too many from the start.
                let store = CertificateStore::directory(&path).unwrap();
                says_that_it_is_polled(&store, &path, "no watch is left");
                admits(&store, 4..9);
            });
        },
    );
}

#[test]
#[ignore = "needs user namespaces"]
fn without_instances_left_stores_and_password_files_are_polled_and_say_so() {
    alone(
        "shortage::without_instances_left_stores_and_password_files_are_polled_and_say_so",
        by_shell(&with_limit("max_inotify_instances", 1)),
        || {
            within(2 * SOON, || {
                let (folder, path) = directory();
                let first = CertificateStore::directory(&path).unwrap();
                let second = CertificateStore::directory(&path).unwrap();
                assert_eq!(first.watching(), Some(Watching::Events));
                says_that_it_is_polled(&second, &path, "Too many open files");
                let file = folder.path().join("keys");
                fs::write(&file, format!("{}\n", key(5))).unwrap();
                let keys = CertificateStore::keyfile(&file).unwrap();
                says_that_it_is_polled(&keys, &file, "Too many open files");
                fs::write(path.join("2"), text(2)).unwrap();
                fs::remove_file(path.join("1")).unwrap();
                fs::write(&file, format!("{}\n", key(6))).unwrap();
                for (store, n) in [(&first, 2), (&second, 2), (&keys, 6)] {
                    admits(store, [n]);
                }
                equals_a_fresh_load(&second, &path);
                a_removed_user_is_put_out(folder.path());
            });
        },
    );
}
