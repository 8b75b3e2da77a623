//! Stonehouse: everything is encrypted, and the client knows that it talks to the right server. The server admits any client.
//!
//! New here: the CURVE mechanism and its key pairs. Safe from eavesdroppers, and the client from impostors; but the server does
//! not know who its clients are.

use std::time::Duration;

use anyhow::bail;
use ironhouse::security::{
    Authenticator, CurveClient, CurvePolicy, CurveServer, Policy, SecretCertificate,
};
use ironhouse::{Context, SocketType};

pub fn main() -> anyhow::Result<()> {
    let context = Context::new()?;
    let authenticator = Authenticator::start(&context)?;
    let domain = authenticator.domain("stone", Policy::new().curve(CurvePolicy::any_key()))?;

    // The server has a long-term key pair; its clients must know the public half of it.
    let server_cert = SecretCertificate::generate()?;
    let server_key = *server_cert.public_key();
    let server = context
        .socket(SocketType::Push)
        .secure(CurveServer::new(&server_cert, &domain))
        .open()?;
    let endpoint = server.bind("tcp://127.0.0.1:*")?;

    // The client makes a pair of its own: any will do.
    let client_cert = SecretCertificate::generate()?;
    let client = context
        .socket(SocketType::Pull)
        .secure(CurveClient::new(&client_cert, server_key))
        .open()?;
    client.connect(&endpoint)?;
    server.send("Hello")?;
    assert_eq!(client.recv()?, "Hello");

    // A client that expects another server's key does not talk to this one.
    let other_key = *SecretCertificate::generate()?.public_key();
    let refused = context
        .socket(SocketType::Pull)
        .secure(CurveClient::new(&client_cert, other_key))
        .connect_checked(&endpoint, Duration::from_secs(2));
    let Err(reason) = refused else {
        bail!("another server's key got in")
    };
    println!("another server's key: {reason}");

    // And one without encryption is not talked to at all.
    let refused = context
        .socket(SocketType::Pull)
        .connect_checked(&endpoint, Duration::from_secs(2));
    let Err(reason) = refused else {
        bail!("a client in clear text got in")
    };
    println!("a client in clear text: {reason}");

    println!("Stonehouse test OK");
    Ok(())
}
