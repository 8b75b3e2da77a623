use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::security::endpoint::EndpointProblem;
use crate::security::keys::KeyProblem;
use crate::security::testing::key;

fn pins(text: &str) -> ServerKeys {
    let pins = ServerKeys::in_memory();
    pins.shared.state.lock().unwrap().table = Table::parse(text.into()).unwrap();
    pins
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn most_precise_line_counts_alone_and_equal_ones_add_up() {
    let pins = pins(&format!(
        "# all of them\r\n\n\
             tcp://*.example.org:* {}\r\n\
             \ttcp://db.example.org:* {} # old\n\
             tcp://db.example.org:5555\t{}  {} #{}\n\
             tcp://DB.example.org.:5555 {} {}",
        key(1),
        key(2),
        key(3),
        key(4),
        key(9),
        key(4),
        key(5),
    ));
    for (endpoint, wanted) in [
        ("tcp://x.example.org:5555", &[1][..]),
        ("tcp://db.example.org:1", &[2]),
        ("tcp://db.example.org:5555", &[3, 4, 5]),
    ] {
        let wanted: Vec<_> = wanted.iter().map(|n| key(*n)).collect();
        assert_eq!(pins.keys_for(endpoint).unwrap(), wanted, "{endpoint}");
    }
    let error = pins.keys_for("tcp://example.org:5555").unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, Error::NotPinned { path: None, .. }),
        "{text}"
    );
    assert!(text.contains("`tcp://example.org:5555 KEY`"), "{text}");
    let error = pins.keys_for("example.org").unwrap_err().to_string();
    assert!(
        error.contains("\"example.org\" cannot be connected to"),
        "{error}"
    );
}

#[test]
fn key_may_hold_the_sign_of_a_comment() {
    let text = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI#";
    let key: PublicKey = text.parse().unwrap();
    let pins = pins(&format!("tcp://x:1 {text} #{text}"));
    assert_eq!(pins.keys_for("tcp://x:1").unwrap(), [key]);
}

#[test]
fn wrong_line_is_named_and_nothing_else_counts() {
    let good = key(1).to_string();
    for (line, problem) in [
        ("tcp://x:1".to_owned(), FileProblem::NoServerKey),
        (format!("tcp://x:1 # {good}"), FileProblem::NoServerKey),
        (
            format!("x:1 {good}"),
            FileProblem::Endpoint(EndpointProblem::Transport),
        ),
        (
            format!("tcp://x {good}"),
            FileProblem::Endpoint(EndpointProblem::Port),
        ),
        (
            format!("{good} tcp://x:1"),
            FileProblem::Endpoint(EndpointProblem::Transport),
        ),
        (
            format!("tcp://x:1 {good}#"),
            FileProblem::Key(KeyProblem::Length(41)),
        ),
        (
            format!("tcp://x:1 {good} and"),
            FileProblem::Key(KeyProblem::Length(3)),
        ),
        (
            format!("tcp://x:1 {}", "0".repeat(40)),
            FileProblem::Key(KeyProblem::Zero),
        ),
        (
            format!("tcp://x:1 {}", "~".repeat(40)),
            FileProblem::Z85 { position: 0 },
        ),
        (format!("tcp://x:1 {good}\0"), SyntaxProblem::Nul.into()),
    ] {
        let text = format!("tcp://y:1 {good}\n{line}\n");
        let fault = Table::parse(text).unwrap_err();
        assert_eq!(fault, Fault::new(Some(2), problem), "{line}");
    }
    let many = (1..=9).map(|n| format!("tcp://x:1 {}\n", key(n)));
    let fault = Table::parse(many.collect()).unwrap_err();
    assert_eq!(
        fault,
        Fault::new(Some(9), FileProblem::TooManyServerKeys { limit: 8 })
    );
}

