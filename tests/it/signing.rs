//! Signed stores: who is admitted, who is put out, and what nobody who distributes the files can do about it.

mod lists;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ironhouse::security::{
    AuditEvents, Authenticator, Certificate, CertificateStore, CurveClient, CurvePolicy,
    CurveServer, PeerIdentity, Policy, Reason, RevocationList, SecretCertificate, SigningKey,
    Trust,
};
use ironhouse::socket::{EventKind, HandshakeProblem, Monitor, options};
use ironhouse::{Context, Error, Socket, SocketType};

use crate::common::{SOON, folder, serve, within};

const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// A server with a signed store, and whoever may sign for it.
struct Place {
    anna: SigningKey,
    ben: SigningKey,
    store: Arc<CertificateStore>,
    own: SecretCertificate,
    events: AuditEvents,
    server: Socket,
    endpoint: String,
    context: Context,
    folder: tempfile::TempDir,
    authenticator: Authenticator,
}

/// Where everything lies that an untrusted channel distributes.
fn clients(folder: &Path) -> PathBuf {
    folder.join("clients")
}

impl Place {
    /// Trusts Anna, whose list is required, and keeps in mind what it has seen of it.
    fn new() -> Self {
        let folder = folder();
        fs::create_dir(clients(folder.path())).unwrap();
        let [anna, ben] = [(); 2].map(|()| SigningKey::generate().unwrap());
        let list = folder.path().join("anna.revoked");
        RevocationList::new().issue(&list, &anna, MONTH).unwrap();
        Self::over(folder, anna, ben)
    }

    /// A server started over what lies there.
    fn over(folder: tempfile::TempDir, anna: SigningKey, ben: SigningKey) -> Self {
        let trust = Trust::default()
            .revocations(*anna.verify_key(), folder.path().join("anna.revoked"))
            .remember(folder.path().join("seen"));
        let store = CertificateStore::signed_directory(clients(folder.path()), trust).unwrap();
        let store = Arc::new(store);
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let policy = Policy::new().curve(CurvePolicy::store(store.clone()));
        let domain = authenticator.domain("signed", policy).unwrap();
        let own = SecretCertificate::generate().unwrap();
        let server = context
            .socket(SocketType::Pull)
            .set(options::RCV_TIMEO, Some(SOON))
            .secure(CurveServer::new(&own, &domain));
        let (server, endpoint) = serve(server);
        Self {
            anna,
            ben,
            store,
            own,
            events: authenticator.events(),
            server,
            endpoint,
            context,
            folder,
            authenticator,
        }
    }

    /// The server ends and starts again.
    fn restart(self) -> Self {
        let Self {
            anna, ben, folder, ..
        } = self;
        Self::over(folder, anna, ben)
    }

    fn path(&self, name: &str) -> PathBuf {
        clients(self.folder.path()).join(name)
    }

    fn list(&self) -> PathBuf {
        self.folder.path().join("anna.revoked")
    }

    /// Revokes in Anna's name, and waits until that is in force.
    fn revoke(&self, who: &SecretCertificate) {
        RevocationList::load(self.list(), self.anna.verify_key())
            .unwrap()
            .revoke(*who.public_key(), "stolen")
            .unwrap()
            .issue(self.list(), &self.anna, MONTH)
            .unwrap();
        self.store.sync(SOON).unwrap();
    }

    /// A client of this role, its certificate signed by `by` and put in the directory.
    fn enrol(&self, name: &str, role: &str, by: &SigningKey) -> SecretCertificate {
        let client = SecretCertificate::generate().unwrap();
        let client = client.with_meta("role", role).unwrap().sign(by).unwrap();
        client.certificate().save(self.path(name)).unwrap();
        client
    }

    fn try_connect(&self, who: &SecretCertificate) -> ironhouse::Result<Socket> {
        let client = CurveClient::new(who, *self.own.public_key());
        let socket = self.context.socket(SocketType::Push).secure(client);
        socket.connect_checked(&self.endpoint, SOON)
    }

