//! Grasslands: no security at all. Anybody can connect, and anybody on the way can read and change what is sent.
//!
//! The starting point of the tutorial: a server that pushes a message, a client that pulls it.

use ironhouse::{Context, SocketType};

pub fn main() -> anyhow::Result<()> {
    let context = Context::new()?;

    // Bind to a port that the system picks; `bind` answers which.
    let server = context.socket(SocketType::Push).open()?;
    let endpoint = server.bind("tcp://127.0.0.1:*")?;

    let client = context.socket(SocketType::Pull).open()?;
    client.connect(&endpoint)?;

    server.send("Hello")?;
    assert_eq!(client.recv()?, "Hello");
    println!("Grasslands test OK");
    Ok(())
}
