//! Ironhouse: everything is encrypted, each side knows the other, and only the clients that we know get in.
//!
//! New here: certificates, and the store of those whom the server admits. Each message tells whose certificate its sender has.

use std::time::Duration;

use anyhow::bail;
use ironhouse::security::{
    Authenticator, CertificateStore, CurveClient, CurvePolicy, CurveServer, Policy,
    SecretCertificate,
};
use ironhouse::{Context, SocketType};

pub fn main() -> anyhow::Result<()> {
    // The client makes its certificate and hands the public half to the server, by a channel that both trust.
    let client_cert =
        SecretCertificate::generate()?.with_meta("name", "Client test certificate")?;

    // The server admits the certificates in its store, and nobody else. In earnest: `CertificateStore::directory(path)`, which
    // follows the files in a directory; see the examples ironhouse_server and ironhouse_client.
    let store = CertificateStore::in_memory();
    store.insert(client_cert.certificate().clone())?;

    let context = Context::new()?;
    let authenticator = Authenticator::start(&context)?;
    let policy = Policy::new()
        .allow("127.0.0.1".parse()?)
        .curve(CurvePolicy::store(store));
    let domain = authenticator.domain("iron", policy)?;

    let server_cert = SecretCertificate::generate()?;
    let server_key = *server_cert.public_key();
    let server = context
        .socket(SocketType::Pull)
        .secure(CurveServer::new(&server_cert, &domain))
        .open()?;
    let endpoint = server.bind("tcp://127.0.0.1:*")?;

    let client = context
        .socket(SocketType::Push)
        .secure(CurveClient::new(&client_cert, server_key))
        .open()?;
    client.connect(&endpoint)?;
    client.send("Hello")?;
    let hello = server.recv()?;
    assert_eq!(hello, "Hello");
    assert_eq!(
        hello.user_id(),
        Some(client_cert.public_key().to_string().as_str())
    );
    assert_eq!(hello.property("name"), Some("Client test certificate"));

    // A stranger has a key pair and knows the server's key, and still does not get in.
    let stranger = SecretCertificate::generate()?;
    let refused = context
        .socket(SocketType::Push)
        .secure(CurveClient::new(&stranger, server_key))
        .connect_checked(&endpoint, Duration::from_secs(2));
    let Err(reason) = refused else {
        bail!("a stranger got in")
    };
    println!("a stranger: {reason}");

    println!("Ironhouse test OK");
    Ok(())
}
