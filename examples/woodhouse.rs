//! Woodhouse: clients are admitted by name and password. Both travel in clear text, as does everything else.
//!
//! New here: the PLAIN mechanism. A message says who sent it.

use std::time::Duration;

use anyhow::bail;
use ironhouse::security::{
    Authenticator, Password, PasswordFile, PlainClient, PlainServer, Policy,
};
use ironhouse::{Context, SocketType};

pub fn main() -> anyhow::Result<()> {
    let context = Context::new()?;
    let authenticator = Authenticator::start(&context)?;

    // In earnest: `PasswordFile::load(path)`, lines of `name=secret`, the file's mode 0600.
    let passwords = PasswordFile::in_memory();
    passwords.insert("admin", "secret")?;
    let domain = authenticator.domain("office", Policy::new().plain(passwords))?;

    let server = context
        .socket(SocketType::Pull)
        .secure(PlainServer::new(&domain))
        .open()?;
    let endpoint = server.bind("tcp://127.0.0.1:*")?;

    let admin = PlainClient::new("admin", Password::new("secret")?);
    let client = context.socket(SocketType::Push).secure(admin).open()?;
    client.connect(&endpoint)?;
    client.send("Hello")?;
    let hello = server.recv()?;
    assert_eq!(hello, "Hello");
    assert_eq!(hello.user_id(), Some("admin"));

    let guess = PlainClient::new("admin", Password::new("bogus")?);
    let refused = context
        .socket(SocketType::Push)
        .secure(guess)
        .connect_checked(&endpoint, Duration::from_secs(2));
    let Err(reason) = refused else {
        bail!("a wrong password got in")
    };
    println!("a wrong password: {reason}");

    println!("Woodhouse test OK");
    Ok(())
}
