//! Stores of a key file.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;

/// A store of the key file `keys` in a place whose `dir` exists.
pub(super) fn key_file(poll: bool, prepare: impl FnOnce(&Path, &Path)) -> Place {
    Place::of(Layout::KeyFile, "certs/keys", poll, |file, outside| {
        fs::create_dir(file.parent().unwrap()).unwrap();
        prepare(file, outside);
    })
}

pub(super) fn lines(keys: impl IntoIterator<Item = u32>) -> String {
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
        for n in 1..=rounds(99) {
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
        for round in 1..=rounds(29) {
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
