//! Broker: clients ask and workers answer, and neither knows the others: both connect to a broker between them.
//!
//! ROUTER and DEALER, with a proxy; clients are REQ, workers REP. Both sides of the broker admit those whom they know, and nobody
//! reads along; the broker itself reads everything.

mod guide;

use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use guide::{Background, Keys};
use ironhouse::Context;
use ironhouse::security::{CurveClient, CurveServer};
use ironhouse::socket::{Dealer, Rep, Req, Router, Typed, proxy};

const CLIENTS: u64 = 3;
const WORKERS: u64 = 2;
const QUESTIONS: u64 = 10;

/// Asks for some squares.
fn ask(broker: &Typed<Req>, client: u64) -> Result<()> {
    for number in client * 100..client * 100 + QUESTIONS {
        broker.send(number.to_string())?;
        let answer = broker.recv()?;
        let square: u64 = answer.as_str().context("an answer is text")?.parse()?;
        ensure!(square == number * number, "{number} squared is {square}");
    }
    Ok(())
}

fn main() -> Result<()> {
    let context = Context::new()?;
    let keys = Keys::new(&context)?;

    let frontend = context
        .typed::<Router>()
        .secure(CurveServer::new(&keys.server, &keys.domain)) // the line more
        .open()?;
    let clients_at = frontend.bind("tcp://127.0.0.1:*")?;
    let backend = context
        .typed::<Dealer>()
        .secure(CurveServer::new(&keys.server, &keys.domain)) // the line more
        .open()?;
    let workers_at = backend.bind("tcp://127.0.0.1:*")?;
    let mut background = Background::new(&context);
    background.spawn(move || proxy(frontend.as_ref(), backend.as_ref(), None));

    for _ in 0..WORKERS {
        let questions = context
            .typed::<Rep>()
            .secure(CurveClient::new(&keys.client, keys.server_key)) // the line more
            .open()?;
        questions.connect(&workers_at)?;
        background.spawn(move || {
            loop {
                let question = questions.recv()?;
                let number = question.as_str().and_then(|text| text.parse::<u64>().ok());
                let square = number.and_then(|number| number.checked_mul(number));
                questions.send(square.map_or("?".into(), |square| square.to_string()))?;
            }
        });
    }

    thread::scope(|scope| {
        let mut clients = Vec::new();
        for client in 1..=CLIENTS {
            let broker = context
                .typed::<Req>()
                .secure(CurveClient::new(&keys.client, keys.server_key)) // the line more
                .open()?;
            broker.connect(&clients_at)?;
            clients.push(scope.spawn(move || ask(&broker, client)));
        }
        for client in clients {
            client.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        println!("{CLIENTS} clients had {QUESTIONS} answers each");
        Ok(())
    })
}
