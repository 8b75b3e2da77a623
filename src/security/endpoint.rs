//! Endpoints as people name them, and patterns that stand for many.
//!
//! ```text
//! pattern = "tcp://" host ":" port / other "://" text ["*"]
//! host    = name / IPv4 / "[" IPv6 "]" / "*." name / "*"
//! port    = 1*DIGIT / "*"
//! other   = "ipc" / "tipc" / "vmci" / "ws" / "wss"
//! ```
//! `*.example.org` stands for every name that ends in `.example.org`, however many labels come before. A `*` at the end of another
//! transport's text stands for all that begins so. Hosts are compared by their text, letters of either case alike, and addresses by
//! their value; nothing is resolved, because who can forge an answer of the name service must not choose whom we trust.

use std::fmt;
use std::net::IpAddr;

use crate::socket::probe::tcp_address;

/// Transports that carry security mechanisms, besides tcp.
const OTHERS: [&str; 5] = ["ipc", "tipc", "vmci", "ws", "wss"];

/// Why a text is no endpoint to connect to, or no pattern of such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointProblem {
    /// No transport, or one that carries no security mechanism.
    #[error(
        "it begins with a transport that can be secured, as in tcp://db.example.org:5555 or ipc:///run/db.sock"
    )]
    Transport,
    /// No host, or one that is neither name nor address.
    #[error(
        "its host is a name, an IPv4 address, or an IPv6 address in brackets; in a pattern also `*.` and the end of a name, or `*` for all"
    )]
    Host,
    /// No port.
    #[error("its port is a number from 1 to 65535; in a pattern also `*` for all")]
    Port,
    /// White space, a control character, or nothing behind the transport.
    #[error("behind the transport there is text, without white space and control characters")]
    Text,
}

/// Where a client connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Tcp(Host, u16),
    Other(String),
}

/// Endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Pattern {
    Tcp(Hosts, Option<u16>),
    /// With a transport, lower case, in front.
    Other(String),
    /// All that begin so.
    Others(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// In lower case.
    Name(String),
    Address(IpAddr),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Hosts {
    All,
    /// Those below this name, which begins with a dot.
    Below(String),
    One(Host),
}

impl Endpoint {
    /// Reads an endpoint as `connect` takes it.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointProblem> {
        let (transport, rest) = split(text)?;
        if transport != "tcp" {
            return Ok(Self::Other(format!("{transport}://{rest}")));
        }
        let (host, port) = tcp_address(rest).ok_or(EndpointProblem::Port)?;
        match port {
            0 => Err(EndpointProblem::Port),
            port => Ok(Self::Tcp(Host::parse(host)?, port)),
        }
    }
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointProblem> {
        let (transport, rest) = split(text)?;
        if transport != "tcp" {
            return Ok(match rest.strip_suffix('*') {
                Some(start) => Self::Others(format!("{transport}://{start}")),
                None => Self::Other(format!("{transport}://{rest}")),
            });
        }
        let (host, port) = rest.rsplit_once(':').ok_or(EndpointProblem::Port)?;
        let port = match port {
            "*" => None,
            number => match number.parse() {
                Ok(port) if port > 0 && number.bytes().all(|b| b.is_ascii_digit()) => Some(port),
                _ => return Err(EndpointProblem::Port),
            },
        };
        let hosts = match host.strip_prefix('*') {
            Some("") => Hosts::All,
            Some(end) => match end.strip_prefix('.').map(Host::parse) {
                Some(Ok(Host::Name(name))) => Hosts::Below(format!(".{name}")),
                _ => return Err(EndpointProblem::Host),
            },
            None => {
                let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
                let host = Host::parse(bare.unwrap_or(host))?;
                let bracketed = matches!(host, Host::Address(IpAddr::V6(_)));
                if bracketed != bare.is_some() {
                    return Err(EndpointProblem::Host);
                }
                Hosts::One(host)
            }
        };
        Ok(Self::Tcp(hosts, port))
    }

    /// Whether it stands for `endpoint`, and how precisely: of several that do, no two are equally precise unless they are equal.
    pub(crate) fn precision(&self, endpoint: &Endpoint) -> Option<Precision> {
        match (self, endpoint) {
            (Self::Tcp(hosts, ports), Endpoint::Tcp(host, port)) => {
                let fits = ports.is_none_or(|one| one == *port);
                Some((hosts.precision(host)?, ports.is_some())).filter(|_| fits)
            }
            (Self::Other(one), Endpoint::Other(text)) => {
                (one == text).then_some((usize::MAX, true))
            }
            (Self::Others(start), Endpoint::Other(text)) => {
                text.starts_with(start).then_some((start.len(), false))
            }
            _ => None,
        }
    }
}

