//! Lives of certificates in files.

use std::fs;

use super::*;
use crate::common::folder;

#[test]
fn a_certificate_on_disk_is_disabled_and_prolonged_while_its_owner_is_in() {
    within(SOON * 2, || {
        let folder = folder();
        let path = folder.path().join("client");
        let client = SecretCertificate::generate().unwrap();
        let write = |life: Validity| {
            let certificate = client.certificate().clone().with_validity(life).unwrap();
            certificate.save(&path).unwrap();
        };
        write(Validity::new());
        let house = House::new(CertificateStore::directory(folder.path()).unwrap());
        let inside = house.lets_in(&client);
        write(Validity::new().with_disabled(true));
        inside.is_put_out(&house, Reason::Disabled);
        // Who connects right after the change is judged by it.
        let until = |hours| Validity::new().with_not_after(house.start + hours * HOUR);
        write(until(1));
        let inside = house.lets_in(&client);
        write(until(2));
        house.store.sync(SOON).unwrap();
        let witness = house.lets_in(&house.client(until(1)));
        house.set_clock(house.start + HOUR);
        witness.is_put_out(&house, Reason::Expired);
        inside.is_still_in(&house);
        house.set_clock(house.start + 2 * HOUR);
        inside.is_put_out(&house, Reason::Expired);
        write(until(3));
        house.admits(&client);
    });
}

#[test]
fn dates_that_cannot_be_told_admit_nobody_and_are_reported_with_their_line() {
    within(SOON * 2, || {
        let folder = folder();
        let clients = [(); 4].map(|()| SecretCertificate::generate().unwrap());
        let lines = [
            ("not-after", "2999-01-31T12:00:00", "no time zone"),
            (
                "not-after",
                "2999-01-31T12:00:00+01:00",
                "another time zone",
            ),
            ("not-before", "yesterday", "no date and time"),
            ("disabled", "0", "neither `true` nor `false`"),
        ];
        fs::create_dir(folder.path().join("clients")).unwrap();
        let mut keyfile = String::new();
        for (n, (client, (name, value, _))) in clients.iter().zip(lines).enumerate() {
            let key = client.public_key();
            let text = format!(
                "metadata\n    name = x\n    {name} = \"{value}\"\ncurve\n    public-key = \"{key}\"\n"
            );
            fs::write(folder.path().join(format!("clients/{n}")), text).unwrap();
            keyfile += &format!("{key} name=x {name}=\"{value}\"\n");
        }
        fs::write(folder.path().join("keyfile"), keyfile).unwrap();
        for store in [
            CertificateStore::directory(folder.path().join("clients")).unwrap(),
            CertificateStore::keyfile(folder.path().join("keyfile")).unwrap(),
        ] {
            let house = House::new(store);
            let problems = house.store.problems();
            assert_eq!(problems.len(), lines.len());
            for (n, (problem, (name, _, why))) in problems.iter().zip(lines).enumerate() {
                let text = problem.to_string();
                let Error::File { path, line, .. } = &**problem else {
                    panic!("{text}");
                };
                let in_keyfile = path.ends_with("keyfile");
                assert!(in_keyfile || path.ends_with(n.to_string()));
                assert_eq!(line.unwrap() as usize, if in_keyfile { n + 1 } else { 3 });
                assert!(text.contains(name) && text.contains(why), "{text}");
            }
            for client in &clients {
                house.refuses(client, Reason::UnknownKey);
            }
        }
    });
}

#[test]
fn role_and_group_of_a_certificate_come_with_each_message() {
    within(SOON * 2, || {
        let folder = folder();
        let client = SecretCertificate::generate().unwrap();
        let end = "2999-01-31T12:00:00Z";
        let certificate = client
            .certificate()
            .clone()
            .with_meta("role", "operator")
            .and_then(|c| c.with_meta("group", "hall 3"))
            .and_then(|c| c.with_meta("not-after", end))
            .unwrap();
        fs::create_dir(folder.path().join("clients")).unwrap();
        certificate
            .save(folder.path().join("clients/client"))
            .unwrap();
        let line = format!(
            "{} role=operator group=\"hall 3\" not-after={end}\n",
            client.public_key()
        );
        fs::write(folder.path().join("keyfile"), line).unwrap();
        for store in [
            CertificateStore::directory(folder.path().join("clients")).unwrap(),
            CertificateStore::keyfile(folder.path().join("keyfile")).unwrap(),
        ] {
            assert_eq!(store.problems().len(), 0);
            let house = House::new(store);
            let socket = house.admits(&client);
            for text in ["first", "second"] {
                socket.send(text).unwrap();
                let message = house.server.recv().unwrap();
                assert_eq!(message, text);
                for (name, value) in [
                    ("role", "operator"),
                    ("group", "hall 3"),
                    ("not-after", end),
                ] {
                    assert_eq!(message.property(name), Some(value));
                }
            }
        }
    });
}
