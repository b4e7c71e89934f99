//! The command line of ArcFace with a loss of our own.

// A crate that no path mentions is not linked, and its losses would not be registered.
use my_loss as _;

fn main() -> std::process::ExitCode {
    xtask::run()
}
