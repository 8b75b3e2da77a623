//! Files that are refused as a whole, until they are mended.

use super::*;

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
