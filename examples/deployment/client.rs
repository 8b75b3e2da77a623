//! A deployment, a client's part: asks without end, one number after another, and prints who the server says it is.
//!
//! ```text
//! deployment_client FOLDER ENDPOINT [ENDPOINT ...]
//! ```
//!
//! `FOLDER/client_secret` is its key pair; `FOLDER/known_servers` has the keys of servers, and it connects to the first of the endpoints that
//! stands there. It follows both files: where either changes, it makes a second connection, and ends the first once nothing is
//! outstanding there. So keys are replaced without an outage. What is lost is told by its number.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ironhouse::security::{CurveClient, PublicKey, SecretCertificate, ServerKeys};
use ironhouse::socket::{HandshakeWatch, options};
use ironhouse::{Context, Error, Result, Socket, SocketType};

/// How often it asks.
const PACE: Duration = Duration::from_millis(10);
/// How often it looks at its files, and tries to connect.
const LOOK: Duration = Duration::from_millis(500);
/// How long a server may say nothing to a handshake.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the last answers of a connection may take.
const LAST: Duration = Duration::from_secs(10);
/// How many requests are outstanding when it is given up.
const MOST: usize = 1000;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let Some(folder) = args.next().map(PathBuf::from) else {
        anyhow::bail!("usage: deployment_client FOLDER ENDPOINT [ENDPOINT ...]");
    };
    let client = Client {
        context: Context::new()?,
        servers: ServerKeys::load(folder.join("known_servers"))?,
        pair: folder.join("client"),
        endpoints: args.collect(),
    };
    let mut link: Option<Link> = None;
    let mut opening: Option<JoinHandle<Result<Link>>> = None;
    let (mut looked, mut said, mut number) = (None::<Instant>, String::new(), 0);
    loop {
        let mut news = None;
        if opening.is_none() && looked.is_none_or(|at| at.elapsed() >= LOOK) {
            looked = Some(Instant::now());
            match client.open_unless(link.as_ref()) {
                Ok(begun) => opening = begun,
                Err(error) => news = Some(error.to_string()),
            }
        }
        if let Some(opened) = opening.take_if(|opening| opening.is_finished()) {
            match opened.join() {
                Ok(Ok(opened)) => {
                    link.take().map_or(Ok(()), Link::finish)?;
                    news = Some(format!(
                        "connected to {} as {}",
                        opened.endpoint,
                        opened.own.fingerprint()
                    ));
                    link = Some(opened);
                }
                Ok(Err(error)) => news = Some(error.to_string()),
                Err(_) => anyhow::bail!("connecting panicked"),
            }
        }
        // The same is not said again and again.
        if let Some(news) = news.filter(|news| *news != said) {
            println!("{news}");
            said = news;
        }
        match &mut link {
            None => thread::sleep(PACE),
            Some(there) => {
                number += u64::from(there.ask(number)?);
                there.listen()?;
                if there.is_over()? {
                    there.tell_lost();
                    link = None;
                }
            }
        }
    }
}

struct Client {
    context: Context,
    servers: ServerKeys,
    pair: PathBuf,
    endpoints: Vec<String>,
}

/// A connection, and the requests that are outstanding there.
struct Link {
    endpoint: String,
    own: PublicKey,
    socket: Socket,
    watch: HandshakeWatch,
    waiting: BTreeSet<u64>,
}

impl Client {
    /// Begins to connect as the files say now, unless that is what `link` is.
    fn open_unless(&self, link: Option<&Link>) -> Result<Option<JoinHandle<Result<Link>>>> {
        let pair = SecretCertificate::load(&self.pair)?;
        let pinned = |endpoint: &&String| self.servers.keys_for(endpoint).is_ok();
        // Where none is pinned, connecting to the first one says so.
        let endpoint = self
            .endpoints
            .iter()
            .find(pinned)
            .or(self.endpoints.first());
        let Some(endpoint) = endpoint.cloned() else {
            return Ok(None);
        };
        if link.is_some_and(|link| link.endpoint == endpoint && link.own == *pair.public_key()) {
            return Ok(None);
        }
        let (context, servers) = (self.context.clone(), self.servers.clone());
        Ok(Some(thread::spawn(move || {
            Link::open(&context, &servers, endpoint, &pair)
        })))
    }
}

impl Link {
    /// Returns once it is secured.
    fn open(
        context: &Context,
        servers: &ServerKeys,
        endpoint: String,
        pair: &SecretCertificate,
    ) -> Result<Self> {
        let mechanism = CurveClient::pinned(pair, servers, &endpoint, PATIENCE)?;
        let socket = context
            .socket(SocketType::Dealer)
            .set(options::RCV_TIMEO, Some(PACE));
        let socket = socket
            .secure(mechanism)
            .connect_checked(&endpoint, PATIENCE)?;
        Ok(Self {
            watch: HandshakeWatch::attach(&socket)?,
            endpoint,
            own: *pair.public_key(),
            socket,
            waiting: BTreeSet::new(),
        })
    }

    /// Whether it could ask: a socket that was refused has nobody to send to, and would wait for ever.
    fn ask(&mut self, number: u64) -> Result<bool> {
        match self.socket.try_send(number.to_string()) {
            Err(Error::Again) => return Ok(false),
            sent => sent?,
        }
        Ok(self.waiting.insert(number))
    }

    /// Prints the answers that come within `PACE`.
    fn listen(&mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < PACE {
            let frames = match self.socket.recv_multipart() {
                Err(Error::Again) => return Ok(()),
                frames => frames?,
            };
            let texts: Vec<_> = frames.iter().filter_map(|frame| frame.as_str()).collect();
            if let [number, who, role] = texts[..] {
                println!("{number}: {who} {role}");
                self.waiting.remove(&number.parse().unwrap_or(u64::MAX));
            }
        }
        Ok(())
    }

    /// Whether it has broken off, be it for a moment: nobody answers then what was asked before. Or the server has been silent for long.
    fn is_over(&mut self) -> Result<bool> {
        Ok(self.watch.next(Some(Duration::ZERO))?.is_some() || self.waiting.len() >= MOST)
    }

    /// Waits for what is outstanding; says what does not come.
    fn finish(mut self) -> Result<()> {
        let start = Instant::now();
        while !self.waiting.is_empty() && start.elapsed() < LAST && !self.is_over()? {
            self.listen()?;
        }
        self.tell_lost();
        Ok(())
    }

    fn tell_lost(&self) {
        for number in &self.waiting {
            println!("lost {number}");
        }
    }
}
