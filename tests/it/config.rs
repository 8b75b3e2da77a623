//! `ironhouse.toml`: an authenticator as a file, checked, started and followed.

mod refused;
mod signed;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ironhouse::security::{
    AuditEvent, AuditEvents, Config, ConfigProblem, ConfiguredAuthenticator, Credential,
    FileProblem, PeerAddress, PublicKey, Reason, SecretCertificate,
};
use ironhouse::{Context, Error};

use crate::common::{SOON, folder, within, write_private};
use crate::zap::Asker;

/// A configuration in a folder of its own.
struct House {
    house: ConfiguredAuthenticator,
    events: AuditEvents,
    path: PathBuf,
    folder: tempfile::TempDir,
    _context: Context,
}

impl House {
    fn new(text: &str) -> Self {
        Self::prepared(text, |_| {})
    }

    fn prepared(text: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = folder();
        let path = folder.path().join("ironhouse.toml");
        fs::write(&path, text).unwrap();
        prepare(folder.path());
        let context = Context::new().unwrap();
        let house = Config::load(&path).unwrap().start(&context).unwrap();
        let events = house.authenticator().events();
        Self {
            house,
            events,
            path,
            folder,
            _context: context,
        }
    }

    /// Replaces the file as it should be done.
    fn replace(&self, text: &str) {
        let beside = self.folder.path().join("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, &self.path).unwrap();
    }

    fn verdict(&self, domain: &str, address: &str, credential: Credential<'_>) -> Reason {
        let address = PeerAddress::parse(address);
        let authenticator = self.house.authenticator();
        authenticator.explain(domain, &address, credential).reason
    }

    fn null(&self, domain: &str, address: &str) -> Reason {
        self.verdict(domain, address, Credential::Null)
    }

    /// The next event about the file.
    fn told(&self) -> String {
        self.events.next(Some(SOON)).expect("an event").to_string()
    }

    fn problems(&self) -> Vec<String> {
        self.house
            .problems()
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}

const OPEN: &str = "[domain.a]\nallow = [\"127.0.0.1\"]\nnull = true\n";

#[test]
fn policies_are_those_of_the_file() {
    within(SOON, || {
        let certificate = SecretCertificate::generate().unwrap();
        let house = House::prepared(
            "[domain.a]\nallow = [\"127.0.0.1\"]\nnull = true\nplain = \"passwords\"\n\
             curve.stores = [{ directory = \"clients\" }]\n\
             [domain.b]\ndeny = [\"127.0.0.0/8\"]\ncurve = \"any\"\n[fallback]\nnull = true\n",
            |folder| {
                fs::create_dir(folder.join("clients")).unwrap();
                certificate
                    .certificate()
                    .save(folder.join("clients/one"))
                    .unwrap();
                write_private(&folder.join("passwords"), "ada=secret\n");
            },
        );
        let key = *certificate.public_key();
        let other = PublicKey::from_bytes([7; 32]);
        let plain = |password: &'static [u8]| Credential::Plain {
            name: b"ada",
            password,
        };
        for (domain, address, credential, reason) in [
            ("a", "127.0.0.1", Credential::Null, Reason::Admitted),
            (
                "a",
                "127.0.0.2",
                Credential::Null,
                Reason::AddressNotAllowed,
            ),
            ("a", "127.0.0.1", plain(b"secret"), Reason::Admitted),
            ("a", "127.0.0.1", plain(b"secres"), Reason::WrongPassword),
            ("a", "127.0.0.1", Credential::Curve(key), Reason::Admitted),
            (
                "a",
                "127.0.0.1",
                Credential::Curve(other),
                Reason::UnknownKey,
            ),
            (
                "b",
                "127.0.0.1",
                Credential::Curve(other),
                Reason::AddressDenied,
            ),
            ("b", "192.0.2.1", Credential::Curve(other), Reason::Admitted),
            (
                "b",
                "192.0.2.1",
                Credential::Null,
                Reason::MechanismNotAllowed,
            ),
            ("c", "192.0.2.1", Credential::Null, Reason::Admitted),
        ] {
            assert_eq!(
                house.verdict(domain, address, credential),
                reason,
                "{domain} {address}"
            );
        }
        assert_eq!(house.house.domain("a").unwrap().name(), "a");
        let error = house.house.domain("c").unwrap_err().to_string();
        assert!(error.contains("has no table for \"c\""), "{error}");
    });
}

#[test]
fn changed_file_is_in_force_as_a_whole_by_itself() {
    within(SOON, || {
        let house = House::new(OPEN);
        assert_eq!(house.null("b", "127.0.0.1"), Reason::UnknownDomain);
        house.replace("[domain.b]\nnull = true\n[fallback]\nnull = true\n");
        assert_eq!(
            house.told(),
            format!("{} has changed and is in force", house.path.display())
        );
        // Removed: shut, and not left to the fallback.
        assert_eq!(house.null("a", "127.0.0.1"), Reason::MechanismNotAllowed);
        assert_eq!(house.null("b", "192.0.2.1"), Reason::Admitted);
        assert_eq!(house.null("c", "192.0.2.1"), Reason::Admitted);
        assert!(house.house.domain("a").is_ok() && house.house.domain("b").is_ok());
        house.replace(OPEN);
        house.told();
        assert_eq!(house.null("a", "127.0.0.1"), Reason::Admitted);
        assert_eq!(house.null("b", "192.0.2.1"), Reason::MechanismNotAllowed);
        assert_eq!(house.null("c", "192.0.2.1"), Reason::UnknownDomain);
    });
}

#[test]
fn what_needs_a_restart_is_told_and_all_else_is_in_force() {
    within(SOON, || {
        let house = House::new(OPEN);
        house.replace("[authenticator]\ncallback-threads = 4\n[domain.a]\nnull = true\n");
        house.house.reload().unwrap();
        assert_eq!(house.null("a", "192.0.2.1"), Reason::Admitted);
        let path = house.path.display();
        let wanted = format!(
            "{path}:2: `callback-threads` cannot change while the authenticator runs: restart the program for it; all else of the file is in force"
        );
        assert_eq!(house.problems(), [wanted]);
        assert!(
            house
                .told()
                .ends_with("but for what needs a restart: callback-threads")
        );
        house.replace(OPEN);
        house.house.reload().unwrap();
        assert_eq!(house.problems(), [""; 0]);
    });
}

#[test]
fn check_tells_all_that_is_wrong_without_starting_anything() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let path = at("ironhouse.toml");
    let key = SecretCertificate::generate().unwrap();
    fs::write(at("keys"), format!("{}\nnot a key\n", key.public_key())).unwrap();
    write_private(&at("passwords"), "ada=secret\nno equals\n");
    fs::write(
        &path,
        "[domain.a]\nplain = \"passwords\"\ncurve.stores = [\n{ directory = \"later\" },\n\
         { directory = \"no/where\" },\n{ directory = \"keys\" },\n{ keyfile = \"keys\" },\n]\n\
         [domain.b]\nplain = \"missing\"\n",
    )
    .unwrap();
    let said: Vec<_> = Config::check(&path)
        .iter()
        .map(ToString::to_string)
        .collect();
    let starts = |n: usize, wanted: String| assert!(said[n].starts_with(&wanted), "{said:#?}");
    assert_eq!(said.len(), 5, "{said:#?}");
    let (file, folder) = (path.display(), folder.path().display());
    starts(0, format!("{folder}/passwords:2: no `=`"));
    starts(
        1,
        format!("{file}:5: `directory`: {folder}/no/where: not there, nor the directory"),
    );
    starts(
        2,
        format!("{file}:6: `directory`: {folder}/keys: not a directory"),
    );
    starts(3, format!("{folder}/keys:2: "));
    starts(
        4,
        format!("{file}:10: `plain`: {folder}/missing: No such file"),
    );
    fs::write(&path, "[domain.a]\nnul = true\n").unwrap();
    assert_eq!(Config::check(&path).len(), 2);
    fs::write(&path, OPEN).unwrap();
    assert!(Config::check(&path).is_empty());
    let problem = |error: &Error| match error {
        Error::File {
            problem: FileProblem::Config(problem),
            ..
        } => problem.clone(),
        other => panic!("{other}"),
    };
    fs::write(&path, "\n").unwrap();
    assert_eq!(problem(&Config::check(&path)[0]), ConfigProblem::Empty);
}

