//! `ironhouse.toml`: an authenticator as a file, checked, started and followed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ironhouse::security::{
    AuditEvent, AuditEvents, Config, ConfigProblem, ConfiguredAuthenticator, Credential,
    FileProblem, PeerAddress, PublicKey, Reason, RevocationList, SecretCertificate, SigningKey,
};
use ironhouse::{Context, Error};

use crate::common::{SOON, folder, within, write_private};

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
fn bad_file_changes_nothing_and_is_told_with_path_line_and_reason() {
    within(SOON, || {
        let house = House::new(OPEN);
        let path = house.path.display().to_string();
        house.replace("[domain.a]\ndeny = []\nnul = true\n[domain.b]\nnull = true\n");
        let wanted = format!(
            "{path}:1: [domain.a] takes no mechanism: give `null = true`, `plain`, `curve` or `gssapi`; to shut a domain, remove its table"
        );
        assert_eq!(
            house.told(),
            format!("{wanted}; what was read before stays in force")
        );
        assert_eq!(house.null("a", "127.0.0.1"), Reason::Admitted);
        assert_eq!(house.null("b", "127.0.0.1"), Reason::UnknownDomain);
        let unknown = format!("{path}:3: unknown key \"nul\" in [domain.a]: did you mean `null`?");
        assert_eq!(house.problems(), [wanted, unknown.clone()]);
        // Asked for, it is an error, and told once only.
        house.house.reload().unwrap_err();
        fs::remove_file(&house.path).unwrap();
        let gone = house.told();
        assert!(gone.contains("No such file"), "{gone}");
        assert_eq!(house.null("a", "127.0.0.1"), Reason::Admitted);
        house.replace(OPEN);
        house.told();
        assert_eq!(house.problems(), [""; 0]);
        let event = house.house.authenticator().events();
        house.replace("x");
        house.house.reload().unwrap_err();
        let Some(AuditEvent::ConfigRefused { path, line, reason }) = event.next(Some(SOON)) else {
            panic!("another event");
        };
        assert_eq!((path, line), (house.path.clone(), Some(1)));
        assert!(reason.starts_with("the last line does not end"), "{reason}");
    });
}

