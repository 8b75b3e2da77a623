//! Users who come, change and go, in a file and in memory.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use super::*;
use crate::security::watcher::Message;

#[test]
fn change_of_the_file_counts_from_the_next_check_for_every_clone() {
    let (_folder, path, users) = file("alice=1\nbob=2\nbad\n");
    let clone = users.clone();
    assert!(clone.check(b"alice", b"1"));
    write(&path, "bob=3\ncarol=4\n");
    assert!(!clone.check(b"alice", b"1") && !users.check(b"bob", b"2"));
    assert!(clone.check(b"bob", b"3") && users.check(b"carol", b"4"));
    assert!(clone.problems().is_empty());
    write(&path, "bad\n");
    assert_eq!(problems(&users), [(1, FileProblem::NoEquals)]);
}

#[test]
fn changes_of_the_same_size_within_one_moment_all_count() {
    let (_folder, path, users) = file("alice=0\n");
    for round in 1..500 {
        let (old, new) = ((round - 1) % 10, round % 10);
        if round % 2 == 0 {
            fs::write(&path, format!("alice={new}\n")).unwrap();
        } else {
            let beside = path.with_extension("new");
            write(&beside, format!("alice={new}\n"));
            fs::rename(&beside, &path).unwrap();
        }
        assert!(users.check(b"alice", format!("{new}").as_bytes()));
        assert!(!users.check(b"alice", format!("{old}").as_bytes()));
    }
}

#[test]
fn proof_holds_as_long_as_the_users_line_is_the_same() {
    let again = QUICK.replace("c2FsdHNhbHRzYWx0c2FsdA", "c2FsdHNhbHRzYWx0c2FsdB");
    assert_ne!(again, QUICK);
    let before = format!("# head\nalice=1\nbob={QUICK}\n");
    let (_folder, path, users) = file(&before);
    let [alice, bob] = [("alice", "1"), ("bob", "secret")]
        .map(|(name, password)| users.prove(name.as_bytes(), password.as_bytes()).unwrap());
    assert!(users.prove(b"alice", b"2").is_none() && users.prove(b"carol", b"1").is_none());
    let other = PasswordFile::in_memory();
    assert!(!other.confirms(&alice));
    other.insert("alice", "1").unwrap();
    assert!(other.confirms(&alice) && !other.confirms(&bob));
    for (content, expected) in [
        (format!("bob={QUICK}\r\ncarol=3\nalice=1"), [true, true]),
        (format!("alice=1\nbob={again}\n"), [true, false]),
        (format!("alice=2\nbob={QUICK}\n"), [false, true]),
        (before.clone(), [true, true]),
        (format!("alice={QUICK}\nbob=secret\n"), [false, false]),
        ("Alice=1\nalice=1\nalice=\n".into(), [false, false]),
        (before, [true, true]),
    ] {
        write(&path, &content);
        users.notice_changes();
        assert_eq!(
            [&alice, &bob].map(|p| users.confirms(p)),
            expected,
            "{content}"
        );
    }
    fs::remove_file(&path).unwrap();
    users.notice_changes();
    assert!(!users.confirms(&alice) && !users.confirms(&bob));
    assert_eq!(format!("{alice:?}"), "Proof(..)");
}

#[test]
fn proof_of_a_name_that_is_no_text_holds() {
    let users = PasswordFile::in_memory();
    users.insert(b"caf\xe9", "1").unwrap();
    let proof = users.prove(b"caf\xe9", b"1").unwrap();
    users.insert(b"caf\xc3\xa9", "1").unwrap();
    assert!(users.confirms(&proof));
    users.remove(b"caf\xe9").unwrap();
    assert!(!users.confirms(&proof));
}

/// Counts the changes that `users` tell of.
fn changes(users: &PasswordFile) -> (Arc<AtomicU64>, Arc<dyn Fn() + Send + Sync>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let hook: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    users.hook(&Arc::downgrade(&hook));
    (count, hook)
}

