//! Connections by the number of their descriptor, which may belong to anything else by the time it is looked at.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// A connected stream socket, through a duplicate of its descriptor: whatever becomes of the number meanwhile, this stays what it is.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    identity: Identity,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What tells a connection from every other that has or had the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The kernel's own name for the socket, never given twice. Linux only.
    cookie: Option<u64>,
    ends: Ends,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ends {
    Tcp {
        local: SocketAddr,
        peer: SocketAddr,
    },
    Unix {
        /// As libzmq writes it behind `ipc://`, where it has a name.
        local: Option<String>,
        /// User, group and process at the other end, where the system tells.
        peer: Option<(u32, u32, u32)>,
    },
}

impl Connection {
    /// The connection whose descriptor has this number; `None` where it belongs to something else, or to nothing.
    pub(crate) fn of(number: RawFd) -> Option<Self> {
        // Asked before duplicating as well: to close a duplicate of a file would release the host's locks on it.
        socket_option::<libc::c_int>(number, libc::SO_TYPE).filter(is_stream)?;
        let fd = duplicate(number).ok()?;
        if socket_option(fd.as_raw_fd(), libc::SO_TYPE)
            .filter(is_stream)
            .is_none()
        {
            // The number changed hands in between. A descriptor that is never closed harms less than a lock that is lost.
            if socket_option::<libc::c_int>(fd.as_raw_fd(), libc::SO_TYPE).is_none() {
                let _ = fd.into_raw_fd();
            }
            return None;
        }
        let cookie = cookie(&fd);
        let tcp = TcpStream::from(fd);
        if let (Ok(local), Ok(peer)) = (tcp.local_addr(), tcp.peer_addr()) {
            return Some(Self {
                stream: Stream::Tcp(tcp),
                identity: Identity {
                    cookie,
                    ends: Ends::Tcp { local, peer },
                },
            });
        }
        let unix = UnixStream::from(OwnedFd::from(tcp));
        unix.peer_addr().ok()?;
        let local = unix.local_addr().ok().and_then(|name| unix_name(&name));
        let peer = peer_process(&unix);
        Some(Self {
            stream: Stream::Unix(unix),
            identity: Identity {
                cookie,
                ends: Ends::Unix { local, peer },
            },
        })
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Ends the connection both ways; its owner sees its peer leave. `shutdown(2)`.
    pub(crate) fn shut_down(&self) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
        }
    }

    /// How many bytes the peer has sent so far; `None` where the system does not tell. `tcp(7)`.
    #[cfg(target_os = "linux")]
    pub(crate) fn received(&self) -> Option<u64> {
        /// `tcpi_bytes_received` of `struct tcp_info`, and all before it: Linux 4.1 or later.
        type Info = [u64; 17];
        let Stream::Tcp(stream) = &self.stream else {
            return None;
        };
        let info: Info = option(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO)?;
        info.last().copied()
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn received(&self) -> Option<u64> {
        None
    }
}

impl Identity {
    /// Where the peer is, as libzmq writes it in a ZAP request; `None` where the system does not tell.
    pub(crate) fn peer_address(&self) -> Option<String> {
        match &self.ends {
            Ends::Tcp { peer, .. } => {
                let zone = match peer {
                    SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => {
                        interface(v6.scope_id())
                    }
                    _ => None,
                };
                let address = peer.ip();
                Some(match zone {
                    Some(zone) => format!("{address}%{zone}"),
                    None => address.to_string(),
                })
            }
            Ends::Unix { peer, .. } => {
                peer.map(|(uid, gid, pid)| format!("localhost:{uid}:{gid}:{pid}"))
            }
        }
    }

    /// Whether it was accepted at `endpoint`, a bound one as libzmq writes it.
    pub(crate) fn is_at(&self, endpoint: &str) -> bool {
        match (&self.ends, endpoint.split_once("://")) {
            (Ends::Tcp { local, .. }, Some(("tcp", bound))) => {
                let Some((host, port)) = bound.rsplit_once(':') else {
                    return false;
                };
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let host = host.split('%').next().unwrap_or_default();
                port.parse() == Ok(local.port())
                    && host
                        .parse::<IpAddr>()
                        .is_ok_and(|host| host.is_unspecified() || host == local.ip())
            }
            (Ends::Unix { local, .. }, Some(("ipc", bound))) => local.as_deref() == Some(bound),
            _ => false,
        }
    }
}

/// Why a descriptor is not taken over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// No descriptor has this number.
    Closed,
    /// It was opened by this process.
    NotInherited,
}

/// Takes over a descriptor that the process was started with: it is closed when the result is dropped, and not inherited further.
///
/// Left alone is one with close-on-exec. It cannot have come with the program, and so belongs to somebody in this process: Rust's
/// standard library and libzmq open all theirs so.
pub(crate) fn take_inherited(number: RawFd) -> Result<OwnedFd, NotTaken> {
    // SAFETY: fcntl takes any number; for one that is not open it answers EBADF.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags == -1 {
        return Err(NotTaken::Closed);
    }
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(NotTaken::NotInherited);
    }
    // SAFETY: as above; no memory is touched.
    unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) };
    // SAFETY: open, as was seen, and inherited: nothing in this process has opened it, so nothing else owns it. That no other
    // code was handed the same number, the caller's caller keeps, who names it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn is_stream(kind: &libc::c_int) -> bool {
    *kind == libc::SOCK_STREAM
}

fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl takes any number; for one that is not open it answers EBADF.
    let fd = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was made just now and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An option of level SOL_SOCKET; `None` where the descriptor has none such, or is no socket.
fn socket_option<T: Copy>(number: RawFd, name: libc::c_int) -> Option<T> {
    option(number, libc::SOL_SOCKET, name)
}

fn option<T: Copy>(number: RawFd, level: libc::c_int, name: libc::c_int) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes behind `value`, and then how many; any descriptor may be asked anything.
    let rc = unsafe { libc::getsockopt(number, level, name, value.as_mut_ptr().cast(), &mut len) };
    if rc != 0 || len as usize != size_of::<T>() {
        return None;
    }
    // SAFETY: all its bytes were written, and it is an integer, or a struct or array of integers.
    Some(unsafe { value.assume_init() })
}

#[cfg(target_os = "linux")]
fn cookie(fd: &OwnedFd) -> Option<u64> {
    socket_option(fd.as_raw_fd(), libc::SO_COOKIE)
}

#[cfg(not(target_os = "linux"))]
fn cookie(_: &OwnedFd) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
fn peer_process(stream: &UnixStream) -> Option<(u32, u32, u32)> {
    let peer: libc::ucred = socket_option(stream.as_raw_fd(), libc::SO_PEERCRED)?;
    Some((peer.uid, peer.gid, u32::try_from(peer.pid).ok()?))
}

#[cfg(not(target_os = "linux"))]
fn peer_process(_: &UnixStream) -> Option<(u32, u32, u32)> {
    None
}

fn unix_name(name: &std::os::unix::net::SocketAddr) -> Option<String> {
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(name) {
        return Some(format!("@{}", std::str::from_utf8(name).ok()?));
    }
    name.as_pathname()?.to_str().map(str::to_owned)
}

/// The name of a network interface.
fn interface(index: u32) -> Option<String> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the size that the call asks for, and it writes a text that ends in NUL.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: the text just written, in a buffer that lives.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    name.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixListener;

    fn tcp() -> (TcpListener, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        (listener, client, server)
    }

    #[test]
    fn a_connection_is_shut_down_through_its_number_and_its_owner_sees_the_end() {
        let (listener, mut client, mut server) = tcp();
        let connection = Connection::of(server.as_raw_fd()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let identity = connection.identity().clone();
        assert_eq!(identity.peer_address().as_deref(), Some("127.0.0.1"));
        for (endpoint, at) in [
            (format!("tcp://127.0.0.1:{port}"), true),
            (format!("tcp://0.0.0.0:{port}"), true),
            (format!("tcp://127.0.0.2:{port}"), false),
            ("tcp://127.0.0.1:1".into(), false),
            (format!("ipc://127.0.0.1:{port}"), false),
            ("tcp://".into(), false),
        ] {
            assert_eq!(identity.is_at(&endpoint), at, "{endpoint}");
        }
        connection.shut_down().unwrap();
        drop(connection);
        assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_peer_has_sent_is_counted_whether_it_was_read_or_not() {
        use std::io::Write;
        let (_listener, mut client, mut server) = tcp();
        let received = || Connection::of(server.as_raw_fd()).unwrap().received();
        assert_eq!(received(), Some(0));
        client.write_all(&[1; 100]).unwrap();
        let start = std::time::Instant::now();
        while received() != Some(100) {
            assert!(start.elapsed().as_secs() < 30);
        }
        server.read_exact(&mut [0; 60]).unwrap();
        let received = Connection::of(server.as_raw_fd()).unwrap().received();
        assert_eq!(received, Some(100));
        let (unix, _other) = UnixStream::pair().unwrap();
        assert_eq!(Connection::of(unix.as_raw_fd()).unwrap().received(), None);
    }

    #[test]
    fn a_number_used_anew_is_another_connection() {
        let (_listener, _client, server) = tcp();
        let number = server.as_raw_fd();
        let before = Connection::of(number).unwrap().identity().clone();
        assert_eq!(Connection::of(number).unwrap().identity(), &before);
        let (_listener2, _client2, other) = tcp();
        assert_ne!(
            Connection::of(other.as_raw_fd()).unwrap().identity(),
            &before
        );
    }

    #[test]
    fn what_is_no_connected_stream_is_no_connection() {
        let file = tempfile::tempfile().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for number in [
            file.as_raw_fd(),
            udp.as_raw_fd(),
            listener.as_raw_fd(),
            -1,
            i32::MAX,
        ] {
            assert!(Connection::of(number).is_none(), "{number}");
        }
    }

    #[test]
    fn an_ipc_peer_is_known_by_its_process() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let server = listener.accept().unwrap().0;
        let identity = Connection::of(server.as_raw_fd())
            .unwrap()
            .identity()
            .clone();
        assert!(identity.is_at(&format!("ipc://{}", path.display())));
        assert!(!identity.is_at("ipc:///elsewhere"));
        if cfg!(target_os = "linux") {
            let address = identity.peer_address().unwrap();
            let pid = format!(":{}", std::process::id());
            assert!(address.starts_with("localhost:") && address.ends_with(&pid));
        }
    }
}