    /// Connects, and sends a message that arrives with this role.
    #[track_caller]
    fn enters(&self, who: &SecretCertificate, role: &str) -> Socket {
        let client = self.try_connect(who).unwrap();
        client.send("Hello").unwrap();
        let hello = self.server.recv().unwrap();
        assert_eq!(hello, "Hello");
        assert_eq!(hello.user_id(), Some(&*who.public_key().to_string()));
        assert_eq!(hello.property("role"), Some(role));
        client
    }

    /// As `enters`, and is known to be in: nobody else can be taken for it.
    #[track_caller]
    fn lets_in(&self, who: &SecretCertificate, role: &str) -> Socket {
        let client = self.enters(who, role);
        let start = Instant::now();
        loop {
            let peers = self.authenticator.peers();
            let own = PeerIdentity::Key(*who.public_key());
            if peers.iter().any(|peer| peer.identity() == Some(&own)) {
                return client;
            }
            assert!(start.elapsed() < SOON / 2, "{peers:?}");
            std::thread::yield_now();
        }
    }

    #[track_caller]
    fn is_refused(&self, who: &SecretCertificate) {
        match self.try_connect(who).map(drop).unwrap_err() {
            Error::Handshake { problem, .. } => {
                assert_eq!(problem, HandshakeProblem::Refused { status: 400 });
            }
            other => panic!("{other}"),
        }
        let name = who.public_key().to_string();
        loop {
            let decision = self.events.next_decision(SOON).unwrap();
            if decision.identity.name().as_deref() == Some(&*name)
                && decision.reason != Reason::Admitted
            {
                return assert_eq!(decision.reason, Reason::UnknownKey);
            }
        }
    }

    /// One problem is reported with this path, and says this.
    #[track_caller]
    fn reports(&self, path: &Path, what: &str) {
        let problems = self.store.problems();
        let told = problems.iter().map(ToString::to_string);
        let told: Vec<_> = told
            .filter(|problem| problem.starts_with(&format!("{}:", path.display())))
            .collect();
        let fits = told.iter().any(|problem| problem.contains(what));
        assert!(fits, "{what}: {problems:#?}");
    }
}

/// Waits until the server has put out a client, which comes back by itself and is refused.
#[track_caller]
fn is_put_out(monitor: &Monitor) {
    loop {
        let event = monitor.next(Some(SOON)).unwrap().unwrap();
        if event.kind == EventKind::HandshakeFailedAuth(400) {
            return;
        }
    }
}

#[test]
fn signed_client_enters_and_unsigned_tampered_and_foreign_ones_do_not() {
    within(SOON * 2, || {
        let place = Place::new();
        let reader = place.enrol("reader", "reader", &place.anna);
        drop(place.enters(&reader, "reader"));

        let unsigned = SecretCertificate::generate().unwrap();
        let path = place.path("unsigned");
        unsigned.certificate().save(&path).unwrap();
        place.is_refused(&unsigned);
        place.reports(&path, "not signed");

        let foreign = place.enrol("foreign", "reader", &place.ben);
        place.is_refused(&foreign);
        place.reports(&place.path("foreign"), "not trusted");

        // The distributor makes a writer of the reader: nobody's certificate any more.
        let text = fs::read_to_string(place.path("reader")).unwrap();
        let altered = text.replace("\"reader\"", "\"writer\"");
        assert_ne!(text, altered);
        fs::write(place.path("reader"), altered).unwrap();
        place.store.sync(SOON).unwrap();
        place.is_refused(&reader);
        place.reports(&place.path("reader"), "does not match");

        // Or is just replacing it, and has come half-way.
        let quote = text.find("\"reader\"").unwrap();
        for end in [quote + 3, text.len() - 20] {
            fs::write(place.path("reader"), &text[..end]).unwrap();
            place.store.sync(SOON).unwrap();
            place.is_refused(&reader);
            place.reports(&place.path("reader"), "the closing quote is missing");
        }

        // Or puts a stranger's key under a signature.
        let stranger = SecretCertificate::generate().unwrap();
        let old = reader.public_key().to_string();
        let forged = text.replace(&old, &stranger.public_key().to_string());
        fs::write(place.path("reader"), forged).unwrap();
        place.is_refused(&stranger);
        fs::write(place.path("reader"), text).unwrap();
        drop(place.enters(&reader, "reader"));
    });
}

