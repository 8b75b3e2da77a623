use std::collections::VecDeque;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use proptest::prelude::*;

use super::*;
use crate::security::arrivals::LIMIT;
use crate::security::keys::PublicKey;
use crate::security::zap::Credential;

fn peers() -> Arc<Peers> {
    let audit = Arc::new(Audit::new());
    Peers::new(RevocationScope::Address, audit, &Limits::off())
}

fn address(n: u8) -> PeerAddress {
    PeerAddress::parse(&format!("192.0.2.{n}"))
}

fn admit(peers: &Peers, at: u8, key: u8) -> u64 {
    let request = ZapRequest {
        domain: Some("d"),
        address: address(at).into(),
        credential: Credential::Curve(PublicKey::from_bytes([key; 32])),
    };
    peers.admit(&request, None).unwrap()
}

#[test]
fn a_number_that_is_used_anew_is_not_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let number = server.as_raw_fd();
    let peers = peers();
    let (watch, _) = peers.watch("d".into());
    let identity = identity_of(number);
    peers
        .state()
        .arrived(watch.id, number, address(1), identity);
    let live = |peers: &Peers| {
        let state = peers.state();
        let entry = &state.sockets[&watch.id].connections[&number];
        entry.live(number).is_some()
    };
    assert!(live(&peers));
    // The number goes to a connection of the same two ends' kind, and to a file.
    let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    for thing in [
        std::os::fd::OwnedFd::from(other),
        File::open("/dev/null").unwrap().into(),
    ] {
        let entry_number = thing.as_raw_fd();
        let state = peers.state();
        let entry = &state.sockets[&watch.id].connections[&number];
        assert!(entry.live(entry_number).is_none());
    }
    drop(server);
    assert!(!live(&peers));
    peers.state().forget_the_dead();
    assert!(peers.state().sockets[&watch.id].connections.is_empty());
}

#[test]
fn admissions_that_nobody_claims_do_not_pile_up() {
    let peers = peers();
    let (_watch, _) = peers.watch("d".into());
    for n in 0..3 * LIMIT {
        admit(&peers, n as u8, n as u8);
    }
    let state = peers.state();
    let arrivals = &state.domains["d"];
    let waiting: usize = arrivals.all().map(|(_, waiting)| waiting.len()).sum();
    assert!(waiting <= LIMIT && arrivals.forgotten > 0);
}

/// A connection over loopback: our end and the peer's.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, peer)
}

#[test]
fn whose_admission_had_to_be_forgotten_is_closed_with_any_revocation_whatever_the_scope() {
    for scope in [RevocationScope::Address, RevocationScope::Exact] {
        let peers = Peers::new(scope, Arc::new(Audit::new()), &Limits::off());
        let (watch, alarm) = peers.watch("d".into());
        let ends = [(); 2].map(|()| connection());
        let arrive = |at: u8, end: &TcpStream| {
            let fd = end.as_raw_fd();
            peers
                .state()
                .arrived(watch.id, fd, address(at), identity_of(fd));
        };
        let is_shut = |(ours, _): &(TcpStream, TcpStream)| {
            let mut byte = [0];
            ours.set_nonblocking(true).unwrap();
            matches!(std::io::Read::read(&mut &*ours, &mut byte), Ok(0))
        };
        arrive(1, &ends[0].0);
        for n in 0..=LIMIT {
            admit(&peers, n as u8, n as u8);
        }
        // It came when all of those had been forgotten, and is somebody else's.
        peers.state().domains.get_mut("d").unwrap().unheard.clear();
        arrive(1, &ends[1].0);
        peers.revoke(|_| false);
        assert_eq!(
            [&ends[0], &ends[1]].map(is_shut),
            [true, false],
            "{scope:?}"
        );
        assert!(alarm.load(Ordering::Relaxed));
        // Once, and not again.
        peers
            .state()
            .sockets
            .get_mut(&watch.id)
            .unwrap()
            .remove(ends[0].0.as_raw_fd());
        peers.revoke(|_| false);
        assert_eq!(peers.state().domains["d"].forgotten, 0);
    }
}

#[test]
fn who_comes_after_all_were_heard_of_is_none_of_those() {
    let peers = peers();
    let (watch, _) = peers.watch("d".into());
    let arrive = |fd: i32| peers.state().arrived(watch.id, fd, address(1), None);
    let candidates = |fd: i32| {
        let state = peers.state();
        let entry = &state.sockets[&watch.id].connections[&fd];
        let candidates = entry.candidates(state.domains.get("d"));
        candidates
            .iter()
            .map(|admission| admission.number)
            .collect::<Vec<_>>()
    };
    // The first says nothing, so that the others cannot be matched.
    (100..103).for_each(arrive);
    let [one, two] = [1, 2].map(|key| admit(&peers, 1, key));
    peers.state().succeeded(watch.id);
    // One of the two may be of a connection that is yet to be reported.
    arrive(103);
    assert_eq!(candidates(103), [one, two]);
    peers.state().succeeded(watch.id);
    arrive(104);
    assert!(candidates(104).is_empty());
    let three = admit(&peers, 1, 3);
    assert_eq!(candidates(104), [three]);
    assert_eq!(candidates(100), [one, two, three]);
}

