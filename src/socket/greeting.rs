//! What two peers say to each other before any message: the ZMTP greeting and the commands behind it. Bytes in, bytes out.
//!
//! ```text
//! greeting  = signature version mechanism as-server filler     ; 64 bytes
//! signature = %xFF 8OCTET %x7F
//! version   = OCTET OCTET                                      ; %x03 %x00 or above
//! mechanism = 20OCTET                                          ; its name, then NUL
//! as-server = %x00 / %x01
//! filler    = 31%x00
//! command   = (%x04 OCTET / %x06 8OCTET) name-length name data ; flags, length of what follows
//! ```
//!
//! Source: RFC 23/ZMTP.

use std::fmt;

/// Bytes of a greeting.
pub(crate) const GREETING_BYTES: usize = 64;

/// The first part of ours, signature and version, which is all that a peer needs to send the whole of its own: so a mechanism need not
/// be named before the peer's is known. The eight bytes in the middle are what libzmq sends.
pub(crate) const OPENING: [u8; 12] = [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1];

/// Longest command that is read, in bytes without its frame's head. A handshake's first ones have 200.
pub(crate) const COMMAND_LIMIT: usize = 4096;

/// Flags of a command's frame: that it is one, and that its length takes eight bytes.
const COMMAND: u8 = 4;
const LONG: u8 = 2;

/// Bytes of what is no greeting that are worth showing.
const SHOWN: usize = 24;

/// What a peer says of itself before its security is agreed.
///
/// Nothing proves it: whoever answers may say anything.
///
/// Source: RFC 23/ZMTP, Greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Greeting {
    /// The version of ZMTP, major and minor number.
    pub version: (u8, u8),
    /// The security mechanism: `NULL`, `PLAIN`, `CURVE` or `GSSAPI`, or what else it may be; 1 to 20 ASCII characters.
    pub mechanism: String,
    /// Whether it says that it is the mechanism's server. libzmq's servers do not.
    pub as_server: bool,
}

/// What the first bytes from a peer are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// So far, a greeting.
    Incomplete,
    /// No ZMTP.
    Foreign,
    /// ZMTP of this major version, which knows no security: 1 or 2.
    Old(u8),
    /// A greeting.
    Whole(Greeting),
}

impl Greeting {
    /// Reads what came from the peer so far.
    pub(crate) fn read(bytes: &[u8]) -> Opened {
        let at = |index: usize| bytes.get(index).copied();
        let Some(first) = at(0) else {
            return Opened::Incomplete;
        };
        if first != 0xFF {
            // Version 1 begins with the peer's identity: its length and one, flags, and a name that does not start with NUL.
            return match (first, at(1), at(2)) {
                (0, ..) => Opened::Foreign,
                (_, None, _) | (2.., Some(0), None) => Opened::Incomplete,
                (1, Some(0), _) => Opened::Old(1),
                (_, Some(0), Some(name)) if name != 0 => Opened::Old(1),
                _ => Opened::Foreign,
            };
        }
        match at(9) {
            None => return Opened::Incomplete,
            // A long identity.
            Some(end) if end & 1 == 0 => return Opened::Old(1),
            Some(_) => {}
        }
        match at(10) {
            None => return Opened::Incomplete,
            Some(0) => return Opened::Old(1),
            Some(1 | 2) => return Opened::Old(2),
            Some(_) => {}
        }
        let Some(&[major, minor, ref body @ ..]) = bytes.get(10..GREETING_BYTES) else {
            return Opened::Incomplete;
        };
        let (name, roles) = body.split_at_checked(20).unwrap_or_default();
        match mechanism_name(name) {
            Some(mechanism) => Opened::Whole(Self {
                version: (major, minor),
                mechanism,
                as_server: roles.first() == Some(&1),
            }),
            None => Opened::Foreign,
        }
    }

    /// What follows our [`OPENING`].
    pub(crate) fn rest(mechanism: &str, as_server: bool) -> Vec<u8> {
        let mut rest = mechanism.as_bytes().to_vec();
        rest.resize(20, 0);
        rest.push(u8::from(as_server));
        rest.resize(GREETING_BYTES - OPENING.len(), 0);
        rest
    }
}

/// `Display` is the mechanism and the version, as in `CURVE (ZMTP 3.1)`.
impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.version;
        write!(f, "{} (ZMTP {major}.{minor})", self.mechanism)
    }
}

fn mechanism_name(field: &[u8]) -> Option<String> {
    let end = field.iter().position(|&byte| byte == 0);
    let (name, padding) = field.split_at(end.unwrap_or(field.len()));
    let is_name =
        |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_.+".contains(byte);
    let good =
        !name.is_empty() && name.iter().all(is_name) && padding.iter().all(|&byte| byte == 0);
    good.then(|| String::from_utf8_lossy(name).into_owned())
}

/// What is no greeting, for people: its first bytes.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let (start, rest) = bytes.split_at(bytes.len().min(SHOWN));
    let more = if rest.is_empty() { "" } else { "…" };
    format!("{}{more}", start.escape_ascii())
}

/// The frame of a command.
pub(crate) fn command(body: &[u8]) -> Vec<u8> {
    let mut frame = match u8::try_from(body.len()) {
        Ok(len) => vec![COMMAND, len],
        Err(_) => [&[COMMAND | LONG][..], &(body.len() as u64).to_be_bytes()].concat(),
    };
    frame.extend_from_slice(body);
    frame
}

/// What the bytes behind a greeting are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Framed<'a> {
    /// So far, a command.
    Incomplete,
    /// No command that belongs in a handshake.
    Foreign,
    /// A command, from the length of its name on.
    Command(&'a [u8]),
}

