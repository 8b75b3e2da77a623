//! Who may connect: configurations, addresses, ZAP messages.

use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use crate::security::address::{AddressRule, AddressSet, PeerAddress};
use crate::security::config::{Content, Curve, Rules};
use crate::security::keys::PublicKey;
use crate::security::zap::{Frames, Metadata};
use crate::socket::FrameList;

/// Configurations: what is wrong stands in a line that there is, and is told within bounds; and however one that is good is cut off, it is
/// refused or admits nobody whom the whole one refuses.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parse = |text: &str| Content::parse(text, Path::new("/base"));
    let whole = match parse(text) {
        Ok(whole) => whole,
        Err(faults) => {
            let lines = text.split('\n').count() as u32;
            assert!((1..=101).contains(&faults.len()));
            for fault in faults {
                assert!(fault.line.is_none_or(|line| (1..=lines).contains(&line)));
                assert!(fault.problem.to_string().len() < 2000);
            }
            return;
        }
    };
    assert!(!whole.domains.is_empty() || whole.fallback.is_some());
    for (end, _) in text.match_indices('\n').take(1000) {
        let unfinished = &text[..end];
        assert!(unfinished.ends_with('\n') || parse(unfinished).is_err());
        let Ok(cut) = parse(&text[..=end]) else {
            continue;
        };
        for (name, rules) in &cut.domains {
            assert!(admits_no_more(rules, &whole.domains[name]), "{name}");
        }
        if let Some(rules) = &cut.fallback {
            assert!(admits_no_more(rules, whole.fallback.as_ref().unwrap()));
            assert_eq!(
                cut.domains.len(),
                whole.domains.len(),
                "left to the fallback"
            );
        }
    }
}

/// Whether everybody whom `one` admits is admitted by `other`.
fn admits_no_more(one: &Rules, other: &Rules) -> bool {
    one.allow == other.allow
        && one.deny == other.deny
        && (!one.null || other.null)
        && (one.plain.is_none() || one.plain == other.plain)
        && (one.gssapi.is_none() || one.gssapi == other.gssapi)
        && match (&one.curve, &other.curve) {
            (None, _) | (_, Some(Curve::Any)) => true,
            (Some(Curve::Stores(one)), Some(Curve::Stores(other))) => {
                one.iter().all(|store| other.contains(store))
            }
            _ => false,
        }
}

/// Address rules and the addresses of peers, `rule|address`: both survive their text, a set says what its block says, and nothing that
/// is shown holds a control character.
pub fn addresses(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (rule, peer) = text.split_once('|').unwrap_or((&text, &text));
    let peer = PeerAddress::parse(peer);
    let shown = peer.to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    match &peer {
        PeerAddress::Ip { address, .. } => {
            assert_eq!(*address, address.to_canonical());
            assert_eq!(PeerAddress::parse(&shown), peer);
        }
        PeerAddress::Ipc { .. } => assert_eq!(peer.ip(), None),
        PeerAddress::Unknown(text) => assert_eq!(format!("{text:?}"), shown),
    }

    let rule: AddressRule = match rule.parse() {
        Ok(rule) => rule,
        Err(error) => return assert!(!error.to_string().contains(char::is_control)),
    };
    let shown = rule.to_string();
    assert_eq!(shown.parse::<AddressRule>().unwrap(), rule);
    let mut set = AddressSet::new();
    assert!(set.insert(rule) && !set.insert(rule));
    assert!(set.iter().eq([rule]));
    let named = set.contains(&peer);
    assert_eq!(set.matching(&peer), named.then_some(rule));
    let block = match (rule, &peer) {
        (AddressRule::Ip(block), _) => block,
        (AddressRule::User(id), PeerAddress::Ipc { uid, .. }) => {
            return assert_eq!(named, id == *uid);
        }
        (AddressRule::Group(id), PeerAddress::Ipc { gid, .. }) => {
            return assert_eq!(named, id == *gid);
        }
        _ => return assert!(!named),
    };
    let base = shown.split('/').next().unwrap_or_default();
    let base: IpAddr = base.parse().unwrap();
    assert!(block.contains(base));
    assert!(set.contains(&PeerAddress::parse(&base.to_string())));
    let inside = peer.ip().is_some_and(|address| block.contains(address));
    assert_eq!(named, inside);
    if let Some(IpAddr::V4(address)) = peer.ip() {
        let mapped = address.to_ipv6_mapped();
        assert_eq!(block.contains(mapped.into()), inside);
        assert_eq!(
            set.contains(&PeerAddress::parse(&mapped.to_string())),
            inside
        );
    }
}

/// ZAP messages as a ROUTER has them, their frames separated by `|`: a request that is read is what its frames say; metadata that are
/// taken are encoded as libzmq decodes them. What is answered, the target `zap_thread` sees.
pub fn zap(data: &[u8]) {
    let given: Vec<&[u8]> = data.split(|&byte| byte == b'|').collect();
    let Ok(frames) = Frames::new(FrameList::of(&given).unwrap(), Instant::now()) else {
        // Not even a delimiter, or nothing that could be a request's id behind it.
        let delimiter = given.iter().skip(1).position(|frame| frame.is_empty());
        return assert!(delimiter.is_none_or(|at| given.len() < at + 4));
    };
    let delimiter = 1 + given[1..].iter().position(|f| f.is_empty()).unwrap();
    let body = &given[delimiter + 1..];
    if let Ok(request) = frames.request() {
        assert_eq!(body[0], b"1.0");
        assert!(body[2].len() <= 255 && body[3].len() <= 255);
        let mechanism = request.credential.mechanism().to_string();
        assert_eq!(mechanism.as_bytes(), body[5]);
        let credentials = match &*mechanism {
            "NULL" => 0,
            "PLAIN" => 2,
            _ => 1,
        };
        assert_eq!(body.len(), 6 + credentials);
        if let Some(domain) = request.domain {
            assert!(body[2].starts_with(domain.as_bytes()) && body[2].len() <= domain.len() + 1);
        }
        if mechanism == "CURVE" {
            let key = PublicKey::from_bytes(body[6].try_into().unwrap());
            assert_eq!(request.credential.identity(), Some(key.to_string()));
        }
    }

    let mut metadata = Metadata::default();
    let mut taken = Vec::new();
    let text: Vec<_> = body.iter().map(|f| String::from_utf8_lossy(f)).collect();
    for pair in text.windows(2) {
        if metadata.push(&pair[0], &pair[1]).is_ok() {
            assert!(!Metadata::is_reserved(&pair[0]));
            taken.push((pair[0].as_bytes(), pair[1].as_bytes()));
        }
    }
    assert_eq!(properties(metadata.as_bytes()), taken);
}

/// Properties as ZMTP encodes them.
fn properties(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut properties = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        let (name, rest) = rest.split_at(length.into());
        let (length, rest) = rest.split_first_chunk().unwrap();
        let (value, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        properties.push((name, value));
        bytes = rest;
    }
    properties
}
