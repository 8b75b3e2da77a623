//! `cargo xtask deb`: Debian packages of the C library, for its users and for who builds with it, by Debian's own tools and the files
//! in `capi/debian`.
//!
//! Not by cargo-deb (3.8): it writes no `shlibs` file, by which the packages of other programs find their dependency on a library; and it
//! takes one with its version behind `.so` for no library, so that it neither strips it nor asks what it needs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::install::{VERSION, install, so_number, target};

/// The package for who builds with the library.
const DEVELOPMENT: &str = "libironhouse-c-dev";

/// Builds the packages, and puts them into `target/debian`.
pub fn packages() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has no parent folder")?;
    let (capi, made) = (root.join("capi"), target(root).join("debian"));
    if made.exists() {
        fs::remove_dir_all(&made).with_context(|| made.display().to_string())?;
    }
    let version = version(&capi)?;
    let runtime = format!("libironhouse-c{}", so_number());
    let [library, development] = [runtime.as_str(), DEVELOPMENT].map(|name| made.join(name));
    let shared = divide(&library, &development)?;
    let examples = development.join("usr/share/doc").join(DEVELOPMENT);
    fs::create_dir_all(&examples)?;
    run(Command::new("cp")
        .arg("-r")
        .args([&capi.join("examples"), &examples]))?;

    // How others that link it find that they depend on it, and that the loader's cache changes.
    let control = library.join("DEBIAN");
    fs::create_dir(&control)?;
    let number = so_number();
    let line = format!("libironhouse_c {number} {runtime} (>= {VERSION})\n");
    fs::write(control.join("shlibs"), line)?;
    fs::write(control.join("triggers"), "activate-noawait ldconfig\n")?;
    let needed = run(Command::new("dpkg-shlibdeps")
        .arg("-O")
        .arg(shared)
        .current_dir(&capi))?;
    pack(&capi, &library, &version, &needed)?;
    pack(&capi, &development, &version, "")
}

/// Installs everything to `development`, and moves what programs load to `library`. The path of the shared library.
fn divide(library: &Path, development: &Path) -> Result<PathBuf> {
    let multiarch = run(Command::new("dpkg-architecture").arg("-qDEB_HOST_MULTIARCH"))?;
    let libraries = format!("lib/{}", multiarch.trim());
    let destination = development.to_str();
    let destination = destination.context("a folder whose name is not UTF-8")?;
    install(&[
        "--prefix",
        "/usr",
        "--libdir",
        &libraries,
        "--destdir",
        destination,
    ])?;
    let from = development.join("usr").join(&libraries);
    let to = library.join("usr").join(&libraries);
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(&from)? {
        let name = entry?.file_name();
        if name.to_string_lossy().starts_with("libironhouse_c.so.") {
            fs::rename(from.join(&name), to.join(&name))?;
        }
    }
    let shared = to.join(format!("libironhouse_c.so.{VERSION}"));
    run(Command::new("strip").arg("--strip-unneeded").arg(&shared))?;
    // It is no program.
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o644))?;
    let archive = from.join("libironhouse_c.a");
    run(Command::new("strip").arg("--strip-debug").arg(archive))?;
    run(Command::new("gzip")
        .arg("-9nr")
        .arg(development.join("usr/share/man")))?;
    Ok(shared)
}

/// Makes a package of a folder, which bears its name, and says where it is. `needed` is what dpkg-shlibdeps says.
fn pack(capi: &Path, folder: &Path, version: &str, needed: &str) -> Result<()> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let documents = folder.join("usr/share/doc").join(&*name);
    fs::create_dir_all(&documents)?;
    fs::copy(capi.join("debian/copyright"), documents.join("copyright"))?;
    let changelog = documents.join("changelog.Debian");
    fs::copy(capi.join("debian/changelog"), &changelog)?;
    run(Command::new("gzip").arg("-9n").arg(changelog))?;
    // Open to all, whatever the umask is.
    run(Command::new("chmod")
        .args(["-R", "u=rwX,go=rX"])
        .arg(folder))?;
    fs::create_dir_all(folder.join("DEBIAN"))?;
    let sums = "find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums";
    run(Command::new("sh").args(["-c", sums]).current_dir(folder))?;
    let beside = |suffix: &str| format!("{}{suffix}", folder.display());
    fs::write(beside(".substvars"), needed)?;
    run(Command::new("dpkg-gencontrol")
        .current_dir(capi)
        .arg(format!("-p{name}"))
        .arg(format!("-P{}", folder.display()))
        .arg(format!("-T{}", beside(".substvars")))
        .arg(format!("-f{}", beside(".files"))))?;
    let architecture = run(Command::new("dpkg").arg("--print-architecture"))?;
    let package = beside(&format!("_{version}_{}.deb", architecture.trim()));
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Zxz", "--build"])
        .arg(folder)
        .arg(&package))?;
    println!("{package}");
    Ok(())
}

/// The version at the top of Debian's changelog, which is that of the workspace and a number behind it.
fn version(capi: &Path) -> Result<String> {
    let version = run(Command::new("dpkg-parsechangelog")
        .args(["-S", "Version"])
        .current_dir(capi))?;
    let version = version.trim();
    if version.rsplit_once('-').map(|(ours, _)| ours) != Some(VERSION) {
        bail!("capi/debian/changelog is of {version}, this is {VERSION}: add an entry at its top");
    }
    Ok(version.to_owned())
}

/// What a tool prints.
fn run(command: &mut Command) -> Result<String> {
    let done = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{command:?}"))?;
    if !done.status.success() {
        bail!("{command:?}: {}", done.status);
    }
    Ok(String::from_utf8(done.stdout)?)
}
