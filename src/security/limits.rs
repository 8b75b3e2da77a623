//! `Limits`: how much of an authenticator one address may take up, and all of them together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::address::{AddressRule, Cidr, PeerAddress};
use super::lockout::Lockout;
use crate::error::{Error, Result};

/// How much of an authenticator and its sockets one address may take up, and all of them together. Nothing is limited unless set.
///
/// "An address" is a block of IP addresses that one party is likely to have: one IPv4 address, or 2⁶⁴ IPv6 addresses, unless set; over ipc,
/// all processes of one user. Peers that come by other transports cannot be told apart: for them the limits in all count.
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::Context;
/// use ironhouse::security::{Authenticator, Limits};
/// let context = Context::new()?;
/// let limits = Limits::behind_nat().connections(2000);
/// let authenticator = Authenticator::builder(&context).limits(limits).start()?;
/// # Ok(())
/// # }
/// ```
///
/// Limits on connections hold for the sockets of this library that a [`Domain`](super::Domain) guards, and for connections that they
/// accepted; those above a limit are closed, which [`AuditEvent::TooManyConnections`](super::AuditEvent::TooManyConnections) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "limits are given to an AuthenticatorBuilder"]
pub struct Limits {
    pub(super) lockout: Option<Lockout>,
    pub(super) connections: Option<usize>,
    pub(super) connections_per_address: Option<usize>,
    pub(super) half_open: Option<usize>,
    pub(super) half_open_per_address: Option<usize>,
    pub(super) requests: usize,
    pub(super) requests_per_address: Option<usize>,
    pub(super) threads_per_address: Option<usize>,
    pub(super) blocks: Blocks,
}

impl Default for Limits {
    fn default() -> Self {
        Self::off()
    }
}

impl Limits {
    /// No limits but one: 10,000 requests may wait for their decision.
    pub const fn off() -> Self {
        Self {
            lockout: None,
            connections: None,
            connections_per_address: None,
            half_open: None,
            half_open_per_address: None,
            requests: 10_000,
            requests_per_address: None,
            threads_per_address: None,
            blocks: Blocks { ipv4: 32, ipv6: 64 },
        }
    }

    /// For networks where an address is one machine: [`Lockout::standard`]; from one address at most 256 connections, 64 of them half-open,
    /// 64 requests that wait and 4 callbacks or password hashes at a time; 1024 half-open connections in all.
    pub const fn standard() -> Self {
        Self {
            lockout: Some(Lockout::standard()),
            connections_per_address: Some(256),
            half_open: Some(1024),
            half_open_per_address: Some(64),
            requests_per_address: Some(64),
            threads_per_address: Some(4),
            ..Self::off()
        }
    }

    /// For networks where many machines come from one address: [`Lockout::behind_nat`]; from one address at most 512 half-open connections,
    /// 2500 requests that wait and 16 callbacks or password hashes at a time; 1024 half-open connections in all.
    pub const fn behind_nat() -> Self {
        Self {
            lockout: Some(Lockout::behind_nat()),
            half_open: Some(1024),
            half_open_per_address: Some(512),
            requests_per_address: Some(2500),
            threads_per_address: Some(16),
            ..Self::off()
        }
    }

    /// Locks out who fails again and again.
    pub fn lockout(mut self, lockout: impl Into<Option<Lockout>>) -> Self {
        self.lockout = lockout.into();
        self
    }

    /// Most connections in all.
    ///
    /// Where one is too many, the oldest half-open one of the address with most of these is closed; without any, the new one.
    pub fn connections(mut self, most: impl Into<Option<usize>>) -> Self {
        self.connections = most.into();
        self
    }

    /// Most connections from one address.
    ///
    /// Where one is too many, the oldest half-open one from there is closed; without any, the new one.
    pub fn connections_per_address(mut self, most: impl Into<Option<usize>>) -> Self {
        self.connections_per_address = most.into();
        self
    }

    /// Most half-open connections in all: those that were accepted, and whose peer is not admitted yet. Such a connection costs its maker
    /// nothing, and lasts as long as the server's [`HANDSHAKE_IVL`](crate::socket::options::HANDSHAKE_IVL).
    ///
    /// Where one is too many, the oldest of the address with most of them is closed; so who floods closes his own.
    ///
    /// libzmq does not say whose handshake succeeded, so half-open are the connections from an address less the admissions there that may be
    /// of any of these. The count is exact while no admitted peer comes from that address, or one at a time; else it may be too low for some
    /// seconds, never too high. Among connections of which some may be admitted, none is closed but one whose peer has sent less than any
    /// handshake takes (the kernel tells that on Linux, over TCP); without such a one, the new one. Where more than 65,536 admissions of a domain
    /// could not be told apart, this limit rests for its sockets until they can be.
    pub fn half_open(mut self, most: impl Into<Option<usize>>) -> Self {
        self.half_open = most.into();
        self
    }