#[test]
fn file_is_followed_as_long_as_a_domain_remains() {
    within(SOON, || {
        let house = House::new(OPEN);
        let domain = house.house.domain("a").unwrap();
        let House {
            house,
            events,
            path,
            folder,
            _context,
        } = house;
        drop(house);
        fs::write(folder.path().join("new"), "[domain.a]\nnull = true\n").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        let event = events.next(Some(SOON)).unwrap();
        assert!(matches!(event, AuditEvent::ConfigChanged { .. }), "{event}");
        drop(domain);
        // The authenticator has ended, and all that belongs to it.
        assert_eq!(events.next(Some(SOON)), None);
    });
}

#[test]
fn change_of_limits_needs_a_restart() {
    within(SOON, || {
        let house = House::prepared(
            "[limits]\nlockout = { by-address = 2, half-life = \"1h\" }\n[domain.a]\nplain = \"passwords\"\n",
            |folder| write_private(&folder.join("passwords"), "ada=secret\n"),
        );
        house.replace("[domain.a]\nplain = \"passwords\"\n");
        house.house.reload().unwrap();
        let problems = house.problems();
        assert!(
            problems.len() == 1 && problems[0].contains("`limits` cannot change while"),
            "{problems:?}"
        );
    });
}

/// Waits until the audit file has a line with this text.
fn audited(path: &Path, text: &str) {
    while !fs::read_to_string(path).is_ok_and(|lines| lines.contains(text)) {
        std::thread::yield_now();
    }
}

