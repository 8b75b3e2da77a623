//! What lock-outs cost: nanoseconds a check, bytes under a million addresses, and requests a second with limits and without.
//!
//! `cargo bench --bench limits -- [--json]`. Fails where the table takes 64 MiB or more.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ironhouse::security::{
    Authenticator, Certificate, CertificateStore, CurvePolicy, Limits, Lockout, LockoutTable,
    PasswordFile, PeerAddress, Policy, PublicKey,
};
use ironhouse::{Context, SocketType};

const ADDRESSES: u32 = 1_000_000;
/// Requests that are under way at a time, and how long each round takes.
const DEPTH: usize = 64;
const ROUND: Duration = Duration::from_millis(50);

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut lines = Vec::new();
    for capacity in [1 << 20, 1 << 21] {
        lines.push(table(capacity));
    }
    for mechanism in ["NULL", "CURVE", "PLAIN"] {
        lines.push(requests(mechanism));
    }
    for line in lines {
        if json {
            let fields: Vec<_> = line.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
            println!("{{{}}}", fields.join(","));
        } else {
            let fields: Vec<_> = line.iter().map(|(n, v)| format!("{n} {v}")).collect();
            println!("{}", fields.join(", "));
        }
    }
}

type Line = Vec<(&'static str, String)>;

fn address(n: u32) -> PeerAddress {
    // Half of them IPv6, each in a block of its own.
    let address = if n % 2 == 0 {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | n))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n) << 64))
    };
    PeerAddress::parse(&address.to_string())
}

fn table(capacity: usize) -> Line {
    let lockout = Lockout::standard()
        .by_address(2)
        .by_credential(None)
        .half_life(Duration::from_secs(3600))
        .capacity(capacity);
    let table = LockoutTable::new(lockout).unwrap();
    let addresses: Vec<_> = (0..ADDRESSES).map(address).collect();
    let all = |admitted: bool| each(&addresses, |a| table.attempt(a, b"user", admitted));
    let first = all(false);
    let second = all(false);
    let locked_out = table.locked_out();
    let refused = all(false);
    assert!(table.bytes() < 64 << 20);
    // And where nobody ever fails.
    let table = LockoutTable::new(lockout).unwrap();
    let few: Vec<_> = (0..1000).map(address).collect();
    let again: Vec<_> = few.iter().cycle().take(100_000).cloned().collect();
    let admitted = each(&again, |a| table.attempt(a, b"user", true));
    vec![
        ("capacity", capacity.to_string()),
        ("addresses", ADDRESSES.to_string()),
        (
            "mib",
            format!("{:.1}", table.bytes() as f64 / f64::from(1 << 20)),
        ),
        ("locked_out", locked_out.to_string()),
        ("first_failure_ns", format!("{first:.0}")),
        ("second_failure_ns", format!("{second:.0}")),
        ("refused_ns", format!("{refused:.0}")),
        ("admitted_ns", format!("{admitted:.0}")),
    ]
}

/// Nanoseconds a check: the median of small batches, which other work on the machine seldom interrupts.
fn each(addresses: &[PeerAddress], check: impl Fn(&PeerAddress) -> bool) -> f64 {
    let mut batches: Vec<_> = addresses
        .chunks(1000)
        .map(|batch| {
            let start = Instant::now();
            for address in batch {
                black_box(check(address));
            }
            start.elapsed().as_secs_f64() * 1e9 / batch.len() as f64
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 2]
}

fn requests(mechanism: &'static str) -> Line {
    let mut best = [0.0f64; 2];
    for _ in 0..40 {
        for (at, limits) in [Limits::off(), Limits::standard()].into_iter().enumerate() {
            best[at] = best[at].max(per_second(mechanism, limits));
        }
    }
    vec![
        ("mechanism", format!("{mechanism:?}")),
        ("requests_per_s", format!("{:.0}", best[0])),
        ("with_limits", format!("{:.0}", best[1])),
        ("ratio", format!("{:.3}", best[1] / best[0])),
    ]
}

/// Requests a second that are asked over inproc and admitted.
fn per_second(mechanism: &str, limits: Limits) -> f64 {
    let context = Context::new().unwrap();
    let authenticator = Authenticator::builder(&context)
        .limits(limits)
        .start()
        .unwrap();
    let store = CertificateStore::in_memory();
    let key = PublicKey::from_bytes([7; 32]);
    store.insert(Certificate::new(key)).unwrap();
    let passwords = PasswordFile::in_memory();
    passwords.insert("user", "secret").unwrap();
    let policy = Policy::new()
        .null()
        .plain(passwords)
        .curve(CurvePolicy::store(store));
    authenticator.domain("d", policy).unwrap();
    let asker = context.socket(SocketType::Dealer).open().unwrap();
    asker.connect("inproc://zeromq.zap.01").unwrap();
    let credentials: &[&[u8]] = match mechanism {
        "CURVE" => &[&[7; 32]],
        "PLAIN" => &[b"user", b"secret"],
        _ => &[],
    };
    let head = ["", "1.0", "1", "d", "192.0.2.1", "", mechanism].map(str::as_bytes);
    let request = [&head[..], credentials].concat();
    let ask = || asker.send_multipart(request.iter().copied()).unwrap();
    (0..DEPTH).for_each(|_| ask());
    let (start, mut answers) = (Instant::now(), 0.0);
    while start.elapsed() < ROUND {
        for _ in 0..DEPTH {
            let reply = asker.recv_multipart().unwrap();
            assert_eq!(reply[3], "200");
            ask();
        }
        answers += DEPTH as f64;
    }
    answers / start.elapsed().as_secs_f64()
}
