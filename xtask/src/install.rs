//! `cargo xtask install`: the C library, its headers and manual pages, and what pkg-config and CMake find it by.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::header::Header;
use crate::man;

/// The version of the whole workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
const MAJOR: &str = env!("CARGO_PKG_VERSION_MAJOR");
const MINOR: &str = env!("CARGO_PKG_VERSION_MINOR");

/// Below `capi/include`, and below the prefix's `include`.
const HEADERS: [&str; 9] = [
    "ironhouse.h",
    "ironhouse.hpp",
    "compat/czmq.h",
    "compat/czmq/common.h",
    "compat/czmq/zsys.h",
    "compat/czmq/zsocket.h",
    "compat/czmq/zauth.h",
    "compat/czmq/zcert.h",
    "compat/czmq/zcertstore.h",
];

/// Where to, and what.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    prefix: PathBuf,
    /// Put before the prefix, for packages.
    destination: PathBuf,
    /// Where libraries are, below the prefix: Debian's are in a folder for each architecture.
    libraries: PathBuf,
    debug: bool,
}

/// Builds and installs.
pub fn install(arguments: &[&str]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has no parent folder")?;
    let built = build(root, options.debug)?;
    let below = options
        .prefix
        .strip_prefix("/")
        .context("--prefix is absolute")?;
    let prefix = match options.destination.as_os_str().is_empty() {
        true => options.prefix.clone(),
        false => options.destination.join(below),
    };
    let (include, lib) = (prefix.join("include"), prefix.join(&options.libraries));
    for header in HEADERS {
        put(
            &root.join("capi/include").join(header),
            &include.join(header),
            0o644,
        )?;
    }
    let full = format!("libironhouse_c.so.{VERSION}");
    put(&built.join("libironhouse_c.so"), &lib.join(&full), 0o755)?;
    put(
        &built.join("libironhouse_c.a"),
        &lib.join("libironhouse_c.a"),
        0o644,
    )?;
    let soname = format!("libironhouse_c.so.{}", so_number());
    for name in [soname.as_str(), "libironhouse_c.so"] {
        link(&full, &lib.join(name))?;
    }
    let text = |from: &str, to: PathBuf| {
        let template = fs::read_to_string(root.join("capi").join(from)).context(from.to_owned())?;
        write(&to, &fill(&template, &options))
    };
    text("ironhouse.pc.in", lib.join("pkgconfig/ironhouse.pc"))?;
    for name in ["ironhouse-config", "ironhouse-config-version"] {
        text(
            &format!("cmake/{name}.cmake.in"),
            lib.join(format!("cmake/ironhouse/{name}.cmake")),
        )?;
    }
    let header = root.join("capi/include/ironhouse.h");
    let header =
        Header::parse(&fs::read_to_string(&header)?).context("capi/include/ironhouse.h")?;
    for page in man::pages(&header, VERSION, &date()?) {
        let name = format!("share/man/man3/{}.3", page.name);
        write(&prefix.join(name), &page.text)?;
    }
    println!("ironhouse {VERSION} is in {}", prefix.display());
    Ok(())
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Self> {
        let mut options = Self {
            prefix: "/usr/local".into(),
            libraries: "lib".into(),
            ..Self::default()
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{argument} what?"))
            };
            match *argument {
                "--prefix" => options.prefix = value()?.into(),
                "--libdir" => options.libraries = value()?.into(),
                "--destdir" => options.destination = value()?.into(),
                "--debug" => options.debug = true,
                other => bail!("install knows no {other}"),
            }
        }
        if !options.prefix.is_absolute() {
            bail!("--prefix {}: not absolute", options.prefix.display());
        }
        let inside = |part| matches!(part, Component::Normal(_));
        if !options.libraries.components().all(inside) {
            bail!(
                "--libdir {}: not below the prefix",
                options.libraries.display()
            );
        }
        Ok(options)
    }
}

/// The day that the manual pages bear: that of the build, or the one that a package's builder gives, as year, month and day.
fn date() -> Result<String> {
    let time = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => {
            SystemTime::UNIX_EPOCH
                + Duration::from_secs(seconds.parse().context("SOURCE_DATE_EPOCH")?)
        }
        Err(_) => SystemTime::now(),
    };
    let mut text = humantime::format_rfc3339_seconds(time).to_string();
    text.truncate("2027-01-31".len());
    Ok(text)
}

/// The number in the SONAME, as `capi/build.rs` gives it.
pub fn so_number() -> String {
    match MAJOR {
        "0" => format!("{MAJOR}.{MINOR}"),
        major => major.to_owned(),
    }
}

fn fill(template: &str, options: &Options) -> String {
    let depth = options.libraries.components().count();
    template
        .replace("@PREFIX@", &options.prefix.display().to_string())
        .replace("@LIBDIR@", &options.libraries.display().to_string())
        .replace("@UP@", &"/..".repeat(depth + 2))
        .replace("@FULL_VERSION@", VERSION)
        .replace("@VERSION@", VERSION)
        .replace("@SONUMBER@", &so_number())
        .replace("@MAJOR@", MAJOR)
        .replace("@MINOR@", MINOR)
}

/// Builds the library by itself: in a build of the whole workspace it would link a libzmq. The folder that it is in.
fn build(root: &Path, debug: bool) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = if debug { "dev" } else { "release" };
    let done = Command::new(cargo)
        .args([
            "build",
            "--locked",
            "--package",
            "ironhouse-capi",
            "--profile",
            profile,
        ])
        .current_dir(root)
        .status()
        .context("cargo build")?;
    if !done.success() {
        bail!("cargo build: {done}");
    }
    let folder = if debug { "debug" } else { "release" };
    Ok(target(root).join(folder))
}

/// Where cargo builds to.
pub fn target(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root.join(target)
}

/// Copies a file, in the place of another: under a new name first, because programs may have the old one open.
fn put(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let fresh = beside(to)?;
    fs::copy(from, &fresh).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
    fs::rename(&fresh, to).with_context(|| to.display().to_string())
}

fn write(to: &Path, text: &str) -> Result<()> {
    let fresh = beside(to)?;
    fs::write(&fresh, text).with_context(|| to.display().to_string())?;
    fs::rename(&fresh, to).with_context(|| to.display().to_string())
}

fn link(target: &str, at: &Path) -> Result<()> {
    let fresh = beside(at)?;
    symlink(target, &fresh).with_context(|| at.display().to_string())?;
    fs::rename(&fresh, at).with_context(|| at.display().to_string())
}

/// A name in the same folder, which is made, that nothing has.
fn beside(path: &Path) -> Result<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        bail!("{}: no file", path.display());
    };
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let fresh = folder.join(format!(".{}.new", name.to_string_lossy()));
    if let Err(error) = fs::remove_file(&fresh) {
        if error.kind() != std::io::ErrorKind::NotFound {
            return Err(error).with_context(|| fresh.display().to_string());
        }
    }
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_where_to() {
        let options = Options::parse(&["--prefix", "/opt/iron", "--destdir", "/tmp/package"]);
        let options = options.unwrap();
        assert_eq!(options.prefix, Path::new("/opt/iron"));
        assert_eq!(options.destination, Path::new("/tmp/package"));
        assert_eq!(options.libraries, Path::new("lib"));
        assert!(!options.debug);
    }

    #[test]
    fn options_that_cannot_be_meant_are_refused() {
        for wrong in [
            &["--prefix"][..],
            &["--prefix", "here"],
            &["--prefx", "/opt"],
            &["--libdir", "/lib"],
            &["--libdir", "../lib"],
        ] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
