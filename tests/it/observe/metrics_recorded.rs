//! What a recorder of `metrics` is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use super::*;

/// Values by name and labels, and how often each was registered.
#[derive(Default)]
struct Registry(Mutex<HashMap<String, (Arc<AtomicU64>, u32)>>);

/// Whoever registers something with this label panics.
const BROKEN: &str = "broken recorder";

impl Registry {
    fn register(&self, key: &Key) -> Arc<AtomicU64> {
        assert!(!name(key).contains(BROKEN), "a recorder's own fault");
        let mut all = self.0.lock().unwrap();
        let (value, times) = all.entry(name(key)).or_default();
        *times += 1;
        value.clone()
    }

    fn value(&self, name: &str) -> Option<u64> {
        let all = self.0.lock().unwrap();
        all.get(name).map(|(value, _)| value.load(Ordering::SeqCst))
    }

    fn names(&self) -> Vec<(String, u32)> {
        let all = self.0.lock().unwrap();
        all.iter()
            .map(|(name, (_, times))| (name.clone(), *times))
            .collect()
    }
}

fn name(key: &Key) -> String {
    let labels = key
        .labels()
        .map(|label| format!("{}={}", label.key(), label.value()));
    let labels: Vec<_> = labels.collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

struct Count(Arc<AtomicU64>);

impl HistogramFn for Count {
    fn record(&self, seconds: f64) {
        assert!((0.0..SOON.as_secs_f64()).contains(&seconds), "{seconds}");
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Shared(Arc<Registry>);

impl Recorder for Shared {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.0.register(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.0.register(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Count(self.0.register(key))))
    }
}

/// The recorder of the process, which other tests use too.
fn registry() -> Arc<Registry> {
    static REGISTRY: OnceLock<Arc<Registry>> = OnceLock::new();
    let installed = REGISTRY.get_or_init(|| {
        let registry = Arc::new(Registry::default());
        metrics::set_global_recorder(Shared(registry.clone())).unwrap();
        registry
    });
    installed.clone()
}

/// Waits until this value is there.
#[track_caller]
fn wait_for(registry: &Registry, name: &str, value: u64) {
    let start = Instant::now();
    while registry.value(name) != Some(value) {
        assert!(start.elapsed() < SOON, "{name}: {:?}", registry.value(name));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn decisions_are_counted_and_timed_by_handles_that_are_registered_once() {
    within(SOON, || {
        let registry = registry();
        let house = House::new("metered");
        let insides: Vec<_> = (0..3).map(|_| house.handshakes()).collect();
        let labels = "domain=metered,mechanism=CURVE,verdict";
        for (rest, decisions) in [
            ("admitted,reason=admitted", 3),
            ("refused,reason=unknown_key", 3),
        ] {
            let name = format!("ironhouse_decisions_total{{{labels}={rest}}}");
            assert_eq!(registry.value(&name), Some(decisions), "{name}");
        }
        for verdict in ["admitted", "refused"] {
            let name = format!("ironhouse_decision_seconds{{{labels}={verdict}}}");
            assert_eq!(registry.value(&name), Some(3), "{name}");
        }
        house.authenticator.revoke(house.friend.public_key());
        wait_for(&registry, "ironhouse_closed_total{domain=metered}", 3);
        drop(insides);
        let names = registry.names().into_iter();
        let ours: Vec<_> = names.filter(|(name, _)| name.contains("metered")).collect();
        assert_eq!(ours.len(), 5, "{ours:?}");
        assert!(ours.iter().all(|(_, times)| *times == 1), "{ours:?}");
    });
}

#[test]
fn what_peers_and_foreign_sockets_choose_makes_no_labels() {
    within(SOON, || {
        let registry = registry();
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let _domain = authenticator.domain("bounded", Policy::new()).unwrap();
        let asker = Asker::new(&context);
        for number in 0..100 {
            let (domain, user) = (format!("strange-{number}"), format!("user-{number}"));
            let address = format!("198.51.100.{number}");
            asker.ask(&domain, &address, "PLAIN", &[user.as_bytes(), b"hush-hush"]);
            asker.ask(
                "bounded",
                &address,
                "PLAIN",
                &[user.as_bytes(), b"hush-hush"],
            );
        }
        let names = registry.names();
        let text = format!("{names:?}");
        for chosen in ["strange-", "user-", "198.51.100.", "hush-hush"] {
            assert!(!text.contains(chosen), "{text}");
        }
        let labels = "mechanism=PLAIN,verdict=refused,reason";
        let name = |rest: &str| format!("ironhouse_decisions_total{{domain={rest}}}");
        let bounded = name(&format!("bounded,{labels}=mechanism_not_allowed"));
        assert_eq!(registry.value(&bounded), Some(100));
        let other = name(&format!("?,{labels}=unknown_domain"));
        assert!(registry.value(&other) >= Some(100));
    });
}

#[test]
fn the_size_of_each_store_in_use_is_a_gauge() {
    within(SOON, || {
        let registry = registry();
        let folder = folder();
        let store = Arc::new(CertificateStore::directory(folder.path()).unwrap());
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let policy = Policy::new().curve(CurvePolicy::store(store));
        let domain = authenticator.domain("sized", policy).unwrap();
        let gauge = format!(
            "ironhouse_certificates{{store={}}}",
            folder.path().display()
        );
        wait_for(&registry, &gauge, 0f64.to_bits());
        for number in 1..4_u8 {
            let certificate = SecretCertificate::generate().unwrap();
            let path = folder.path().join(number.to_string());
            certificate.certificate().save(path).unwrap();
            wait_for(&registry, &gauge, f64::from(number).to_bits());
        }
        domain.set_policy(Policy::new()).unwrap();
        wait_for(&registry, &gauge, 0f64.to_bits());
    });
}

#[test]
fn a_recorder_that_panics_stops_no_decision() {
    within(SOON, || {
        let registry = registry();
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let _domain = authenticator.domain(BROKEN, Policy::new().null()).unwrap();
        let asker = Asker::new(&context);
        for _ in 0..3 {
            assert_eq!(asker.ask(BROKEN, "192.0.2.1", "NULL", &[]), "200");
        }
        assert_eq!(authenticator.counters().admitted(), 3);
        assert!(authenticator.health().is_good());
        assert!(!format!("{:?}", registry.names()).contains(BROKEN));
    });
}
