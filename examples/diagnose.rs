//! Why nothing happens: each way in which a connection can fail, provoked, and what the user reads then; as a table.
//!
//! ```text
//! cargo run --example diagnose
//! ```

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, bail, ensure};
use ironhouse::security::{
    Authenticator, CertificateStore, CurveClient, CurvePolicy, CurveServer, Domain, Password,
    PasswordFile, PlainClient, PlainServer, Policy, SecretCertificate, ServerKeys, Verdict,
};
use ironhouse::socket::SocketBuilder;
use ironhouse::{Context, Socket, SocketType};

/// Half of it passes before a peer that keeps silent is asked why.
const TIMEOUT: Duration = Duration::from_secs(3);

pub fn main() -> anyhow::Result<()> {
    let house = House::new()?;
    let events = house.authenticator.handshakes();
    // A cause, how to provoke it, and what its text must hold.
    type Cause<'a> = (&'a str, &'a (dyn Fn() -> Outcome + Sync), &'a str);
    let causes: &[Cause<'_>] = &[
        (
            "the host's name is misspelt",
            &|| house.misspelt(),
            "does not resolve",
        ),
        ("nobody is at the endpoint", &|| house.nobody(), "refused"),
        (
            "something else is there",
            &|| house.says(b"SSH-2.0-OpenSSH_9.2\r\n"),
            "SSH-2.0",
        ),
        (
            "it accepts, and says nothing",
            &|| house.says(b""),
            "nothing that ends the handshake",
        ),
        (
            "the mechanisms differ",
            &|| house.differ(),
            "PLAIN, the other end CURVE",
        ),
        (
            "both ends are servers",
            &|| house.servers(),
            "CURVE servers",
        ),
        (
            "both ends are clients",
            &|| house.clients(),
            "CURVE clients",
        ),
        (
            "the server has another key",
            &|| house.wrong_key(),
            "does not prove to hold the key",
        ),
        (
            "no key is pinned for it",
            &|| house.unpinned(),
            "no server key is pinned",
        ),
        (
            "another key is pinned for it",
            &|| house.wrong_pin(),
            "known_servers:2",
        ),
        (
            "our own key pair is broken",
            &|| house.broken_pair(),
            "does not belong",
        ),
        (
            "our certificate is not known",
            &|| house.stranger(),
            "status 400",
        ),
        ("our address is denied", &|| house.denied(), "status 400"),
        (
            "our password is wrong",
            &|| house.wrong_password(),
            "status 400",
        ),
        (
            "its back end is out of order",
            &|| house.deferred(),
            "status 300",
        ),
    ];
    println!("| cause | what the user of the client reads |\n|---|---|");
    thread::scope(|scope| {
        let running: Vec<_> = causes
            .iter()
            .map(|(cause, provoke, holds)| (cause, scope.spawn(provoke), holds))
            .collect();
        for (cause, outcome, holds) in running {
            let Ok(outcome) = outcome.join() else {
                bail!("{cause}: panicked")
            };
            let Err(reason) = outcome?.1 else {
                bail!("{cause}: connected")
            };
            let text = reason.to_string();
            ensure!(text.contains(holds), "{cause}: {text}");
            println!("| {cause} | {text} |");
        }
        anyhow::Ok(())
    })?;

    // The server knows more; what it wrote down while all that went on:
    println!("\n| what the server's log says |\n|---|");
    let mut log = Vec::new();
    for holds in [
        "deny list",
        "no certificate with this key",
        "wrong password",
        "another server key",
    ] {
        let line = loop {
            if let Some(line) = log.iter().find(|line: &&String| line.contains(holds)) {
                break line.clone();
            }
            let event = events.next(Some(TIMEOUT));
            log.push(
                event
                    .with_context(|| format!("no {holds:?} in {log:?}"))?
                    .to_string(),
            );
        };
        println!("| {line} |");
    }
    Ok(())
}

/// What was kept open meanwhile, and what became of the connection.
type Outcome = anyhow::Result<(Option<Socket>, ironhouse::Result<Socket>)>;

/// A server that is set up rightly.
struct House {
    context: Context,
    authenticator: Authenticator,
    domain: Domain,
    key: SecretCertificate,
    known: SecretCertificate,
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> anyhow::Result<Self> {
        let context = Context::new()?;
        let authenticator = Authenticator::start(&context)?;
        let known = SecretCertificate::generate()?;
        let store = CertificateStore::in_memory();
        store.insert(known.certificate().clone())?;
        let policy = Policy::new().curve(CurvePolicy::store(store));
        Ok(Self {
            domain: authenticator.domain("house", policy)?,
            context,
            authenticator,
            key: SecretCertificate::generate()?,
            known,
            folder: tempfile::tempdir()?,
        })
    }

    fn socket(&self) -> SocketBuilder {
        self.context.socket(SocketType::Pair)
    }

    fn serve(&self, domain: &Domain) -> ironhouse::Result<(Socket, String)> {
        let server = self
            .socket()
            .secure(CurveServer::new(&self.key, domain))
            .open()?;
        let at = server.bind("tcp://127.0.0.1:*")?;
        Ok((server, at))
    }

