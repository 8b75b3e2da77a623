//! Ironhouse over two terminals, the server: answers the clients whose certificates lie in a directory, and prints every decision.
//!
//! ```text
//! cargo run --example ironhouse_server -- [FOLDER [ENDPOINT [ADDRESS ...]]]
//! ```
//!
//! `FOLDER/server` and `FOLDER/server_secret` are its certificate, made at the first run; `FOLDER/clients/` is the directory of those it
//! admits, followed while it runs: copy a client's public certificate in, and it is admitted; remove it, and it is not. With
//! addresses (such as `127.0.0.1` or `10.0.0.0/8`), only clients from there are. Ends with Ctrl-C.

use std::path::Path;

use anyhow::Context as _;
use ironhouse::security::{
    Authenticator, CertificateStore, CurvePolicy, CurveServer, Policy, SecretCertificate,
};
use ironhouse::{Context, SocketType};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or("demo".into());
    let endpoint = args.next().unwrap_or("tcp://127.0.0.1:5555".into());
    let folder = Path::new(&folder);
    let clients = folder.join("clients");
    std::fs::create_dir_all(&clients).with_context(|| format!("creating {}", clients.display()))?;

    // The server keeps its key: clients hold the public half of it.
    let path = folder.join("server");
    let certificate = if path.exists() {
        SecretCertificate::load(&path)?
    } else {
        let certificate = SecretCertificate::generate()?.with_meta("name", "Server")?;
        certificate.save(&path)?;
        certificate
    };

    let context = Context::new()?;
    let authenticator = Authenticator::start(&context)?;
    let events = authenticator.events();
    let mut policy =
        Policy::new().curve(CurvePolicy::store(CertificateStore::directory(&clients)?));
    for address in args {
        policy = policy.allow(address.parse()?);
    }
    let domain = authenticator.domain("iron", policy)?;

    let server = context
        .socket(SocketType::Rep)
        .secure(CurveServer::new(&certificate, &domain))
        .open()?;
    println!(
        "listening at {}, admitting the certificates in {}",
        server.bind(&endpoint)?,
        clients.display()
    );

    std::thread::spawn(move || {
        while let Some(event) = events.next(None) {
            println!("{event}");
        }
    });
    loop {
        let hello = server.recv()?;
        println!(
            "{} says {:?}",
            hello.property("name").unwrap_or("somebody"),
            hello.as_str().unwrap_or("?")
        );
        server.send("World")?;
    }
}
