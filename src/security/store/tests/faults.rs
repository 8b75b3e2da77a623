//! Changes at random, lost events and faults of ours: a store ends as a fresh load.

use std::os::unix::fs::symlink;
use std::sync::Mutex;

use super::keyfile::{key_file, lines};
use super::*;

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
fn questions_do_not_pile_up_while_the_file_system_hangs() {
    static HUNG: Mutex<()> = Mutex::new(());
    const ASKED: usize = 100_000;
    let place = Place::open(false, create);
    let (no, yes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let hung = HUNG.lock().unwrap();
    place.inject(Message::Inject(|_| drop(HUNG.lock())));
    for _ in 0..ASKED {
        let [no, yes] = [Arc::clone(&no), Arc::clone(&yes)];
        place.store.when_current(Box::new(move |current| {
            let answered = if current { yes } else { no };
            answered.fetch_add(1, Ordering::Relaxed);
        }));
    }
    let refused = no.load(Ordering::Relaxed);
    assert!((1..ASKED).contains(&refused), "{refused}");
    drop(hung);
    let start = Instant::now();
    while yes.load(Ordering::Relaxed) < ASKED - refused {
        assert!(start.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
    place.store.sync(DEADLINE).unwrap();
}
