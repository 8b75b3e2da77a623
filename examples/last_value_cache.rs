//! Last-value cache: a subscriber that comes late is sent the last value of its topics at once.
//!
//! A cache between publisher and subscribers: it subscribes to everything, keeps the last value of each topic, and publishes on an
//! XPUB, which is a PUB that hears who subscribes.

mod guide;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use guide::{Background, Keys};
use ironhouse::Context;
use ironhouse::security::{CurveClient, CurveServer};
use ironhouse::socket::options::XPUB_VERBOSE;
use ironhouse::socket::{Interest, Poller, Sub, Typed, XPub};

/// How many topics the cache keeps; others are passed on only.
const TOPICS: usize = 10_000;

fn cache(updates: &Typed<Sub>, subscribers: &Typed<XPub>) -> ironhouse::Result<()> {
    let mut last = BTreeMap::new();
    let mut poller = Poller::new();
    let update = poller.add(updates.as_ref(), Interest::READABLE);
    let subscription = poller.add(subscribers.as_ref(), Interest::READABLE);
    loop {
        let events = poller.wait(None)?;
        if events.readable(update) {
            let [topic, value] = updates.recv_array()?;
            if last.len() < TOPICS || last.contains_key(topic.as_ref()) {
                last.insert(topic.to_vec(), value.clone());
            }
            subscribers.send_multipart([topic, value])?;
        }
        if events.readable(subscription) {
            // A subscription is 1 and a prefix; its end is 0 and the prefix.
            if let Some((1, prefix)) = subscribers.recv()?.split_first() {
                for (topic, value) in last.iter().filter(|(topic, _)| topic.starts_with(prefix)) {
                    subscribers.send_tuple((topic.as_slice(), value.clone()))?;
                }
            }
        }
    }
}

fn main() -> Result<()> {
    let context = Context::new()?;
    let keys = Keys::new(&context)?;

    let publisher = context
        .typed::<XPub>()
        .secure(CurveServer::new(&keys.server, &keys.domain)) // the line more
        .open()?;
    let updates = context
        .typed::<Sub>()
        .secure(CurveClient::new(&keys.client, keys.server_key)) // the line more
        .subscribe("")
        .open()?;
    updates.connect(&publisher.bind("tcp://127.0.0.1:*")?)?;
    let subscribers = context
        .typed::<XPub>()
        .secure(CurveServer::new(&keys.server, &keys.domain)) // the line more
        .set(XPUB_VERBOSE, true) // hear of every subscription, not only of a prefix's first
        .open()?;
    let endpoint = subscribers.bind("tcp://127.0.0.1:*")?;
    let mut background = Background::new(&context);
    background.spawn(move || cache(&updates, &subscribers));

    let subscribe = |topic: &str| -> ironhouse::Result<Typed<Sub>> {
        let subscriber = context
            .typed::<Sub>()
            .secure(CurveClient::new(&keys.client, keys.server_key)) // the line more
            .subscribe(topic)
            .open()?;
        subscriber.connect(&endpoint)?;
        Ok(subscriber)
    };

    publisher.recv()?; // the cache has subscribed
    for (topic, value) in [("copper", "9000"), ("tin", "31000"), ("copper", "9150")] {
        publisher.send_tuple((topic, value))?;
    }
    // Once this one has the latest price, the cache has it too.
    let early = subscribe("copper")?;
    while early.recv_array::<2>()? != ["copper", "9150"] {}

    // Nothing is published any more, and yet:
    let late = subscribe("copper")?;
    let [topic, value] = late.recv_array()?;
    let said = [topic.as_str(), value.as_str()].map(|text| text.unwrap_or("?"));
    ensure!(said == ["copper", "9150"], "not the last value: {said:?}");
    println!("late, and told at once: {}", said.join(" "));
    Ok(())
}