#[test]
fn writer_who_became_a_reader_does_not_become_a_writer_again() {
    within(SOON * 2, || {
        let place = Place::new();
        let writer = place.enrol("client", "writer", &place.anna);
        let old = fs::read(place.path("client")).unwrap();
        drop(place.enters(&writer, "writer"));
        let reader = writer.with_meta("role", "reader").unwrap();
        let reader = reader.sign(&place.anna).unwrap();
        reader.certificate().save(place.path("client")).unwrap();
        place.store.sync(SOON).unwrap();
        drop(place.enters(&reader, "reader"));
        // Put back in its place, then beside it.
        fs::write(place.path("client"), &old).unwrap();
        place.store.sync(SOON).unwrap();
        place.is_refused(&reader);
        place.reports(&place.path("client"), "older than");
        reader.certificate().save(place.path("client")).unwrap();
        fs::write(place.path("a client"), &old).unwrap();
        place.store.sync(SOON).unwrap();
        drop(place.enters(&reader, "reader"));
        place.reports(&place.path("a client"), "older than");
        // For good, also while the server does not run: those below the new serial are revoked.
        let serial = reader.certificate().serial().unwrap();
        RevocationList::load(place.list(), place.anna.verify_key())
            .unwrap()
            .revoke_below(*reader.public_key(), serial, "no writer")
            .unwrap()
            .issue(place.list(), &place.anna, MONTH)
            .unwrap();
        fs::write(place.path("client"), &old).unwrap();
        fs::remove_file(place.path("a client")).unwrap();
        let place = place.restart();
        place.is_refused(&reader);
        place.reports(&place.path("client"), "no writer");
    });
}

#[test]
fn administrators_rotate_without_an_outage_and_who_is_left_behind_is_put_out() {
    within(SOON * 2, || {
        let place = Place::new();
        let [moved, left] = ["moved", "left"].map(|name| place.enrol(name, name, &place.anna));
        let [first, second] = [(&moved, "moved"), (&left, "left")].map(|(who, role)| {
            let socket = place.lets_in(who, role);
            (Monitor::attach(&socket).unwrap(), socket)
        });
        let (anna, ben) = (*place.anna.verify_key(), *place.ben.verify_key());
        let both = Trust::new([ben]).revocations(anna, place.list());
        place.store.set_trust(both).unwrap();
        place.store.sync(SOON).unwrap();
        let moved = moved.sign(&place.ben).unwrap();
        moved.certificate().save(place.path("moved")).unwrap();
        place.store.sync(SOON).unwrap();
        assert_eq!(place.store.len(), 2);

        place.store.set_trust(Trust::new([ben])).unwrap();
        is_put_out(&second.0);
        place.is_refused(&left);
        place.reports(&place.path("left"), "not trusted");
        first.1.send("still here").unwrap();
        assert_eq!(place.server.recv().unwrap(), "still here");
        // It was not even disconnected.
        while let Some(event) = first.0.next(Some(Duration::ZERO)).unwrap() {
            let disconnected = matches!(event.kind, EventKind::Disconnected { .. });
            assert!(!disconnected, "{event:?}");
        }
    });
}

