//! `cargo xtask bench`: our training beside other people's, in figures.
//! Knows no operator; each comparison is a file of its own.

mod case;
mod eval;
mod figures;
mod ours;
mod parity;
mod peer;
mod real;
mod scratch;
mod speed;
mod verdict;

use crate::cli::{BenchArguments, BenchCommand};
use crate::interrupt;

/// Runs the comparison that is asked for.
///
/// # Errors
/// As [`eval::run`], [`parity::run`], [`real::run`], [`speed::run`] and [`speed::worker::run`].
pub(crate) fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    // A worker is ended by Ctrl-C on the spot, and asked for nothing more by whoever started it.
    if !matches!(arguments.command, BenchCommand::Worker) {
        interrupt::listen()?;
    }
    match &arguments.command {
        BenchCommand::Peer(arguments) => speed::run(arguments),
        BenchCommand::Eval(arguments) => eval::run(arguments),
        BenchCommand::Worker => speed::worker::run(),
        BenchCommand::Parity(arguments) if arguments.real => real::run(arguments),
        BenchCommand::Parity(arguments) => parity::run(arguments),
    }
}
