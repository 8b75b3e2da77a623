mod changes;

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::security::file::{FileKind, FileProblem, MAX_FAULTS};
use crate::security::hash::HashProblem;
use crate::security::hash::TAKEN;
use crate::security::keys::PasswordProblem;

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A hash that is checked in no time.
const QUICK: &str =
    "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$fIbdC2xakJ6cNlONBQKde0ZQtJof49m9l+7mj3O30mA";

/// A password file with this content, and the folder that holds it.
fn file(content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf, PasswordFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passwords");
    write(&path, content);
    let users = PasswordFile::load(&path).unwrap();
    (folder, path, users)
}

fn problems(users: &PasswordFile) -> Vec<(u32, FileProblem)> {
    let problems = users.problems().into_iter();
    problems
        .map(|error| match error {
            Error::File { line, problem, .. } => (line.unwrap(), problem),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn user_enters_with_the_own_password_only() {
    let (_folder, _, users) = file("alice=secret\nbob=other\n");
    assert!(users.check(b"alice", b"secret"));
    assert!(users.check(b"bob", b"other"));
    for (name, password) in [
        ("alice", "other"),
        ("alice", ""),
        ("alice", "secre"),
        ("alice", "secret\n"),
        ("Alice", "secret"),
        ("carol", "secret"),
        ("", ""),
        ("carol", &"-".repeat(255)),
    ] {
        assert!(
            !users.check(name.as_bytes(), password.as_bytes()),
            "{name} {password}"
        );
    }
    assert!(users.problems().is_empty());
}

#[test]
fn name_ends_at_the_first_equals_sign_and_nothing_is_trimmed() {
    let (_folder, _, users) = file(
        "# comment = x\n\n  \n spaced = v \nuser=a=b\nhash=#x # y\nlast=1\nlast=2\n #no=comment",
    );
    for (name, password) in [
        (" spaced ", " v "),
        ("user", "a=b"),
        ("hash", "#x # y"),
        ("last", "2"),
        (" #no", "comment"),
    ] {
        assert!(users.check(name.as_bytes(), password.as_bytes()), "{name}");
    }
    assert!(!users.check(b"last", b"1"));
    assert!(!users.check(b"# comment ", b" x"));
    assert!(problems(&users).is_empty());
}

#[test]
fn one_carriage_return_at_the_end_of_a_line_is_dropped() {
    let (_folder, _, users) = file("alice=secret\r\nbob=odd\r\r\n\r\n#x\r\n");
    assert!(users.check(b"alice", b"secret"));
    assert!(users.check(b"bob", b"odd\r"));
    assert!(problems(&users).is_empty());
}

#[test]
fn bad_lines_are_reported_and_the_others_load() {
    let long = "x".repeat(256);
    let content = format!(
        "first=1\nno separator\n=nameless\nempty=\n{long}=x\nlong={long}\nnul\0=x\nnul=\0x\n\
             hash=$argon2id$v=19$m=65536$c2FsdA$aGFzaA\ndear={}\nother=$6$salt$hash\nlast=2\n",
        QUICK.replace("m=8", "m=65536")
    );
    let (_folder, path, users) = file(&content);
    let wanted = [
        (2, FileProblem::NoEquals),
        (3, FileProblem::UserName),
        (4, PasswordProblem::Empty.into()),
        (5, FileProblem::UserName),
        (6, PasswordProblem::TooLong.into()),
        (7, FileProblem::UserName),
        (8, PasswordProblem::Nul.into()),
        (9, HashProblem::Malformed.into()),
        (10, HashProblem::TooCostly.into()),
        (11, HashProblem::Kind.into()),
    ];
    assert_eq!(problems(&users), wanted);
    assert!(users.check(b"first", b"1") && users.check(b"last", b"2"));
    for (name, password) in [
        (&b"empty"[..], &b""[..]),
        (b"", b"nameless"),
        (long.as_bytes(), b"x"),
        (b"long", long.as_bytes()),
        (b"nul\0", b"x"),
        (b"nul", b"\0x"),
        (b"hash", b"$argon2id$v=19$m=65536$c2FsdA$aGFzaA"),
        (b"other", b"$6$salt$hash"),
        (b"no separator", b""),
    ] {
        assert!(!users.check(name, password));
    }
    let shown = users.problems()[0].to_string();
    assert!(
        shown.starts_with(&format!("{}:2: ", path.display())),
        "{shown}"
    );
}

#[test]
fn password_of_255_bytes_of_any_kind_is_read() {
    let mut content = b"caf\xE9=".to_vec();
    let password: Vec<u8> = (1..=255).filter(|&byte| byte != b'\n').collect();
    content.extend(&password);
    let (_folder, _, users) = file(content);
    assert!(users.check(b"caf\xE9", &password));
}

#[test]
fn bad_last_line_of_a_name_revokes_its_earlier_password() {
    let (_folder, _, users) = file("alice=old\nalice=\nbob=\nbob=good\n");
    assert!(!users.check(b"alice", b"old"));
    assert!(users.check(b"bob", b"good"));
    assert_eq!(problems(&users).len(), 2);
}

#[test]
fn hashes_and_plain_passwords_stand_in_one_file() {
    let own = PasswordFile::hash(&Password::new("own").unwrap()).unwrap();
    let content = format!(
        "plain=secret\nquick={QUICK}\nown={own}\nlast=plain\nlast={QUICK}\nback={QUICK}\nback=plain\n"
    );
    let (_folder, _, users) = file(&content);
    for (name, password) in [
        ("plain", "secret"),
        ("quick", "secret"),
        ("own", "own"),
        ("last", "secret"),
        ("back", "plain"),
    ] {
        assert!(users.check(name.as_bytes(), password.as_bytes()), "{name}");
    }
    for (name, password) in [
        ("plain", "own"),
        ("plain", ""),
        ("quick", "secre"),
        ("quick", "secret\0"),
        ("quick", QUICK),
        ("quick", ""),
        ("own", "secret"),
        ("last", "plain"),
        ("back", "secret"),
        ("nobody", "secret"),
        ("nobody", "own"),
    ] {
        assert!(!users.check(name.as_bytes(), password.as_bytes()), "{name}");
    }
    assert!(problems(&users).is_empty());
}

#[test]
fn password_that_no_client_may_send_is_refused_even_where_its_hash_is_known() {
    for password in [&b""[..], b"with\0nul", &[b'x'; 256]] {
        let cost = crate::ffi::sodium::HashCost {
            memory: 8,
            passes: 1,
        };
        let text = crate::ffi::sodium::hash_password(password, cost).unwrap();
        let text = std::ffi::CStr::from_bytes_until_nul(text.as_slice()).unwrap();
        let users = PasswordFile::in_memory();
        users.insert_hash("user", text.to_str().unwrap()).unwrap();
        assert!(!users.check(b"user", password));
    }
}

#[test]
fn any_name_costs_one_hash_where_there_are_hashes() {
    let (_folder, _, users) = file(format!("hashed={QUICK}\nplain=secret\n"));
    for name in ["hashed", "plain", "unknown", ""] {
        let before = TAKEN.get();
        assert!(!users.check(name.as_bytes(), b"wrong"));
        assert_eq!(TAKEN.get() - before, 1, "{name}");
    }
    let before = TAKEN.get();
    assert!(users.check(b"plain", b"secret"));
    assert_eq!(TAKEN.get() - before, 1);
}

#[test]
fn no_name_costs_a_hash_where_there_are_none() {
    let (_folder, _, users) = file("plain=secret\n");
    let before = TAKEN.get();
    assert!(!users.check(b"plain", b"wrong") && !users.check(b"unknown", b"wrong"));
    assert_eq!(TAKEN.get(), before);
}

#[test]
fn unknown_user_costs_the_dearest_hash_that_there_is() {
    let users = PasswordFile::in_memory();
    let dearest = || users.users().dearest.as_ref().map(|hash| hash.work());
    assert!(users.is_quick());
    users.insert_hash("a", QUICK).unwrap();
    assert_eq!(dearest(), Some(16));
    users
        .insert_hash("b", &QUICK.replace("m=8,t=1", "m=9,t=2"))
        .unwrap();
    users.insert_hash("c", QUICK).unwrap();
    assert_eq!(dearest(), Some(27));
    users.insert("b", "plain").unwrap();
    assert_eq!(dearest(), Some(16));
    users.remove("a").unwrap();
    assert!(dearest() == Some(16) && !users.is_quick());
    users.remove("c").unwrap();
    assert!(dearest().is_none() && users.is_quick());
}

#[test]
fn file_is_never_quick_because_its_disk_may_hang() {
    let (_folder, _, users) = file("alice=1\n");
    assert!(!users.is_quick());
}

#[test]
fn fifo_and_open_file_are_refused_at_load() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let error = PasswordFile::load(&fifo).unwrap_err();
    let wanted = FileProblem::NotAFile(FileKind::Fifo);
    assert!(matches!(error, Error::File { problem, .. } if problem == wanted));
    let open = folder.path().join("open");
    write(&open, "alice=1\n");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let error = PasswordFile::load(&open).unwrap_err().to_string();
    assert!(
        error.contains(&format!("chmod 600 {}", open.display())),
        "{error}"
    );
}

#[test]
fn open_file_is_read_and_followed_for_who_asks_for_that_unless_everybody_may_change_it() {
    let (_folder, path, _) = file("alice=1\n");
    let open = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    open(0o664);
    let users = PasswordFile::load_exposed(&path).unwrap();
    assert!(users.check(b"alice", b"1"));
    fs::write(&path, "alice=23\n").unwrap();
    assert!(users.check(b"alice", b"23") && !users.check(b"alice", b"1"));
    open(0o666);
    assert!(!users.check(b"alice", b"23"));
    let refused = PasswordFile::load_exposed(&path).unwrap_err();
    assert!(refused.to_string().contains("0666"), "{refused}");
}

#[test]
fn debug_and_problems_show_no_password_and_no_hash() {
    let digest = QUICK.rsplit('$').next().unwrap();
    let (_folder, _, users) = file(format!(
        "alice=hunter\nhunter\n=hunter\nbob=hunt\0er\ncarol={QUICK}\ndave={QUICK}$\n"
    ));
    let refused = users.insert_hash("eve", &QUICK[1..]);
    let shown = format!("{users:?} {:?} {refused:?}", users.problems());
    assert!(
        !shown.contains("hunt") && !shown.contains(digest),
        "{shown}"
    );
}

/// Users in memory that were parsed from a file's content.
fn parsed(content: &[u8]) -> PasswordFile {
    let users = PasswordFile::in_memory();
    *users.users_mut() = Users::parse(content, Mark::UNSETTLED);
    users
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic_and_admit_no_empty_password(bytes: Vec<u8>, end in "(\\$argon2id?)?[$=,a-z0-9\n]{0,99}") {
        for content in [bytes, [QUICK, &end].concat().into_bytes(), format!("a={end}\n{end}").into_bytes()] {
            let users = Users::parse(&content, Mark::UNSETTLED);
            for (name, secret) in &users.secrets {
                prop_assert!(!name.is_empty());
                if let Secret::Plain(password) = secret {
                    prop_assert!(!password.expose_bytes().is_empty());
                    prop_assert!(!password.expose_bytes().starts_with(b"$argon2"));
                }
            }
            let hashes = users.secrets.values().any(|secret| matches!(secret, Secret::Hash(_)));
            prop_assert_eq!(users.dearest.is_some(), hashes);
        }
    }

    #[test]
    fn what_is_written_as_a_line_is_checked(
        name in "[^=#\r\n\0][^=\r\n\0]{0,20}", password in "[^\r\n\0]{1,30}", wrong in "\\PC{0,30}"
    ) {
        prop_assume!(!name.bytes().all(|byte| byte.is_ascii_whitespace()));
        prop_assume!(!Hash::is_meant(password.as_bytes()));
        let users = parsed(format!("{name}={password}\n").as_bytes());
        prop_assert!(users.check(name.as_bytes(), password.as_bytes()));
        prop_assert_eq!(users.check(name.as_bytes(), wrong.as_bytes()), wrong == password);
    }

    #[test]
    fn hash_line_admits_its_password_and_no_other(
        name in "[^=#\r\n\0][^=\r\n\0]{0,20}", password in "[^\0]{1,30}", wrong in "\\PC{0,30}", more in "([a-z]=[a-z]{1,5}\n){0,3}"
    ) {
        prop_assume!(!name.bytes().all(|byte| byte.is_ascii_whitespace()));
        let cost = crate::ffi::sodium::HashCost { memory: 8, passes: 1 };
        let text = crate::ffi::sodium::hash_password(password.as_bytes(), cost).unwrap();
        let text = String::from_utf8_lossy(text.as_slice());
        let users = parsed(format!("{more}{name}={}\r\n", text.trim_end_matches('\0')).as_bytes());
        prop_assert!(users.users().problems.is_empty());
        prop_assert!(users.check(name.as_bytes(), password.as_bytes()));
        prop_assert_eq!(users.check(name.as_bytes(), wrong.as_bytes()), wrong == password);
        prop_assert!(!users.check(name.as_bytes(), text.trim_end_matches('\0').as_bytes()));
    }
}

#[test]
fn lines_beyond_the_first_thousand_bad_ones_are_counted_only() {
    let (_folder, _, users) = file("bad\n".repeat(5000) + "alice=secret\n");
    let problems = users.problems();
    assert_eq!(problems.len(), MAX_FAULTS + 1);
    let last = problems.last().unwrap().to_string();
    assert!(last.contains("4000 more lines are wrong"), "{last}");
    assert!(users.check(b"alice", b"secret"));
}
