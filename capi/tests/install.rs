//! The library as it is installed: found by pkg-config and by CMake, and used from there.
#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{SONAME, cmake, copy_examples, install, make, output, symbols};

/// An empty prefix with the library installed to it, and a copy of the examples in C.
struct Installed {
    folder: tempfile::TempDir,
}

impl Installed {
    fn new() -> Self {
        let installed = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        install(&installed.prefix());
        copy_examples("c", &installed.sources());
        installed
    }

    fn prefix(&self) -> PathBuf {
        self.folder.path().join("prefix")
    }

    fn sources(&self) -> PathBuf {
        self.folder.path().join("sources")
    }

    /// Runs what was built to a folder.
    fn run_patterns(&self, built: &Path) {
        for pattern in [
            "Grasslands",
            "Strawhouse",
            "Woodhouse",
            "Stonehouse",
            "Ironhouse",
        ] {
            let said = output(
                Command::new("timeout")
                    .args(["--kill-after=5", "60"])
                    .arg(built.join(pattern.to_lowercase()))
                    .env("LD_LIBRARY_PATH", self.prefix().join("lib")),
            );
            assert!(said.ends_with(&format!("{pattern} test OK\n")), "{said}");
        }
    }
}

#[test]
fn installed_library_is_built_with_by_make_and_pkg_config() {
    let installed = Installed::new();
    let lib = installed.prefix().join("lib");
    assert_eq!(
        fs::read_link(lib.join(SONAME)).unwrap(),
        Path::new(concat!("libironhouse_c.so.", env!("CARGO_PKG_VERSION")))
    );
    let pkg_config = fs::read_to_string(lib.join("pkgconfig/ironhouse.pc")).unwrap();
    assert!(
        !pkg_config.contains("zmq.pc") && !pkg_config.contains("libzmq"),
        "{pkg_config}"
    );
    output(&mut make(&installed.sources(), &installed.prefix()));
    installed.run_patterns(&installed.sources());
}

#[test]
fn installed_header_compiles_a_program_of_czmq_2() {
    let installed = Installed::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/czmq2/strawhouse.c");
    let program = installed.folder.path().join("strawhouse");
    output(
        Command::new("cc")
            .arg(source)
            .arg("-I")
            .arg(installed.prefix().join("include/compat"))
            .arg("-L")
            .arg(installed.prefix().join("lib"))
            .args(["-lironhouse_c", "-lzmq", "-o"])
            .arg(&program),
    );
    let mut run = Command::new("timeout");
    run.args(["--kill-after=5", "60"])
        .arg(&program)
        .env("LD_LIBRARY_PATH", installed.prefix().join("lib"));
    assert!(output(&mut run).contains("Strawhouse test OK\n"));
}

#[test]
#[ignore = "needs cmake"]
fn installed_library_is_found_by_cmake() {
    let installed = Installed::new();
    let build = installed.folder.path().join("build");
    cmake(&installed.sources(), &build, &installed.prefix());
    installed.run_patterns(&build);
}

#[test]
#[ignore = "needs man-db"]
fn every_function_has_a_manual_page() {
    let installed = Installed::new();
    let pages = installed.prefix().join("share/man/man3");
    for function in symbols(&installed.prefix().join("lib").join(SONAME)) {
        let page = fs::read_to_string(pages.join(format!("{function}.3"))).unwrap();
        let declared = page.split(".SH DESCRIPTION").next().unwrap();
        assert!(declared.contains(&format!("{function}(")), "{page}");
    }
    let pages = fs::read_dir(&pages).unwrap();
    let pages: Vec<PathBuf> = pages.map(|page| page.unwrap().path()).collect();
    let mut printed = Command::new("groff");
    printed.args(["-man", "-ww", "-Tutf8", "-z"]).args(&pages);
    let printed = printed.output().unwrap();
    let warnings = String::from_utf8_lossy(&printed.stderr);
    assert!(
        printed.status.success() && warnings.is_empty(),
        "{warnings}"
    );
    // What whatis and apropos find a page by.
    let known = output(Command::new("lexgrog").args(&pages));
    assert_eq!(known.lines().count(), pages.len(), "{known}");
    assert!(
        known.contains("\"ironhouse_certificate_new - makes a certificate with a new key pair\""),
        "{known}"
    );
}
