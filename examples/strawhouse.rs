//! Strawhouse: clients are admitted by their address. No encryption, and an address is easily faked on a local network.
//!
//! New here: the authenticator, and a domain that says who may connect to the sockets secured with it.

use std::time::Duration;

use anyhow::bail;
use ironhouse::security::{Authenticator, NullServer, Policy};
use ironhouse::{Context, SocketType};

pub fn main() -> anyhow::Result<()> {
    let context = Context::new()?;

    // One authenticator serves all sockets of the context. A policy refuses everybody it does not admit.
    let authenticator = Authenticator::start(&context)?;
    let here = Policy::new().allow("127.0.0.1".parse()?).null();
    let domain = authenticator.domain("here", here)?;

    // The mechanism is given before the socket exists: there is no moment in which it is open to strangers.
    let server = context
        .socket(SocketType::Push)
        .secure(NullServer::new(&domain))
        .open()?;
    let endpoint = server.bind("tcp://127.0.0.1:*")?;

    let client = context.socket(SocketType::Pull).open()?;
    client.connect(&endpoint)?;
    server.send("Hello")?;
    assert_eq!(client.recv()?, "Hello");

    // The same server, after we change our mind: the next client is told so instead of waiting for ever.
    domain.set_policy(Policy::new().deny("127.0.0.0/8".parse()?).null())?;
    let refused = context
        .socket(SocketType::Pull)
        .connect_checked(&endpoint, Duration::from_secs(2));
    let Err(reason) = refused else {
        bail!("a denied address got in")
    };
    println!("a denied address: {reason}");

    println!("Strawhouse test OK");
    Ok(())
}
