mod changes;
mod contents;
mod faults;
mod keyfile;

use super::*;
use crate::security::FileProblem;
use crate::security::testing::rounds;
use crate::security::watcher::Message;
use std::fs;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

const DEADLINE: Duration = Duration::from_secs(20);

fn key(n: u32) -> PublicKey {
    let mut bytes = [0x5a; 32];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    PublicKey::from_bytes(bytes)
}

fn text(n: u32) -> String {
    format!("metadata\ncurve\n    public-key = \"{}\"\n", key(n))
}

fn named(n: u32, name: &str) -> String {
    format!(
        "metadata\n    name = \"{name}\"\ncurve\n    public-key = \"{}\"\n",
        key(n)
    )
}

/// A directory store, by events or by polling, on a directory in a temporary one.
struct Place {
    store: CertificateStore,
    dir: PathBuf,
    outside: PathBuf,
    _temp: tempfile::TempDir,
}

impl Place {
    fn open(poll: bool, prepare: impl FnOnce(&Path, &Path)) -> Self {
        Self::of(Layout::Directory, "certs", poll, prepare)
    }

    /// What `path` names is prepared, with a directory outside it.
    fn of(layout: Layout, path: &str, poll: bool, prepare: impl FnOnce(&Path, &Path)) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (path, outside) = (temp.path().join(path), temp.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        prepare(&path, &outside);
        let store = CertificateStore::open(&path, layout, poll, None).unwrap();
        let expected = [Watching::Events, Watching::Polling][usize::from(poll)];
        assert_eq!(store.watching(), Some(expected));
        Self {
            store,
            dir: temp.path().join("certs"),
            outside,
            _temp: temp,
        }
    }

    fn put(&self, name: &str, n: u32) {
        fs::write(self.dir.join(name), text(n)).unwrap();
    }

    /// After `sync`, exactly these keys are admitted.
    #[track_caller]
    fn admits(&self, expected: impl IntoIterator<Item = u32>) {
        self.store.sync(DEADLINE).unwrap();
        self.has(expected);
    }

    #[track_caller]
    fn has(&self, expected: impl IntoIterator<Item = u32>) {
        let mut expected: Vec<_> = expected.into_iter().map(|n| *key(n).as_bytes()).collect();
        let mut found: Vec<_> = self.store.keys().iter().map(|k| *k.as_bytes()).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{:?}", self.store.problems());
        assert_eq!(self.store.len(), found.len());
    }

    /// The same by events alone, without the comparisons that `sync` adds for links.
    #[track_caller]
    fn by_events(&self, expected: impl IntoIterator<Item = u32>) {
        let (answer, answered) = mpsc::channel();
        let answer = Box::new(move |current| answer.send(current).unwrap());
        self.store.when_current(answer);
        assert!(answered.recv_timeout(DEADLINE).unwrap());
        self.has(expected);
    }

    /// By events where there are any, else by comparison.
    #[track_caller]
    fn settles(&self, expected: impl IntoIterator<Item = u32>) {
        match self.store.watching() {
            Some(Watching::Events) => self.by_events(expected),
            _ => self.admits(expected),
        }
    }

    fn inject(&self, message: Message) {
        self.store.files.as_ref().unwrap().inject(message);
    }

    /// What is reported, by the name of the file.
    fn problems(&self) -> Vec<(String, String)> {
        summary(&self.store, &self.dir)
    }

    #[track_caller]
    fn equals_a_fresh_load(&self) {
        self.store.sync(DEADLINE).unwrap();
        let fresh = CertificateStore::open(&self.dir, Layout::Directory, true, None).unwrap();
        let state = |store: &CertificateStore| {
            let mut state: Vec<_> = store
                .keys()
                .iter()
                .map(|key| format!("{:?}", store.lookup(key)))
                .collect();
            state.sort_unstable();
            (state, summary(store, &self.dir))
        };
        assert_eq!(state(&self.store), state(&fresh));
    }
}

fn summary(store: &CertificateStore, dir: &Path) -> Vec<(String, String)> {
    store
        .problems()
        .iter()
        .map(|problem| {
            let (Error::File { path, .. } | Error::Io { path, .. }) = &**problem else {
                panic!("{problem}");
            };
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            (name, problem.to_string())
        })
        .collect()
}

fn problem(store: &CertificateStore) -> FileProblem {
    match &*store.problems()[0] {
        Error::File { problem, .. } => problem.clone(),
        other => panic!("{other}"),
    }
}

fn create(dir: &Path, _: &Path) {
    fs::create_dir(dir).unwrap();
}

/// Runs a test by events and by polling.
fn both(test: impl Fn(bool)) {
    test(false);
    test(true);
}

