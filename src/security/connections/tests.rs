use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use proptest::prelude::*;

use super::*;
use crate::ffi::fd::Connection;
use crate::security::audit::{Audit, AuditEvent, AuditEvents};
use crate::security::keys::PublicKey;
use crate::security::peers::SocketWatch;
use crate::security::revoke::RevocationScope;
use crate::security::zap::{Credential, ZapRequest};

/// Connections to a listener of our own, reported as a monitor would.
struct House {
    peers: Arc<Peers>,
    watch: SocketWatch,
    events: AuditEvents,
    listener: TcpListener,
}

struct Guest {
    ours: TcpStream,
    theirs: TcpStream,
}

impl House {
    fn new(limits: Limits) -> Self {
        let audit = Arc::new(Audit::new());
        let events = audit.subscribe();
        let peers = Peers::new(RevocationScope::Address, audit, &limits);
        let (watch, _) = peers.watch("d".into());
        Self {
            peers,
            watch,
            events,
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        }
    }

    /// Somebody connects, and says that he comes from 192.0.2.`at`.
    fn connect(&self, at: u8) -> Guest {
        let theirs = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let ours = self.listener.accept().unwrap().0;
        let fd = ours.as_raw_fd();
        let identity = Connection::of(fd).map(|c| c.identity().clone());
        self.peers
            .state()
            .arrived(self.watch.id, fd, address(at), identity);
        self.peers.limit(self.watch.id, fd);
        Guest { ours, theirs }
    }

    fn admit(&self, at: u8) {
        let request = ZapRequest {
            domain: Some("d"),
            address: address(at).into(),
            credential: Credential::Curve(PublicKey::from_bytes([at; 32])),
        };
        self.peers.admit(&request, None).unwrap();
    }

    fn succeeded(&self) {
        self.peers.state().succeeded(self.watch.id);
    }

    fn leave(&self, guest: Guest) {
        let mut state = self.peers.state();
        let socket = state.sockets.get_mut(&self.watch.id).unwrap();
        socket.remove(guest.ours.as_raw_fd());
    }

    /// Which connections were closed since it was last asked, by the last part of their address, and by which limit.
    fn closed(&self) -> Vec<(u8, ConnectionLimit)> {
        let next = || self.events.next(Some(std::time::Duration::ZERO));
        std::iter::from_fn(next)
            .map(|event| match event {
                AuditEvent::TooManyConnections(excess) => {
                    let at = excess.address.to_string();
                    (
                        at.rsplit('.').next().unwrap().parse().unwrap(),
                        excess.limit,
                    )
                }
                event => panic!("{event}"),
            })
            .collect()
    }
}

impl Guest {
    fn is_closed(&self) -> bool {
        self.ours.set_nonblocking(true).unwrap();
        let seen = self.ours.peek(&mut [0]);
        self.ours.set_nonblocking(false).unwrap();
        matches!(seen, Ok(0))
    }
}

fn address(n: u8) -> PeerAddress {
    PeerAddress::parse(&format!("192.0.2.{n}"))
}

#[test]
fn the_oldest_half_open_connection_of_the_address_gives_way() {
    use ConnectionLimit::HalfOpenPerAddress;
    let house = House::new(Limits::off().half_open_per_address(2));
    let [first, second, other, third] = [1, 1, 2, 1].map(|at| house.connect(at));
    assert_eq!(house.closed(), [(1, HalfOpenPerAddress)]);
    assert!(first.is_closed() && !second.is_closed());
    // It does not count any more, though its end is yet to be reported.
    house.leave(first);
    let fourth = house.connect(1);
    assert_eq!(house.closed(), [(1, HalfOpenPerAddress)]);
    assert!(second.is_closed() && !third.is_closed() && !fourth.is_closed());
    assert!(!other.is_closed());
}

#[test]
fn who_floods_closes_his_own_and_others_get_in() {
    let house = House::new(Limits::off().half_open(5));
    let flood: Vec<_> = (0..20).map(|_| house.connect(1)).collect();
    assert_eq!(house.closed(), [(1, ConnectionLimit::HalfOpen); 15]);
    let others = [2, 3, 4].map(|at| house.connect(at));
    assert_eq!(house.closed(), [(1, ConnectionLimit::HalfOpen); 3]);
    assert!(others.iter().all(|guest| !guest.is_closed()));
    assert_eq!(flood.iter().filter(|guest| !guest.is_closed()).count(), 2);
}

#[test]
fn the_admitted_are_not_half_open() {
    let limits = Limits::off()
        .half_open_per_address(1)
        .connections_per_address(4);
    let house = House::new(limits);
    let admitted = [(); 3].map(|()| {
        let guest = house.connect(1);
        house.admit(1);
        house.succeeded();
        guest
    });
    let silent = house.connect(1);
    assert!(house.closed().is_empty());
    // The fifth connection is one too many, and the silent one goes.
    let next = house.connect(1);
    assert_eq!(house.closed(), [(1, ConnectionLimit::PerAddress)]);
    assert!(silent.is_closed() && !next.is_closed());
    assert!(admitted.iter().all(|guest| !guest.is_closed()));
}

