//! A deployment, the administrator's part: keys, signatures, revocations, pins. The README beside this file has the commands in order.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use ironhouse::security::{
    Certificate, RevocationList, SecretCertificate, ServerKeys, SigningKey, Validity,
};

const USAGE: &str = "usage: deployment_admin COMMAND

  administrator KEY                         make a signing key: KEY, mode 0600, and KEY.pub
  pair PATH                                 make a peer's keys: PATH, and PATH_secret, mode 0600
  sign KEY FROM TO LIFETIME [NAME=VALUE..]  sign a certificate for so long, such as 365days
  disable KEY CERTIFICATE                   sign that it admits nobody
  list KEY LIST LIFETIME                    issue a revocation list, or the next one
  revoke KEY LIST LIFETIME CERTIFICATE WHY  issue the next one, with one more key in it
  pin KNOWN_SERVERS ENDPOINT CERTIFICATE    expect this server at an endpoint
  unpin KNOWN_SERVERS ENDPOINT CERTIFICATE  and no longer";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
        Err(reason) => {
            eprintln!("{reason:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the command is one.
fn run(args: &[&str]) -> anyhow::Result<bool> {
    match *args {
        ["administrator", path] => {
            let key = SigningKey::generate()?;
            key.save(path)?;
            key.verify_key().save(format!("{path}.pub"))?;
            println!("{path}.pub: {}", key.verify_key());
        }
        ["pair", path] => {
            let pair = SecretCertificate::generate()?;
            pair.save(path)?;
            println!("{path}: {}", pair.public_key().fingerprint());
        }
        ["sign", key, from, to, lifetime, ref metadata @ ..] => {
            let key = SigningKey::load(key)?;
            let found = Certificate::load(from)?;
            // What somebody else wrote beside his key is not signed unseen.
            let mut certificate = match found.verify(&[*key.verify_key()]) {
                Ok(_) => found,
                Err(_) => Certificate::new(*found.public_key()),
            };
            for pair in metadata {
                let (name, value) = pair.split_once('=').context("NAME=VALUE is wanted")?;
                certificate = certificate.with_meta(name, value)?;
            }
            let end = SystemTime::now() + duration(lifetime)?;
            certificate
                .with_validity(Validity::new().with_not_after(end))?
                .sign(&key)?
                .save(to)?;
            println!(
                "{to}: signed until {}",
                humantime::format_rfc3339_seconds(end)
            );
        }
        ["disable", key, path] => {
            let certificate = Certificate::load(path)?;
            let life = certificate.validity().with_disabled(true);
            let certificate = certificate.with_validity(life)?;
            certificate.sign(&SigningKey::load(key)?)?.save(path)?;
            println!("{path}: disabled");
        }
        ["list", key, path, lifetime] => issue(key, path, lifetime, Ok)?,
        ["revoke", key, path, lifetime, certificate, why] => {
            let stolen = *Certificate::load(certificate)?.public_key();
            issue(key, path, lifetime, |list| list.revoke(stolen, why))?;
        }
        ["pin", path, endpoint, certificate] => {
            let made = OpenOptions::new().append(true).create(true).open(path);
            made.with_context(|| format!("making {path}"))?;
            let key = *Certificate::load(certificate)?.public_key();
            ServerKeys::load(path)?.add(endpoint, key)?;
        }
        ["unpin", path, endpoint, certificate] => {
            let key = *Certificate::load(certificate)?.public_key();
            let found = ServerKeys::load(path)?.remove(endpoint, &key)?;
            anyhow::ensure!(found, "{path}: {endpoint} has no such key");
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Issues the list that follows the one at `path`, or the first.
fn issue(
    key: &str,
    path: &str,
    lifetime: &str,
    change: impl FnOnce(RevocationList) -> ironhouse::Result<RevocationList>,
) -> anyhow::Result<()> {
    let key = SigningKey::load(key)?;
    let list = if Path::new(path).exists() {
        RevocationList::load(path, key.verify_key())?
    } else {
        RevocationList::new()
    };
    let list = change(list)?.issue(path, &key, duration(lifetime)?)?;
    let (revoked, serial) = (list.revoked().len(), list.serial());
    println!("{path}: {revoked} revoked, serial {serial}");
    Ok(())
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    humantime::parse_duration(text)
        .with_context(|| format!("{text:?} is no duration such as 30days"))
}
