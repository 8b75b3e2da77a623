//! No secret in any `Debug`, error text or audit event.

use std::fmt::{Debug, Write};
use std::time::Duration;

use ironhouse::security::{
    Authenticator, CurveClient, CurvePolicy, CurveServer, JsonLines, Password, PasswordFile,
    PlainClient, PlainServer, Policy, SecretCertificate, SecretKey,
};
use ironhouse::{Context, Message, SocketType};

use crate::common::{SOON, endpoint, folder, within};

const PASSWORD: &str = "correct horse battery staple";

/// Everything a program could print.
#[derive(Default)]
struct Log(String);

impl Log {
    fn debug(&mut self, value: &dyn Debug) {
        writeln!(self.0, "{value:?} {value:#?}").unwrap();
    }

    fn error(&mut self, error: &ironhouse::Error) {
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            writeln!(self.0, "{error} {error:?}").unwrap();
            cause = error.source();
        }
    }

    fn assert_free_of(&self, secret: &SecretCertificate) {
        let bytes = secret.secret().expose_bytes();
        let list = format!("{bytes:?}");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let z85 = secret.secret().expose_z85();
        let list_of_password = format!("{:?}", PASSWORD.as_bytes());
        for trace in [
            list.trim_matches(['[', ']']),
            &hex,
            &z85,
            PASSWORD,
            list_of_password.trim_matches(['[', ']']),
        ] {
            assert!(!self.0.contains(trace), "a secret shows: {}", self.0);
        }
        // So that the test is known to look at something.
        assert!(self.0.contains(&secret.public_key().to_string()));
    }
}

#[test]
fn nothing_that_is_printed_holds_a_key_or_a_password() {
    within(SOON, || {
        let mut log = Log::default();
        let secret = SecretCertificate::generate()
            .unwrap()
            .with_meta("name", "Ada")
            .unwrap();
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let events = authenticator.events();
        let folder = folder();
        let lines = folder.path().join("audit.jsonl");
        let file = JsonLines::open(&lines, &authenticator).unwrap();

        let passwords = PasswordFile::in_memory();
        passwords.insert("ada", PASSWORD).unwrap();
        log.debug(&passwords);
        let policy = Policy::new().plain(passwords).curve(CurvePolicy::any_key());
        log.debug(&policy);
        let domain = authenticator.domain("d", policy).unwrap();
        log.debug(&(
            &secret,
            secret.keypair(),
            secret.secret(),
            secret.certificate(),
            &authenticator,
            &domain,
        ));

        // Each mechanism, before and in the socket, admitted and refused.
        let plain = || PlainClient::new("ada", Password::new(PASSWORD).unwrap());
        log.debug(&(
            plain(),
            Password::new(PASSWORD).unwrap(),
            PlainServer::new(&domain),
        ));
        log.debug(&(
            CurveServer::new(&secret, &domain),
            CurveClient::new(&secret, *secret.public_key()),
        ));
        let builder = context
            .socket(SocketType::Pull)
            .secure(CurveServer::new(&secret, &domain));
        log.debug(&builder);
        let curve_server = builder.open().unwrap();
        let plain_server = context
            .socket(SocketType::Pull)
            .secure(PlainServer::new(&domain))
            .open()
            .unwrap();
        log.debug(&(&curve_server, &plain_server));
        let curve_at = curve_server.bind(&endpoint("tcp")).unwrap();
        let plain_at = plain_server.bind(&endpoint("tcp")).unwrap();
        let client = context.socket(SocketType::Push).secure(plain());
        log.debug(&client);
        let client = client.connect_checked(&plain_at, SOON).unwrap();
        client.send("Hello").unwrap();
        log.debug(&(
            plain_server.recv().unwrap(),
            Message::from(PASSWORD),
            &context,
        ));
        let connect = |mechanism: CurveClient, at: &str| {
            context
                .socket(SocketType::Push)
                .secure(mechanism)
                .connect_checked(at, SOON)
        };
        log.debug(&connect(CurveClient::new(&secret, *secret.public_key()), &curve_at).unwrap());
        domain.set_policy(Policy::new()).unwrap();
        log.error(
            &connect(CurveClient::new(&secret, *secret.public_key()), &curve_at).unwrap_err(),
        );
        log.error(
            &context
                .socket(SocketType::Push)
                .secure(plain())
                .connect_checked(&plain_at, SOON)
                .unwrap_err(),
        );
        while let Some(event) = events.next(Some(Duration::ZERO)) {
            log.debug(&event);
            writeln!(log.0, "{event}").unwrap();
        }
        assert!(
            log.0.contains("REFUSED PLAIN") && log.0.contains("ADMITTED CURVE"),
            "{}",
            log.0
        );

        file.flush(SOON).unwrap();
        log.0 += &std::fs::read_to_string(&lines).unwrap();
        assert!(log.0.contains("\"reason\":\"mechanism_not_allowed\""));
        log.debug(&(&file, authenticator.counters(), authenticator.health()));
        writeln!(log.0, "{}", authenticator.health()).unwrap();

        // What is wrong with a secret file or text is told without the text.
        let path = folder.path().join("key");
        secret.save(&path).unwrap();
        let file = folder.path().join("key_secret");
        let text = std::fs::read_to_string(&file).unwrap();
        for spoiled in [
            text.replace("secret-key = \"", "secret-key = \"x"),
            text.replace("secret-key = \"", "secret-key = \"~"),
            text.replace("public-key", "\tpublic-key"),
            text.replace("curve\n", "curve\n  "),
            text.replace("    secret-key = ", "        secret-key = "),
            text.trim_end().trim_end_matches('"').to_owned(),
        ] {
            std::fs::write(&file, spoiled).unwrap();
            log.error(&SecretCertificate::load(&path).unwrap_err());
        }
        let z85 = secret.secret().expose_z85();
        for spoiled in [format!("{}~", &z85[..39]), format!("{}xx", &*z85)] {
            log.error(&SecretKey::from_z85(&spoiled).unwrap_err());
        }
        let bad = format!(
            "ada={PASSWORD}\nada {PASSWORD}\nbob={}\neve={PASSWORD}\0\n",
            PASSWORD.repeat(10)
        );
        let file = folder.path().join("passwords");
        std::fs::write(&file, bad).unwrap();
        log.error(&PasswordFile::load(&file).unwrap_err());
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let passwords = PasswordFile::load(&file).unwrap();
        assert_eq!(passwords.problems().len(), 3);
        passwords
            .problems()
            .iter()
            .for_each(|problem| log.error(problem));
        log.assert_free_of(&secret);
    });
}
