//! The admin socket, as clients of any make talk to it: what it answers, and what it outlives.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::programs::{SOON, device};

/// A connection by ZMTP 3.0 without security, as far as it gets.
pub struct Raw {
    stream: TcpStream,
    /// What the other end's greeting says its mechanism is.
    pub mechanism: String,
}

impl Raw {
    fn greet(mut stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        let mut greeting = [0; 64];
        greeting[0] = 0xff;
        greeting[9] = 0x7f;
        greeting[10] = 3;
        greeting[12..16].copy_from_slice(b"NULL");
        // First what has the other end answer; after the rest it may hang up at once.
        stream.write_all(&greeting[..11]).unwrap();
        let mut answer = [0; 64];
        stream.read_exact(&mut answer).unwrap();
        stream.write_all(&greeting[11..]).unwrap();
        let mechanism = String::from_utf8_lossy(&answer[12..32]);
        Self {
            mechanism: mechanism.trim_end_matches('\0').to_owned(),
            stream,
        }
    }

    pub fn connect(endpoint: &str) -> Self {
        Self::greet(TcpStream::connect(endpoint.strip_prefix("tcp://").unwrap()).unwrap())
    }

    fn shake_hands(mut self, socket_type: &[u8; 3]) -> Self {
        assert_eq!(self.mechanism, "NULL");
        self.write(
            4,
            &[b"\x05READY\x0bSocket-Type\0\0\0\x03", &socket_type[..]].concat(),
        );
        assert!(self.read().1.starts_with(b"\x05READY"));
        self
    }

    /// A client that has shaken hands.
    fn request(endpoint: &str) -> Self {
        Self::connect(endpoint).shake_hands(b"REQ")
    }

    /// Serves one request, as an admin socket that may be anybody's.
    fn serve_one(listener: &TcpListener, reply: &[&str]) {
        let mut raw = Self::greet(listener.accept().unwrap().0).shake_hands(b"REP");
        while raw.read().0 & 1 == 1 {}
        raw.send(&[&[""], reply].concat());
        // Until the client has gone.
        let _ = raw.stream.read_to_end(&mut Vec::new());
    }

    fn write(&mut self, flags: u8, frame: &[u8]) {
        let size = u8::try_from(frame.len()).expect("a short frame");
        self.stream
            .write_all(&[&[flags, size], frame].concat())
            .unwrap();
    }

    fn read(&mut self) -> (u8, Vec<u8>) {
        let mut flags = [0; 1];
        self.stream.read_exact(&mut flags).unwrap();
        let size = if flags[0] & 2 == 0 {
            let mut size = [0; 1];
            self.stream.read_exact(&mut size).unwrap();
            u64::from(size[0])
        } else {
            let mut size = [0; 8];
            self.stream.read_exact(&mut size).unwrap();
            u64::from_be_bytes(size)
        };
        let mut frame = vec![0; usize::try_from(size).unwrap()];
        self.stream.read_exact(&mut frame).unwrap();
        (flags[0], frame)
    }

    fn send(&mut self, frames: &[&str]) {
        for (at, frame) in frames.iter().enumerate() {
            self.write(u8::from(at + 1 < frames.len()), frame.as_bytes());
        }
    }

    /// Calls a command, and takes the reply without its delimiter.
    fn call(&mut self, command: &str, arguments: &[&str]) -> Vec<String> {
        self.send(&[&["", command], arguments].concat());
        let mut reply = Vec::new();
        loop {
            let (flags, frame) = self.read();
            reply.push(String::from_utf8(frame).unwrap());
            if flags & 1 == 0 {
                assert_eq!(reply.remove(0), "");
                return reply;
            }
        }
    }
}

const SUBSCRIBE: &str = "ZmqEventSubscriptionChange";
const FIVE: [&str; 5] = ["sys/pump/7", "pressure", "subscribe", "change", "5"];

/// Whoever answers over a plain admin connection: the client does not go on in plain text.
#[test]
fn client_takes_no_plain_text_whatever_the_server_says() {
    let device = device();
    let topics = ["heartbeats", "events"];
    let plain = ["OK", "0", "tcp://127.0.0.1:1", "tcp://127.0.0.1:1"];
    let multicast = [
        "OK",
        "0",
        "epgm://127.0.0.1;239.0.0.1:1",
        "tcp://127.0.0.1:1",
    ];
    let (asked, pinned) = (["--key-over-plain"].as_slice(), ["--event-key", "events"]);
    let cases: [(&[&str], Vec<&str>, &str); 6] = [
        (asked, [&plain[..], &topics].concat(), "gave no key"),
        (asked, [&plain[..], &topics, &[""]].concat(), "40"),
        (asked, [&plain[..3], &["key"]].concat(), "gave no key"),
        (&pinned, [&multicast[..], &topics].concat(), "epgm://"),
        (&pinned, plain.to_vec(), "2 strings"),
        (&pinned, vec!["OK"], "no reply"),
    ];
    for (arguments, reply, reason) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let client = device.start("event_client", &[&[&endpoint[..]], arguments].concat());
        Raw::serve_one(&listener, &reply);
        client.end().fails(1, &[reason]);
    }
}

