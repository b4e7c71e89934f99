//! The command line: reads configuration, prints, and knows all the other crates.
//! Knows no mathematics; it calls those who do.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod gate;

use std::process::ExitCode;

/// The whole command line: what `main` of a binary returns.
pub fn run() -> ExitCode {
    let command = std::env::args().nth(1);
    let outcome = match command.as_deref() {
        Some("test") => gate::test(),
        Some("lint") => gate::lint(),
        Some("ci") => gate::ci(),
        _ => Err(anyhow::anyhow!("usage: cargo xtask test|lint|ci")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