#[test]
fn nobody_is_closed_who_may_be_admitted() {
    let house = House::new(Limits::off().half_open_per_address(1));
    let mut guests = [1, 1].map(|at| house.connect(at));
    assert_eq!(house.closed(), [(1, ConnectionLimit::HalfOpenPerAddress)]);
    house.admit(1);
    // Which of both succeeded is not known: the other one's end is not reported yet.
    house.succeeded();
    let speaks = |guest: &mut Guest| {
        guest.theirs.write_all(&[0; SHORTEST as usize]).unwrap();
        guest.ours.peek(&mut [0]).unwrap();
    };
    speaks(&mut guests[1]);
    // One more is within the limit, as it is known that one of them is admitted.
    let silent = house.connect(1);
    assert!(house.closed().is_empty());
    let mut next = house.connect(1);
    assert_eq!(house.closed(), [(1, ConnectionLimit::HalfOpenPerAddress)]);
    // It came when everybody had been heard of who was admitted.
    assert!(silent.is_closed() && !next.is_closed());
    house.admit(1);
    // That may have been the last one, or this one.
    let mut other = house.connect(1);
    assert!(house.closed().is_empty());
    speaks(&mut next);
    speaks(&mut other);
    let last = house.connect(1);
    assert_eq!(house.closed(), [(1, ConnectionLimit::HalfOpenPerAddress)]);
    // All others have spoken, so the new one goes.
    assert!(last.is_closed());
    assert!(
        [&guests[1], &next, &other]
            .iter()
            .all(|guest| !guest.is_closed())
    );
}

#[test]
fn without_a_half_open_one_the_new_connection_goes() {
    let house = House::new(Limits::off().connections(2));
    let admitted = [1, 2].map(|at| {
        let guest = house.connect(at);
        house.admit(at);
        house.succeeded();
        guest
    });
    let new = house.connect(3);
    // It is half-open itself, and the only one.
    assert_eq!(house.closed(), [(3, ConnectionLimit::All)]);
    assert!(new.is_closed() && admitted.iter().all(|guest| !guest.is_closed()));
}

#[test]
fn limits_by_address_rest_where_there_is_none() {
    let limits = Limits::off()
        .connections_per_address(1)
        .half_open_per_address(1);
    let tally = Tally::new(&limits).unwrap();
    let nowhere = PeerAddress::Unknown("".into());
    let _counted = [1, 2, 3].map(|fd| tally.count(1, fd, &nowhere));
    assert!(tally.exceeded(&State::default(), &nowhere).is_none());
}

#[test]
fn a_closed_connection_is_described() {
    let excess = ExcessConnection {
        domain: "d".into(),
        address: address(1),
        limit: ConnectionLimit::HalfOpenPerAddress,
        most: 7,
    };
    assert_eq!(
        AuditEvent::TooManyConnections(excess).to_string(),
        "CLOSED 192.0.2.1 in \"d\": more than 7 half-open connections from one address"
    );
}

proptest! {
    #[test]
    fn counts_are_those_of_the_connections_that_live(
        steps in prop::collection::vec((0..4u8, 0..3u8, any::<prop::sample::Index>()), 1..100),
    ) {
        let tally = Tally::new(&Limits::off().connections(1)).unwrap();
        let mut live: Vec<(u8, bool, Counted)> = Vec::new();
        for (step, at, index) in steps {
            match step {
                0 | 1 => live.push((at, true, tally.count(1, 1, &address(at)))),
                2 if !live.is_empty() => {
                    let at = index.index(live.len());
                    live[at].1 = false;
                    live[at].2.admitted();
                }
                3 if !live.is_empty() => drop(live.swap_remove(index.index(live.len()))),
                _ => {}
            }
            let counts = lock(&tally.counts);
            prop_assert_eq!(counts.all, live.len());
            prop_assert_eq!(counts.arriving, live.iter().filter(|l| l.1).count());
            let mut most = BTreeSet::new();
            for at in 0..3 {
                let block = tally.limits.blocks.of(&address(at));
                let all = live.iter().filter(|l| l.0 == at);
                let arriving = all.clone().filter(|l| l.1).count();
                let count = counts.by_block.get(&block);
                prop_assert_eq!(count.map_or(0, |c| c.all), all.count());
                prop_assert_eq!(count.map_or(0, |c| c.arriving.len()), arriving);
                if arriving > 0 {
                    most.insert((arriving, block));
                }
            }
            prop_assert_eq!(&counts.most_arriving, &most);
        }
        live.clear();
        let counts = lock(&tally.counts);
        prop_assert!(counts.by_block.is_empty() && counts.most_arriving.is_empty());
    }
}