/// Reads the first command of what came behind the greeting so far.
pub(crate) fn read_command(bytes: &[u8]) -> Framed<'_> {
    let (length, body) = match *bytes {
        [] => return Framed::Incomplete,
        [COMMAND, length, ref body @ ..] => (u64::from(length), body),
        [flags, ref rest @ ..] if flags == COMMAND | LONG => match rest.split_first_chunk() {
            Some((length, body)) => (u64::from_be_bytes(*length), body),
            None => return Framed::Incomplete,
        },
        [COMMAND] => return Framed::Incomplete,
        _ => return Framed::Foreign,
    };
    match usize::try_from(length) {
        Ok(length) if length <= COMMAND_LIMIT => match body.get(..length) {
            Some(body) if command_name(body).is_some() => Framed::Command(body),
            Some(_) => Framed::Foreign,
            None => Framed::Incomplete,
        },
        _ => Framed::Foreign,
    }
}

/// The name of a command.
pub(crate) fn command_name(body: &[u8]) -> Option<&[u8]> {
    let (&length, rest) = body.split_first()?;
    rest.get(..usize::from(length))
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn greeting(mechanism: &str, as_server: bool) -> Vec<u8> {
        [&OPENING[..], &Greeting::rest(mechanism, as_server)].concat()
    }

    #[test]
    fn our_greeting_is_64_bytes_and_read_back() {
        for (mechanism, as_server) in [
            ("NULL", false),
            ("CURVE", true),
            ("A-20.CHARACTER+NAME_", true),
        ] {
            let bytes = greeting(mechanism, as_server);
            assert_eq!(bytes.len(), GREETING_BYTES);
            let read = Greeting {
                version: (3, 1),
                mechanism: mechanism.into(),
                as_server,
            };
            assert_eq!(Greeting::read(&bytes), Opened::Whole(read));
            // Whatever comes behind it.
            assert_eq!(
                Greeting::read(&[&bytes[..], b"\x04\x06"].concat()),
                Greeting::read(&bytes)
            );
            for end in 0..GREETING_BYTES {
                assert_eq!(Greeting::read(&bytes[..end]), Opened::Incomplete, "{end}");
            }
        }
    }

    #[test]
    fn other_protocols_and_old_versions_are_told_apart() {
        for (bytes, wanted) in [
            (&b"SSH-2.0-OpenSSH_9.2p1\r\n"[..], Opened::Foreign),
            (b"HTTP/1.1 400 Bad Request", Opened::Foreign),
            (b"\x15\x03\x03\0\x02\x02\x16", Opened::Foreign),
            (b"\0\0\x12\x04", Opened::Foreign),
            (b"J\0\0\0\n5.7.33", Opened::Foreign),
            (b"J", Opened::Incomplete),
            (b"J\0", Opened::Incomplete),
            (b"\x01", Opened::Incomplete),
            (b"\x01\0", Opened::Old(1)),
            (b"\x05\0name", Opened::Old(1)),
            (b"\xFF\0\0\0\0\0\0\x01\0\0", Opened::Old(1)),
            (b"\xFF\0\0\0\0\0\0\0\x01\x7F\0", Opened::Old(1)),
            (b"\xFF\0\0\0\0\0\0\0\x01\x7F\x01", Opened::Old(2)),
            (b"\xFF\0\0\0\0\0\0\0\x01\x7F\x01\x05\0\0", Opened::Old(2)),
            (b"\xFF\0\0\0\0\0\0\0\x01\x7F\x03\x01", Opened::Incomplete),
        ] {
            assert_eq!(Greeting::read(bytes), wanted, "{}", bytes.escape_ascii());
        }
        for mechanism in ["", "null", "A B"] {
            assert_eq!(Greeting::read(&greeting(mechanism, false)), Opened::Foreign);
        }
        let mut bytes = greeting("NULL", false);
        bytes[20] = b'X';
        assert_eq!(
            Greeting::read(&bytes),
            Opened::Foreign,
            "behind the name's end"
        );
    }

    #[test]
    fn commands_are_read_as_they_are_framed() {
        for length in [3, 200, 255, 256, COMMAND_LIMIT] {
            let mut body = b"\x02HI".to_vec();
            body.resize(length, 7);
            let mut frame = command(&body);
            for end in 0..frame.len() {
                assert_eq!(read_command(&frame[..end]), Framed::Incomplete);
            }
            frame.extend_from_slice(b"more");
            assert_eq!(read_command(&frame), Framed::Command(&body));
            assert_eq!(command_name(&body), Some(&b"HI"[..]));
        }
        let long = command(&[0; COMMAND_LIMIT + 1]);
        for bytes in [
            &long[..9],
            b"\x00\x01x",
            b"\x01",
            b"\x04\x00",
            b"\x04\x01\x05",
            b"\x06\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        ] {
            assert_eq!(
                read_command(bytes),
                Framed::Foreign,
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn what_is_shown_of_a_foreign_peer_is_short_and_printable() {
        assert_eq!(shown(b"SSH-2.0\r\n"), "SSH-2.0\\r\\n");
        let text = shown(&[0xE9; 100]);
        assert!(text.is_ascii() || text.ends_with('…'));
        assert!(text.chars().count() <= 4 * SHOWN + 1 && !text.contains(char::is_control));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_more_of_them_never_undo_a_verdict(
            head in prop::sample::select(vec![&b""[..], &OPENING[..10], &OPENING, b"\xFF", b"\x01"]),
            tail in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let bytes = [head, &tail].concat();
            let mut before = Opened::Incomplete;
            for end in 0..=bytes.len() {
                let now = Greeting::read(&bytes[..end]);
                prop_assert!(before == Opened::Incomplete || before == now);
                before = now;
            }
            let _ = (read_command(&bytes), read_command(&tail), shown(&bytes), command_name(&tail));
        }
    }
}
