//! Secret keys from where operators keep them.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use ironhouse::Error;
use ironhouse::security::{SecretCertificate, SecretProblem, SecretSource};

use crate::common::{SOON, folder, within};
use crate::os::{drop_file_privileges, handed_over};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A secret certificate, and the text of its file.
fn secret() -> (SecretCertificate, String) {
    let folder = folder();
    let path = folder.path().join("server");
    let made = SecretCertificate::generate().unwrap();
    made.save(&path).unwrap();
    (
        made,
        fs::read_to_string(path.with_file_name("server_secret")).unwrap(),
    )
}

fn problem(source: &SecretSource) -> SecretProblem {
    match source.certificate().unwrap_err() {
        Error::Secret { from, problem } => {
            assert_eq!(&from, source);
            problem
        }
        other => panic!("{other}"),
    }
}

#[test]
fn file_is_read_if_it_is_its_owners_alone() {
    let folder = folder();
    let (made, text) = secret();
    let path = folder.path().join("server_secret");
    fs::write(&path, text).unwrap();
    set_mode(&path, 0o600);
    let source = SecretSource::File(folder.path().join("server"));
    assert!(source.certificate().unwrap().secret().ct_eq(made.secret()));
    set_mode(&path, 0o640);
    let error = source.certificate().unwrap_err().to_string();
    assert!(
        error.contains(&format!("run `chmod 600 {}`", path.display())),
        "{error}"
    );
}

/// One test: a number that one has closed is given to the next.
#[test]
fn descriptor_is_read_once_and_closed() {
    within(SOON, || {
        let (made, text) = secret();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        let source = SecretSource::Descriptor(handed_over(&file));
        assert!(source.certificate().unwrap().secret().ct_eq(made.secret()));
        assert!(matches!(problem(&source), SecretProblem::Closed));
        assert!(
            source
                .certificate()
                .unwrap_err()
                .to_string()
                .contains(": not open: hand it over as `program 3</path")
        );

        // A pipe, written in parts.
        let mut cat = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut writer = cat.stdin.take().unwrap();
        let source = SecretSource::Descriptor(handed_over(cat.stdout.as_ref().unwrap()));
        let half = text.len() / 2;
        let (first, second) = (text[..half].to_owned(), text[half..].to_owned());
        let writing = thread::spawn(move || {
            writer.write_all(first.as_bytes()).unwrap();
            thread::yield_now();
            writer.write_all(second.as_bytes()).unwrap();
        });
        assert!(source.certificate().unwrap().secret().ct_eq(made.secret()));
        writing.join().unwrap();
        cat.wait().unwrap();

        for (thing, kind) in [
            (
                OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap()),
                "a socket",
            ),
            (File::open("/dev/null").unwrap().into(), "a device"),
            (File::open("/").unwrap().into(), "a directory"),
        ] {
            let said = problem(&SecretSource::Descriptor(handed_over(&thing))).to_string();
            assert_eq!(said, format!("{kind}, where a pipe or a file is wanted"));
        }

        for (content, wanted) in [
            (vec![b'x'; 70_000], "larger than 65536 bytes"),
            (b"curve\n    public-key = \"x\"\n".to_vec(), "line 2: "),
            (Vec::new(), "no section `curve`"),
            (vec![0xff], "line 1: not UTF-8"),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&content).unwrap();
            file.rewind().unwrap();
            let said = problem(&SecretSource::Descriptor(handed_over(&file))).to_string();
            assert!(said.starts_with(wanted), "{said}");
        }
        let write_only = fs::OpenOptions::new()
            .write(true)
            .open(tempfile::NamedTempFile::new().unwrap().path())
            .unwrap();
        let said = problem(&SecretSource::Descriptor(handed_over(&write_only))).to_string();
        assert!(said.starts_with("cannot be read: "), "{said}");
    });
}

const CHILD: &str = "IRONHOUSE_TEST_SECRET_SOURCE";

