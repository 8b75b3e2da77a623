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

/// A rule on where a peer comes from: a block of IP addresses (`10.0.0.0/8`), or, for peers over ipc, the user (`uid:1000`) or group
/// (`gid:100`) of their process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressRule {
    /// IP addresses.
    Ip(Cidr),
    /// A process's user, over ipc.
    User(u32),
    /// A process's group, over ipc.
    Group(u32),
}

impl FromStr for AddressRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let id = |digits: &str| number(digits).ok_or_else(|| Error::Address(text.into()));
        match text.split_once(':') {
            Some(("uid", digits)) => id(digits).map(Self::User),
            Some(("gid", digits)) => id(digits).map(Self::Group),
            _ => text.parse().map(Self::Ip),
        }
    }
}

impl From<Cidr> for AddressRule {
    fn from(block: Cidr) -> Self {
        Self::Ip(block)
    }
}

impl fmt::Display for AddressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(block) => block.fmt(f),
            Self::User(uid) => write!(f, "uid:{uid}"),
            Self::Group(gid) => write!(f, "gid:{gid}"),
        }
    }
}

/// A set of rules. A look-up costs one step for each prefix length in it, whatever their number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressSet {
    /// By prefix length.
    blocks: BTreeMap<u8, BTreeSet<IpNet>>,
    users: BTreeSet<u32>,
    groups: BTreeSet<u32>,
}

impl AddressSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule; whether it was not there yet.
    pub fn insert(&mut self, rule: AddressRule) -> bool {
        match rule {
            AddressRule::Ip(Cidr(block)) => self
                .blocks
                .entry(block.prefix_len())
                .or_default()
                .insert(block),
            AddressRule::User(uid) => self.users.insert(uid),
            AddressRule::Group(gid) => self.groups.insert(gid),
        }
    }

    /// Removes exactly this rule, not others that overlap with it; whether it was there.
    pub fn remove(&mut self, rule: &AddressRule) -> bool {
        let block = match rule {
            AddressRule::Ip(Cidr(block)) => block,
            AddressRule::User(uid) => return self.users.remove(uid),
            AddressRule::Group(gid) => return self.groups.remove(gid),
        };
        let Some(blocks) = self.blocks.get_mut(&block.prefix_len()) else {
            return false;
        };
        let removed = blocks.remove(block);
        if blocks.is_empty() {
            self.blocks.remove(&block.prefix_len());
        }
        removed
    }

    /// Whether a rule names the peer's address.
    pub fn contains(&self, peer: &PeerAddress) -> bool {
        self.matching(peer).is_some()
    }

    /// The widest rule that names the peer's address.
    pub fn matching(&self, peer: &PeerAddress) -> Option<AddressRule> {
        match peer {
            PeerAddress::Ip { address, .. } => self.blocks.iter().find_map(|(&length, blocks)| {
                let block = IpNet::new(*address, length).ok()?.trunc();
                blocks
                    .contains(&block)
                    .then_some(AddressRule::Ip(Cidr(block)))
            }),
            PeerAddress::Ipc { gid, .. } if self.groups.contains(gid) => {
                Some(AddressRule::Group(*gid))
            }
            PeerAddress::Ipc { uid, .. } if self.users.contains(uid) => {
                Some(AddressRule::User(*uid))
            }
            _ => None,
        }
    }

    /// The rules: blocks, widest first, then users, then groups.
    pub fn iter(&self) -> impl Iterator<Item = AddressRule> {
        let blocks = self
            .blocks
            .values()
            .flatten()
            .map(|&block| AddressRule::Ip(Cidr(block)));
        let users = self.users.iter().map(|&uid| AddressRule::User(uid));
        blocks
            .chain(users)
            .chain(self.groups.iter().map(|&gid| AddressRule::Group(gid)))
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.users.is_empty() && self.groups.is_empty()
    }
}

impl<T: Into<AddressRule>> Extend<T> for AddressSet {
    fn extend<I: IntoIterator<Item = T>>(&mut self, rules: I) {
        for rule in rules {
            self.insert(rule.into());
        }
    }
}

impl<T: Into<AddressRule>> FromIterator<T> for AddressSet {
    fn from_iter<I: IntoIterator<Item = T>>(rules: I) -> Self {
        let mut set = Self::new();
        set.extend(rules);
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
        // First what is by far the most common.
        if let Ok(address) = text.parse() {
            return Self::Ip {
                address: IpAddr::V4(address),
                zone: None,
            };
        }
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
        let named = !zone.is_empty() && !zone.contains(char::is_control);
        let address = address.to_canonical();
        return named.then(|| PeerAddress::Ip {
            address,
            // IPv4 has no zones, mapped or not.
            zone: address.is_ipv6().then(|| zone.into()),
        });
    }
    let address: IpAddr = text.parse().ok()?;
    Some(PeerAddress::Ip {
        address: address.to_canonical(),
        zone: None,
    })
}

/// Digits alone: `parse` would take a sign.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// `localhost:uid:gid:pid`; macOS leaves the last one empty.
fn parse_ipc(text: &str) -> Option<PeerAddress> {
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

#[cfg(test)]
mod tests;
