//! Chores of this repository that are not part of a build: `cargo xtask COMMAND`.

mod bindings;
mod deb;
mod header;
mod install;
mod man;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

commands:
  bindings   make zmq-sys-wrap/src/bindings/ from the installed headers (needs libclang)
  install [--prefix /usr/local] [--libdir lib] [--destdir FOLDER] [--debug]
             build the C library and install it with its headers and manual pages, for pkg-config and CMake
  deb        make the Debian packages of the C library, in target/debian (needs dpkg-dev)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["bindings"] => bindings::generate(),
        ["deb"] => deb::packages(),
        ["install", rest @ ..] => install::install(rest),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
