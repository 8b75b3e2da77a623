//! What a peer loses whose connection is closed because of another's revocation, from whom it cannot be told.

use std::time::Duration;

use ironhouse::socket::{EventKind, options};
use ironhouse::{Error, Message, Socket, SocketType};

use crate::common::{SOON, wait, within};
use crate::revoke::{Client, Server};

/// A socket with an innocent peer and a guilty one, which came from one address at one time.
struct Pair {
    server: Server,
    socket: Socket,
    good: Client,
    bad: Client,
}

impl Pair {
    fn new(kind: SocketType, peer: SocketType, prepare: impl FnOnce(&Socket, &Socket)) -> Self {
        let server = Server::new();
        let (socket, endpoint) = server.open(kind, "tcp");
        let [good, bad] = [(); 2].map(|()| server.client(peer));
        prepare(&socket, &good.socket);
        server.confuse([(&good, &endpoint), (&bad, &endpoint)]);
        Self {
            server,
            socket,
            good,
            bad,
        }
    }

    /// Puts the guilty one out, and waits until the innocent one is back.
    fn revoke(&self) {
        self.server.authenticator.revoke(&self.bad.key);
        self.good.wait_for_end();
        self.good.wait(EventKind::HandshakeSucceeded);
        self.bad.wait_until_out();
    }
}

impl Client {
    fn wait_for_end(&self) {
        let next = || self.monitor.next(Some(SOON)).unwrap().unwrap().kind;
        while !matches!(next(), EventKind::Disconnected { .. }) {}
    }
}

/// The next message, if one comes.
fn receive(socket: &Socket) -> Option<Vec<Message>> {
    match socket.recv_multipart() {
        Ok(frames) => Some(frames),
        Err(Error::Again) => None,
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn next(socket: &Socket) -> Vec<Message> {
    let mut got = None;
    wait(|| {
        got = receive(socket);
        got.is_some()
    });
    got.unwrap()
}

/// A message of this number, too large for many of them to fit into the system's buffers.
fn numbered(number: u32) -> Vec<u8> {
    let mut bytes = vec![0; 100_000];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn number(frame: &Message) -> u32 {
    u32::from_le_bytes(frame[..4].try_into().unwrap())
}

#[test]
fn from_a_push_it_loses_what_was_queued_for_it_and_nothing_before_or_after() {
    within(SOON, || {
        let pair = Pair::new(SocketType::Push, SocketType::Pull, |server, client| {
            server.set(options::SND_HWM, 1000).unwrap();
            client.set(options::RCV_HWM, 10).unwrap();
        });
        let mut sent = 0;
        let send = |number: u32| pair.socket.try_send(numbered(number)).is_ok();
        while sent < 500 && send(sent) {
            sent += 1;
        }
        let mut got = vec![number(&next(&pair.good.socket)[0])];
        pair.server.authenticator.revoke(&pair.bad.key);
        pair.bad.wait_until_out();
        // A socket that does not read does not see the end of its connection either.
        let before = sent;
        wait(|| {
            got.extend(receive(&pair.good.socket).map(|frames| number(&frames[0])));
            let event = pair.good.monitor.next(Some(Duration::ZERO)).unwrap();
            event.is_some_and(|event| event.kind == EventKind::HandshakeSucceeded)
        });
        while sent < before + 50 {
            wait(|| send(sent));
            sent += 1;
        }
        while *got.last().unwrap() != sent - 1 {
            got.push(number(&next(&pair.good.socket)[0]));
        }
        // Some of what was sent to it (one of two), and all that was sent since.
        let arrived = got.iter().take_while(|number| **number < before).count();
        assert!(got.is_sorted() && arrived < before as usize / 2, "{got:?}");
        assert!(got[arrived..].iter().copied().eq(before..sent), "{got:?}");
    });
}

#[test]
fn from_a_pub_it_loses_what_is_published_until_it_has_subscribed_again() {
    within(SOON, || {
        let pair = Pair::new(SocketType::Pub, SocketType::Sub, |_, _| {});
        let mut sent = 0;
        let mut got = Vec::new();
        let mut publish = |got: &mut Vec<u32>| {
            pair.socket.send(u32::to_le_bytes(sent).to_vec()).unwrap();
            sent += 1;
            while let Ok(frame) = pair.good.socket.try_recv() {
                got.push(number(&frame));
            }
            sent
        };
        wait(|| publish(&mut got) > 0 && got.len() > 100);
        pair.server.authenticator.revoke(&pair.bad.key);
        let mut events = Vec::new();
        let mut is_back = 0;
        wait(|| {
            let now = publish(&mut got);
            let event = pair.good.monitor.next(Some(Duration::ZERO)).unwrap();
            events.extend(event.map(|event| event.kind));
            if is_back == 0 && events.contains(&EventKind::HandshakeSucceeded) {
                is_back = now;
            }
            is_back > 0 && got.last().is_some_and(|last| *last > is_back)
        });
        let resumed = got.len();
        wait(|| publish(&mut got) > 0 && got.len() > resumed + 100);
        // One gap, and nothing twice or out of order.
        let gaps = got.windows(2).filter(|pair| pair[1] != pair[0] + 1);
        let gaps: Vec<_> = gaps.map(|pair| (pair[0], pair[1])).collect();
        assert_eq!(gaps.len(), 1, "{gaps:?}");
    });
}

#[test]
fn a_router_gets_what_had_arrived_and_answers_under_a_name_of_its_own() {
    for own_name in [false, true] {
        within(SOON, move || {
            let pair = Pair::new(SocketType::Router, SocketType::Dealer, |server, client| {
                server.set(options::ROUTER_MANDATORY, true).unwrap();
                // Else it passes over a peer of a name that has messages unread.
                server.set(options::ROUTER_HANDOVER, true).unwrap();
                if own_name {
                    client.set(options::ROUTING_ID, b"good".to_vec()).unwrap();
                }
            });
            pair.good.socket.send("first").unwrap();
            wait(|| pair.socket.get(options::EVENTS).unwrap() & 1 == 1);
            pair.revoke();
            // What had arrived is received.
            let first = next(&pair.socket);
            assert_eq!(first[1], "first");
            pair.good.socket.send("second").unwrap();
            let second = next(&pair.socket);
            assert_eq!(second[1], "second");
            assert_eq!(own_name, first[0] == second[0]);
            // An answer to a name that is gone is not sent, and the server is told, as it asked for.
            let answer = |to: &Message, text: &str| {
                let frames = [to.to_vec(), text.as_bytes().to_vec()];
                pair.socket.send_multipart(frames)
            };
            let answered = answer(&first[0], "one");
            assert_eq!(own_name, answered.is_ok(), "{answered:?}");
            answer(&second[0], "two").unwrap();
            let mut expected = vec!["two"];
            if own_name {
                expected.insert(0, "one");
            }
            for text in expected {
                assert_eq!(next(&pair.good.socket)[0], text);
            }
        });
    }
}

#[test]
fn from_a_rep_it_loses_the_reply_that_it_waits_for() {
    within(SOON, || {
        // Such a client asks again, relaxed, and tells late replies from those to its last request.
        let pair = Pair::new(SocketType::Rep, SocketType::Req, |_, _| {});
        pair.good.socket.send("first").unwrap();
        assert_eq!(next(&pair.socket)[0], "first");
        pair.revoke();
        // To the server it looks as if it were answered.
        pair.socket.send("to nobody").unwrap();
        pair.good.socket.send("again").unwrap();
        assert_eq!(next(&pair.socket)[0], "again");
        pair.socket.send("answer").unwrap();
        assert_eq!(next(&pair.good.socket)[0], "answer");
    });
}
