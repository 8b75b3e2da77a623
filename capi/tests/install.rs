//! The library as it is installed: found by pkg-config and by CMake, and used from there.
#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{SONAME, output};

/// An empty prefix with the library installed to it, and a copy of the examples in C.
struct Installed {
    folder: tempfile::TempDir,
}

impl Installed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        output(
            Command::new(env!("CARGO"))
                .args(["run", "--quiet", "--locked", "--package", "xtask", "--"])
                .args(["install", "--debug", "--prefix"])
                .arg(folder.path().join("prefix"))
                .current_dir(root),
        );
        let sources = folder.path().join("sources");
        fs::create_dir(&sources).unwrap();
        for entry in fs::read_dir(root.join("capi/examples/c")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), sources.join(entry.file_name())).unwrap();
        }
        Self { folder }
    }

    fn prefix(&self) -> PathBuf {
        self.folder.path().join("prefix")
    }

    fn sources(&self) -> PathBuf {
        self.folder.path().join("sources")
    }

    /// What a program says that was built from the sources.
    fn said(&self, program: &Path) -> String {
        output(
            Command::new("timeout")
                .args(["--kill-after=5", "60"])
                .arg(program)
                .env("LD_LIBRARY_PATH", self.prefix().join("lib")),
        )
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
    let path = lib.join("pkgconfig");
    let path = match std::env::var("PKG_CONFIG_PATH") {
        Ok(others) => format!("{}:{others}", path.display()),
        Err(_) => path.display().to_string(),
    };
    output(
        Command::new("make")
            .arg("-C")
            .arg(installed.sources())
            .env("PKG_CONFIG_PATH", path),
    );
    let program = installed.sources().join("ironhouse");
    assert_eq!(installed.said(&program), "Hello from Ada\n");
}

#[test]
#[ignore = "needs cmake"]
fn installed_library_is_found_by_cmake() {
    let installed = Installed::new();
    let build = installed.folder.path().join("build");
    output(
        Command::new("cmake")
            .arg("-S")
            .arg(installed.sources())
            .arg("-B")
            .arg(&build)
            .arg(format!(
                "-DCMAKE_PREFIX_PATH={}",
                installed.prefix().display()
            )),
    );
    output(Command::new("cmake").arg("--build").arg(&build));
    assert_eq!(installed.said(&build.join("ironhouse")), "Hello from Ada\n");
}
