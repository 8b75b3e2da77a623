//! The library as it is shipped: built by `-p`, whatever features a build of the whole workspace turned on.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The name by which programs load it.
pub const SONAME: &str = match env!("CARGO_PKG_VERSION_MAJOR").as_bytes() {
    b"0" => concat!("libironhouse_c.so.0.", env!("CARGO_PKG_VERSION_MINOR")),
    _ => concat!("libironhouse_c.so.", env!("CARGO_PKG_VERSION_MAJOR")),
};

pub struct Library {
    /// `libironhouse_c.so`.
    pub shared: PathBuf,
    /// `libironhouse_c.a`.
    pub archive: PathBuf,
    /// A folder with a link to it by its SONAME, as installing makes one.
    pub installed: PathBuf,
}

/// What cargo says of a build.
pub fn build(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<serde_json::Value> {
    let text = output(
        Command::new(env!("CARGO"))
            .args(["build", "--locked"])
            .args(["--message-format", "json-render-diagnostics"])
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(env!("CARGO_MANIFEST_DIR")),
    );
    let messages = text.lines().map(serde_json::from_str);
    messages.filter_map(Result::ok).collect()
}

pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let messages = build(&["--package", "ironhouse-capi"], &[]);
        let artifact = messages
            .iter()
            .find(|message| {
                message["reason"] == "compiler-artifact"
                    && message["target"]["name"] == "ironhouse_c"
            })
            .expect("cargo names what it built");
        let ending_in = |end: &str| {
            let files = artifact["filenames"].as_array().unwrap();
            let mut files = files.iter().filter_map(|file| file.as_str());
            let file = files.find(|file| file.ends_with(end));
            PathBuf::from(file.unwrap_or_else(|| panic!("cargo built no {end}")))
        };
        let installed = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("installed");
        let shared = ending_in(".so");
        fs::create_dir_all(&installed).unwrap();
        // Another test may be doing the same.
        let fresh = installed.join(format!("{}.{SONAME}", std::process::id()));
        std::os::unix::fs::symlink(&shared, &fresh).unwrap();
        fs::rename(&fresh, installed.join(SONAME)).unwrap();
        Library {
            shared,
            installed,
            archive: ending_in(".a"),
        }
    })
}

/// The names that a shared library gives.
pub fn symbols(library: &Path) -> Vec<String> {
    let names = output(
        Command::new("nm")
            .args(["-D", "--defined-only", "--format=posix"])
            .arg(library),
    );
    let names = names.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

/// Installs the library to an empty prefix.
pub fn install(prefix: &Path) {
    output(
        Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--locked", "--package", "xtask", "--"])
            .args(["install", "--debug", "--prefix"])
            .arg(prefix)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")),
    );
}

/// Copies the example programs of a language to a new folder, where they are built.
pub fn copy_examples(language: &str, to: &Path) {
    fs::create_dir(to).unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in fs::read_dir(examples.join(language)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Has `make` in a folder find what is installed to a prefix.
pub fn make(folder: &Path, prefix: &Path) -> Command {
    let path = prefix.join("lib/pkgconfig");
    let path = match std::env::var("PKG_CONFIG_PATH") {
        Ok(others) => format!("{}:{others}", path.display()),
        Err(_) => path.display().to_string(),
    };
    let mut make = Command::new("make");
    make.arg("-C").arg(folder).env("PKG_CONFIG_PATH", path);
    make
}

/// Builds what is in a folder by CMake, which finds what is installed to a prefix.
pub fn cmake(folder: &Path, build: &Path, prefix: &Path) {
    output(
        Command::new("cmake")
            .arg("-S")
            .arg(folder)
            .arg("-B")
            .arg(build)
            .arg("-DCMAKE_COMPILE_WARNING_AS_ERROR=ON")
            .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())),
    );
    output(Command::new("cmake").arg("--build").arg(build));
}

/// What runs a program and ends with 9, should it make an error or leave memory behind.
pub fn valgrind() -> Vec<String> {
    let known = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/valgrind.supp");
    let mut valgrind = [
        "valgrind",
        "--quiet",
        "--error-exitcode=9",
        "--fair-sched=yes",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect",
        "--errors-for-leak-kinds=definite,indirect",
    ]
    .map(str::to_owned)
    .to_vec();
    valgrind.push(format!("--suppressions={}", known.display()));
    valgrind
}

/// What a tool prints.
pub fn output(command: &mut Command) -> String {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