#[test]
fn keys_come_and_go_and_comments_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known_servers");
    write(
        &path,
        &format!(
            "# ours\ntcp://x:1 {}  # one\r\ntcp://y:1 {}",
            key(1),
            key(2)
        ),
    );
    let pins = ServerKeys::load(&path).unwrap();
    pins.add("tcp://X:1", key(3)).unwrap();
    pins.add("tcp://X:1", key(3)).unwrap();
    pins.add("tcp://z:*", key(4)).unwrap();
    let text = format!(
        "# ours\ntcp://x:1 {} {}  # one\r\ntcp://y:1 {}\ntcp://z:* {}\n",
        key(1),
        key(3),
        key(2),
        key(4)
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(pins.to_string(), text);
    assert_eq!(pins.keys_for("tcp://x:1").unwrap(), [key(1), key(3)]);
    assert!(pins.remove("tcp://x:1", &key(1)).unwrap());
    assert!(!pins.remove("tcp://x:1", &key(1)).unwrap());
    assert!(pins.remove("tcp://y:1", &key(2)).unwrap());
    let text = format!(
        "# ours\ntcp://x:1 {}  # one\r\ntcp://z:* {}\n",
        key(3),
        key(4)
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert!(pins.add("tcp://x", key(1)).is_err());
    assert!(pins.add("tcp://x:1", key(0)).is_err());
    let copy = folder.path().join("copy");
    pins.save(&copy).unwrap();
    assert_eq!(ServerKeys::load(&copy).unwrap().to_string(), text);
}

#[test]
fn a_file_is_followed_and_trusted_only_whole_and_guarded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known_servers");
    let error = ServerKeys::load(&path).unwrap_err();
    assert!(matches!(error, Error::Io { .. }));
    write(&path, &format!("tcp://x:1 {}\n", key(1)));
    let pins = ServerKeys::load(&path).unwrap();
    assert_eq!(pins.keys_for("tcp://x:1").unwrap(), [key(1)]);
    write(&path, &format!("tcp://x:1 {}\n", key(2)));
    assert_eq!(pins.clone().keys_for("tcp://x:1").unwrap(), [key(2)]);
    // The wildcard may not stand in for a line that is broken.
    write(&path, &format!("tcp://*:* {}\ntcp://x:1\n", key(3)));
    for _ in 0..2 {
        let error = pins.keys_for("tcp://x:1").unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{}:2: no key", path.display())),
            "{error}"
        );
        assert!(pins.add("tcp://y:1", key(1)).is_err());
    }
    write(&path, &format!("tcp://x:1 {}\n", key(2)));
    for mode in [0o664, 0o646, 0o622] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = pins.keys_for("tcp://x:1").unwrap_err().to_string();
        let cure = format!("chmod go-w {}", path.display());
        assert!(error.contains(&cure), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let directory = folder.path().canonicalize().unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    let said = ServerKeys::load(&path).unwrap_err().to_string();
    let wanted = format!(
        "{}: mode 0777 of {1} lets others put another file in its place: run `chmod go-w {1}`, and see whether they did",
        path.display(),
        directory.display()
    );
    assert_eq!(said, wanted);
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).unwrap();
    pins.add("tcp://x:1", key(3)).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::remove_file(&path).unwrap();
    assert!(pins.keys_for("tcp://x:1").is_err());
    write(&path, "");
    let error = pins.keys_for("tcp://x:1").unwrap_err().to_string();
    let wanted = format!("no server key is pinned for it in {}", path.display());
    assert!(error.contains(&wanted), "{error}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "((tcp|ipc)://[a-z*.]{1,5}(:[0-9*]{1,3})?|#|[ \t\n\r]|\\PC|[!-~]{40}){0,20}") {
        let lines = text.split('\n').count();
        match Table::parse(text) {
            Ok(_) => {}
            Err(fault) => prop_assert!((1..=lines as u32).contains(&fault.line.unwrap())),
        }
    }

    #[test]
    fn what_is_added_is_found_and_what_is_removed_is_not(
        steps in prop::collection::vec((any::<bool>(), "tcp://[xy]:[12*]", 1..5u8), 0..30),
    ) {
        let pins = pins("# begin\n");
        let mut known = std::collections::BTreeSet::new();
        for (add, pattern, n) in steps {
            let pinned = (pattern.clone(), key(n));
            if add {
                pins.add(&pattern, key(n)).unwrap();
                known.insert(pinned);
            } else {
                prop_assert_eq!(pins.remove(&pattern, &key(n)).unwrap(), known.remove(&pinned));
            }
        }
        let state = pins.shared.state.lock().unwrap();
        let found: std::collections::BTreeSet<_> =
            state.table.keys().map(|(pattern, key)| (pattern.to_string(), *key)).collect();
        prop_assert_eq!(found, known);
        prop_assert!(state.table.text.starts_with("# begin\n"));
    }
}