#[track_caller]
fn wait(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn change_of_the_file_is_told_without_a_check_however_it_comes_about() {
    for poll in [false, true] {
        let (folder, path, users) = file("alice=0\n");
        drop(users);
        let users = PasswordFile::follow(path.clone(), Access::OwnerOnly, poll).unwrap();
        let (count, _hook) = changes(&users);
        let alice = |n: &str| {
            let secret = users.users().secrets.get(&b"alice"[..]).cloned();
            matches!(secret, Some(Secret::Plain(password)) if *password.expose_bytes() == *n.as_bytes())
        };
        fs::write(&path, "alice=1\n").unwrap();
        wait(|| alice("1"));
        write(&path.with_extension("new"), "alice=2\n");
        fs::rename(path.with_extension("new"), &path).unwrap();
        wait(|| alice("2"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        wait(|| users.users().secrets.is_empty());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        wait(|| alice("2"));
        fs::remove_file(&path).unwrap();
        wait(|| users.users().secrets.is_empty());
        symlink("target", &path).unwrap();
        write(&folder.path().join("target"), "alice=3\n");
        wait(|| alice("3"));
        fs::rename(folder.path().join("target"), folder.path().join("gone")).unwrap();
        wait(|| users.users().secrets.is_empty());
        assert!(count.load(Ordering::SeqCst) >= 7);
    }
}

#[test]
fn change_is_told_after_lost_events_and_a_fault_of_ours() {
    let (_folder, path, users) = file("alice=0\n");
    let watcher = users.shared.watcher.get().unwrap();
    let gone = || users.users().secrets.is_empty();
    fs::write(&path, "").unwrap();
    watcher.inject(Message::Lost);
    wait(gone);
    watcher.inject(Message::Inject(|_| panic!("as intended")));
    wait(|| !users.problems().is_empty());
    assert!(watcher.is_polling());
    assert!(matches!(
        &problems_without_lines(&users)[..],
        [FileProblem::NotWatched { .. }]
    ));
    fs::write(&path, "alice=1\n").unwrap();
    wait(|| !gone());
}

fn problems_without_lines(users: &PasswordFile) -> Vec<FileProblem> {
    let problems = users.problems().into_iter();
    problems
        .map(|error| match error {
            Error::File {
                line: None,
                problem,
                ..
            } => problem,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn users_in_memory_tell_of_each_change() {
    let users = PasswordFile::in_memory();
    let (count, hook) = changes(&users);
    users.insert("alice", "1").unwrap();
    users.insert_hash("alice", QUICK).unwrap();
    users.remove("alice").unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 3);
    drop(hook);
    users.insert("alice", "1").unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[test]
fn dropping_the_last_clone_ends_the_watch() {
    let (_folder, path, users) = file("alice=1\n");
    let clone = users.clone();
    drop(users);
    fs::write(&path, "alice=2\n").unwrap();
    wait(|| clone.users().secrets.contains_key(&b"alice"[..]));
    let weak = Arc::downgrade(&clone.shared);
    drop(clone);
    wait(|| weak.upgrade().is_none());
}

#[test]
fn link_that_moves_leads_to_other_users() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, line) in [("v1", "alice=1\n"), ("v2", "bob=2\n")] {
        fs::create_dir(at(version)).unwrap();
        write(&at(version).join("passwords"), line);
    }
    symlink("v1", at("data")).unwrap();
    let users = PasswordFile::load(at("data").join("passwords")).unwrap();
    assert!(users.check(b"alice", b"1"));
    symlink("v2", at("next")).unwrap();
    fs::rename(at("next"), at("data")).unwrap();
    assert!(!users.check(b"alice", b"1") && users.check(b"bob", b"2"));
    fs::rename(at("v2"), at("v3")).unwrap();
    assert!(!users.check(b"bob", b"2"));
    assert!(matches!(users.problems()[..], [Error::Io { .. }]));
}

#[test]
fn file_that_is_gone_or_unusable_admits_nobody_until_it_is_mended() {
    let break_file: [fn(&Path); 4] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
        |path| write(path, vec![b'\n'; 16 * 1024 * 1024 + 1]),
    ];
    for break_file in break_file {
        let (_folder, path, users) = file("alice=1\nbad\n");
        assert!(users.check(b"alice", b"1"));
        break_file(&path);
        assert!(!users.check(b"alice", b"1"));
        let error = PasswordFile::load(&path).unwrap_err().to_string();
        let problems = users.problems();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].to_string(), error);
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        }
        write(&path, "alice=1\nbob=2\n");
        assert!(users.check(b"alice", b"1") && users.check(b"bob", b"2"));
        assert!(users.problems().is_empty());
    }
}

