//! Recipe that builds libzmq with CURVE from its source package; called by a build script.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What libzmq's own configure step would have found on every Linux that Rust supports.
///
/// The source package comes with an empty `platform.hpp`: keepalive options would be taken and ignored, interface
/// names refused, and descriptors leaked into child processes.
const PLATFORM: &str = include_str!("platform.hpp");

/// A libzmq built from source.
#[derive(Debug)]
pub struct Built {
    /// The folder of `zmq.h`.
    pub include: PathBuf,
    /// Its version, as `4.3.5`.
    pub version: String,
}

/// Compiles libzmq with CURVE over the static libsodium in `sodium_lib`, and prints the link lines of both, and of the
/// C++ runtime, for cargo. `draft`: with its draft API. For build scripts only: it reads `OUT_DIR` and `TARGET`.
///
/// # Errors
/// A sentence, where `OUT_DIR` is not set or cannot be written, or the header made has no version. A compiler that
/// fails ends the process: the source package does so.
pub fn build(sodium_lib: &Path, sodium_include: &Path, draft: bool) -> Result<Built, String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let staged = stage(&out.join("staged"), sodium_include)
        .map_err(|error| format!("writing headers below {}: {error}", out.display()))?;
    zeromq_src::Build::new()
        .enable_draft(draft)
        .with_libsodium(Some(zeromq_src::LibLocation::new(sodium_lib, staged)))
        .build();

    let include = out.join("source").join("include");
    let header = include.join("zmq.h");
    let text = fs::read_to_string(&header)
        .map_err(|error| format!("reading {}: {error}", header.display()))?;
    let version =
        version(&text).ok_or_else(|| format!("{} does not say its version", header.display()))?;
    Ok(Built { include, version })
}

/// Makes the folder given to the source package as libsodium's: it is searched before the one with the empty
/// `platform.hpp`.
fn stage(folder: &Path, sodium_include: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("platform.hpp"), PLATFORM)?;
    let header = sodium_include.join("sodium.h");
    fs::write(
        folder.join("sodium.h"),
        format!("#include \"{}\"\n", header.display()),
    )?;
    Ok(folder.to_owned())
}

/// `4.3.5`, from the three macros of `zmq.h`.
fn version(header: &str) -> Option<String> {
    let part = |name: &str| {
        header.lines().find_map(|line| {
            let rest = line.strip_prefix("#define ")?.strip_prefix(name)?;
            rest.trim().parse::<u32>().ok()
        })
    };
    let major = part("ZMQ_VERSION_MAJOR ")?;
    let minor = part("ZMQ_VERSION_MINOR ")?;
    let patch = part("ZMQ_VERSION_PATCH ")?;
    Some(format!("{major}.{minor}.{patch}"))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn version_is_read_from_the_header() {
        let header = "#define ZMQ_VERSION_MAJOR 4\n#define ZMQ_VERSION_MINOR 3\n#define ZMQ_VERSION_PATCH 5\n";
        assert_eq!(version(header).as_deref(), Some("4.3.5"));
        assert_eq!(version("#define ZMQ_VERSION_MAJOR 4\n"), None);
    }
}
