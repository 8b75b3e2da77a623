//! Where a peer comes from, and sets of addresses to allow or deny.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use crate::error::{Error, Result};

/// Bits of an IPv6 address before the IPv4 address that is mapped into it.
const MAPPED_PREFIX: u8 = 96;

/// A block of IP addresses, or one address: `10.0.0.0/8`, `192.0.2.7`, `2001:db8::/32`.
///
/// Bits behind the prefix are cleared. IPv4 addresses mapped into IPv6 (`::ffff:192.0.2.7`, with prefixes from 96 on)
/// become what they stand for; wider IPv6 blocks, `::/0` among them, say nothing of IPv4. Host names are refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

impl Cidr {
    /// Whether `address`, plain or mapped into IPv6, lies in the block.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(Self::from)
            .map_err(|_| Error::Address(text.into()))
    }
}

impl From<IpAddr> for Cidr {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().into())
    }
}

impl From<IpNet> for Cidr {
    fn from(block: IpNet) -> Self {
        Self(unmapped(&block).map_or(block, IpNet::V4).trunc())
    }
}

/// The IPv4 block that an IPv6 block stands for.
fn unmapped(block: &IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(block) = block else {
        return None;
    };
    let prefix = block.prefix_len().checked_sub(MAPPED_PREFIX)?;
    Ipv4Net::new(block.addr().to_ipv4_mapped()?, prefix).ok()
}

impl fmt::Display for Cidr {
    /// An address without prefix where the block is one address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cidr({self})")
    }
}

/// A set of blocks. A look-up costs one step for each prefix length in it, whatever their number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressSet {
    /// By prefix length.
    blocks: BTreeMap<u8, BTreeSet<IpNet>>,
}

impl AddressSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a block; whether it was not there yet.
    pub fn insert(&mut self, block: Cidr) -> bool {
        let length = block.0.prefix_len();
        self.blocks.entry(length).or_default().insert(block.0)
    }

    /// Removes exactly this block, not others that overlap with it; whether it was there.
    pub fn remove(&mut self, block: &Cidr) -> bool {
        let length = block.0.prefix_len();
        let Some(blocks) = self.blocks.get_mut(&length) else {
            return false;
        };
        let removed = blocks.remove(&block.0);
        if blocks.is_empty() {
            self.blocks.remove(&length);
        }
        removed
    }

    /// Whether the peer's IP address lies in one of the blocks; never for a peer without one.
    pub fn contains(&self, peer: &PeerAddress) -> bool {
        peer.ip().is_some_and(|address| self.contains_ip(address))
    }

    fn contains_ip(&self, address: IpAddr) -> bool {
        self.blocks.iter().any(|(&length, blocks)| {
            IpNet::new(address, length).is_ok_and(|block| blocks.contains(&block.trunc()))
        })
    }

    /// The blocks, widest first.
    pub fn iter(&self) -> impl Iterator<Item = Cidr> {
        self.blocks.values().flatten().copied().map(Cidr)
    }

    /// Whether there is no block.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

impl Extend<Cidr> for AddressSet {
    fn extend<T: IntoIterator<Item = Cidr>>(&mut self, blocks: T) {
        for block in blocks {
            self.insert(block);
        }
    }
}

impl FromIterator<Cidr> for AddressSet {
    fn from_iter<T: IntoIterator<Item = Cidr>>(blocks: T) -> Self {
        let mut set = Self::new();
        set.extend(blocks);
        set
    }
}

/// Where a connection comes from, as libzmq tells the authenticator.
///
/// Source: RFC 27/ZAP, the address frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerAddress {
    /// By IP. IPv4 addresses mapped into IPv6 are IPv4 here.
    Ip {
        /// The address.
        address: IpAddr,
        /// The interface of a link-local address, as the system names it.
        zone: Option<Box<str>>,
    },
    /// From a process on this machine, by a Unix-domain socket.
    Ipc {
        /// The process's user.
        uid: u32,
        /// The process's group.
        gid: u32,
        /// The process, where the system tells it.
        pid: Option<u32>,
    },
    /// Anything else, as it came.
    Unknown(Box<str>),
}

impl PeerAddress {
    /// Reads the text of an address; whatever it cannot read is [`PeerAddress::Unknown`].
    pub fn parse(text: &str) -> Self {
        parse_ip(text)
            .or_else(|| parse_ipc(text))
            .unwrap_or_else(|| Self::Unknown(text.into()))
    }

    /// The IP address, if it has one.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip { address, .. } => Some(*address),
            _ => None,
        }
    }
}

fn parse_ip(text: &str) -> Option<PeerAddress> {
    if let Some((address, zone)) = text.split_once('%') {
        let address: Ipv6Addr = address.parse().ok()?;
        return (!zone.is_empty()).then(|| PeerAddress::Ip {
            address: address.to_canonical(),
            zone: Some(zone.into()),
        });
    }
    let address: IpAddr = text.parse().ok()?;
    Some(PeerAddress::Ip {
        address: address.to_canonical(),
        zone: None,
    })
}

/// `localhost:uid:gid:pid`; macOS leaves the last one empty.
fn parse_ipc(text: &str) -> Option<PeerAddress> {
    // `parse` alone would take a sign.
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let mut parts = text.strip_prefix("localhost:")?.split(':');
    let (uid, gid, pid) = (parts.next()?, parts.next()?, parts.next()?);
    let pid = match pid {
        "" => None,
        pid => Some(number(pid)?),
    };
    match parts.next() {
        Some(_) => None,
        None => Some(PeerAddress::Ipc {
            uid: number(uid)?,
            gid: number(gid)?,
            pid,
        }),
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip {
                address,
                zone: Some(zone),
            } => write!(f, "{address}%{zone}"),
            Self::Ip { address, .. } => address.fmt(f),
            Self::Ipc { uid, gid, pid } => {
                write!(f, "ipc uid {uid} gid {gid}")?;
                pid.map_or(Ok(()), |pid| write!(f, " pid {pid}"))
            }
            Self::Unknown(text) => write!(f, "{text:?}"),
        }
    }
}
