//! Checks an `ironhouse.toml` without starting anything: prints all that is wrong with it, path and line first.
//!
//! ```text
//! cargo run --example check_config /etc/pumps/ironhouse.toml
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use ironhouse::security::Config;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: check_config FILE");
        return ExitCode::from(2);
    };
    let problems = Config::check(&path);
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        println!("{}: good", path.display());
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
