//! Limits: who guesses is locked out, who floods closes his own connections, and nobody else notices.

mod connections;
mod lockouts;

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ironhouse::security::{
    AuditEvent, AuditEvents, Authenticator, AuthenticatorBuilder, CurveClient, CurveServer, Domain,
    Limits, Lockout, Password, PasswordFile, PlainClient, PlainServer, Policy, Refusal, Rule,
    SecretCertificate,
};
use ironhouse::socket::{HandshakeProblem, SocketBuilder, options};
use ironhouse::{Context, Error, Socket, SocketType};

use crate::common::{SOON, serve};

/// A running authenticator whose only domain is "d".
struct House {
    context: Context,
    authenticator: Authenticator,
    domain: Domain,
    events: AuditEvents,
}

/// A server of its, and where it is.
struct Server {
    socket: Socket,
    port: u16,
}

impl House {
    fn new(limits: Limits, policy: Policy) -> Self {
        Self::with(|builder| builder.limits(limits), policy)
    }

    fn with(
        set: impl FnOnce(AuthenticatorBuilder) -> AuthenticatorBuilder,
        policy: Policy,
    ) -> Self {
        let context = Context::new().unwrap();
        let authenticator = set(Authenticator::builder(&context)).start().unwrap();
        let domain = authenticator.domain("d", policy).unwrap();
        Self {
            events: authenticator.events(),
            context,
            authenticator,
            domain,
        }
    }

    fn plain(&self, handshake: Duration) -> Server {
        let socket = self
            .context
            .socket(SocketType::Rep)
            .set(options::RCV_TIMEO, Some(SOON))
            .set(options::HANDSHAKE_IVL, handshake)
            .secure(PlainServer::new(&self.domain));
        Server::new(socket)
    }

    fn curve(&self, certificate: &SecretCertificate) -> Server {
        let socket = self
            .context
            .socket(SocketType::Rep)
            .set(options::RCV_TIMEO, Some(SOON))
            .secure(CurveServer::new(certificate, &self.domain));
        Server::new(socket)
    }

    fn locked_out(&self) -> Vec<String> {
        let lockouts = self.authenticator.lockouts();
        let mut subjects: Vec<_> = lockouts.iter().map(|l| l.subject.to_string()).collect();
        subjects.sort();
        subjects
    }

    /// The next event that `pick` is after.
    fn event<T>(&self, pick: impl Fn(AuditEvent) -> Option<T>) -> T {
        loop {
            let event = self.events.next(Some(SOON)).expect("it never happened");
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
    }
}

impl Server {
    fn new(builder: SocketBuilder) -> Self {
        let (socket, at) = serve(builder);
        let (_, port) = at.rsplit_once(':').unwrap();
        Self {
            port: port.parse().unwrap(),
            socket,
        }
    }

    /// The endpoint for a client whose address is to be `from`.
    fn from(&self, from: &str) -> String {
        format!("tcp://{from}:0;127.0.0.1:{}", self.port)
    }

    /// A connection that never says a word.
    fn silent(&self) -> TcpStream {
        let at = SocketAddr::from(([127, 0, 0, 1], self.port));
        TcpStream::connect_timeout(&at, SOON).unwrap()
    }

    fn exchange(&self, client: &Socket, text: &str) {
        client.send(text).unwrap();
        let asked = self.socket.recv().unwrap();
        assert_eq!(asked, text);
        self.socket.send(asked).unwrap();
        assert_eq!(client.recv().unwrap(), text);
    }
}

/// A client that gives this password; or how it was refused.
fn log_in(at: &str, name: &str, password: &str) -> Result<Socket, HandshakeProblem> {
    let client = Context::new()
        .unwrap()
        .socket(SocketType::Req)
        .set(options::RCV_TIMEO, Some(SOON))
        .secure(PlainClient::new(name, Password::new(password).unwrap()));
    checked(client.connect_checked(at, SOON))
}

fn enter(
    at: &str,
    client: &SecretCertificate,
    server: &SecretCertificate,
) -> Result<Socket, HandshakeProblem> {
    let client = Context::new()
        .unwrap()
        .socket(SocketType::Req)
        .set(options::RCV_TIMEO, Some(SOON))
        .secure(CurveClient::new(client, *server.public_key()));
    checked(client.connect_checked(at, SOON))
}

fn checked(connected: ironhouse::Result<Socket>) -> Result<Socket, HandshakeProblem> {
    connected.map_err(|error| match error {
        Error::Handshake { problem, .. } => problem,
        error => panic!("{error}"),
    })
}

/// As [`Lockout::standard`], with counts that do not fade while a test runs.
fn lasting() -> Lockout {
    Lockout::standard().half_life(Duration::from_secs(30 * 86_400))
}

const REFUSED: HandshakeProblem = HandshakeProblem::Refused { status: 400 };

fn refused(connected: Result<Socket, HandshakeProblem>) -> HandshakeProblem {
    connected.expect_err("it got in")
}

fn passwords() -> PasswordFile {
    let passwords = PasswordFile::in_memory();
    passwords.insert("alice", "right").unwrap();
    passwords.insert("bob", "good").unwrap();
    passwords
}

/// Locks out for good, so that a refused client hears of it at once.
fn plain_policy() -> Policy {
    Policy::new()
        .plain(passwords())
        .refusal_by(Rule::LockOut, Refusal::Final)
}

#[test]
fn limits_that_cannot_be_meant_are_refused_at_the_start() {
    let context = Context::new().unwrap();
    let start = |limits| Authenticator::builder(&context).limits(limits).start();
    let error = start(Limits::off().connections(1).connections_per_address(2)).unwrap_err();
    assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
    start(Limits::standard()).unwrap();
}
