//! `cargo xtask bindings`: bindgen over the two headers, one file of declarations each.

use std::path::Path;

use anyhow::{Context, Result};
use bindgen::{Builder, RustEdition, RustTarget};

/// What is taken from `zmq.h`: all of its stable part but the helpers that have nothing to do with messaging.
const ZMQ: &[&str] = &["zmq_.*", "ZMQ_.*"];
const ZMQ_LEFT_OUT: &[&str] = &[
    "zmq_(send|recv)iov",
    "iovec",
    "zmq_(atomic_counter|stopwatch|thread)_?.*",
    "zmq_sleep",
    "ZMQ_DEFINED_STDINT",
];

/// What is taken from `sodium.h`: the generic names, not those of each primitive behind them.
const SODIUM: &[&str] = &[
    "SODIUM_LIBRARY_VERSION_.*",
    "sodium_(init|version_string|library_version_(major|minor)|memzero|mlock|munlock)",
    "randombytes_buf",
    "crypto_(box|generichash|pwhash|scalarmult|secretbox|sign)_[A-Z0-9_]+",
    "crypto_box_(seed_)?keypair|crypto_box_beforenm",
    "crypto_box(_open)?_(easy|detached)(_afternm)?",
    "crypto_generichash",
    "crypto_pwhash(_str(_alg|_verify|_needs_rehash)?)?",
    "crypto_scalarmult(_base)?",
    "crypto_secretbox(_open)?_(easy|detached)",
    "crypto_sign_((seed_)?keypair|(verify_)?detached)",
];
/// Not the same in every version.
const SODIUM_LEFT_OUT: &[&str] = &["crypto_.*_PRIMITIVE"];

/// Writes both files below `zmq-sys-wrap/src/bindings/`.
pub fn generate() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has no parent folder")?
        .join("zmq-sys-wrap");
    for (package, header, wanted, left_out) in [
        ("libzmq", "zmq", ZMQ, ZMQ_LEFT_OUT),
        ("libsodium", "sodium", SODIUM, SODIUM_LEFT_OUT),
    ] {
        let found = pkg_config::Config::new()
            .cargo_metadata(false)
            .env_metadata(false)
            .probe(package)?;
        let mut builder = Builder::default()
            .header_contents("wrapper.h", &format!("#include <{header}.h>\n"))
            .clang_args(
                found
                    .include_paths
                    .iter()
                    .map(|path| format!("-I{}", path.display())),
            )
            .rust_target(RustTarget::stable(85, 0).map_err(|error| anyhow::anyhow!("{error}"))?)
            .rust_edition(RustEdition::Edition2024)
            .use_core()
            .layout_tests(false)
            .generate_comments(false)
            .allowlist_recursively(false);
        for pattern in wanted {
            builder = builder.allowlist_item(pattern);
        }
        for pattern in left_out {
            builder = builder.blocklist_item(pattern);
        }
        let target = root.join("src/bindings").join(format!("{header}.rs"));
        builder
            .generate()
            .with_context(|| format!("reading {header}.h"))?
            .write_to_file(&target)
            .with_context(|| format!("writing {}", target.display()))?;
        println!("{} from {package} {}", target.display(), found.version);
    }
    Ok(())
}
