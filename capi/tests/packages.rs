//! The Debian packages: what is in them, what lintian says of them, and that programs are built with them and run.
#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{SONAME, output};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How large the shared library may be, in bytes.
const LARGEST: u64 = 3_000_000;

struct Package(PathBuf);

impl Package {
    fn field(&self, name: &str) -> String {
        let mut ask = Command::new("dpkg-deb");
        let said = output(ask.arg("--field").arg(&self.0).arg(name));
        said.trim_end().to_owned()
    }

    /// Unpacks it below a folder, as installing does below `/`.
    fn unpack(&self, root: &Path) {
        let mut unpack = Command::new("dpkg-deb");
        output(unpack.arg("--extract").arg(&self.0).arg(root));
    }
}

/// Builds both: for those who use the library, and for those who build with it.
fn packages() -> [Package; 2] {
    let said = output(
        Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--locked", "--package", "xtask"])
            .args(["--", "deb"])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")),
    );
    let mut made = said.lines().filter(|line| line.ends_with(".deb"));
    [(); 2].map(|()| Package(made.next().unwrap().into()))
}

/// Every file below a folder, by its path from there.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Command::new("find");
    let said = output(found.args([".", "!", "-type", "d"]).current_dir(folder));
    let mut files: Vec<String> = said.lines().map(|line| line[2..].to_owned()).collect();
    files.sort();
    files
}

#[test]
#[ignore = "needs dpkg-dev and lintian"]
fn packages_hold_what_debian_expects_and_programs_are_built_with_them() {
    let [library, development] = packages();
    let name = format!(
        "libironhouse-c{}",
        SONAME.trim_start_matches("libironhouse_c.so.")
    );
    assert_eq!(library.field("Package"), name, "it is named by the SONAME");
    let needed = library.field("Depends");
    assert!(
        needed.contains("libsodium") && !needed.contains("zmq") && !needed.contains("stdc++"),
        "{needed}"
    );
    assert_eq!(development.field("Package"), "libironhouse-c-dev");
    let version = library.field("Version");
    assert!(version.starts_with(&format!("{VERSION}-")), "{version}");
    assert_eq!(
        development.field("Depends"),
        format!("{name} (= {version}), libsodium-dev")
    );
    assert_eq!(development.field("Recommends"), "libzmq3-dev");

    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    library.unpack(root);
    let mut multiarch = Command::new("dpkg-architecture");
    let multiarch = output(multiarch.arg("-qDEB_HOST_MULTIARCH"));
    let libraries = format!("usr/lib/{}", multiarch.trim());
    let full = format!("libironhouse_c.so.{VERSION}");
    assert_eq!(
        files(root),
        [
            format!("{libraries}/{SONAME}"),
            format!("{libraries}/{full}"),
            format!("usr/share/doc/{name}/changelog.Debian.gz"),
            format!("usr/share/doc/{name}/copyright"),
        ]
    );
    let size = fs::metadata(root.join(&libraries).join(&full))
        .unwrap()
        .len();
    println!("{full} is of {size} bytes");
    assert!(size <= LARGEST, "{size}");

    development.unpack(root);
    let all = files(root);
    for expected in [
        "usr/include/ironhouse.h",
        "usr/include/ironhouse.hpp",
        "usr/include/compat/czmq.h",
        "usr/include/compat/czmq/zauth.h",
        "usr/share/man/man3/ironhouse.3.gz",
        "usr/share/man/man3/ironhouse_authenticator_start.3.gz",
        "usr/share/doc/libironhouse-c-dev/copyright",
        &format!("{libraries}/libironhouse_c.a"),
        &format!("{libraries}/libironhouse_c.so"),
        &format!("{libraries}/pkgconfig/ironhouse.pc"),
        &format!("{libraries}/cmake/ironhouse/ironhouse-config.cmake"),
    ] {
        assert!(
            all.iter().any(|file| file == expected),
            "{expected} in {all:#?}"
        );
    }
    let linked = fs::read_link(root.join(&libraries).join("libironhouse_c.so"));
    assert_eq!(linked.unwrap(), Path::new(&full));

    let checked = Command::new("lintian")
        .args(["--fail-on", "error", "--allow-root"])
        // It is not Debian's yet.
        .args(["--suppress-tags", "initial-upload-closes-no-bugs"])
        .args([&library.0, &development.0])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{said}");
    print!("{said}");

    // As who installed them would, but for where they are.
    let sources = root.join("usr/share/doc/libironhouse-c-dev/examples/c");
    output(
        Command::new("make")
            .arg("-C")
            .arg(&sources)
            .arg("ironhouse")
            .env("PKG_CONFIG_PATH", root.join(&libraries).join("pkgconfig"))
            .env("PKG_CONFIG_SYSROOT_DIR", root),
    );
    let mut run = Command::new("timeout");
    run.args(["--kill-after=5", "60"])
        .arg(sources.join("ironhouse"))
        .env("LD_LIBRARY_PATH", root.join(&libraries));
    let said = output(&mut run);
    assert!(said.ends_with("Ironhouse test OK\n"), "{said}");
}