/// Not a test of its own: what the children of the tests below do, with an environment that is theirs alone.
#[test]
fn child_that_reads_its_secret() {
    let Ok(what) = std::env::var(CHILD) else {
        return;
    };
    let source = match what.split_once(' ').unwrap() {
        ("fd", number) => SecretSource::Descriptor(number.parse().unwrap()),
        ("credential", name) => SecretSource::Credential(name.into()),
        ("unreadable", name) => {
            drop_file_privileges();
            SecretSource::Credential(name.into())
        }
        ("variable", name) => SecretSource::Variable(name.into()),
        other => panic!("{other:?}"),
    };
    match source.certificate().and_then(SecretCertificate::locked) {
        Ok(certificate) => println!("KEY {}", certificate.public_key()),
        Err(error) => println!("ERROR {error}"),
    }
}

/// What a child of this program says, started by a shell with `redirection` and these variables.
fn child(what: &str, redirection: &str, variables: &[(&str, &str)]) -> String {
    let script = format!(
        "exec \"$0\" --exact secret_source::child_that_reads_its_secret --nocapture {redirection}"
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, what)
        .env_remove("CREDENTIALS_DIRECTORY")
        .envs(variables.iter().copied())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text.lines().find_map(|line| {
        let at = line.find("KEY ").or_else(|| line.find("ERROR "))?;
        Some(line[at..].to_owned())
    });
    said.unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn program_reads_what_it_was_started_with() {
    within(SOON, || {
        let folder = folder();
        let (made, text) = secret();
        let path = folder.path().join("server.key");
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o400);
        let (shown, directory) = (path.to_str().unwrap(), folder.path().to_str().unwrap());
        let key = format!("KEY {}", made.public_key());

        assert_eq!(child("fd 7", &format!("7<'{shown}'"), &[]), key);
        let none = child("fd 7", "", &[]);
        assert!(none.starts_with("ERROR descriptor 7: "), "{none}");

        let at = [("CREDENTIALS_DIRECTORY", directory)];
        assert_eq!(child("credential server.key", "", &at), key);
        let missing = child("credential client.key", "", &at);
        assert!(
            missing.starts_with(&format!("ERROR {directory}/client.key: No such file")),
            "{missing}"
        );
        let none = child("credential server.key", "", &[]);
        assert!(
            none.starts_with("ERROR credential \"server.key\": there is no $CREDENTIALS_DIRECTORY"),
            "{none}"
        );
        set_mode(&path, 0o000);
        let unreadable = child("unreadable server.key", "", &at);
        assert!(
            unreadable.starts_with(&format!("ERROR {shown}: Permission denied")),
            "{unreadable}"
        );
        // As an access control list shows.
        set_mode(&path, 0o440);
        assert_eq!(child("credential server.key", "", &at), key);
        set_mode(&path, 0o444);
        let open = child("credential server.key", "", &at);
        assert!(
            open.contains("mode 0444 opens the secrets in it to others"),
            "{open}"
        );

        let by = [("SERVER_KEY", shown)];
        assert!(child("variable SERVER_KEY", "", &by).contains("mode 0444"));
        set_mode(&path, 0o600);
        assert_eq!(child("variable SERVER_KEY", "", &by), key);
        let z85 = made.secret().expose_z85();
        let holds = child("variable SERVER_KEY", "", &[("SERVER_KEY", &z85)]);
        assert!(
            holds.starts_with("ERROR environment variable \"SERVER_KEY\": holds a key"),
            "{holds}"
        );
        assert!(!holds.contains(z85.as_str()));
    });
}

#[test]
fn locked_key_is_the_same_key() {
    let (made, _) = secret();
    let plain = made.secret().expose_z85();
    let locked = made.locked().unwrap().locked().unwrap();
    assert_eq!(*locked.secret().expose_z85(), *plain);
    assert_eq!(locked.secret().public_key().unwrap(), *locked.public_key());
    assert_eq!(format!("{:?}", locked.secret()), "SecretKey(..)");
}
