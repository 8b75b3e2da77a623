//! What the shared library takes and gives: no libzmq, and no names but ours.

#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{SONAME, library, output, symbols};

#[test]
fn library_loads_no_libzmq_and_no_cpp_runtime() {
    let dynamic = output(Command::new("readelf").arg("-d").arg(&library().shared));
    let needed: Vec<&str> = dynamic
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .collect();
    for unwanted in ["zmq", "stdc++", "libc++"] {
        assert!(
            !needed.iter().any(|line| line.contains(unwanted)),
            "{needed:#?}"
        );
    }
    assert!(
        needed.iter().any(|line| line.contains("libsodium")),
        "{needed:#?}"
    );
}

#[test]
fn library_has_a_soname_of_its_version_and_stays_loaded() {
    let dynamic = output(Command::new("readelf").arg("-d").arg(&library().shared));
    let soname = format!("[{SONAME}]");
    assert!(
        dynamic
            .lines()
            .any(|line| line.contains("(SONAME)") && line.contains(&soname)),
        "{dynamic}"
    );
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}

#[test]
fn library_gives_the_names_of_the_header_and_no_others() {
    let given = symbols(&library().shared);
    let given: BTreeSet<&str> = given.iter().map(String::as_str).collect();
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/ironhouse.h");
    let header = fs::read_to_string(header).unwrap();
    let declared: BTreeSet<&str> = header
        .lines()
        .filter(|line| !line.starts_with([' ', '/', '#']) && !line.starts_with("static"))
        .filter_map(|line| line.split_once('('))
        .filter_map(|(before, _)| before.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("ironhouse_"))
        .collect();
    assert!(!declared.is_empty());
    assert_eq!(given, declared);
}
