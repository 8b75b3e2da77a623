//! An authenticator with all of it on: signatures and dates, limits, an audit file, a metrics recorder.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use ironhouse::Context;
use ironhouse::security::{
    Authenticator, Certificate, CertificateStore, JsonLines, Limits, RevocationList, SigningKey,
    Trust, Validity,
};
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// What counts: the upper bounds of its buckets double from a microsecond on.
#[derive(Default)]
struct Buckets([AtomicU64; 24]);

impl HistogramFn for Buckets {
    fn record(&self, seconds: f64) {
        self.record_many(seconds, 1);
    }

    fn record_many(&self, seconds: f64, count: usize) {
        let doubled = (seconds * 1e6).max(1.0).log2() as usize;
        self.0[doubled.min(23)].fetch_add(count as u64, Ordering::Relaxed);
    }
}

struct Recording;

impl Recorder for Recording {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::<AtomicU64>::default())
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::<AtomicU64>::default())
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::<Buckets>::default())
    }
}

/// The certificates of `directory`, signed and with dates, in a key file beside it; made once.
fn signed(directory: &Path) -> (PathBuf, Trust) {
    // Whoever reads this may sign, but nothing that anybody trusts.
    let administrator = SigningKey::from_seed(&[7; 32]).unwrap();
    let by = *administrator.verify_key();
    let (keys, list) = (
        directory.with_extension("keys"),
        directory.with_extension("list"),
    );
    if !list.exists() {
        let now = SystemTime::now();
        let life = Validity::new()
            .with_not_before(now - YEAR)
            .with_not_after(now + YEAR);
        let mut lines = String::new();
        for entry in fs::read_dir(directory).unwrap() {
            let certificate = Certificate::load(entry.unwrap().path()).unwrap();
            let certificate = certificate.with_validity(life).unwrap();
            let certificate = certificate.sign(&administrator).unwrap();
            write!(lines, "{}", certificate.public_key()).unwrap();
            for (name, value) in certificate.metadata() {
                write!(lines, " {name}=\"{value}\"").unwrap();
            }
            lines.push('\n');
        }
        fs::write(&keys, lines).unwrap();
        RevocationList::new()
            .issue(&list, &administrator, YEAR)
            .unwrap();
    }
    (keys, Trust::default().revocations(by, list))
}

/// Starts it, with a store of the certificates in `directory`.
pub fn start(context: &Context, directory: &Path) -> (Authenticator, CertificateStore, JsonLines) {
    metrics::set_global_recorder(Recording).ok().unwrap();
    let (keys, trust) = signed(directory);
    let store = CertificateStore::signed_keyfile(keys, trust).unwrap();
    assert_eq!(store.problems().len(), 0, "{:?}", store.problems());
    // One address asks for all: what it may take up is not what is measured.
    let limits = Limits::behind_nat().requests_per_address(None);
    let authenticator = Authenticator::builder(context).limits(limits);
    let authenticator = authenticator.start().unwrap();
    // Where no file of a store is, as an operator would.
    let audit = std::env::temp_dir().join(format!("audit-{}.jsonl", std::process::id()));
    let audit = JsonLines::open(audit, &authenticator).unwrap();
    (authenticator, store, audit)
}