#[test]
fn file_replaced_half_way_is_refused() {
    within(SOON, || {
        let house = House::new(OPEN);
        let whole = "[domain.a]\nallow = [\"127.0.0.1\"]\ndeny = [\"127.0.0.2\"]\nnull = true\n";
        for end in 0..whole.len() {
            fs::write(&house.path, &whole[..end]).unwrap();
            let error = house.house.reload().expect_err(&whole[..end]).to_string();
            // Either the last line is cut, or whole ones are missing.
            let reason = match &whole[..end] {
                "" => "an empty file counts as cut off",
                lines if lines.ends_with('\n') => "takes no mechanism",
                _ => "the last line does not end, so the file may have been cut off",
            };
            let path = format!("{}:", house.path.display());
            assert!(error.starts_with(&path), "{error}");
            let problems = house.problems();
            assert!(
                problems.iter().any(|problem| problem.contains(reason)),
                "{problems:#?}"
            );
            assert_eq!(house.null("a", "127.0.0.1"), Reason::Admitted);
        }
        fs::write(&house.path, whole).unwrap();
        house.house.reload().unwrap();
        assert_eq!(house.null("a", "127.0.0.2"), Reason::AddressDenied);
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
fn password_file_that_cannot_be_used_refuses_the_file_until_it_is_mended() {
    within(SOON, || {
        let house = House::new(OPEN);
        let passwords = house.folder.path().join("passwords");
        fs::write(&passwords, "ada=secret\n").unwrap();
        fs::set_permissions(&passwords, fs::Permissions::from_mode(0o644)).unwrap();
        let plain = "[domain.a]\nplain = \"passwords\"\n";
        house.replace(plain);
        let told = house.told();
        let wanted = format!(
            ":2: `plain`: {}: mode 0644 opens the secrets in it",
            passwords.display()
        );
        assert!(told.contains(&wanted), "{told}");
        assert_eq!(house.null("a", "127.0.0.1"), Reason::Admitted);
        fs::set_permissions(&passwords, fs::Permissions::from_mode(0o600)).unwrap();
        // Without another change of the file.
        house.told();
        let ada = Credential::Plain {
            name: b"ada",
            password: b"secret",
        };
        assert_eq!(house.verdict("a", "127.0.0.1", ada), Reason::Admitted);
        let context = Context::new().unwrap();
        fs::remove_file(&passwords).unwrap();
        let error = Config::load(&house.path)
            .unwrap()
            .start(&context)
            .unwrap_err();
        assert!(error.to_string().contains(":2: `plain`: "), "{error}");
    });
}

#[test]
fn large_file_is_refused_with_its_limit() {
    let folder = folder();
    let path = folder.path().join("ironhouse.toml");
    fs::write(&path, vec![b'#'; 10_000_000]).unwrap();
    let error = Config::load(&path).unwrap_err();
    assert!(matches!(
        error,
        Error::File {
            problem: FileProblem::TooLarge { limit: 1_048_576 },
            ..
        }
    ));
    let said = format!(
        "{}: larger than 1048576 bytes, more than such a file may hold",
        path.display()
    );
    assert_eq!(error.to_string(), said);
    assert_eq!(Config::check(&path).len(), 1);
    within(SOON, || {
        let house = House::new(OPEN);
        house.replace(&"#".repeat(10_000_000));
        let told = house.told();
        assert!(
            told.ends_with("may hold; what was read before stays in force"),
            "{told}"
        );
        assert_eq!(house.null("a", "127.0.0.1"), Reason::Admitted);
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
fn policy_that_libzmq_would_not_carry_out_refuses_the_file() {
    within(SOON, || {
        let house = House::new("[domain.a]\ngssapi = \"any\"\n");
        let ada = Credential::Gssapi {
            principal: b"ada@EXAMPLE.ORG",
        };
        let bob = Credential::Gssapi {
            principal: b"bob@EXAMPLE.ORG",
        };
        assert_eq!(house.verdict("a", "127.0.0.1", ada), Reason::Admitted);
        house.replace("[domain.a]\ngssapi = [\"ada@EXAMPLE.ORG\"]\n[domain.b]\nnull = true\n");
        match house.house.reload() {
            // libzmq up to 4.3.5.
            Err(error) => {
                assert!(
                    error
                        .to_string()
                        .contains("could refuse a peer over GSSAPI")
                );
                assert_eq!(house.verdict("a", "127.0.0.1", bob), Reason::Admitted);
                assert_eq!(house.null("b", "127.0.0.1"), Reason::UnknownDomain);
            }
            Ok(()) => {
                assert_eq!(house.verdict("a", "127.0.0.1", ada), Reason::Admitted);
                assert_ne!(house.verdict("a", "127.0.0.1", bob), Reason::Admitted);
            }
        }
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

/// A directory `clients` with a certificate that Anna signed, one by Ben, and one without a signature.
struct Signed {
    anna: SigningKey,
    ben: SigningKey,
    keys: [PublicKey; 3],
}

impl Signed {
    fn in_folder(folder: &Path) -> Self {
        let [anna, ben] = [1, 2].map(|seed| SigningKey::from_seed(&[seed; 32]).unwrap());
        let clients = folder.join("clients");
        fs::create_dir(&clients).unwrap();
        let certificates = [(); 3].map(|()| SecretCertificate::generate().unwrap());
        let keys = [0, 1, 2].map(|n: usize| *certificates[n].public_key());
        for (n, certificate) in certificates.iter().enumerate() {
            let public = certificate.certificate().clone();
            let public = match n {
                0 => public.sign(&anna).unwrap(),
                1 => public.sign(&ben).unwrap(),
                _ => public,
            };
            public.save(clients.join(n.to_string())).unwrap();
        }
        Self { anna, ben, keys }
    }

    /// A file whose store believes these.
    fn text(&self, trust: &[(&SigningKey, &str)]) -> String {
        let administrators = trust
            .iter()
            .map(|(key, list)| format!("  {{ key = \"{}\"{list} }},\n", key.verify_key()));
        let trust: String = administrators.collect();
        format!(
            "[[domain.a.curve.stores]]\ntrust = [\n{trust}]\nremember = \"serials\"\ndirectory = \"clients\"\n"
        )
    }

    /// Which of the three are admitted.
    fn admitted(&self, house: &House) -> [bool; 3] {
        let admitted = |key| {
            let verdict = house.verdict("a", "127.0.0.1", Credential::Curve(key));
            verdict == Reason::Admitted
        };
        self.keys.map(admitted)
    }
}

const MONTH: Duration = Duration::from_secs(30 * 86_400);
const UNSIGNED: &str = "[domain.a]\ncurve.stores = [{ directory = \"clients\" }]\n";

#[test]
fn store_with_trust_admits_what_its_administrators_signed_as_they_change() {
    within(SOON, || {
        let mut signed = None;
        let house = House::prepared(UNSIGNED, |folder| signed = Some(Signed::in_folder(folder)));
        let signed = signed.unwrap();
        let in_force = |text: &str| {
            house.replace(text);
            house.house.reload().unwrap();
            signed.admitted(&house)
        };
        assert_eq!(signed.admitted(&house), [true, true, true]);
        let stores = || house.house.authenticator().health().stores.len();
        let list = ", revocations = \"anna.revoked\"";
        assert_eq!(
            in_force(&signed.text(&[(&signed.anna, "")])),
            [true, false, false]
        );
        let both = [(&signed.anna, ""), (&signed.ben, "")];
        assert_eq!(in_force(&signed.text(&both)), [true, true, false]);
        assert_eq!(
            in_force(&signed.text(&[(&signed.ben, "")])),
            [false, true, false]
        );
        assert_eq!(stores(), 1);

        // A list that is required and not there: nobody. Then whom it leaves.
        let listed = signed.text(&[(&signed.anna, list), (&signed.ben, "")]);
        assert_eq!(in_force(&listed), [false, false, false]);
        let path = house.folder.path().join("anna.revoked");
        let revoked = RevocationList::new()
            .revoke(signed.keys[1], "left us")
            .unwrap();
        revoked.issue(&path, &signed.anna, MONTH).unwrap();
        while signed.admitted(&house) != [true, false, false] {
            std::thread::yield_now();
        }
        assert!(house.folder.path().join("serials").exists());

        // A file with a mistake changes nobody who is believed.
        let bad = listed.replace("directory", "nul = true\ndirectory");
        house.replace(&bad);
        house.house.reload().unwrap_err();
        assert_eq!(signed.admitted(&house), [true, false, false]);
        assert_eq!(in_force(UNSIGNED), [true, true, true]);
        assert_eq!(stores(), 1);
    });
}

#[test]
fn check_tells_what_is_wrong_with_lists_and_signatures() {
    let folder = folder();
    let signed = Signed::in_folder(folder.path());
    let at = |name: &str| folder.path().join(name);
    let path = at("ironhouse.toml");
    let list = ", revocations = \"anna.revoked\"";
    let text = signed.text(&[(&signed.anna, list)]);
    fs::write(&path, &text).unwrap();
    let said = || -> Vec<_> { Config::check(&path).iter().map(Error::to_string).collect() };
    let (file, base) = (path.display(), folder.path().display());
    let starts = |said: &[String], wanted: String| {
        let found = said.iter().any(|said| said.starts_with(&wanted));
        assert!(said.len() == 1 && found, "{wanted}\n{said:#?}");
    };
    let revocations = format!("{file}:2: `revocations`: {base}/anna.revoked: ");
    starts(&said(), format!("{revocations}No such file"));
    RevocationList::new()
        .issue(at("anna.revoked"), &signed.ben, MONTH)
        .unwrap();
    starts(&said(), revocations);
    RevocationList::new()
        .issue(at("anna.revoked"), &signed.anna, MONTH)
        .unwrap();
    assert_eq!(said(), [""; 0]);
    fs::write(at("serials"), "other\n").unwrap();
    starts(&said(), format!("{file}:2: `remember`: {base}/serials"));
    fs::remove_file(at("serials")).unwrap();
    fs::write(at("keys"), format!("{}\n", signed.keys[0])).unwrap();
    fs::write(
        &path,
        text.replace("directory = \"clients\"", "keyfile = \"keys\""),
    )
    .unwrap();
    starts(
        &said(),
        format!("{base}/keys:1: not signed by any administrator"),
    );
    // It is checked as it would be opened.
    assert!(!at("serials").exists());
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn file_that_others_may_change_or_replace_is_refused_until_it_is_mended() {
    within(SOON, || {
        let house = House::new(OPEN);
        let (path, folder) = (&house.path, house.folder.path().canonicalize().unwrap());
        let beside = folder.join("new");
        fs::write(&beside, "[domain.b]\nnull = true\n").unwrap();
        set_mode(&beside, 0o666);
        fs::rename(beside, path).unwrap();
        let wanted = format!(
            "{0}: mode 0666 lets others change it: run `chmod go-w {0}`, and see whether they did",
            path.display()
        );
        assert_eq!(house.house.reload().unwrap_err().to_string(), wanted);
        assert_eq!(Config::load(path).unwrap_err().to_string(), wanted);
        let said: Vec<_> = Config::check(path).iter().map(Error::to_string).collect();
        assert_eq!(said, [wanted]);
        assert_eq!(house.null("a", "127.0.0.1"), Reason::Admitted);

        set_mode(&folder, 0o777);
        set_mode(path, 0o644);
        let wanted = format!(
            "{0}: mode 0777 of {1} lets others put another file in its place: run `chmod go-w {1}`, and see whether they did",
            path.display(),
            folder.display()
        );
        assert_eq!(house.house.reload().unwrap_err().to_string(), wanted);
        assert_eq!(house.null("a", "127.0.0.1"), Reason::Admitted);
        assert_eq!(house.null("b", "127.0.0.1"), Reason::UnknownDomain);
        // Without a change of the file.
        set_mode(&folder, 0o700);
        while house.null("b", "127.0.0.1") != Reason::Admitted {
            std::thread::yield_now();
        }
        assert_eq!(house.null("a", "127.0.0.1"), Reason::MechanismNotAllowed);
    });
}