#[test]
fn administrators_who_disagree_are_named_and_the_one_who_says_no_wins() {
    within(SOON * 2, || {
        let place = Place::new();
        let [anna, ben] = [*place.anna.verify_key(), *place.ben.verify_key()];
        let bens = place.folder.path().join("ben.revoked");
        let list = RevocationList::new()
            .issue(&bens, &place.ben, MONTH)
            .unwrap();
        let both = Trust::default().revocations(anna, place.list());
        place.store.set_trust(both.revocations(ben, &bens)).unwrap();
        place.store.sync(SOON).unwrap();

        // One makes a reader of the client, the other a writer: who signed last counts, and the other is told.
        let client = place.enrol("annas", "reader", &place.anna);
        drop(place.enters(&client, "reader"));
        let client = client.with_meta("role", "writer").unwrap();
        let client = client.sign(&place.ben).unwrap();
        client.certificate().save(place.path("bens")).unwrap();
        place.store.sync(SOON).unwrap();
        let inside = place.enters(&client, "writer");
        place.reports(&place.path("annas"), "older than");

        // Ben revokes it, Anna signs it once more.
        let monitor = Monitor::attach(&inside).unwrap();
        let list = list.revoke(*client.public_key(), "left us").unwrap();
        list.issue(&bens, &place.ben, MONTH).unwrap();
        is_put_out(&monitor);
        let client = client.sign(&place.anna).unwrap();
        client.certificate().save(place.path("annas")).unwrap();
        place.is_refused(&client);
        place.reports(&place.path("annas"), &format!("revoked by {ben} (left us)"));
        // Anna's word is no more than that of an administrator who is not trusted any more.
        let bens = Trust::default().revocations(ben, &bens);
        place.store.set_trust(bens).unwrap();
        place.store.sync(SOON).unwrap();
        place.is_refused(&client);
        place.reports(
            &place.path("annas"),
            &format!("signed by {anna}, an administrator who is not trusted"),
        );
    });
}

#[test]
fn inserted_certificate_leaves_with_its_administrator() {
    within(SOON, || {
        let place = Place::new();
        let client = SecretCertificate::generate().unwrap();
        let unsigned = client.certificate().clone();
        assert!(matches!(
            place.store.insert(unsigned),
            Err(Error::Signature(_))
        ));
        let client = client.with_meta("role", "guest").unwrap();
        let client = client.sign(&place.anna).unwrap();
        place.store.insert(client.certificate().clone()).unwrap();
        let socket = place.enters(&client, "guest");
        let monitor = Monitor::attach(&socket).unwrap();
        place.revoke(&client);
        is_put_out(&monitor);
        place.is_refused(&client);
    });
}

#[test]
fn key_file_is_signed_line_by_line() {
    within(SOON, || {
        let folder = folder();
        let anna = SigningKey::generate().unwrap();
        let line = |certificate: &Certificate| {
            let mut line = certificate.public_key().to_string();
            for (name, value) in certificate.metadata() {
                line.push_str(&format!(" {name}=\"{value}\""));
            }
            line + "\n"
        };
        let made = [(); 3].map(|()| SecretCertificate::generate().unwrap());
        let [good, unsigned, tampered] = &made;
        let signed = |made: &SecretCertificate| made.certificate().clone().sign(&anna).unwrap();
        let keys = folder.path().join("keys");
        let mut text = line(&signed(good)) + &line(unsigned.certificate());
        let altered = signed(tampered).with_meta("role", "writer").unwrap();
        text.push_str(&line(&altered));
        fs::write(&keys, text).unwrap();
        let trust = Trust::new([*anna.verify_key()]);
        let store = CertificateStore::signed_keyfile(&keys, trust).unwrap();
        assert_eq!(store.keys(), [*good.public_key()]);
        let problems: Vec<_> = store.problems().iter().map(ToString::to_string).collect();
        for (problem, (line, what)) in problems
            .iter()
            .zip([(2, "not signed"), (3, "does not match")])
        {
            let place = format!("{}:{line}: ", keys.display());
            assert!(
                problem.starts_with(&place) && problem.contains(what),
                "{problem}"
            );
        }
        assert_eq!(problems.len(), 2);
        // Taken away while it runs.
        store.set_trust(Trust::default()).unwrap();
        let start = Instant::now();
        while !store.is_empty() {
            assert!(start.elapsed() < SOON / 2);
            std::thread::sleep(Duration::from_millis(2));
        }
    });
}
