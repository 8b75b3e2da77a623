use super::*;
use crate::security::keys::SecretKey;

/// The problem of a secret certificate with this text, and its line.
fn secret_fault(text: &str) -> (Option<u32>, FileProblem) {
    let folder = folder();
    let path = folder.path().join("x_secret");
    write_secret(&path, text);
    file_error(SecretCertificate::load(&path).unwrap_err(), &path)
}

#[test]
fn secret_certificate_survives_its_files_given_either_path() {
    let folder = folder();
    let (path, secret) = (folder.path().join("a"), folder.path().join("a_secret"));
    let certificate = SecretCertificate::generate()
        .unwrap()
        .with_meta("role", "server")
        .unwrap();
    certificate.save(&path).unwrap();
    assert_eq!(mode(&secret), 0o600);
    assert_eq!(mode(&path) & 0o600, 0o600);
    for given in [&path, &secret] {
        let again = SecretCertificate::load(given).unwrap();
        assert_eq!(again.certificate(), certificate.certificate());
        assert!(again.secret().ct_eq(certificate.secret()));
    }
    assert_eq!(
        &Certificate::load(&path).unwrap(),
        certificate.certificate()
    );
    fs::remove_file(&path).unwrap();
    certificate.save(&secret).unwrap();
    assert!(path.exists() && !folder.path().join("a_secret_secret").exists());
    fs::remove_file(&path).unwrap();
    assert!(SecretCertificate::load(&path).is_ok());
}

#[test]
fn secret_certificate_survives_one_file_of_any_name() {
    let folder = folder();
    let path = folder.path().join("keys");
    let certificate = SecretCertificate::generate().unwrap();
    certificate.save_file(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let again = SecretCertificate::load_file(&path).unwrap();
    assert!(again.secret().ct_eq(certificate.secret()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(SecretCertificate::load_file(&path).is_err());
}

#[test]
fn saving_closes_a_secret_file_that_was_open_to_others() {
    let folder = folder();
    let (path, secret) = (folder.path().join("a"), folder.path().join("a_secret"));
    fs::write(&secret, "").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o666)).unwrap();
    SecretCertificate::generate().unwrap().save(&path).unwrap();
    assert_eq!(mode(&secret), 0o600);
}

#[test]
fn secret_certificate_open_to_others_is_refused_with_the_cure() {
    let folder = folder();
    let (path, secret) = (folder.path().join("a"), folder.path().join("a_secret"));
    SecretCertificate::generate().unwrap().save(&path).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
    let error = SecretCertificate::load(&path).unwrap_err();
    assert!(error.to_string().contains("chmod 600"));
    let (_, problem) = file_error(error, &secret);
    assert!(matches!(problem, FileProblem::Exposed { mode: 0o640, .. }));
}

#[test]
fn when_the_public_file_cannot_be_written_the_secret_one_is_there() {
    let folder = folder();
    let path = folder.path().join("a");
    fs::create_dir(&path).unwrap();
    let certificate = SecretCertificate::generate().unwrap();
    assert!(certificate.save(&path).is_err());
    assert!(SecretCertificate::load(&path).is_ok());
    // And the other way round: no secret file, no public one.
    let path = folder.path().join("b");
    fs::create_dir(folder.path().join("b_secret")).unwrap();
    assert!(certificate.save(&path).is_err());
    assert!(!path.exists());
}

#[test]
fn secret_certificate_needs_both_keys_and_they_must_belong_together() {
    let other = Keypair::generate().unwrap();
    let curve = |public: &str, secret: &str| {
        format!("curve\n    public-key = \"{public}\"\n    secret-key = \"{secret}\"\n")
    };
    for (text, line, problem) in [
        (
            format!("curve\n    public-key = \"{PUBLIC}\"\n"),
            None,
            FileProblem::Missing("`secret-key` in the section `curve`"),
        ),
        (
            format!("curve\n    secret-key = \"{SECRET}\"\n"),
            Some(1),
            FileProblem::Missing("`public-key` in the section `curve`"),
        ),
        (
            curve(&other.public().to_string(), SECRET),
            Some(2),
            KeyProblem::Mismatch.into(),
        ),
        (
            curve(PUBLIC, "short"),
            Some(3),
            KeyProblem::Length(5).into(),
        ),
        (
            curve(PUBLIC, &"0".repeat(40)),
            Some(3),
            KeyProblem::Zero.into(),
        ),
        (
            curve(PUBLIC, &format!("~{}", &SECRET[1..])),
            Some(3),
            FileProblem::Z85 { position: 0 },
        ),
    ] {
        assert_eq!(secret_fault(&text), (line, problem), "{text}");
    }
}

#[test]
fn no_error_shows_a_secret_key() {
    let broken = format!("{}~", &SECRET[1..]);
    for text in [
        format!("curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{broken}\"\n"),
        format!("curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{SECRET}\" x\n"),
        format!("curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{SECRET}\n"),
        format!("{SECRET}\n"),
    ] {
        let folder = folder();
        let path = folder.path().join("x_secret");
        write_secret(&path, &text);
        let error = SecretCertificate::load(&path).unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(
                !shown.contains(&SECRET[1..12]) && !shown.contains(&SECRET[25..37]),
                "{shown}"
            );
        }
    }
    let certificate = SecretCertificate::from_keypair(
        Keypair::from_secret(SecretKey::from_z85(SECRET).unwrap()).unwrap(),
    );
    assert!(!format!("{certificate:?}").contains(SECRET));
}

#[test]
fn path_that_is_no_utf_8_or_has_the_longest_name_keeps_its_two_files_apart() {
    use std::os::unix::ffi::OsStrExt;

    let folder = folder();
    let odd = std::ffi::OsStr::from_bytes(b"k\xFFy");
    let certificate = SecretCertificate::generate().unwrap();
    certificate.save(folder.path().join(odd)).unwrap();
    assert!(SecretCertificate::load(folder.path().join(odd)).is_ok());
    // The secret file's name would be too long for the file system: nothing is written.
    let long = folder.path().join("x".repeat(255));
    assert!(certificate.save(&long).is_err());
    assert!(!long.exists());
}