    /// Most [half-open](Self::half_open) connections from one address. Where one is too many, the oldest from there is closed.
    pub fn half_open_per_address(mut self, most: impl Into<Option<usize>>) -> Self {
        self.half_open_per_address = most.into();
        self
    }

    /// Most requests that may wait for their decision, in all; 10,000 unless set. A peer beyond is told to try again (status 300).
    pub fn requests(mut self, most: usize) -> Self {
        self.requests = most;
        self
    }

    /// Most requests from one address that may wait for their decision.
    pub fn requests_per_address(mut self, most: impl Into<Option<usize>>) -> Self {
        self.requests_per_address = most.into();
        self
    }

    /// Most callbacks and password hashes of one address that may run at a time; the others wait their turn. Unless set, one address may
    /// take all [threads](super::AuthenticatorBuilder::callback_threads), as long as no other wants any: addresses take turns in any case.
    pub fn threads_per_address(mut self, most: impl Into<Option<usize>>) -> Self {
        self.threads_per_address = most.into();
        self
    }

    /// How many bits IPv4 addresses have in common that count as one; 32 unless set, at most.
    pub fn ipv4_prefix(mut self, bits: u8) -> Self {
        self.blocks.ipv4 = bits;
        self
    }

    /// How many bits IPv6 addresses have in common that count as one; 64 unless set, 128 at most. A network is given whole blocks of 2⁶⁴
    /// addresses and may use any of them; a customer often has 2¹⁶ such blocks, and counts as one with 48.
    pub fn ipv6_prefix(mut self, bits: u8) -> Self {
        self.blocks.ipv6 = bits;
        self
    }

    /// # Errors
    /// [`Error::InvalidOption`].
    pub(super) fn check(&self) -> Result<()> {
        if let Some(lockout) = &self.lockout {
            lockout.check()?;
        }
        let requests = Some(self.requests);
        for (name, most) in [
            ("limit on connections", self.connections),
            (
                "limit on connections per address",
                self.connections_per_address,
            ),
            ("limit on half-open connections", self.half_open),
            (
                "limit on half-open connections per address",
                self.half_open_per_address,
            ),
            ("limit on requests", requests),
            ("limit on requests per address", self.requests_per_address),
            ("limit on threads per address", self.threads_per_address),
        ] {
            if most == Some(0) {
                return Err(wrong(
                    name,
                    "0 would shut out everybody: give 1 at least, or None for no limit".into(),
                ));
            }
        }
        for (name, each, all) in [
            (
                "limit on connections per address",
                self.connections_per_address,
                self.connections,
            ),
            (
                "limit on half-open connections per address",
                self.half_open_per_address,
                self.half_open,
            ),
            (
                "limit on requests per address",
                self.requests_per_address,
                requests,
            ),
        ] {
            if let (Some(each), Some(all)) = (each, all) {
                if each > all {
                    return Err(wrong(
                        name,
                        format!(
                            "{each} from one address is more than the {all} allowed in all: lower it, or raise the limit in all"
                        ),
                    ));
                }
            }
        }
        for (name, bits, most) in [
            ("IPv4 prefix of limits", self.blocks.ipv4, 32),
            ("IPv6 prefix of limits", self.blocks.ipv6, 128),
        ] {
            if !(1..=most).contains(&bits) {
                return Err(wrong(
                    name,
                    format!("{bits} bits: addresses of this kind take 1 to {most}"),
                ));
            }
        }
        Ok(())
    }
}

pub(super) fn wrong(name: &'static str, reason: String) -> Error {
    Error::InvalidOption { name, reason }
}

/// Which addresses count as one: how many bits those of one block have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    ipv4: u8,
    ipv6: u8,
}

/// Addresses that count as one: an IPv6 block, an IPv4 block mapped into IPv6, or a user, as a multicast address, which no peer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Block([u64; 2]);

const USER: u64 = 0xff << 56;

impl Blocks {
    /// The block of an address; `None` where it cannot be told from others.
    pub(super) fn of(&self, address: &PeerAddress) -> Option<Block> {
        let bits = match address {
            PeerAddress::Ip { address, .. } => match address {
                IpAddr::V4(v4) => {
                    let bits = v4.to_bits() & mask(self.ipv4, 32) as u32;
                    Ipv4Addr::from_bits(bits).to_ipv6_mapped().to_bits()
                }
                IpAddr::V6(v6) if v6.is_multicast() => return None,
                IpAddr::V6(v6) => v6.to_bits() & mask(self.ipv6, 128),
            },
            PeerAddress::Ipc { uid, .. } => return Some(Block([USER, u64::from(*uid)])),
            PeerAddress::Unknown(_) => return None,
        };
        Some(Block([(bits >> 64) as u64, bits as u64]))
    }