/// Of the host, then of the port.
pub(crate) type Precision = (usize, bool);

impl Hosts {
    fn precision(&self, host: &Host) -> Option<usize> {
        match (self, host) {
            (Self::All, _) => Some(0),
            (Self::Below(end), Host::Name(name)) => name.ends_with(end).then_some(end.len()),
            (Self::Below(_), Host::Address(_)) => None,
            (Self::One(one), host) => (one == host).then_some(usize::MAX),
        }
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, EndpointProblem> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address));
        }
        // An IPv6 address may carry the name of an interface.
        let fits = |c: char| c.is_alphanumeric() || "-_.:%".contains(c);
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.split('.').any(str::is_empty) || !name.chars().all(fits) {
            return Err(EndpointProblem::Host);
        }
        Ok(Self::Name(name.to_lowercase()))
    }
}

/// The transport, and what is behind `://`.
fn split(text: &str) -> Result<(&str, &str), EndpointProblem> {
    let (transport, rest) = text.split_once("://").ok_or(EndpointProblem::Transport)?;
    if transport != "tcp" && !OTHERS.contains(&transport) {
        return Err(EndpointProblem::Transport);
    }
    if rest.is_empty() || rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(EndpointProblem::Text);
    }
    Ok((transport, rest))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hosts, port) = match self {
            Self::Tcp(hosts, port) => (hosts, port),
            Self::Other(text) => return f.write_str(text),
            Self::Others(start) => return write!(f, "{start}*"),
        };
        f.write_str("tcp://")?;
        match hosts {
            Hosts::All => f.write_str("*")?,
            Hosts::Below(end) => write!(f, "*{end}")?,
            Hosts::One(Host::Address(IpAddr::V6(address))) => write!(f, "[{address}]")?,
            Hosts::One(Host::Address(address)) => write!(f, "{address}")?,
            Hosts::One(Host::Name(name)) => f.write_str(name)?,
        }
        match port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
    }

    fn matches(text: &str, endpoint: &str) -> bool {
        let endpoint = Endpoint::parse(endpoint).unwrap();
        pattern(text).precision(&endpoint).is_some()
    }

    #[test]
    fn patterns_stand_for_what_they_say() {
        for (text, good, bad) in [
            (
                "tcp://db.example.org:5555",
                &[
                    "tcp://db.example.org:5555",
                    "tcp://DB.Example.org.:05555",
                    "tcp://eth0:0;db.example.org:5555",
                ][..],
                &[
                    "tcp://db.example.org:5556",
                    "tcp://xdb.example.org:5555",
                    "tcp://10.0.0.1:5555",
                    "ipc://db.example.org:5555",
                ][..],
            ),
            (
                "tcp://db.example.org:*",
                &["tcp://db.example.org:1", "tcp://db.example.org:65535"],
                &["tcp://a.db.example.org:1"],
            ),
            (
                "tcp://*.example.org:5555",
                &["tcp://a.example.org:5555", "tcp://a.b.EXAMPLE.org:5555"],
                &[
                    "tcp://example.org:5555",
                    "tcp://badexample.org:5555",
                    "tcp://a.example.org:1",
                    "tcp://a.example.org.evil.net:5555",
                ],
            ),
            (
                "tcp://*:5555",
                &["tcp://x:5555", "tcp://[::1]:5555"],
                &["tcp://x:5556", "ipc://x:5555"],
            ),
            ("tcp://*:*", &["tcp://x:1"], &["ipc://x", "ws://x:1"]),
            (
                "tcp://10.0.0.1:*",
                &["tcp://10.0.0.1:7"],
                &["tcp://10.0.0.10:7"],
            ),
            (
                "tcp://[::1]:*",
                &["tcp://[0:0:0:0:0:0:0:1]:7"],
                &["tcp://[::2]:7"],
            ),
            ("tcp://*.0.1:*", &["tcp://x.0.1:7"], &["tcp://10.0.0.1:7"]),
            (
                "ipc:///run/db.sock",
                &["ipc:///run/db.sock"],
                &["ipc:///run/db.sock2", "ipc:///run/DB.sock"],
            ),
            (
                "ipc:///run/db/*",
                &["ipc:///run/db/", "ipc:///run/db/x"],
                &["ipc:///run/db"],
            ),
            ("ipc://@*", &["ipc://@x"], &["ipc://x"]),
            ("ws://x:80/chat", &["ws://x:80/chat"], &["wss://x:80/chat"]),
        ] {
            for endpoint in good {
                assert!(matches(text, endpoint), "{text} {endpoint}");
            }
            for endpoint in bad {
                assert!(!matches(text, endpoint), "{text} {endpoint}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        use EndpointProblem::{Host, Port, Text, Transport};
        for (text, problem) in [
            ("", Transport),
            ("db.example.org:5555", Transport),
            ("TCP://x:1", Transport),
            ("inproc://x", Transport),
            ("*://x:1", Transport),
            ("tcp://", Text),
            ("ipc://", Text),
            ("ipc:///run/my db", Text),
            ("ipc://\u{7}", Text),
            ("tcp://x", Port),
            ("tcp://x:", Port),
            ("tcp://x:0", Port),
            ("tcp://x:65536", Port),
            ("tcp://x:+5", Port),
            ("tcp://x:5*", Port),
            ("tcp://:5", Host),
            ("tcp://*x:5", Host),
            ("tcp://a*.x:5", Host),
            ("tcp://*.:5", Host),
            ("tcp://*.*.x:5", Host),
            ("tcp://*.10.0.0.1:5", Host),
            ("tcp://::1:5", Host),
            ("tcp://[10.0.0.1]:5", Host),
            ("tcp://a,b:5", Host),
            ("tcp://eth0:0;x:5", Host),
        ] {
            assert_eq!(Pattern::parse(text), Err(problem), "{text}");
        }
        for (text, problem) in [
            ("tcp://x", Port),
            ("tcp://x:*", Port),
            ("tcp://*:5", Host),
            ("x", Transport),
        ] {
            assert_eq!(Endpoint::parse(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn the_more_precise_pattern_is_found_whatever_it_leaves_open() {
        let endpoint = Endpoint::parse("tcp://a.b.example.org:5555").unwrap();
        let rising = [
            "tcp://*:*",
            "tcp://*:5555",
            "tcp://*.org:*",
            "tcp://*.example.org:*",
            "tcp://*.example.org:5555",
            "tcp://*.b.example.org:*",
            "tcp://a.b.example.org:*",
            "tcp://a.b.example.org:5555",
        ];
        let precision = rising.map(|text| pattern(text).precision(&endpoint).unwrap());
        assert!(precision.is_sorted_by(|a, b| a < b), "{precision:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_is_written_alike(text in "(tcp|ipc|ws)?(://)?[a-z0-9*.:\\[\\]%;@/ -]{0,30}") {
            if let Ok(read) = Pattern::parse(&text) {
                prop_assert_eq!(Pattern::parse(&read.to_string()), Ok(read));
            }
            if let Ok(endpoint) = Endpoint::parse(&text) {
                if let Ok(exact) = Pattern::parse(&text) {
                    prop_assert!(exact.precision(&endpoint).is_some());
                }
            }
        }

        #[test]
        fn two_patterns_are_equally_precise_only_if_they_are_equal(
            patterns in prop::collection::vec("tcp://([ab]|\\*|\\*\\.[ab]|a\\.[ab]|\\*\\.a\\.[ab]):([12]|\\*)", 2),
            endpoint in "tcp://([ab]\\.){0,2}[ab]:[12]",
        ) {
            let endpoint = Endpoint::parse(&endpoint).unwrap();
            let (one, other) = (pattern(&patterns[0]), pattern(&patterns[1]));
            if let (Some(a), Some(b)) = (one.precision(&endpoint), other.precision(&endpoint)) {
                prop_assert_eq!(a == b, one == other);
            }
        }
    }
}