#[test]
fn memory_store_is_current_at_once() {
    let store = CertificateStore::in_memory();
    assert!(store.is_empty() && store.watching().is_none() && store.problems().is_empty());
    store.insert(Certificate::new(key(1))).unwrap();
    let named = Certificate::new(key(1)).with_meta("name", "x").unwrap();
    store.insert(named).unwrap();
    assert_eq!(store.lookup(&key(1)).unwrap().meta("name"), Some("x"));
    assert_eq!((store.len(), store.keys()), (1, vec![key(1)]));
    store.sync(Duration::ZERO).unwrap();
    let called = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&called);
    store.when_current(Box::new(move |ok| seen.store(ok, Ordering::Relaxed)));
    assert!(called.load(Ordering::Relaxed));
    assert!(store.remove(&key(1)) && !store.remove(&key(1)) && store.is_empty());
}

#[test]
fn key_of_zeros_is_not_inserted() {
    let zeros = Certificate::new(PublicKey::from_bytes([0; 32]));
    let refused = CertificateStore::in_memory().insert(zeros);
    assert!(matches!(refused, Err(Error::Key(_))), "{refused:?}");
}

#[test]
fn inserted_certificate_lives_beside_the_files() {
    let place = Place::open(false, create);
    place.put("a", 1);
    let other = Certificate::new(key(1)).with_meta("name", "m").unwrap();
    place.store.insert(other).unwrap();
    place.store.insert(Certificate::new(key(2))).unwrap();
    place.admits([1, 2]);
    assert_eq!(place.store.lookup(&key(1)).unwrap().meta("name"), Some("m"));
    fs::remove_file(place.dir.join("a")).unwrap();
    place.admits([1, 2]);
    assert!(place.store.remove(&key(1)) && !place.store.remove(&key(7)));
    place.admits([2]);
}

#[test]
fn any_number_of_questions_share_a_round() {
    let place = Place::open(false, create);
    let answered = Arc::new(AtomicUsize::new(0));
    place.put("a", 1);
    for _ in 0..10_000 {
        let answered = Arc::clone(&answered);
        place.store.when_current(Box::new(move |current| {
            assert!(current);
            answered.fetch_add(1, Ordering::Relaxed);
        }));
    }
    let start = Instant::now();
    while answered.load(Ordering::Relaxed) < 10_000 {
        assert!(start.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
    place.has([1]);
}

#[test]
fn file_is_in_force_when_the_question_asked_after_it_is_answered() {
    let place = Place::open(false, create);
    for n in 1..=rounds(199) {
        place.put("a", n);
        place.by_events([n]);
    }
}

#[test]
fn panic_in_an_answer_does_not_stop_the_watcher() {
    let place = Place::open(false, create);
    place
        .store
        .when_current(Box::new(|_| panic!("as intended")));
    place.put("a", 1);
    place.admits([1]);
    assert_eq!(place.store.watching(), Some(Watching::Events));
}

#[test]
fn several_threads_sync_at_once() {
    let place = Place::open(false, create);
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (place, barrier) = (&place, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for n in 0..50 {
                    let n = thread * 100 + n;
                    place.put(&n.to_string(), n);
                    place.store.sync(DEADLINE).unwrap();
                    assert!(place.store.lookup(&key(n)).is_some());
                }
            });
        }
    });
    assert_eq!(place.store.len(), 400);
}

#[test]
fn dropping_the_store_answers_everybody_and_ends_its_threads() {
    let before = threads();
    for _ in 0..20 {
        let place = Place::open(false, create);
        let (answer, answered) = mpsc::channel();
        for _ in 0..100 {
            let answer = answer.clone();
            place
                .store
                .when_current(Box::new(move |current| answer.send(current).unwrap()));
        }
        drop((answer, place));
        assert_eq!(answered.iter().count(), 100);
    }
    let start = Instant::now();
    // Other tests have stores too.
    while threads() > before + 40 {
        assert!(start.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

#[test]
fn last_handle_may_be_dropped_by_an_answer() {
    let Place {
        store, _temp, dir, ..
    } = Place::open(false, create);
    fs::write(dir.join("a"), text(1)).unwrap();
    let store = Arc::new(store);
    let (answer, answered) = mpsc::channel();
    let last = Arc::clone(&store);
    let (go, gone) = mpsc::channel::<()>();
    store.when_current(Box::new(move |_| {
        let _ = gone.recv_timeout(DEADLINE);
        drop(last);
        answer.send(()).unwrap();
    }));
    drop(store);
    go.send(()).unwrap();
    answered.recv_timeout(DEADLINE).unwrap();
}

#[test]
fn sweeping_temporary_files_away_stops_nothing() {
    let place = Place::open(false, create);
    place.admits([]);
    let prefix = format!(".ironhouse-watch-{}-", std::process::id());
    let entries = fs::read_dir(std::env::temp_dir()).unwrap();
    let swept = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(&prefix)
        })
        // Those of other tests may go at any time.
        .filter(|path| fs::remove_dir_all(path).is_ok());
    assert!(swept.count() > 0);
    place.put("a", 1);
    place.by_events([1]);
}
