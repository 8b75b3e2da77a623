//! Connections that say nothing, or are too many.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use ironhouse::security::{ConnectionLimit, PeerAddress};

use super::*;
use crate::common::within;

/// Who is closed, or `None` if it is still open.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut bytes = [0; 256];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
            Err(_) => return true,
        }
    }
}

/// Waits until as many of `streams` are closed.
fn wait_for_closed(streams: &mut [TcpStream], count: usize) {
    let start = Instant::now();
    loop {
        let closed = streams
            .iter_mut()
            .filter_map(|s| is_closed(s).then_some(()));
        let closed = closed.count();
        if closed == count {
            return;
        }
        assert!(closed < count && start.elapsed() < SOON, "{closed} closed");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn silent_connections_give_way_and_those_who_speak_get_in() {
    within(2 * SOON, || {
        let limits = Limits::off().half_open_per_address(4);
        let house = House::new(limits, Policy::new().plain(passwords()));
        let server = house.plain(SOON);
        let (here, there) = (server.from("127.0.0.1"), server.from("127.0.0.2"));
        let before = log_in(&here, "alice", "right").unwrap();
        let mut silent: Vec<_> = (0..20).map(|_| server.silent()).collect();
        wait_for_closed(&mut silent, 16);
        let excess = house.event(|event| match event {
            AuditEvent::TooManyConnections(excess) => Some(excess),
            _ => None,
        });
        assert_eq!(excess.address, PeerAddress::parse("127.0.0.1"));
        assert_eq!(
            (excess.limit, excess.most),
            (ConnectionLimit::HalfOpenPerAddress, 4)
        );
        // From the very address of the flood, while it goes on.
        for round in 0..5 {
            let friend = log_in(&here, "bob", "good").unwrap();
            server.exchange(&friend, "here");
            silent.extend((0..10).map(|_| server.silent()));
            server.exchange(&friend, &round.to_string());
        }
        server.exchange(&log_in(&there, "bob", "good").unwrap(), "there");
        server.exchange(&before, "all the time");
        let open = silent
            .iter_mut()
            .filter_map(|s| (!is_closed(s)).then_some(()));
        assert!(open.count() >= 4);
    });
}

#[test]
fn a_flood_from_one_address_leaves_room_for_others_under_the_limit_in_all() {
    within(2 * SOON, || {
        let limits = Limits::off().half_open(4);
        let house = House::new(limits, Policy::new().plain(passwords()));
        let server = house.plain(SOON);
        let mut silent: Vec<_> = (0..10).map(|_| server.silent()).collect();
        wait_for_closed(&mut silent, 6);
        for name in ["127.0.0.2", "127.0.0.3"] {
            let friend = log_in(&server.from(name), "bob", "good").unwrap();
            server.exchange(&friend, name);
        }
    });
}

#[test]
fn the_connection_that_is_one_too_many_is_closed_and_comes_in_when_one_leaves() {
    within(2 * SOON, || {
        let limits = Limits::off().connections_per_address(2);
        let house = House::new(limits, Policy::new().plain(passwords()));
        let server = house.plain(SOON);
        let here = server.from("127.0.0.1");
        let first = log_in(&here, "alice", "right").unwrap();
        let second = log_in(&here, "bob", "good").unwrap();
        // Both are known to be in: so none of them is taken for a half-open one.
        let start = Instant::now();
        while house
            .authenticator
            .peers()
            .iter()
            .filter(|p| p.admitted)
            .count()
            < 2
        {
            assert!(start.elapsed() < SOON);
            std::thread::sleep(Duration::from_millis(2));
        }
        let third = Context::new()
            .unwrap()
            .socket(SocketType::Req)
            .set(options::RCV_TIMEO, Some(SOON))
            .secure(PlainClient::new("bob", Password::new("good").unwrap()))
            .open()
            .unwrap();
        third.connect(&here).unwrap();
        let limit = house.event(|event| match event {
            AuditEvent::TooManyConnections(excess) => Some(excess.limit),
            _ => None,
        });
        assert_eq!(limit, ConnectionLimit::PerAddress);
        server.exchange(&first, "first");
        server.exchange(&second, "second");
        let elsewhere = log_in(&server.from("127.0.0.2"), "bob", "good").unwrap();
        server.exchange(&elsewhere, "elsewhere");
        drop(first);
        server.exchange(&third, "third");
        server.exchange(&second, "still here");
    });
}

#[test]
fn silent_connections_over_ipc_count_by_user() {
    within(SOON, || {
        let limits = Limits::off().half_open_per_address(2);
        let house = House::new(limits, Policy::new().plain(passwords()));
        let server = house.plain(SOON);
        let folder = crate::common::folder();
        let path = folder.path().join("s");
        let at = format!("ipc://{}", path.display());
        server.socket.bind(&at).unwrap();
        let mut first = UnixStream::connect(&path).unwrap();
        let _others = [(); 2].map(|()| UnixStream::connect(&path).unwrap());
        let excess = house.event(|event| match event {
            AuditEvent::TooManyConnections(excess) => Some(excess),
            _ => None,
        });
        assert!(matches!(excess.address, PeerAddress::Ipc { .. }));
        // Up to its end: libzmq greets who connects.
        std::io::copy(&mut first, &mut std::io::sink()).unwrap();
        let friend = log_in(&at, "bob", "good").unwrap();
        server.exchange(&friend, "hello");
    });
}