    /// For people.
    pub(super) fn rule(&self, Block([high, low]): Block) -> AddressRule {
        if high == USER {
            return AddressRule::User(low as u32);
        }
        let address = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).to_canonical();
        let length = match address {
            IpAddr::V4(_) => self.ipv4,
            IpAddr::V6(_) => self.ipv6,
        };
        let block = IpNet::new(address, length).unwrap_or_else(|_| address.into());
        AddressRule::Ip(Cidr::from(block))
    }

    /// Whether the block of `address` has no other in it.
    pub(super) fn is_single(&self, address: &PeerAddress) -> bool {
        match address {
            // A link-local address may be there once for each interface.
            PeerAddress::Ip {
                address: IpAddr::V4(_),
                ..
            } => self.ipv4 == 32,
            _ => false,
        }
    }
}

/// The upper `ones` of `bits` bits.
fn mask(ones: u8, bits: u8) -> u128 {
    let all = u128::MAX >> (128 - bits);
    all & !all.checked_shr(u32::from(ones)).unwrap_or(0)
}

impl Block {
    pub(super) fn words(self) -> [u64; 2] {
        self.0
    }

    pub(super) fn from_words(words: [u64; 2]) -> Self {
        Self(words)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(text: &str, blocks: Blocks) -> String {
        let address = PeerAddress::parse(text);
        blocks.of(&address).map_or("none".into(), |block| {
            assert_eq!(Block::from_words(block.words()), block);
            blocks.rule(block).to_string()
        })
    }

    #[test]
    fn an_address_counts_with_its_block() {
        let usual = Limits::off().blocks;
        let wide = Blocks { ipv4: 24, ipv6: 48 };
        for (text, alone, together) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64", "2001:db8:1::/48"),
            ("::1", "::/64", "::/48"),
            ("fe80::1%lo", "fe80::/64", "fe80::/48"),
            ("localhost:1000:100:7", "uid:1000", "uid:1000"),
            ("localhost:1000:101:", "uid:1000", "uid:1000"),
            ("ff02::1", "none", "none"),
            ("", "none", "none"),
        ] {
            assert_eq!(block(text, usual), alone, "{text}");
            assert_eq!(block(text, wide), together, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_way_to_mend_it() {
        Limits::off().check().unwrap();
        Limits::standard().check().unwrap();
        Limits::behind_nat().check().unwrap();
        for (limits, text) in [
            (
                Limits::off().connections(0),
                "limit on connections: 0 would shut out everybody: give 1 at least, or None for no limit",
            ),
            (
                Limits::off().half_open(5).half_open_per_address(6),
                "limit on half-open connections per address: 6 from one address is more than the 5 allowed in all: lower it, or raise the limit in all",
            ),
            (
                Limits::standard().requests(10),
                "limit on requests per address: 64 from one address is more than the 10 allowed in all: lower it, or raise the limit in all",
            ),
            (
                Limits::off().ipv4_prefix(33),
                "IPv4 prefix of limits: 33 bits: addresses of this kind take 1 to 32",
            ),
            (
                Limits::off().ipv6_prefix(0),
                "IPv6 prefix of limits: 0 bits: addresses of this kind take 1 to 128",
            ),
        ] {
            assert_eq!(limits.check().unwrap_err().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn addresses_count_as_one_exactly_where_a_block_holds_both(
            a: IpAddr, b: IpAddr, same in 0u32..=128, ipv4 in 1u8..=32, ipv6 in 1u8..=128,
        ) {
            // Random addresses share no block: let `b` begin as `a` does.
            let keep = |a: u128, b: u128, bits: u32| {
                let mask = u128::MAX.checked_shl(bits.saturating_sub(same)).unwrap_or(0);
                (a & mask) | (b & !mask)
            };
            let b = match (a, b) {
                (IpAddr::V4(a), IpAddr::V4(b)) => IpAddr::V4(Ipv4Addr::from_bits(
                    keep(a.to_bits().into(), b.to_bits().into(), 32) as u32,
                )),
                (IpAddr::V6(a), IpAddr::V6(b)) => {
                    IpAddr::V6(Ipv6Addr::from_bits(keep(a.to_bits(), b.to_bits(), 128)))
                }
                _ => b,
            };
            let blocks = Blocks { ipv4, ipv6 };
            let peer = |address: IpAddr| PeerAddress::Ip { address: address.to_canonical(), zone: None };
            let (Some(one), Some(other)) = (blocks.of(&peer(a)), blocks.of(&peer(b))) else {
                return Ok(());
            };
            let AddressRule::Ip(held) = blocks.rule(one) else {
                panic!("{a} is no user");
            };
            prop_assert!(held.contains(a));
            // A block wide enough to hold all mapped IPv4 addresses is not theirs.
            prop_assert_eq!(one == other, held.contains(b));
        }
    }
}
