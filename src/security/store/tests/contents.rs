//! What may stand in a directory: bad files, keys in several, links, deep trees.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use super::*;

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
