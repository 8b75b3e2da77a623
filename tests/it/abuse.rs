//! A server under attack: strangers, connections that say nothing, and bytes that mean nothing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ironhouse::security::{
    AuditEvent, AuditEvents, Authenticator, CertificateStore, CurveClient, CurvePolicy,
    CurveServer, Policy, PublicKey, Reason, SecretCertificate,
};
use ironhouse::socket::{HandshakeProblem, options};
use ironhouse::{Context, Error, Socket, SocketType};

use crate::common::{SOON, alone, serve, within};
use crate::intruder::{intrude, wait_for_end};

const STRANGERS: usize = 300;
const HALF_OPEN: usize = 150;
const GARBAGE: usize = 150;

/// What this process has.
#[derive(Debug, Clone, Copy)]
struct Held {
    descriptors: usize,
    threads: usize,
}

impl Held {
    fn now() -> Self {
        let count = |what: &str| {
            std::fs::read_dir(format!("/proc/self/{what}"))
                .unwrap()
                .count()
        };
        Self {
            descriptors: count("fd"),
            threads: count("task"),
        }
    }

    /// Returns when the process has no more than this again: an ended thread may be listed for a moment longer.
    fn wait_for_return(self) {
        let start = Instant::now();
        loop {
            let now = Self::now();
            if now.descriptors <= self.descriptors && now.threads <= self.threads {
                return;
            }
            assert!(start.elapsed() < SOON, "{self:?} before, {now:?} after");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A CURVE server that admits one key, and answers what it is asked.
struct House {
    certificate: SecretCertificate,
    friend: PublicKey,
    socket: Socket,
    endpoint: String,
    events: AuditEvents,
}

impl House {
    fn new(friend: &SecretCertificate) -> Self {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let certificate = SecretCertificate::generate().unwrap();
        let store = CertificateStore::in_memory();
        store.insert(friend.certificate().clone()).unwrap();
        let domain = authenticator
            .domain("house", Policy::new().curve(CurvePolicy::store(store)))
            .unwrap();
        let socket = context
            .socket(SocketType::Rep)
            // Until then a connection may say nothing.
            .set(options::HANDSHAKE_IVL, Duration::from_secs(3))
            .set(options::RCV_TIMEO, Some(Duration::from_millis(50)))
            .secure(CurveServer::new(&certificate, &domain));
        let (socket, endpoint) = serve(socket);
        Self {
            certificate,
            friend: *friend.public_key(),
            socket,
            endpoint,
            events: authenticator.events(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.trim_start_matches("tcp://").parse().unwrap()
    }

    /// Answers until `over`; whatever arrives is the friend's.
    fn serve(self, over: &AtomicBool) -> Self {
        let friend = self.friend.to_string();
        while !over.load(Ordering::Relaxed) {
            match self.socket.recv() {
                Ok(message) => {
                    assert_eq!(message.user_id(), Some(friend.as_str()));
                    self.socket.send(message).unwrap();
                }
                Err(Error::Again) => {}
                Err(error) => panic!("{error}"),
            }
        }
        self
    }
}

/// What a client has to know.
#[derive(Clone)]
struct Door {
    server: PublicKey,
    endpoint: String,
}

impl Door {
    fn enter(&self, client: &SecretCertificate) -> ironhouse::Result<Socket> {
        Context::new()?
            .socket(SocketType::Req)
            .set(options::RCV_TIMEO, Some(SOON))
            .secure(CurveClient::new(client, self.server))
            .connect_checked(&self.endpoint, SOON)
    }

    /// Connects with a key that nobody knows; whether the answer was a refusal.
    fn stranger_is_refused(&self) -> bool {
        let stranger = SecretCertificate::generate().unwrap();
        match self.enter(&stranger) {
            Err(Error::Handshake { problem, .. }) => {
                problem == HandshakeProblem::Refused { status: 400 }
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("a stranger got in"),
        }
    }
}

fn exchange(client: &Socket, number: usize) {
    let text = number.to_string();
    client.send(&*text).unwrap();
    assert_eq!(client.recv().unwrap(), text);
}

fn storm() {
    let friend = SecretCertificate::generate().unwrap();
    let house = House::new(&friend);
    let address = house.address();
    let door = Door {
        server: *house.certificate.public_key(),
        endpoint: house.endpoint.clone(),
    };
    let (calm, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (exchanges, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let house = thread::scope(|scope| {
        let server = scope.spawn(|| house.serve(&over));
        // Whoever panics below ends the server all the same.
        let _over = Raise(&over);
        let admitted = door.enter(&friend).unwrap();
        exchange(&admitted, 0);
        let worker = scope.spawn({
            let (calm, exchanges) = (&calm, &exchanges);
            move || {
                while !calm.load(Ordering::Relaxed) {
                    exchange(&admitted, exchanges.fetch_add(1, Ordering::Relaxed));
                }
                admitted
            }
        });
        let silent = {
            let _calm = Raise(&calm);
            let intruders = scope.spawn(|| intrude(address, HALF_OPEN, GARBAGE));
            let strangers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..STRANGERS / 4 {
                            let told = usize::from(door.stranger_is_refused());
                            refused.fetch_add(told, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            strangers.into_iter().for_each(|s| s.join().unwrap());
            let silent = intruders.join().unwrap();
            // While all of them are still connected.
            exchange(&door.enter(&friend).unwrap(), 0);
            let before = exchanges.load(Ordering::Relaxed);
            while exchanges.load(Ordering::Relaxed) < before + 100 {
                thread::yield_now();
            }
            silent
        };
        let admitted = worker.join().unwrap();
        // The server rids itself of them when their time is up.
        silent.into_iter().for_each(wait_for_end);
        exchange(&admitted, 0);
        exchange(&door.enter(&friend).unwrap(), 0);
        assert!(door.stranger_is_refused());
        drop((_over, admitted));
        server.join().unwrap()
    });

    let friend = friend.public_key().to_string();
    let (mut admissions, mut refusals) = (0, 0);
    while let Some(event) = house.events.next(Some(Duration::ZERO)) {
        let AuditEvent::Decision(decision) = event else {
            panic!("{event}");
        };
        if decision.identity.name().as_deref() == Some(&*friend) {
            assert_eq!(decision.reason, Reason::Admitted);
            admissions += 1;
        } else {
            assert_eq!(decision.reason, Reason::UnknownKey);
            refusals += 1;
        }
    }
    assert_eq!(house.events.dropped(), 0);
    assert!(admissions >= 3, "{admissions}");
    assert!(refusals > refused.load(Ordering::Relaxed), "{refusals}");
    // On a busy machine a few may run out of time before they are told; not most.
    assert!(refused.load(Ordering::Relaxed) > STRANGERS / 2);
}

/// Sets a flag when it goes.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_storm_leaves_the_admitted_at_work_lets_nobody_in_and_nothing_behind() {
    // Nobody else's threads and files are counted.
    alone(
        "abuse::a_storm_leaves_the_admitted_at_work_lets_nobody_in_and_nothing_behind",
        |_| (),
        || {
            within(2 * SOON, || {
                let bare = Held::now();
                // Once in small: the libraries may keep a descriptor for the whole process, but no thread.
                drop(House::new(&SecretCertificate::generate().unwrap()));
                Held {
                    descriptors: usize::MAX,
                    ..bare
                }
                .wait_for_return();
                let before = Held::now();
                storm();
                before.wait_for_return();
            });
        },
    );
}