#[test]
fn quiet_file_is_not_read_again() {
    let (_folder, _, users) = file("alice=1\n");
    let readings = || users.shared.readings.load(Ordering::SeqCst);
    let start = Instant::now();
    // A file that changed just now is read at each check, since its times may not show another change.
    loop {
        let before = readings();
        users.check(b"alice", b"1");
        if readings() == before {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(30));
    }
    let before = readings();
    for _ in 0..100 {
        assert!(users.check(b"alice", b"1"));
    }
    assert!(users.problems().is_empty());
    assert_eq!(readings(), before);
}

#[test]
fn file_of_a_relative_path_is_followed_where_it_was_loaded() {
    let here = std::env::current_dir().unwrap();
    let folder = tempfile::tempdir_in(&here).unwrap();
    let path = folder.path().join("passwords");
    write(&path, "alice=1\n");
    let users = PasswordFile::load(path.strip_prefix(&here).unwrap()).unwrap();
    assert_eq!(users.shared.path.as_deref(), Some(&*path));
    assert!(users.check(b"alice", b"1"));
}

#[test]
fn users_in_memory_come_and_go() {
    let users = PasswordFile::in_memory();
    users.insert("alice", "1").unwrap();
    users.insert("alice", String::from("2")).unwrap();
    assert!(users.check(b"alice", b"2") && !users.check(b"alice", b"1"));
    users.insert_hash("alice", QUICK).unwrap();
    assert!(users.check(b"alice", b"secret") && !users.check(b"alice", b"2"));
    assert!(users.remove("alice").unwrap() && !users.remove("alice").unwrap());
    assert!(!users.check(b"alice", b"secret"));
    for (name, password) in [("", "x"), ("a\0", "x"), ("a", ""), ("a", "\0")] {
        let refused = users.insert(name, password);
        assert!(matches!(refused, Err(Error::InvalidOption { .. })));
    }
    for (name, hash) in [("", QUICK), ("a", "secret"), ("a", &QUICK[1..]), ("a", "")] {
        let refused = users.insert_hash(name, hash);
        assert!(matches!(refused, Err(Error::InvalidOption { .. })));
    }
    assert!(users.problems().is_empty());
}

#[test]
fn users_of_a_file_are_changed_in_the_file_alone() {
    let (_folder, _, users) = file("alice=1\n");
    for refused in [
        users.insert("bob", "2"),
        users.insert_hash("bob", QUICK),
        users.remove("alice").map(drop),
    ] {
        assert!(matches!(refused, Err(Error::InvalidOption { .. })));
    }
    assert!(users.check(b"alice", b"1") && !users.check(b"bob", b"2"));
}

#[test]
fn every_check_during_changes_sees_one_of_the_states() {
    let (_folder, path, users) = file("alice=1\nbob=1\n");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    assert!(users.check(b"alice", b"1") && users.problems().is_empty());
                    assert!(!users.check(b"bob", b"3"));
                }
            });
        }
        scope.spawn(|| {
            let beside = path.with_extension("new");
            for round in 0..200 {
                write(&beside, format!("alice=1\nbob={}\n", round % 2));
                fs::rename(&beside, &path).unwrap();
                let bob = format!("{}", round % 2);
                assert!(users.check(b"bob", bob.as_bytes()));
            }
        });
    });
}
