//! The name by which programs load the library, and that it stays loaded.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    // The number changes whenever a program built against the one before could break: before 1.0 with the minor version.
    let major = env::var("CARGO_PKG_VERSION_MAJOR").unwrap_or_default();
    let minor = env::var("CARGO_PKG_VERSION_MINOR").unwrap_or_default();
    let number = if major == "0" {
        format!("{major}.{minor}")
    } else {
        major
    };
    if os == "linux" {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libironhouse_c.so.{number}");
        // Its threads may outlast a dlclose, and must not lose their code.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
