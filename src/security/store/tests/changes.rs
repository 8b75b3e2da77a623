//! Changes of a directory and when they are in force.

use std::os::unix::fs::symlink;

use super::*;

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
        for n in 0..rounds(200) {
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