/// Clients that know nothing of keys read the last two strings of an even number.
#[test]
fn old_client_gets_an_even_number_of_strings_and_no_key() {
    let device = device();
    for protection in [&["--key-over-plain"][..], &[]] {
        let server = device.server(protection);
        let said = device.client(&server, &["--old"]).well();
        assert!(said.starts_with("4 strings, heartbeats tango://"), "{said}");
        assert!(!said.contains(&server.key), "{said}");

        let mut raw = Raw::request(&server.admin);
        let reply = raw.call(SUBSCRIBE, &FIVE);
        assert_eq!(reply[0], "OK");
        assert_eq!(reply[1].split(' ').count(), 6, "{reply:?}");
        let strings = &reply[2..];
        assert_eq!(strings.len() % 2, 0, "{strings:?}");
        assert_eq!(strings[..2], [&server.heartbeat[..], &server.events]);
        assert!(strings[strings.len() - 2].ends_with(".heartbeat"));
        assert!(strings[strings.len() - 1].ends_with("/pressure.change"));
        // Only "1" asks.
        for unasked in ["", "0", "yes", "11"] {
            assert_eq!(
                raw.call(SUBSCRIBE, &[&FIVE[..], &[unasked]].concat()),
                reply
            );
        }
        let asked = raw.call(SUBSCRIBE, &[&FIVE[..], &["1"]].concat());
        if protection.is_empty() {
            assert_eq!(asked[..2], ["FAILED", "API_NotProtected"]);
            assert!(!asked.concat().contains(&server.key), "{asked:?}");
        } else {
            assert_eq!(asked[..reply.len()], reply);
            assert_eq!(asked[reply.len()..], [server.key.as_str()]);
        }
        server.stop();
    }
}

/// So does one on a protected connection, where the key would be given.
#[test]
fn old_client_gets_no_key_over_a_protected_connection_either() {
    let device = device();
    let server = device.server(&["--admin-keys", "admin"]);
    let said = device
        .client(&server, &["--old", "--admin-key", "admin"])
        .well();
    assert!(said.starts_with("4 strings, heartbeats tango://"), "{said}");
    assert!(!said.contains(&server.key), "{said}");
    server.stop();
}

#[test]
fn admin_socket_outlives_senseless_requests() {
    let device = device();
    let server = device.server(&[]);
    let mut raw = Raw::request(&server.admin);
    let mut fails = |reason: &str, command: &str, arguments: &[&str]| {
        let reply = raw.call(command, arguments);
        assert_eq!(reply[..2], ["FAILED", reason], "{reply:?}");
        assert_eq!(reply.len(), 3);
    };
    fails("API_CommandNotFound", "Status", &[]);
    fails("API_WrongNumberOfArgs", SUBSCRIBE, &FIVE[..4]);
    fails(
        "API_WrongNumberOfArgs",
        SUBSCRIBE,
        &[&FIVE[..], &["1", "1"]].concat(),
    );
    for (at, reason) in [
        "API_DeviceNotFound",
        "API_AttrNotFound",
        "API_NotSupportedFeature",
        "API_NotSupportedFeature",
    ]
    .iter()
    .enumerate()
    {
        let mut arguments = FIVE;
        arguments[at] = "\u{0}nonsense";
        fails(reason, SUBSCRIBE, &arguments);
    }
    // Without a delimiter, without a command, with too many frames: no answer. The next request has one.
    raw.send(&["nothing"]);
    raw.send(&[""]);
    raw.send(&["", SUBSCRIBE].repeat(100));
    assert_eq!(raw.call(SUBSCRIBE, &FIVE)[0], "OK");
    // A frame that is too large ends its connection, and no other.
    let mut other = Raw::request(&server.admin);
    other
        .stream
        .write_all(&[2, 0, 0, 0, 1, 0, 0, 0, 0])
        .unwrap();
    let mut rest = Vec::new();
    // An end or a reset, whichever the system makes of it.
    let _ = other.stream.read_to_end(&mut rest);
    assert_eq!(raw.call(SUBSCRIBE, &FIVE)[0], "OK");
    server.stop();
}