#[test]
fn audit_file_is_written_and_another_one_takes_over() {
    within(SOON, || {
        let audit = |file: &str| format!("[audit]\nfile = \"{file}\"\n{OPEN}");
        let house = House::new(&audit("one"));
        let at = |name: &str| house.folder.path().join(name);
        let mode = fs::metadata(at("one")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        house.replace("x");
        house.house.reload().unwrap_err();
        audited(&at("one"), "config_refused");

        let before = fs::read_to_string(at("one")).unwrap();
        fs::create_dir(at("log")).unwrap();
        house.replace(&audit("log/two"));
        house.house.reload().unwrap();
        audited(&at("log/two"), "config_changed");
        assert_eq!(fs::read_to_string(at("one")).unwrap(), before);
        let health = house.house.authenticator().health();
        let files: Vec<_> = health.files.iter().map(|file| file.path.clone()).collect();
        assert_eq!(files, [at("log/two")]);

        // Unchanged, it goes on; renamed by log rotation, it is made anew.
        fs::rename(at("log/two"), at("log/two.1")).unwrap();
        house.replace(&format!("{}# a comment\n", audit("log/two")));
        house.house.reload().unwrap();
        audited(&at("log/two"), "config_changed");

        // Without the table, events go nowhere, and all that came before is written.
        let before = fs::read_to_string(at("log/two")).unwrap();
        house.replace(OPEN);
        house.house.reload().unwrap();
        assert!(house.house.authenticator().health().files.is_empty());
        assert_eq!(fs::read_to_string(at("log/two")).unwrap(), before);
    });
}

#[test]
fn audit_file_is_whole_once_the_last_domain_is_dropped() {
    within(SOON, || {
        for _ in 0..20 {
            let house = House::new(&format!("[audit]\nfile = \"log\"\n{OPEN}"));
            let domain = house.house.domain("a").unwrap();
            let asker = Asker::new(&house._context);
            drop(house.house);
            for _ in 0..100 {
                asker.ask("none", "127.0.0.1", "NULL", &[]);
            }
            drop(domain);
            let lines = fs::read_to_string(house.folder.path().join("log")).unwrap();
            assert_eq!(lines.lines().count(), 100);
        }
    });
}

#[test]
fn audit_file_that_cannot_be_written_to_refuses_the_file_until_it_is_mended() {
    within(SOON, || {
        let text = format!("{OPEN}[audit]\nfile = \"no/log\"\n");
        let folder = folder();
        let path = folder.path().join("ironhouse.toml");
        fs::write(&path, &text).unwrap();
        let wanted = format!(
            "{}:5: `audit.file`: {}: No such file or directory (os error 2): make its directory, let the user of this process write there, or name another file",
            path.display(),
            folder.path().join("no/log").display()
        );
        let started = Config::load(&path).unwrap().start(&Context::new().unwrap());
        assert_eq!(started.unwrap_err().to_string(), wanted);
        let said: Vec<_> = Config::check(&path).iter().map(Error::to_string).collect();
        assert_eq!(said, [wanted]);
        assert!(!folder.path().join("no").exists());

        let house = House::new(&format!("[audit]\nfile = \"log\"\n{OPEN}"));
        house.replace(&text.replace("null = true", "null = true\n[domain.b]\nnull = true"));
        let error = house.house.reload().unwrap_err().to_string();
        assert!(error.contains(":7: `audit.file`: "), "{error}");
        assert_eq!(house.null("b", "127.0.0.1"), Reason::UnknownDomain);
        audited(&house.folder.path().join("log"), "audit.file");
        fs::create_dir(house.folder.path().join("no")).unwrap();
        // Without another change of the file.
        while !house.problems().is_empty() {
            std::thread::yield_now();
        }
        audited(&house.folder.path().join("no/log"), "config_changed");
        assert_eq!(house.null("b", "127.0.0.1"), Reason::Admitted);
    });
}
