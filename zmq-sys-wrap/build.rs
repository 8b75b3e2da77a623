//! Links libzmq and libsodium: the system's, found by pkg-config, or with the feature `vendored` embedded ones.
//!
//! Both libraries come from the same place. An embedded libsodium beside a system libzmq would put two copies into
//! one process, since the system's libzmq brings its own.

use std::env;
use std::fmt::Write as _;
#[cfg(feature = "vendored")]
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use pkg_config::{Config, Error, Library};

/// A library as pkg-config knows it, and the oldest version that will do.
struct Wanted {
    name: &'static str,
    oldest: &'static str,
}

const ZMQ: Wanted = Wanted {
    name: "libzmq",
    oldest: "4.3.0",
};
const SODIUM: Wanted = Wanted {
    name: "libsodium",
    oldest: "1.0.18",
};

/// What the build found or made.
struct Outcome {
    origin: &'static str,
    /// The libzmq of a build that links it.
    version: Option<String>,
    /// Where the headers are, besides the compiler's own folders.
    includes: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match find_or_build() {
        Ok(outcome) => {
            report(&outcome);
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn find_or_build() -> Result<Outcome, String> {
    let linked = env::var_os("CARGO_FEATURE_LINKED").is_some();
    let wanted: &[&Wanted] = if linked { &[&ZMQ, &SODIUM] } else { &[&SODIUM] };

    let mut missing = String::new();
    for library in wanted {
        if let Err(error) = probe(library) {
            let (name, oldest) = (library.name, library.oldest);
            _ = writeln!(missing, "  {name} {oldest} or later: {}", brief(&error));
        }
    }
    if missing.is_empty() {
        return link_system(wanted);
    }
    #[cfg(feature = "vendored")]
    return embed(linked);
    #[cfg(not(feature = "vendored"))]
    Err(how_to_mend(&missing))
}

/// Asks pkg-config, and says nothing to cargo: cargo shows all that a failed build script printed.
fn probe(library: &Wanted) -> Result<Library, Error> {
    Config::new()
        .atleast_version(library.oldest)
        .cargo_metadata(false)
        .env_metadata(false)
        .probe(library.name)
}

fn link_system(wanted: &[&Wanted]) -> Result<Outcome, String> {
    let mut outcome = Outcome {
        origin: "system",
        version: None,
        includes: Vec::new(),
    };
    for library in wanted {
        let found = Config::new()
            .probe(library.name)
            .map_err(|error| brief(&error))?;
        #[cfg(feature = "vendored")]
        shadow_embedded(library, &found)?;
        if library.name == ZMQ.name {
            outcome.version = Some(found.version);
        }
        outcome.includes.extend(found.include_paths);
    }
    Ok(outcome)
}

/// Keeps a bare `-lsodium` from taking the embedded copy: it was built all the same, and cargo has the linker search
/// build folders before the system's. So a build folder of ours, searched first, holds a link to the system's library.
#[cfg(feature = "vendored")]
fn shadow_embedded(library: &Wanted, found: &Library) -> Result<(), String> {
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    let folder = PathBuf::from(out).join("system");
    for path in &found.link_paths {
        for extension in ["so", "dylib"] {
            let name = format!("{}.{extension}", library.name);
            let (target, link) = (path.join(&name), folder.join(&name));
            if target.exists() {
                // The link is there already when this script runs again.
                _ = fs::remove_file(&link);
                fs::create_dir_all(&folder)
                    .and_then(|()| std::os::unix::fs::symlink(&target, &link))
                    .map_err(|error| {
                        format!(
                            "linking {} to {}: {error}",
                            link.display(),
                            target.display()
                        )
                    })?;
            }
        }
    }
    println!("cargo::rustc-link-search=native={}", folder.display());
    Ok(())
}

#[cfg(feature = "vendored")]
fn embed(linked: bool) -> Result<Outcome, String> {
    let told = |name| {
        env::var_os(name).map(PathBuf::from).ok_or_else(|| {
            format!(
                "libsodium-sys-stable did not say where it built libsodium ({name} is not set).\n\
                 Unset SODIUM_LIB_DIR and SODIUM_USE_PKG_CONFIG, which make it look for a library instead."
            )
        })
    };
    for library in [&ZMQ, &SODIUM] {
        // Only for its list of variables: once one of them changes, the answer may be another.
        _ = Config::new().cargo_metadata(false).probe(library.name);
    }
    let sodium_lib = told("DEP_SODIUM_LIB")?;
    let sodium_include = told("DEP_SODIUM_INCLUDE")?;
    let mut outcome = Outcome {
        origin: "embedded",
        version: None,
        includes: vec![sodium_include.clone()],
    };
    if linked {
        let built = zmq_vendor::build(&sodium_lib, &sodium_include, cfg!(feature = "draft"))?;
        outcome.version = Some(built.version);
        outcome.includes.push(built.include);
    } else {
        println!("cargo::rustc-link-search=native={}", sodium_lib.display());
        println!("cargo::rustc-link-lib=static=sodium");
    }
    Ok(outcome)
}

/// Passes the outcome on: to this crate as cfg and env, to dependents as `DEP_ZMQ_*`.
fn report(outcome: &Outcome) {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(embedded)");
    println!("cargo::metadata=origin={}", outcome.origin);
    if outcome.origin == "embedded" {
        println!("cargo::rustc-cfg=embedded");
    }
    if let Some(version) = &outcome.version {
        println!("cargo::metadata=version={version}");
    }
    // An empty list is right: the headers are then where every compiler looks.
    if let Ok(paths) = env::join_paths(&outcome.includes) {
        let paths = paths.to_string_lossy();
        println!("cargo::metadata=include={paths}");
        println!("cargo::rustc-env=ZMQ_SYS_WRAP_INCLUDE={paths}");
    }
}

/// One line of what pkg-config said; its crate's own text is a page, and advises what does not help here.
fn brief(error: &Error) -> String {
    match error {
        Error::EnvNoPkgConfig(name) => format!("not looked for, since {name} is set"),
        Error::Command { cause, .. } => format!("pkg-config did not run ({cause})"),
        Error::CrossCompilation => {
            "pkg-config is not set up for cross-compilation (PKG_CONFIG_SYSROOT_DIR)".into()
        }
        Error::Failure { output, .. } | Error::ProbeFailure { output, .. } => {
            let said = String::from_utf8_lossy(&output.stderr);
            // "Package libzmq was not found" or "Requested 'libzmq >= 4.3.0' but version of libzmq is 4.2.5".
            let line = said
                .lines()
                .find(|line| line.contains("not found") || line.contains("version"))
                .or_else(|| said.lines().next());
            format!("pkg-config says \"{}\"", line.unwrap_or("nothing").trim())
        }
        other => other.to_string(),
    }
}

#[cfg(not(feature = "vendored"))]
fn how_to_mend(missing: &str) -> String {
    format!(
        "\n\
         ironhouse needs these system libraries and did not find them:\n\
         {missing}\n\
         Install them:\n\
         \x20 Debian, Ubuntu   apt-get install libzmq3-dev libsodium-dev pkg-config\n\
         \x20 Fedora           dnf install zeromq-devel libsodium-devel pkgconf\n\
         \x20 Homebrew         brew install zeromq libsodium pkgconf\n\
         or let cargo build both (this needs a C++ compiler and make): cargo build --features vendored\n\
         Libraries in a place of their own are found through PKG_CONFIG_PATH.\n"
    )
}