    fn client(&self) -> SocketBuilder {
        let mechanism = CurveClient::new(&self.known, *self.key.public_key());
        self.socket().secure(mechanism)
    }

    fn plain(&self) -> anyhow::Result<SocketBuilder> {
        let client = PlainClient::new("ada", Password::new("let me in")?);
        Ok(self.socket().secure(client))
    }

    /// Serves by `policy`, and connects a client with a certificate that is known.
    fn admitted_by(&self, name: &str, policy: Policy) -> Outcome {
        let domain = self.authenticator.domain(name, policy)?;
        let (server, at) = self.serve(&domain)?;
        Ok((Some(server), self.client().connect_checked(&at, TIMEOUT)))
    }

    fn misspelt(&self) -> Outcome {
        let at = format!("tcp://{}:5555", "x".repeat(70));
        Ok((None, self.client().connect_checked(&at, TIMEOUT)))
    }

    fn nobody(&self) -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // The end of a connection: nobody listens there, and nobody else can have it.
        let end = TcpStream::connect(listener.local_addr()?)?;
        let at = format!("tcp://{}", end.local_addr()?);
        Ok((None, self.client().connect_checked(&at, TIMEOUT)))
    }

    fn says(&self, words: &'static [u8]) -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let at = format!("tcp://{}", listener.local_addr()?);
        thread::spawn(move || {
            let mut kept = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(words);
                kept.push(stream);
            }
        });
        Ok((None, self.client().connect_checked(&at, TIMEOUT)))
    }

    fn differ(&self) -> Outcome {
        let (server, at) = self.serve(&self.domain)?;
        Ok((Some(server), self.plain()?.connect_checked(&at, TIMEOUT)))
    }

    fn servers(&self) -> Outcome {
        let (server, at) = self.serve(&self.domain)?;
        let other = CurveServer::new(&self.known, &self.domain);
        let other = self.socket().secure(other);
        Ok((Some(server), other.connect_checked(&at, TIMEOUT)))
    }

    fn clients(&self) -> Outcome {
        let other = self.client().open()?;
        let at = other.bind("tcp://127.0.0.1:*")?;
        Ok((Some(other), self.client().connect_checked(&at, TIMEOUT)))
    }

    fn wrong_key(&self) -> Outcome {
        let (server, at) = self.serve(&self.domain)?;
        let client = CurveClient::new(&self.known, *self.known.public_key());
        let client = self.socket().secure(client);
        Ok((Some(server), client.connect_checked(&at, TIMEOUT)))
    }

    fn pinned(&self, path: &Path, at: &str) -> ironhouse::Result<Socket> {
        let pins = ServerKeys::load(path)?;
        let client = CurveClient::pinned(&self.known, &pins, at, TIMEOUT)?;
        self.socket().secure(client).connect_checked(at, TIMEOUT)
    }

    fn unpinned(&self) -> Outcome {
        let path = self.folder.path().join("no_servers");
        write(&path, "")?;
        Ok((None, self.pinned(&path, "tcp://127.0.0.1:5555")))
    }

    fn wrong_pin(&self) -> Outcome {
        let (server, at) = self.serve(&self.domain)?;
        let path = self.folder.path().join("known_servers");
        let key = self.known.public_key();
        write(&path, &format!("# endpoint and server key\n{at} {key}\n"))?;
        Ok((Some(server), self.pinned(&path, &at)))
    }

    fn broken_pair(&self) -> Outcome {
        let path = self.folder.path().join("client");
        self.known.save(&path)?;
        let secret = self.folder.path().join("client_secret");
        let [own, other] = [&self.known, &self.key].map(|pair| pair.public_key().to_string());
        fs::write(&secret, fs::read_to_string(&secret)?.replace(&own, &other))?;
        // Found before there is a socket.
        let broken = SecretCertificate::load(&path).and_then(|_| self.client().open());
        Ok((None, broken))
    }

    fn stranger(&self) -> Outcome {
        let (server, at) = self.serve(&self.domain)?;
        let stranger = SecretCertificate::generate()?;
        let client = CurveClient::new(&stranger, *self.key.public_key());
        let client = self.socket().secure(client);
        Ok((Some(server), client.connect_checked(&at, TIMEOUT)))
    }

    fn denied(&self) -> Outcome {
        let policy = Policy::new()
            .deny("127.0.0.0/8".parse()?)
            .curve(CurvePolicy::any_key());
        self.admitted_by("denied", policy)
    }

    fn deferred(&self) -> Outcome {
        let later = CurvePolicy::callback(|_| Verdict::retry());
        self.admitted_by("deferred", Policy::new().curve(later))
    }

    fn wrong_password(&self) -> Outcome {
        let users = PasswordFile::in_memory();
        users.insert("ada", "open sesame")?;
        let domain = self
            .authenticator
            .domain("users", Policy::new().plain(users))?;
        let server = self.socket().secure(PlainServer::new(&domain)).open()?;
        let at = server.bind("tcp://127.0.0.1:*")?;
        Ok((Some(server), self.plain()?.connect_checked(&at, TIMEOUT)))
    }
}

/// Writes a file that nobody else may change, whatever the umask.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}
