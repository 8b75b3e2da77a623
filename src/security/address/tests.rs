use proptest::prelude::*;

use super::*;

fn block(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn set(blocks: &[&str]) -> AddressSet {
    blocks.iter().map(|text| block(text)).collect()
}

fn peer(text: &str) -> PeerAddress {
    PeerAddress::parse(text)
}

#[test]
fn blocks_and_addresses_are_read_and_shown_in_short_form() {
    for (text, shown) in [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("::/0", "::/0"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:10.0.0.1/128", "10.0.0.1"),
        ("::ffff:0:0/95", "::fffe:0:0/95"),
    ] {
        assert_eq!(block(text).to_string(), shown, "{text}");
    }
}

#[test]
fn host_names_and_malformed_blocks_are_refused_with_the_text() {
    for text in [
        "",
        "localhost",
        "example.org",
        "10",
        "10/8",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
        "010.0.0.1",
        "256.0.0.1",
        " 10.0.0.1",
        "10.0.0.1 ",
        "10.0.0.1:80",
        "2001:db8::/129",
        "fe80::1%eth0",
        "*",
    ] {
        let refused = text.parse::<Cidr>();
        assert!(
            matches!(refused, Err(Error::Address(named)) if named == text),
            "{text}"
        );
    }
}

#[test]
fn set_contains_what_lies_in_one_of_its_blocks() {
    let set = set(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"]);
    for inside in [
        "10.255.0.1",
        "192.0.2.7",
        "2001:db8:ffff::1",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:192.0.2.7",
    ] {
        assert!(set.contains(&peer(inside)), "{inside}");
    }
    for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "::2", "::10.0.0.1"] {
        assert!(!set.contains(&peer(outside)), "{outside}");
    }
}

#[test]
fn peer_without_ip_lies_in_no_block() {
    let all = set(&["0.0.0.0/0", "::/0"]);
    for text in ["", "localhost", "localhost:0:0:1", "inproc", "10.0.0.1:80"] {
        assert!(!all.contains(&peer(text)), "{text}");
    }
}

#[test]
fn all_of_ipv6_says_nothing_of_ipv4_and_the_other_way_round() {
    assert!(!set(&["::/0"]).contains(&peer("::ffff:10.0.0.1")));
    assert!(!set(&["0.0.0.0/0"]).contains(&peer("2001:db8::1")));
    assert!(set(&["::/0"]).contains(&peer("fe80::1%eth0")));
    assert!(block("10.0.0.0/8").contains("::ffff:10.0.0.1".parse().unwrap()));
}

#[test]
fn exactly_the_block_named_is_removed() {
    let mut set = set(&["10.0.0.0/8", "10.0.0.0/16"]);
    assert!(!set.insert(block("10.9.9.9/8").into()));
    assert!(!set.remove(&block("10.0.0.0/24").into()));
    assert!(set.remove(&block("10.0.0.0/8").into()));
    assert!(!set.remove(&block("10.0.0.0/8").into()));
    assert!(set.contains(&peer("10.0.0.1")) && !set.contains(&peer("10.1.0.1")));
    assert_eq!(
        set.iter().collect::<Vec<_>>(),
        [block("10.0.0.0/16").into()]
    );
    assert!(set.remove(&block("10.0.0.0/16").into()) && set.is_empty());
    assert_eq!(set, AddressSet::new());
}

#[test]
fn peer_addresses_are_read_as_libzmq_writes_them() {
    let ip = |address: &str, zone: Option<&str>| PeerAddress::Ip {
        address: address.parse().unwrap(),
        zone: zone.map(Into::into),
    };
    let ipc = |uid, gid, pid| PeerAddress::Ipc { uid, gid, pid };
    let unknown = |text: &str| PeerAddress::Unknown(text.into());
    for (text, wanted, shown) in [
        ("127.0.0.1", ip("127.0.0.1", None), "127.0.0.1"),
        ("::ffff:127.0.0.1", ip("127.0.0.1", None), "127.0.0.1"),
        ("2001:db8::1", ip("2001:db8::1", None), "2001:db8::1"),
        ("fe80::1%eth0", ip("fe80::1", Some("eth0")), "fe80::1%eth0"),
        ("::ffff:10.0.0.1%eth0", ip("10.0.0.1", None), "10.0.0.1"),
        (
            "localhost:1000:100:42",
            ipc(1000, 100, Some(42)),
            "ipc uid 1000 gid 100 pid 42",
        ),
        (
            "localhost:501:20:",
            ipc(501, 20, None),
            "ipc uid 501 gid 20",
        ),
        (
            "localhost:4294967295:0:0",
            ipc(u32::MAX, 0, Some(0)),
            "ipc uid 4294967295 gid 0 pid 0",
        ),
        (
            "localhost:4294967296:0:0",
            unknown("localhost:4294967296:0:0"),
            "\"localhost:4294967296:0:0\"",
        ),
        (
            "localhost:+1:0:0",
            unknown("localhost:+1:0:0"),
            "\"localhost:+1:0:0\"",
        ),
        (
            "localhost::0:0",
            unknown("localhost::0:0"),
            "\"localhost::0:0\"",
        ),
        (
            "localhost:1:2",
            unknown("localhost:1:2"),
            "\"localhost:1:2\"",
        ),
        (
            "localhost:1:2:3:4",
            unknown("localhost:1:2:3:4"),
            "\"localhost:1:2:3:4\"",
        ),
        ("fe80::1%", unknown("fe80::1%"), "\"fe80::1%\""),
        ("fe80::1%a\nb", unknown("fe80::1%a\nb"), "\"fe80::1%a\\nb\""),
        (
            "10.0.0.1%eth0",
            unknown("10.0.0.1%eth0"),
            "\"10.0.0.1%eth0\"",
        ),
        ("", unknown(""), "\"\""),
        ("a\nb", unknown("a\nb"), "\"a\\nb\""),
    ] {
        let read = peer(text);
        assert_eq!(read, wanted, "{text}");
        assert_eq!(read.to_string(), shown, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_panic(text in "\\PC*|[0-9a-f:./%]{0,40}|localhost:[0-9:]{0,30}") {
        let _ = text.parse::<Cidr>();
        let shown = peer(&text).to_string();
        prop_assert!(!shown.contains('\n'));
    }

    #[test]
    fn a_block_survives_its_text(address: IpAddr, length in 0u8..=128) {
        let address = address.to_canonical();
        let length = if address.is_ipv4() { length % 33 } else { length };
        let cidr = Cidr::from(IpNet::new(address, length).unwrap());
        prop_assert_eq!(cidr.to_string().parse::<Cidr>().unwrap(), cidr);
        prop_assert!(cidr.contains(address));
    }

    #[test]
    fn set_agrees_with_its_blocks(
        blocks in proptest::collection::vec((any::<u16>(), 0u8..=32), 0..12),
        address: u16,
        mapped: bool,
    ) {
        let ip = |bits: u16| std::net::Ipv4Addr::from(u32::from(bits) << 16);
        let blocks: Vec<Cidr> = blocks
            .into_iter()
            .map(|(bits, length)| Cidr::from(IpNet::new(ip(bits).into(), length).unwrap()))
            .collect();
        let set: AddressSet = blocks.iter().copied().collect();
        let address = if mapped {
            IpAddr::V6(ip(address).to_ipv6_mapped())
        } else {
            IpAddr::V4(ip(address))
        };
        let expected = blocks.iter().any(|block| block.contains(address));
        prop_assert_eq!(set.contains(&peer(&address.to_string())), expected);
    }
}
