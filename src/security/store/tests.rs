use super::*;
use crate::security::FileProblem;
use crate::security::watcher::Message;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
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
        let temp = tempfile::tempdir().unwrap();
        let (dir, outside) = (temp.path().join("certs"), temp.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        prepare(&dir, &outside);
        let store = CertificateStore::open(&dir, Layout::Directory, poll, None).unwrap();
        let expected = [Watching::Events, Watching::Polling][usize::from(poll)];
        assert_eq!(store.watching(), Some(expected));
        Self {
            store,
            dir,
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
fn added_and_removed_files_are_followed() {
    both(|poll| {
        let place = Place::open(poll, |dir, _| {
            fs::create_dir_all(dir.join("sub/deep")).unwrap();
            fs::write(dir.join("a"), named(1, "pump")).unwrap();
            fs::write(dir.join("sub/deep/b"), text(2)).unwrap();
        });
        place.has([1, 2]);
        assert_eq!(
            place.store.lookup(&key(1)).unwrap().meta("name"),
            Some("pump")
        );
        place.put("sub/c", 3);
        place.admits([1, 2, 3]);
        fs::remove_file(place.dir.join("a")).unwrap();
        place.admits([2, 3]);
        fs::remove_dir_all(place.dir.join("sub")).unwrap();
        place.admits([]);
        assert!(place.problems().is_empty());
    });
}

#[test]
fn events_alone_suffice_without_sync() {
    let place = Place::open(false, create);
    place.put("a", 1);
    let start = Instant::now();
    while place.store.lookup(&key(1)).is_none() {
        assert!(start.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
    fs::remove_file(place.dir.join("a")).unwrap();
    while place.store.lookup(&key(1)).is_some() {
        assert!(start.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
}

#[test]
fn polling_alone_suffices_without_sync() {
    let place = Place::open(true, create);
    place.put("a", 1);
    let start = Instant::now();
    while place.store.lookup(&key(1)).is_none() {
        assert!(start.elapsed() < DEADLINE);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn replacement_with_preserved_time_revokes() {
    both(|poll| {
        let place = Place::open(poll, create);
        place.put("a", 1);
        place.admits([1]);
        let modified = fs::metadata(place.dir.join("a"))
            .unwrap()
            .modified()
            .unwrap();
        // In place, with the same size and time of modification.
        place.put("a", 2);
        let file = fs::File::options().write(true).open(place.dir.join("a"));
        file.unwrap().set_modified(modified).unwrap();
        place.admits([2]);
        // By another file of an older time.
        fs::write(place.outside.join("b"), text(3)).unwrap();
        let file = fs::File::options()
            .write(true)
            .open(place.outside.join("b"));
        file.unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        fs::rename(place.outside.join("b"), place.dir.join("a")).unwrap();
        place.admits([3]);
    });
}

#[test]
fn changes_within_one_tick_of_the_clock_are_seen() {
    both(|poll| {
        let place = Place::open(poll, create);
        for n in 0..200 {
            place.put("a", n);
            place.admits([n]);
        }
    });
}

#[test]
fn rename_over_and_out_and_in_is_followed() {
    both(|poll| {
        let place = Place::open(poll, create);
        place.put("a", 1);
        place.put("b", 2);
        place.settles([1, 2]);
        fs::rename(place.dir.join("a"), place.dir.join("b")).unwrap();
        place.settles([1]);
        fs::rename(place.dir.join("b"), place.outside.join("b")).unwrap();
        place.settles([]);
        fs::create_dir(place.outside.join("sub")).unwrap();
        fs::write(place.outside.join("sub/c"), text(3)).unwrap();
        fs::rename(place.outside.join("sub"), place.dir.join("sub")).unwrap();
        place.settles([3]);
        fs::rename(place.dir.join("sub"), place.dir.join("other")).unwrap();
        place.settles([3]);
        place.put("other/d", 4);
        place.settles([3, 4]);
        fs::rename(place.dir.join("other"), place.outside.join("gone")).unwrap();
        place.settles([]);
    });
}

#[test]
fn moved_link_to_a_file_is_followed() {
    both(|poll| {
        let place = Place::open(poll, |dir, outside| {
            create(dir, outside);
            fs::write(outside.join("1"), text(1)).unwrap();
            fs::write(outside.join("2"), text(2)).unwrap();
            symlink(outside.join("1"), dir.join("a")).unwrap();
        });
        place.has([1]);
        symlink(place.outside.join("2"), place.dir.join(".new")).unwrap();
        fs::rename(place.dir.join(".new"), place.dir.join("a")).unwrap();
        place.settles([2]);
        // The end changes, the link does not.
        fs::write(place.outside.join("2"), text(3)).unwrap();
        place.settles([3]);
        fs::remove_file(place.outside.join("2")).unwrap();
        place.settles([]);
        assert_eq!(place.problems()[0].0, "a");
        fs::write(place.outside.join("2"), text(4)).unwrap();
        place.settles([4]);
        assert!(place.problems().is_empty());
    });
}

/// The layout in which container orchestrators mount secrets.
#[test]
fn atomically_swapped_mount_is_followed() {
    both(|poll| {
        let place = Place::open(poll, |dir, _| {
            fs::create_dir_all(dir.join("..v1/sub")).unwrap();
            fs::write(dir.join("..v1/a"), text(1)).unwrap();
            fs::write(dir.join("..v1/sub/b"), text(2)).unwrap();
            symlink("..v1", dir.join("..data")).unwrap();
            symlink("..data/a", dir.join("a")).unwrap();
            symlink("..data/sub", dir.join("sub")).unwrap();
        });
        place.has([1, 2]);
        for version in 2..12 {
            let next = format!("..v{version}");
            fs::create_dir_all(place.dir.join(&next).join("sub")).unwrap();
            place.put(&format!("{next}/a"), version * 10);
            place.put(&format!("{next}/sub/b"), version * 10 + 1);
            symlink(&next, place.dir.join("..tmp")).unwrap();
            fs::rename(place.dir.join("..tmp"), place.dir.join("..data")).unwrap();
            let old = place.dir.join(format!("..v{}", version - 1));
            fs::remove_dir_all(old).unwrap();
            place.settles([version * 10, version * 10 + 1]);
        }
        assert!(place.problems().is_empty());
    });
}

#[test]
fn store_path_that_is_a_moving_link_is_followed() {
    both(|poll| {
        let place = Place::open(poll, |dir, outside| {
            for n in [1, 2] {
                fs::create_dir(outside.join(n.to_string())).unwrap();
                fs::write(outside.join(format!("{n}/a")), text(n)).unwrap();
            }
            symlink(outside.join("1"), outside.join("current")).unwrap();
            symlink(outside.join("current"), dir).unwrap();
        });
        place.has([1]);
        symlink("2", place.outside.join("new")).unwrap();
        fs::rename(place.outside.join("new"), place.outside.join("current")).unwrap();
        place.settles([2]);
        fs::remove_file(&place.dir).unwrap();
        place.settles([]);
        symlink(place.outside.join("1"), &place.dir).unwrap();
        place.settles([1]);
        place.put("b", 3);
        place.settles([1, 3]);
    });
}

#[test]
fn directory_that_comes_goes_and_returns_is_followed() {
    both(|poll| {
        let place = Place::open(poll, |_, _| {});
        place.has([]);
        assert_eq!(place.problems()[0].0, "");
        fs::create_dir(&place.dir).unwrap();
        place.put("a", 1);
        place.settles([1]);
        assert!(place.problems().is_empty());
        fs::remove_dir_all(&place.dir).unwrap();
        place.settles([]);
        fs::create_dir(&place.dir).unwrap();
        place.put("b", 2);
        place.settles([2]);
        fs::rename(&place.dir, place.outside.join("moved")).unwrap();
        place.settles([]);
        fs::write(&place.dir, text(9)).unwrap();
        place.settles([]);
        assert_eq!(place.problems().len(), 1);
        fs::remove_file(&place.dir).unwrap();
        fs::rename(place.outside.join("moved"), &place.dir).unwrap();
        place.settles([2]);
    });
}

#[test]
fn directory_vanishing_with_its_parent_revokes_without_sync() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("x/y/z");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("a"), text(1)).unwrap();
    let store = CertificateStore::directory(&dir).unwrap();
    assert_eq!(store.len(), 1);
    fs::rename(temp.path().join("x"), temp.path().join("w")).unwrap();
    let start = Instant::now();
    while !store.is_empty() {
        assert!(start.elapsed() < DEADLINE);
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("b"), text(2)).unwrap();
    store.sync(DEADLINE).unwrap();
    assert_eq!(store.keys(), [key(2)]);
}

#[test]
fn bad_files_are_reported_and_hinder_nobody() {
    both(|poll| {
        let place = Place::open(poll, |dir, _| {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join("good"), text(1)).unwrap();
            fs::write(dir.join("empty"), "").unwrap();
            fs::write(dir.join("half"), &text(2)[..40]).unwrap();
            fs::write(dir.join("large"), vec![b'#'; 1 << 20]).unwrap();
            fs::write(
                dir.join("zero"),
                text(0).replace(&key(0).to_string(), &"0".repeat(40)),
            )
            .unwrap();
            fs::write(dir.join("x_secret"), text(3)).unwrap();
            fs::write(dir.join(".hidden"), text(4)).unwrap();
            fs::write(dir.join("backup~"), text(5)).unwrap();
            fs::write(dir.join("partial.tmp"), text(6)).unwrap();
            let fifo = Command::new("mkfifo").arg(dir.join("fifo")).status();
            assert!(fifo.unwrap().success());
            symlink("nowhere", dir.join("dangling")).unwrap();
            symlink("circle", dir.join("circle")).unwrap();
        });
        place.has([1]);
        let names: Vec<_> = place.problems().into_iter().map(|p| p.0).collect();
        assert_eq!(
            names,
            [
                "circle", "dangling", "empty", "fifo", "half", "large", "x_secret", "zero"
            ]
        );
        let half = place.problems()[4].1.clone();
        assert!(half.contains("half:3: "), "{half}");
        place.put("empty", 7);
        place.admits([1, 7]);
        fs::write(place.dir.join("good"), "broken").unwrap();
        place.admits([7]);
        for name in names {
            fs::remove_file(place.dir.join(name)).unwrap();
        }
        fs::remove_file(place.dir.join("good")).unwrap();
        place.admits([]);
        assert!(place.problems().is_empty(), "{:?}", place.problems());
    });
}

#[test]
fn problems_stay_reported_while_they_last() {
    both(|poll| {
        let place = Place::open(poll, |dir, _| {
            fs::create_dir_all(dir.join("sub")).unwrap();
            fs::write(dir.join("bad"), "broken").unwrap();
            fs::write(dir.join("one"), text(1)).unwrap();
            fs::write(dir.join("same"), text(1)).unwrap();
            fs::write(dir.join("x_secret"), text(2)).unwrap();
            symlink("nowhere", dir.join("dangling")).unwrap();
            symlink("..", dir.join("sub/up")).unwrap();
        });
        let before = place.problems();
        assert_eq!(before.len(), 5);
        // Longer than a file counts as changed just now.
        std::thread::sleep(Duration::from_millis(100));
        for _ in 0..2 {
            place.inject(Message::Lost);
            place.admits([1]);
            assert_eq!(place.problems(), before);
        }
    });
}

#[test]
fn unreadable_file_and_directory_revoke() {
    both(|poll| {
        let place = Place::open(poll, create);
        let (file, sub) = (place.dir.join("a"), place.dir.join("sub"));
        place.put("a", 1);
        fs::create_dir(&sub).unwrap();
        place.put("sub/b", 2);
        place.admits([1, 2]);
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(&file, 0);
        mode(&sub, 0);
        if fs::read(&file).is_ok() {
            // Root reads everything; for it, permissions change nothing.
            place.admits([1, 2]);
        } else {
            place.admits([]);
            assert_eq!(place.problems().len(), 2);
        }
        mode(&file, 0o600);
        mode(&sub, 0o700);
        place.admits([1, 2]);
        assert!(place.problems().is_empty());
    });
}

#[test]
fn key_in_two_files_stays_until_both_are_gone() {
    both(|poll| {
        let place = Place::open(poll, |dir, _| {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join("b"), named(1, "b")).unwrap();
            fs::write(dir.join("c"), named(1, "c")).unwrap();
        });
        let name = || {
            let found = place.store.lookup(&key(1)).unwrap();
            found.meta("name").unwrap().to_owned()
        };
        assert_eq!(name(), "b");
        assert_eq!(place.problems()[0].0, "c");
        let FileProblem::DuplicateKey { first } = problem(&place.store) else {
            panic!();
        };
        assert_eq!(first, place.dir.join("b"));
        fs::write(place.dir.join("a"), named(1, "a")).unwrap();
        place.admits([1]);
        assert_eq!((name(), place.problems().len()), ("a".into(), 2));
        fs::remove_file(place.dir.join("a")).unwrap();
        place.admits([1]);
        assert_eq!(name(), "b");
        fs::write(place.dir.join("b"), named(1, "changed")).unwrap();
        place.admits([1]);
        assert_eq!(name(), "changed");
        fs::remove_file(place.dir.join("b")).unwrap();
        place.admits([1]);
        assert_eq!((name(), place.problems()), ("c".into(), vec![]));
        fs::remove_file(place.dir.join("c")).unwrap();
        place.admits([]);
    });
}

fn problem(store: &CertificateStore) -> FileProblem {
    match &*store.problems()[0] {
        Error::File { problem, .. } => problem.clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn links_in_circles_and_deep_trees_come_to_an_end() {
    both(|poll| {
        let place = Place::open(poll, |dir, outside| {
            fs::create_dir_all(dir.join("one")).unwrap();
            fs::write(dir.join("one/a"), text(1)).unwrap();
            symlink("..", dir.join("one/up")).unwrap();
            symlink(dir, outside.join("back")).unwrap();
            symlink(outside, dir.join("out")).unwrap();
            fs::create_dir_all(dir.join("d/".repeat(40))).unwrap();
            fs::write(dir.join("d/".repeat(40)).join("b"), text(2)).unwrap();
        });
        place.has([1]);
        assert_eq!(place.problems().len(), 3, "{:?}", place.problems());
        place.equals_a_fresh_load();
    });
}

#[test]
fn what_is_reported_of_a_name_goes_with_it_or_with_a_directory_above_it() {
    both(|poll| {
        let deep = "d/".repeat(17);
        let place = Place::open(poll, |dir, outside| {
            create(dir, outside);
            for sub in ["x", "y"] {
                fs::create_dir(dir.join(sub)).unwrap();
                symlink("..", dir.join(sub).join("up")).unwrap();
            }
            fs::create_dir_all(dir.join(&deep)).unwrap();
        });
        let reported = || place.problems().into_iter().map(|(name, _)| name);
        assert!(reported().eq([deep.trim_end_matches('/'), "x/up", "y/up"]));
        fs::remove_dir_all(place.dir.join("x")).unwrap();
        place.settles([]);
        assert!(reported().eq([deep.trim_end_matches('/'), "y/up"]));
        fs::remove_dir(place.dir.join(&deep)).unwrap();
        fs::remove_file(place.dir.join("y/up")).unwrap();
        place.settles([]);
        assert_eq!(place.problems(), vec![]);
    });
}

#[test]
fn directory_reached_by_two_ways_counts_once_per_way() {
    both(|poll| {
        let place = Place::open(poll, |dir, outside| {
            create(dir, outside);
            fs::write(outside.join("a"), text(1)).unwrap();
            symlink(outside, dir.join("x")).unwrap();
            symlink(outside, dir.join("y")).unwrap();
        });
        fs::write(place.outside.join("b"), text(2)).unwrap();
        place.settles([1, 2]);
        fs::remove_file(place.dir.join("x")).unwrap();
        place.settles([1, 2]);
        fs::write(place.outside.join("c"), text(3)).unwrap();
        fs::remove_file(place.outside.join("a")).unwrap();
        place.settles([2, 3]);
        fs::remove_file(place.dir.join("y")).unwrap();
        place.settles([]);
    });
}

#[test]
fn directory_made_and_filled_at_once_is_read_whole() {
    both(|poll| {
        let place = Place::open(poll, create);
        for round in 0..20 {
            let path = place.dir.join(format!("{round}/x/y/z"));
            fs::create_dir_all(&path).unwrap();
            for (n, at) in path.ancestors().take(4).enumerate() {
                fs::write(at.join("a"), text(round * 4 + n as u32)).unwrap();
            }
            place.settles(0..=round * 4 + 3);
        }
    });
}

#[test]
fn file_written_in_pieces_converges() {
    use std::io::Write;
    let place = Place::open(false, create);
    let mut file = fs::File::create(place.dir.join("a")).unwrap();
    for byte in text(1).bytes() {
        file.write_all(&[byte]).unwrap();
    }
    place.admits([1]);
    assert!(place.problems().is_empty());
}

/// Creates, removes, renames and links at random; the numbers are reproducible.
fn scramble(place: &Place, seed: u32, operations: u32) {
    let mut state = seed;
    let mut random = move |below: u32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % below
    };
    let dirs = ["", "x", "y", "x/z"];
    for _ in 0..operations {
        let mut name = || {
            let dir = dirs[random(4) as usize];
            place.dir.join(dir).join(random(12).to_string())
        };
        let (one, other) = (name(), name());
        let dir = place.dir.join(dirs[1 + random(3) as usize]);
        // Most can fail, such as a file in a directory that is not there.
        let _ = match random(12) {
            0..4 => fs::write(one, text(random(30))),
            4 => fs::write(one, named(random(30), "name")),
            5 => fs::write(one, "broken"),
            6 => fs::remove_file(one),
            7 => fs::rename(one, other),
            8 => symlink(other, one),
            9 => fs::create_dir(dir),
            10 => fs::remove_dir_all(dir),
            _ => fs::rename(dir, place.dir.join(dirs[1 + random(3) as usize])),
        };
    }
}

#[test]
fn a_single_change_costs_what_a_single_change_costs() {
    const FILES: u32 = 20_000;
    let place = Place::open(false, |dir, outside| {
        create(dir, outside);
        for n in 0..FILES {
            fs::write(dir.join(n.to_string()), text(n)).unwrap();
        }
    });
    let looks = || {
        let shared = place.store.files.as_ref().unwrap().shared();
        shared.looks.load(Ordering::Relaxed)
    };
    // Those written just before they were read are read once more.
    let start = Instant::now();
    let mut before = usize::MAX;
    while looks() != before {
        before = looks();
        std::thread::sleep(Duration::from_millis(2500));
        assert!(start.elapsed() < DEADLINE);
    }
    let current = || {
        let (answer, answered) = mpsc::channel();
        let answer = Box::new(move |current| answer.send(current).unwrap());
        place.store.when_current(answer);
        assert!(answered.recv_timeout(DEADLINE).unwrap());
    };
    for n in FILES..FILES + 10 {
        place.put("more", n);
        current();
        assert!(place.store.lookup(&key(n)).is_some());
        fs::remove_file(place.dir.join("more")).unwrap();
        current();
        assert!(place.store.lookup(&key(n)).is_none());
    }
    // Each event costs a look, and writing a file makes a few.
    assert!(looks() - before < 500, "{}", looks() - before);
}

#[test]
fn thousand_random_operations_end_as_a_fresh_load() {
    for seed in 1..=8 {
        let place = Place::open(seed == 8, create);
        for round in 0..4 {
            scramble(&place, seed * 1000 + round, 250);
            place.equals_a_fresh_load();
        }
    }
}

#[test]
fn lost_events_are_made_good() {
    let place = Place::open(false, create);
    for round in 0..10 {
        scramble(&place, 77 + round, 50);
        place.inject(Message::Lost);
        scramble(&place, 99 + round, 50);
        place.equals_a_fresh_load();
    }
}

/// Has the system's queue of events for this store run over while `change` makes changes: nobody reads it meanwhile.
#[cfg(target_os = "linux")]
fn overflow(place: &Place, change: impl FnOnce()) {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    assert!(limit <= 1 << 20, "{limit} events are too many for a test");
    let shared = place.store.files.as_ref().unwrap().shared();
    let before = shared.overflows.load(Ordering::Relaxed);
    let held = shared.hold.lock().unwrap();
    let (one, other) = (place.dir.join("to.tmp"), place.dir.join("fro.tmp"));
    fs::write(&one, "").unwrap();
    // Two events each, which the kernel does not merge.
    for _ in 0..limit / 4 + 100 {
        fs::rename(&one, &other).unwrap();
        fs::rename(&other, &one).unwrap();
    }
    change();
    drop(held);
    let start = Instant::now();
    while shared.overflows.load(Ordering::Relaxed) == before {
        assert!(start.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn events_that_the_system_dropped_are_made_good() {
    let place = Place::open(false, create);
    for round in 0..3 {
        scramble(&place, 500 + round, 100);
        overflow(&place, || scramble(&place, 600 + round, 200));
        place.equals_a_fresh_load();
        assert_eq!(place.store.watching(), Some(Watching::Events));
    }
    let place = key_file(false, |file, _| fs::write(file, lines([1])).unwrap());
    overflow(&place, || {
        fs::write(place.dir.join("new"), lines([2])).unwrap();
        fs::rename(place.dir.join("new"), place.dir.join("keys")).unwrap();
    });
    place.admits([2]);
}

#[test]
fn without_watches_the_store_is_polled_and_says_so() {
    let place = Place::open(false, create);
    place.inject(Message::Inject(|tree| tree.source().stop()));
    place.put("a", 1);
    place.admits([1]);
    assert_eq!(place.store.watching(), Some(Watching::Polling));
    place.put("b", 2);
    fs::remove_file(place.dir.join("a")).unwrap();
    place.admits([2]);
}

#[test]
fn fault_of_ours_falls_back_to_polling_and_a_second_one_admits_nobody() {
    let place = Place::open(false, create);
    place.put("a", 1);
    place.admits([1]);
    place.inject(Message::Inject(|_| panic!("as intended")));
    place.admits([1]);
    assert_eq!(place.store.watching(), Some(Watching::Polling));
    place.inject(Message::Inject(|_| panic!("as intended")));
    assert!(matches!(place.store.sync(DEADLINE), Err(Error::Again)));
    place.has([]);
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
    for n in 1..200 {
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

/// A store of the key file `keys` in a place whose `dir` exists.
fn key_file(poll: bool, prepare: impl FnOnce(&Path, &Path)) -> Place {
    let temp = tempfile::tempdir().unwrap();
    let (dir, outside) = (temp.path().join("certs"), temp.path().join("outside"));
    fs::create_dir(&dir).unwrap();
    fs::create_dir(&outside).unwrap();
    prepare(&dir.join("keys"), &outside);
    let store = CertificateStore::open(&dir.join("keys"), Layout::KeyFile, poll, None).unwrap();
    let expected = [Watching::Events, Watching::Polling][usize::from(poll)];
    assert_eq!(store.watching(), Some(expected));
    Place {
        store,
        dir,
        outside,
        _temp: temp,
    }
}

fn lines(keys: impl IntoIterator<Item = u32>) -> String {
    let lines = keys
        .into_iter()
        .map(|n| format!("{} name=\"{n}\"\n", key(n)));
    lines.collect()
}

#[test]
fn key_file_is_followed_however_it_is_written() {
    use std::io::Write;
    both(|poll| {
        let place = key_file(poll, |file, _| fs::write(file, lines(1..4)).unwrap());
        place.has(1..4);
        let found = place.store.lookup(&key(2)).unwrap();
        assert_eq!(found.meta("name"), Some("2"));
        let path = place.dir.join("keys");
        let mut file = fs::File::options().append(true).open(&path).unwrap();
        file.write_all(lines(4..6).as_bytes()).unwrap();
        place.settles(1..6);
        fs::write(&path, lines(2..4)).unwrap();
        place.settles(2..4);
        fs::write(place.dir.join("new"), lines(7..9)).unwrap();
        fs::rename(place.dir.join("new"), &path).unwrap();
        place.settles(7..9);
        fs::remove_file(&path).unwrap();
        place.settles([]);
        assert_eq!(place.problems().len(), 1);
        fs::write(&path, lines([1])).unwrap();
        place.settles([1]);
        assert!(place.problems().is_empty());
        fs::rename(&place.dir, place.outside.join("away")).unwrap();
        place.settles([]);
        fs::rename(place.outside.join("away"), &place.dir).unwrap();
        place.admits([1]);
        fs::write(&path, lines([2])).unwrap();
        place.settles([2]);
    });
}

#[test]
fn key_file_changed_within_one_tick_of_the_clock_is_seen() {
    both(|poll| {
        let place = key_file(poll, |_, _| {});
        assert_eq!(place.problems().len(), 1);
        for n in 1..100 {
            fs::write(place.dir.join("keys"), lines([n])).unwrap();
            place.admits([n]);
        }
    });
}

#[test]
fn key_file_behind_moving_links_is_followed() {
    both(|poll| {
        let place = key_file(poll, |file, outside| {
            for n in [1, 2] {
                fs::create_dir(outside.join(n.to_string())).unwrap();
                fs::write(outside.join(format!("{n}/keys")), lines([n])).unwrap();
            }
            symlink("1", outside.join("..data")).unwrap();
            symlink(outside.join("..data/keys"), file).unwrap();
        });
        place.has([1]);
        symlink("2", place.outside.join("..new")).unwrap();
        fs::rename(place.outside.join("..new"), place.outside.join("..data")).unwrap();
        place.settles([2]);
        fs::write(place.outside.join("2/keys"), lines([3])).unwrap();
        place.settles([3]);
        fs::remove_file(place.dir.join("keys")).unwrap();
        place.settles([]);
    });
}

#[test]
fn bad_lines_of_a_key_file_are_reported_and_hinder_nobody() {
    both(|poll| {
        let place = key_file(poll, |file, _| {
            let text = format!("# head\n{}bad\n{}{}x", lines([1]), lines([1]), lines([2]));
            fs::write(file, text).unwrap();
        });
        place.has([1, 2]);
        let lines_of = |store: &CertificateStore| -> Vec<_> {
            let problems = store.problems();
            let line = |problem: &Arc<Error>| match &**problem {
                Error::File { line, path, .. } => {
                    assert_eq!(*path, place.dir.join("keys"));
                    *line
                }
                other => panic!("{other}"),
            };
            problems.iter().map(line).collect()
        };
        assert_eq!(lines_of(&place.store), [Some(3), Some(4), Some(6)]);
        let text = place.store.problems()[1].to_string();
        assert!(text.contains("keys:4: "), "{text}");
        fs::write(place.dir.join("keys"), lines([2])).unwrap();
        place.admits([2]);
        assert!(place.store.problems().is_empty());
    });
}

#[test]
fn what_is_no_key_file_admits_nobody() {
    both(|poll| {
        let place = key_file(poll, |file, _| {
            let fifo = Command::new("mkfifo").arg(file).status();
            assert!(fifo.unwrap().success());
        });
        place.has([]);
        let FileProblem::NotAFile(_) = problem(&place.store) else {
            panic!();
        };
        fs::remove_file(place.dir.join("keys")).unwrap();
        fs::create_dir(place.dir.join("keys")).unwrap();
        place.settles([]);
        assert_eq!(place.store.problems().len(), 1);
        fs::remove_dir(place.dir.join("keys")).unwrap();
        fs::write(place.dir.join("keys"), lines([1])).unwrap();
        place.settles([1]);
    });
}

#[test]
fn key_file_replaced_whole_never_lets_go_of_what_both_hold() {
    let place = key_file(false, |file, _| fs::write(file, lines(0..2000)).unwrap());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert!(place.store.lookup(&key(1)).is_some());
            }
        });
        for round in 1..30 {
            fs::write(place.dir.join("new"), lines(0..2000 + round)).unwrap();
            fs::rename(place.dir.join("new"), place.dir.join("keys")).unwrap();
            place.by_events(0..2000 + round);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn key_file_survives_lost_events_and_faults_of_ours() {
    let place = key_file(false, |file, _| fs::write(file, lines([1])).unwrap());
    fs::write(place.dir.join("keys"), lines([2])).unwrap();
    place.inject(Message::Lost);
    place.admits([2]);
    place.inject(Message::Inject(|_| panic!("as intended")));
    place.admits([2]);
    assert_eq!(place.store.watching(), Some(Watching::Polling));
    fs::write(place.dir.join("keys"), lines([3])).unwrap();
    place.admits([3]);
}
