//! Ironhouse over two terminals, the client: says hello to `ironhouse_server`, and says why if it is refused.
//!
//! ```text
//! cargo run --example ironhouse_client -- [FOLDER [ENDPOINT]]
//! ```
//!
//! `FOLDER/server` is the server's public certificate; `FOLDER/client` and `FOLDER/client_secret` are the client's own, made at the first
//! run.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use ironhouse::security::{Certificate, CurveClient, SecretCertificate};
use ironhouse::{Context, SocketType};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or("demo".into());
    let endpoint = args.next().unwrap_or("tcp://127.0.0.1:5555".into());
    let folder = Path::new(&folder);

    let server = Certificate::load(folder.join("server"))
        .context("start ironhouse_server first: it makes its certificate")?;
    let path = folder.join("client");
    let certificate = if path.exists() {
        SecretCertificate::load(&path)?
    } else {
        let certificate = SecretCertificate::generate()?.with_meta("name", "Client")?;
        certificate.save(&path)?;
        certificate
    };

    let context = Context::new()?;
    let client = context
        .socket(SocketType::Req)
        .secure(CurveClient::new(&certificate, *server.public_key()))
        .connect_checked(&endpoint, Duration::from_secs(5))
        .with_context(|| {
            format!(
                "not admitted; to be, have {} copied to {}",
                path.display(),
                folder.join("clients/").display()
            )
        })?;
    client.send("Hello")?;
    println!(
        "{} answers {:?}",
        server.meta("name").unwrap_or("the server"),
        client.recv()?.as_str().unwrap_or("?")
    );
    Ok(())
}
