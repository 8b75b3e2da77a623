//! Stores with `trust`, and what `check` says of them.

use std::time::Duration;

use ironhouse::security::{RevocationList, SigningKey};

use super::*;

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
