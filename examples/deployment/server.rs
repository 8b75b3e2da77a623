//! A deployment, the server's part: answers each request with its sender's user id and role. Who may send any stands in `ironhouse.toml`.
//!
//! ```text
//! deployment_server CONFIG ENDPOINT CREDENTIAL [ENDPOINT CREDENTIAL ...]
//! ```
//!
//! It is one socket with a key of its own at each endpoint, so that clients can move from one key to the next. The keys are credentials
//! of the systemd unit: files in `$CREDENTIALS_DIRECTORY`.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use ironhouse::security::rotation::use_keys;
use ironhouse::security::{Config, ConfiguredAuthenticator, CurveServer, SecretSource};
use ironhouse::{Context, SocketType};

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let config = args.next();
    let mut places = Vec::new();
    while let (Some(endpoint), Some(credential)) = (args.next(), args.next()) {
        let certificate = SecretSource::Credential(credential).certificate()?;
        places.push((endpoint, certificate));
    }
    let (Some(config), Some((_, first))) = (config, places.first()) else {
        anyhow::bail!(
            "usage: deployment_server CONFIG ENDPOINT CREDENTIAL [ENDPOINT CREDENTIAL ...]"
        );
    };

    let context = Context::new()?;
    let house = Config::load(config)?.start(&context)?;
    let events = house.authenticator().events();
    thread::spawn(move || {
        while let Some(event) = events.next(None) {
            println!("{event}");
        }
    });
    let mechanism = CurveServer::new(first, &house.domain("pumps")?);
    let server = context
        .socket(SocketType::Router)
        .secure(mechanism)
        .open()?;
    for (endpoint, certificate) in &places {
        use_keys(&server, certificate)?;
        let endpoint = server.bind(endpoint)?;
        let fingerprint = certificate.public_key().fingerprint();
        println!("listening at {endpoint} under the key {fingerprint}");
    }
    thread::spawn(move || tell(&house));

    loop {
        let frames = server.recv_multipart()?;
        if let [peer, number] = &frames[..] {
            let who = number.user_id().unwrap_or_default();
            let role = number.property("role").unwrap_or_default();
            server.send_multipart([peer.as_ref(), number, who.as_bytes(), role.as_bytes()])?;
        }
    }
}

/// Tells of each problem once, as soon as there is one, and each day of the certificates that end within a month.
fn tell(house: &ConfiguredAuthenticator) {
    let mut told = BTreeSet::new();
    for second in 0.. {
        let health = house.authenticator().health();
        if second % DAY == 0 {
            for certificate in health.expiring(30) {
                println!("{certificate}");
            }
        }
        let problems = health.problems().into_iter().chain(house.problems());
        let problems = problems.map(|problem| problem.to_string()).collect();
        for problem in BTreeSet::difference(&problems, &told) {
            println!("PROBLEM {problem}");
        }
        told = problems;
        thread::sleep(Duration::from_secs(1));
    }
}
