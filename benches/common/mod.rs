//! What the benchmarks share.
#![allow(dead_code, clippy::indexing_slicing, clippy::unwrap_used)]

#[cfg(feature = "metrics")]
pub mod full;

use std::time::Duration;

/// Upper bound of what takes milliseconds on an idle machine.
pub const SOON: Duration = Duration::from_secs(30);

/// The value below which this share of the samples lies; sorts them.
pub fn quantile(samples: &mut [f64], q: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * q) as usize]
}

/// Median, 99th percentile and maximum.
pub fn spread(samples: &mut [f64]) -> [f64; 3] {
    [0.5, 0.99, 1.0].map(|q| quantile(samples, q))
}

/// A figure of this process, in KiB, such as `VmRSS:`.
pub fn memory(field: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The command line, without what cargo adds.
pub fn arguments() -> Vec<String> {
    let arguments = std::env::args().skip(1);
    arguments.filter(|argument| argument != "--bench").collect()
}

/// The number after `name` in `arguments`, or `default`.
pub fn option(arguments: &[String], name: &str, default: f64) -> f64 {
    match arguments.iter().position(|argument| argument == name) {
        Some(at) => arguments[at + 1].parse().unwrap(),
        None => default,
    }
}
