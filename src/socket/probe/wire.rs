//! A probe's connection: where it goes, how it is made, and what is heard over it; all of it bounded in time and bytes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Finding;
use crate::error::Errno;
use crate::ffi::os;
use crate::socket::greeting::{self, COMMAND_LIMIT, Framed, GREETING_BYTES};

/// Most bytes that are read of a peer.
const MAX_BYTES: usize = GREETING_BYTES + 9 + COMMAND_LIMIT;

/// Where a probe goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Tcp {
        host: String,
        port: u16,
        /// Whether libzmq would use an IPv6 address.
        ipv6: bool,
    },
    Ipc(String),
}

impl Target {
    /// The place that libzmq would connect to; `None` where a probe cannot follow.
    pub(crate) fn of(endpoint: &str, ipv6: bool) -> Option<Self> {
        match endpoint.split_once("://")? {
            ("tcp", address) => {
                let (host, port) = tcp_address(address)?;
                Some(Self::Tcp {
                    host: host.to_owned(),
                    port,
                    ipv6,
                })
            }
            ("ipc", name) if !name.is_empty() => Some(Self::Ipc(name.to_owned())),
            _ => None,
        }
    }
}

/// Host and port of a tcp endpoint behind `tcp://`: without the address of our own that may stand before a semicolon, and without brackets.
pub(crate) fn tcp_address(address: &str) -> Option<(&str, u16)> {
    let address = address.split_once(';').map_or(address, |(_, there)| there);
    let (host, port) = address.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    (!host.is_empty() && digits).then_some((host, port.parse().ok()?))
}

impl Target {
    /// Connects; `resolving` tells while it waits for the host's name.
    pub(super) fn connect(
        &self,
        deadline: Instant,
        resolving: &AtomicBool,
    ) -> Result<Line, Finding> {
        let failed = |error: io::Error| {
            let silent = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
            let errno = error.raw_os_error().filter(|_| !silent).map(Errno);
            Finding::Unreachable(errno)
        };
        let wire = match self {
            Self::Tcp { host, port, ipv6 } => {
                resolving.store(true, Ordering::Relaxed);
                let address = resolve(host, *port, *ipv6);
                resolving.store(false, Ordering::Relaxed);
                let address = address.map_err(Finding::Unresolved)?;
                let left = left(deadline).ok_or(Finding::Unreachable(None))?;
                TcpStream::connect_timeout(&address, left)
                    .map(Wire::Tcp)
                    .map_err(failed)
            }
            Self::Ipc(name) => {
                let left = left(deadline).ok_or(Finding::Unreachable(None))?;
                os::connect_unix(name, left).map(Wire::Ipc).map_err(failed)
            }
        };
        Ok(Line {
            wire: wire?,
            deadline,
            received: Vec::new(),
        })
    }
}

/// The first address of a host, which is the one that libzmq takes; or why there is none.
fn resolve(host: &str, port: u16, ipv6: bool) -> Result<SocketAddr, String> {
    let mut addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| {
            let text = error.to_string();
            let reason = text.rsplit_once(": ").map_or(&*text, |(_, reason)| reason);
            reason.to_owned()
        })?
        .peekable();
    if addresses.peek().is_none() {
        return Err("it has no address".into());
    }
    addresses
        .find(|address| ipv6 || address.is_ipv4())
        .ok_or_else(|| "it has IPv6 addresses only, and ZMQ_IPV6 is off".into())
}

/// Time left; `None` where there is none.
fn left(deadline: Instant) -> Option<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
}

enum Wire {
    Tcp(TcpStream),
    Ipc(UnixStream),
}

/// A connection, and what came over it.
pub(super) struct Line {
    wire: Wire,
    pub(super) deadline: Instant,
    pub(super) received: Vec<u8>,
}

pub(super) enum Heard {
    More,
    /// Nothing in time, or as much as one peer may say.
    Nothing,
    End,
}

impl Line {
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = Some(left(self.deadline).ok_or(ErrorKind::TimedOut)?);
        match &mut self.wire {
            Wire::Tcp(stream) => {
                stream.set_write_timeout(left)?;
                stream.write_all(bytes)
            }
            Wire::Ipc(stream) => {
                stream.set_write_timeout(left)?;
                stream.write_all(bytes)
            }
        }
    }

    /// Hears until there is a command.
    pub(super) fn hear_command(&mut self) -> Heard {
        loop {
            match greeting::read_command(&self.received) {
                Framed::Command(_) => return Heard::More,
                Framed::Foreign => return Heard::Nothing,
                Framed::Incomplete => match self.hear() {
                    Heard::More => {}
                    ended => return ended,
                },
            }
        }
    }

    /// The command that was heard; empty before.
    pub(super) fn command(&self) -> &[u8] {
        match greeting::read_command(&self.received) {
            Framed::Command(command) => command,
            _ => &[],
        }
    }

    pub(super) fn hear(&mut self) -> Heard {
        let mut buffer = [0; 512];
        let room = MAX_BYTES.saturating_sub(self.received.len());
        let Some(buffer) = buffer.get_mut(..room.min(512)).filter(|b| !b.is_empty()) else {
            return Heard::Nothing;
        };
        match self.read(buffer) {
            Ok(0) => Heard::End,
            Ok(count) => {
                self.received.extend(buffer.iter().take(count));
                Heard::More
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Heard::Nothing,
                ErrorKind::Interrupted => Heard::More,
                // Reset: who closes a connection that has unread bytes ends it so.
                _ => Heard::End,
            },
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = Some(left(self.deadline).ok_or(ErrorKind::TimedOut)?);
        match &mut self.wire {
            Wire::Tcp(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(buffer)
            }
            Wire::Ipc(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(buffer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_goes_where_libzmq_would() {
        let tcp = |host: &str, port| {
            Some(Target::Tcp {
                host: host.into(),
                port,
                ipv6: false,
            })
        };
        for (endpoint, target) in [
            ("tcp://db.example.org:5555", tcp("db.example.org", 5555)),
            ("tcp://[::1]:5555", tcp("::1", 5555)),
            ("tcp://eth0:0;10.0.0.1:7", tcp("10.0.0.1", 7)),
            ("ipc:///run/db", Some(Target::Ipc("/run/db".into()))),
            ("ipc://@db", Some(Target::Ipc("@db".into()))),
            ("ipc://", None),
            ("tcp://x", None),
            ("tcp://:1", None),
            ("tcp://x:65536", None),
            ("tcp://x:+1", None),
            ("tcp://*:*", None),
            ("inproc://x", None),
            ("ws://x:80", None),
            ("x", None),
        ] {
            assert_eq!(Target::of(endpoint, false), target, "{endpoint}");
        }
    }

    #[test]
    fn an_ipv6_address_is_no_address_where_libzmq_would_not_use_it() {
        assert!(resolve("::1", 1, true).is_ok());
        let reason = resolve("::1", 1, false).unwrap_err();
        assert!(reason.contains("ZMQ_IPV6"), "{reason}");
        assert!(resolve(&"x".repeat(70), 1, true).is_err());
    }
}
