//! Keys that are replaced while messages flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ironhouse::security::rotation::{expect_server, use_keys};
use ironhouse::security::{
    Authenticator, CertificateStore, CurveClient, CurvePolicy, CurveServer, NullServer, Policy,
    SecretCertificate,
};
use ironhouse::socket::{Context, EventKind, Monitor, Socket, SocketType, options};
use ironhouse::{Error, Result};

use crate::common::{SOON, endpoint, secured, serve, within};

const TICK: Duration = Duration::from_millis(20);

fn certificate() -> SecretCertificate {
    SecretCertificate::generate().unwrap()
}

type Order = Box<dyn FnOnce(&Socket) + Send>;

/// A ROUTER that echoes until it is told to stop, and does what it is asked to in between.
struct Echo {
    orders: Sender<Order>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Echo {
    fn start(socket: Socket) -> Self {
        let (orders, inbox) = channel::<Order>();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                inbox.try_iter().for_each(|order| order(&socket));
                match socket.recv_multipart() {
                    Ok(frames) => socket.send_multipart(frames).unwrap(),
                    Err(Error::Again) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        Self {
            orders,
            stop,
            thread: Some(thread),
        }
    }

    fn order<T: Send + 'static>(&self, order: impl FnOnce(&Socket) -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let order = move |socket: &Socket| done.send(order(socket)).unwrap();
        self.orders.send(Box::new(order)).unwrap();
        result.recv_timeout(SOON).unwrap()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

/// A DEALER that numbers its requests and counts what comes back.
struct Asker {
    socket: Socket,
    monitor: Monitor,
    sent: u32,
    back: u32,
}

impl Asker {
    /// Sends and receives until `count` more have come back, a few of them in flight at any time.
    fn ask(&mut self, count: u32) {
        let start = Instant::now();
        let goal = self.back + count;
        while self.back < goal {
            if self.sent < goal && self.sent - self.back < 8 {
                self.socket.send(self.sent.to_string()).unwrap();
                self.sent += 1;
            }
            match self.socket.recv() {
                Ok(_) => self.back += 1,
                Err(Error::Again) => assert!(start.elapsed() < SOON / 2, "{goal}"),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn connect(&self, endpoint: &str) {
        self.socket.connect(endpoint).unwrap();
        loop {
            let event = self.monitor.next(Some(SOON)).unwrap().unwrap();
            match event.kind {
                EventKind::HandshakeSucceeded => return,
                EventKind::HandshakeFailedAuth(_) | EventKind::HandshakeFailedProtocol(_) => {
                    panic!("{event:?}")
                }
                _ => {}
            }
        }
    }
}

#[test]
fn both_sides_change_their_keys_under_traffic_and_no_message_is_lost() {
    within(SOON * 2, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let store = Arc::new(CertificateStore::in_memory());
        let policy = Policy::new().curve(CurvePolicy::store(store.clone()));
        let domain = authenticator.domain("rotation", policy).unwrap();
        let [old, next] = [certificate(), certificate()];
        let announced = old.certificate().clone();
        let announced = announced.with_next_key(*next.public_key()).unwrap();
        let router = context
            .socket(SocketType::Router)
            .set(options::RCV_TIMEO, Some(TICK))
            .secure(CurveServer::new(&old, &domain));
        let (router, first) = serve(router);
        let server = Echo::start(router);

        let mut certificates: Vec<_> = (0..3).map(|_| certificate()).collect();
        let mut clients: Vec<_> = certificates
            .iter()
            .map(|certificate| {
                store.insert(certificate.certificate().clone()).unwrap();
                let socket = context
                    .socket(SocketType::Dealer)
                    .set(options::RCV_TIMEO, Some(TICK))
                    .secure(CurveClient::new(certificate, *old.public_key()))
                    .open()
                    .unwrap();
                let monitor = Monitor::attach(&socket).unwrap();
                let asker = Asker {
                    socket,
                    monitor,
                    sent: 0,
                    back: 0,
                };
                asker.connect(&first);
                asker
            })
            .collect();
        clients.iter_mut().for_each(|client| client.ask(100));

        // The server under both keys; the clients move one by one, while the others go on.
        let second = server.order(move |socket| {
            use_keys(socket, &next).unwrap();
            socket.bind(&endpoint("tcp")).unwrap()
        });
        let next_key = announced.next_key().unwrap().unwrap();
        for moved in 0..clients.len() {
            clients.iter_mut().for_each(|client| client.ask(50));
            expect_server(&clients[moved].socket, next_key).unwrap();
            clients[moved].connect(&second);
            clients[moved].ask(50); // over both
            clients[moved].socket.disconnect(&first).unwrap();
        }
        let old_endpoint = first.clone();
        server.order(move |socket| socket.unbind(&old_endpoint).unwrap());
        clients.iter_mut().for_each(|client| client.ask(100));

        // Each client under a key of its own making, known to the store beside the old one until that ends.
        for (client, certificate) in clients.iter_mut().zip(&mut certificates) {
            let renewed = self::certificate();
            store.insert(renewed.certificate().clone()).unwrap();
            use_keys(&client.socket, &renewed).unwrap();
            client.socket.disconnect(&second).unwrap();
            client.connect(&second);
            client.ask(50);
            store.remove(certificate.public_key());
            *certificate = renewed;
        }
        clients.iter_mut().for_each(|client| client.ask(100));
        for client in &clients {
            assert_eq!((client.sent - client.back, client.back), (0, 550));
        }
    });
}

#[test]
fn old_key_is_refused_where_the_new_one_is_served() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let policy = Policy::new().curve(CurvePolicy::any_key());
        let domain = authenticator.domain("rotation", policy).unwrap();
        let [old, next, client] = [certificate(), certificate(), certificate()];
        let (server, first) = secured(&context, SocketType::Pull, CurveServer::new(&old, &domain));
        use_keys(&server, &next).unwrap();
        let second = server.bind(&endpoint("tcp")).unwrap();
        let connect = |key, endpoint: &str| -> Result<Socket> {
            context
                .socket(SocketType::Push)
                .secure(CurveClient::new(&client, key))
                .connect_checked(endpoint, SOON / 10)
        };
        connect(*old.public_key(), &first).unwrap();
        connect(*next.public_key(), &second).unwrap();
        for (key, endpoint) in [(old.public_key(), &second), (next.public_key(), &first)] {
            assert!(matches!(
                connect(*key, endpoint),
                Err(Error::Handshake { .. })
            ));
        }
    });
}

#[test]
fn only_keys_change_on_an_open_socket_never_its_mechanism() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let domain = authenticator.domain("rotation", Policy::new()).unwrap();
        let keys = certificate();
        let open = context.socket(SocketType::Pull).open().unwrap();
        let null = context.socket(SocketType::Pull);
        let null = null.secure(NullServer::new(&domain)).open().unwrap();
        let server = context.socket(SocketType::Pull);
        let server = server.secure(CurveServer::new(&keys, &domain));
        let server = server.open().unwrap();
        for (refused, word) in [
            (use_keys(&open, &keys), "not opened with CURVE"),
            (use_keys(&null, &keys), "not opened with CURVE"),
            (expect_server(&open, *keys.public_key()), "not opened"),
            (expect_server(&server, *keys.public_key()), "is a server"),
        ] {
            let text = refused.unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(server.get(options::MECHANISM).unwrap(), 2);
        assert_eq!(null.get(options::MECHANISM).unwrap(), 0);
    });
}
