//! Weather: a publisher sends updates for many places, and each subscriber receives those of its own place only.
//!
//! PUB and SUB. What nobody has subscribed to is not sent; who comes late has missed what was sent before.

mod guide;

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use guide::{Background, Keys};
use ironhouse::Context;
use ironhouse::security::{CurveClient, CurveServer};
use ironhouse::socket::{Pub, Sub, Typed};

const PLACES: [&str; 4] = ["Bergen", "Cairo", "Lima", "Quito"];
const UPDATES: i32 = 20;

/// The mean of some temperatures, in degrees.
fn mean(updates: &Typed<Sub>) -> Result<i32> {
    let mut sum = 0;
    for _ in 0..UPDATES {
        let update = updates.recv()?;
        let text = update.as_str().context("an update is text")?;
        let (_, degrees) = text.split_once(' ').context("an update has two words")?;
        sum += degrees.parse::<i32>()?;
    }
    Ok(sum / UPDATES)
}

fn main() -> Result<()> {
    let context = Context::new()?;
    let keys = Keys::new(&context)?;

    let station = context
        .typed::<Pub>()
        .secure(CurveServer::new(&keys.server, &keys.domain)) // the line more
        .open()?;
    let endpoint = station.bind("tcp://127.0.0.1:*")?;
    let mut background = Background::new(&context);
    background.spawn(move || {
        for minute in 0.. {
            for (place, base) in PLACES.into_iter().zip([8, 30, 19, 14]) {
                station.send(format!("{place} {}", base + minute % 5 - 2))?;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    });

    thread::scope(|scope| {
        let mut readers = Vec::new();
        for place in ["Bergen", "Cairo"] {
            let updates = context
                .typed::<Sub>()
                .secure(CurveClient::new(&keys.client, keys.server_key)) // the line more
                .subscribe(format!("{place} ")) // with the blank: a subscription is a prefix
                .open()?;
            updates.connect(&endpoint)?;
            readers.push((place, scope.spawn(move || mean(&updates))));
        }
        for (place, reader) in readers {
            let mean = reader.join().map_err(|_| anyhow!("a reader panicked"))??;
            println!("{place}: {mean} degrees, the mean of {UPDATES} updates");
        }
        Ok(())
    })
}
