//! Lazy pirate: a client that asks again, on a new socket, when no answer comes; and gives up in the end.
//!
//! REQ, and a server that loses every third request. A REQ that waits for an answer cannot send: so each try has a socket of its
//! own, which also takes no late answer for another's. A request may be done twice: it must do no harm then.

mod guide;

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use guide::{Background, Keys};
use ironhouse::security::{CurveClient, CurveServer};
use ironhouse::socket::options::{LINGER, RCV_TIMEO};
use ironhouse::socket::{Req, Router};
use ironhouse::{Context, Error, Message};

const TRIES: u32 = 6;
/// For the first answer; each try after that waits twice as long.
const PATIENCE: Duration = Duration::from_millis(250);

fn ask(context: &Context, keys: &Keys, endpoint: &str, request: &str) -> Result<Message> {
    for attempt in 0..TRIES {
        let server = context
            .typed::<Req>()
            .secure(CurveClient::new(&keys.client, keys.server_key)) // the line more
            .set(RCV_TIMEO, Some(PATIENCE * 2_u32.pow(attempt)))
            .set(LINGER, Some(Duration::ZERO)) // what could not be sent goes with the socket
            .open()?;
        server.connect(endpoint)?;
        server.send(request)?;
        match server.recv() {
            Err(Error::Again) => println!("{request}: no answer, try {}", attempt + 1),
            answer => return Ok(answer?),
        }
    }
    bail!("{request}: no answer from {endpoint} in {TRIES} tries; is the server running?")
}

fn main() -> Result<()> {
    let context = Context::new()?;
    let keys = Keys::new(&context)?;

    // A ROUTER, because a REP must answer.
    let server = context
        .typed::<Router>()
        .secure(CurveServer::new(&keys.server, &keys.domain)) // the line more
        .open()?;
    let endpoint = server.bind("tcp://127.0.0.1:*")?;
    let mut background = Background::new(&context);
    background.spawn(move || {
        for count in 1_u64.. {
            let [client, blank, request] = server.recv_array()?;
            if count % 3 != 0 {
                server.send_multipart([client, blank, request])?;
            }
        }
        Ok(())
    });

    for number in 1..=5 {
        let request = format!("request {number}");
        let answer = ask(&context, &keys, &endpoint, &request)?;
        ensure!(answer == request, "another's answer");
        println!("{request}: answered");
    }
    Ok(())
}