#[test]
fn many_that_come_at_one_time_share_the_list_of_whose_they_may_be() {
    const MANY: i32 = 3000;
    let peers = peers();
    let (watch, _) = peers.watch("d".into());
    for fd in 0..MANY {
        peers.state().arrived(watch.id, fd, address(1), None);
    }
    for n in 0..MANY {
        admit(&peers, 1, n as u8);
    }
    for _ in 0..MANY {
        peers.state().succeeded(watch.id);
    }
    let connected = peers.connected();
    assert_eq!(connected.len(), MANY as usize);
    for peer in &connected {
        assert!(peer.admitted && peer.candidates.len() == 256);
        assert!(Arc::ptr_eq(&peer.candidates, &connected[0].candidates));
    }
    let state = peers.state();
    let mut lists = state.sockets[&watch.id]
        .connections
        .values()
        .map(Entry::known);
    let first = lists.next().unwrap();
    assert!(lists.all(|list| std::ptr::eq(list, first)) && first.len() == MANY as usize);
}

/// What a monitor reports.
enum Report {
    Accepted(i32, u8, usize),
    Succeeded,
    Disconnected(i32),
}

/// A connection as it really is.
struct Real {
    id: usize,
    socket: usize,
    fd: i32,
    at: u8,
    key: u8,
    admission: Option<u64>,
    succeeded: bool,
}

proptest! {
    /// However connections come, go and overlap, and however late monitors are: whose a connection is, is among those it may be,
    /// and who is named for certain is the one.
    #[test]
    fn a_connection_is_never_taken_for_somebody_else(
        steps in prop::collection::vec((0..8u8, 0..2u8, 0..3u8, any::<prop::sample::Index>()), 1..120),
    ) {
        let peers = peers();
        let watches = [peers.watch("d".into()).0, peers.watch("d".into()).0];
        let mut reports = [VecDeque::new(), VecDeque::new()];
        let mut real: Vec<Real> = Vec::new();
        // Whose the entries are.
        let mut seen = HashMap::new();
        let read = |socket: usize, report: Report, seen: &mut HashMap<_, _>| {
            let id = watches[socket].id;
            let mut state = peers.state();
            match report {
                Report::Accepted(fd, at, one) => {
                    state.arrived(id, fd, address(at), None);
                    seen.insert((socket, fd), one);
                }
                Report::Succeeded => state.succeeded(id),
                Report::Disconnected(fd) => {
                    state.sockets.get_mut(&id).unwrap().remove(fd);
                    seen.remove(&(socket, fd));
                }
            }
        };
        for (id, (step, socket, who, index)) in steps.into_iter().enumerate() {
            let socket = usize::from(socket);
            match step {
                // Connects: three peers, two of them from one address.
                0 => {
                    let fd = (0..).find(|fd| real.iter().all(|r| r.fd != *fd)).unwrap();
                    let at = who / 2;
                    reports[socket].push_back(Report::Accepted(fd, at, id));
                    real.push(Real { id, socket, fd, at, key: who, admission: None, succeeded: false });
                }
                // Goes on in its handshake.
                1 | 2 if !real.is_empty() => {
                    let at = index.index(real.len());
                    let one = &mut real[at];
                    if one.admission.is_none() {
                        one.admission = Some(admit(&peers, one.at, one.key));
                    } else if !one.succeeded {
                        one.succeeded = true;
                        reports[one.socket].push_back(Report::Succeeded);
                    }
                }
                3 if !real.is_empty() => {
                    let gone = real.swap_remove(index.index(real.len()));
                    reports[gone.socket].push_back(Report::Disconnected(gone.fd));
                }
                // Sends a message, which the program receives at once.
                4 if !real.is_empty() => {
                    let one = &real[index.index(real.len())];
                    if one.succeeded && seen.get(&(one.socket, one.fd)) == Some(&one.id) {
                        peers.state().name(watches[one.socket].id, one.fd, one.admission.unwrap());
                    }
                }
                _ => {
                    if let Some(report) = reports[socket].pop_front() {
                        read(socket, report, &mut seen);
                    }
                }
            }
        }
        for (socket, reports) in reports.into_iter().enumerate() {
            reports.into_iter().for_each(|report| read(socket, report, &mut seen));
        }
        let state = peers.state();
        let arrivals = state.domains.get("d");
        for one in &real {
            let entry = &state.sockets[&watches[one.socket].id].connections[&one.fd];
            if let Some(number) = one.admission {
                prop_assert!(entry.candidates(arrivals).iter().any(|a| a.number == number));
            }
            if let Some(peer) = Candidates::new(&"d".into(), arrivals).describe(entry) {
                if let Some(identity) = peer.identity() {
                    prop_assert!(one.succeeded);
                    prop_assert_eq!(identity, &PeerIdentity::Key(PublicKey::from_bytes([one.key; 32])));
                }
            }
        }
    }
}
