//! `cargo xtask bench`: our training beside other people's, in figures.
//! Knows no operator; each comparison is a file of its own.

mod case;
mod figures;
mod ours;
mod parity;
mod peer;
mod real;
mod scratch;
mod verdict;

use crate::cli::{BenchArguments, BenchCommand};
use crate::interrupt;

/// Runs the comparison that is asked for.
///
/// # Errors
/// As [`parity::run`] and [`real::run`].
pub(crate) fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    interrupt::listen()?;
    match &arguments.command {
        BenchCommand::Parity(arguments) if arguments.real => real::run(arguments),
        BenchCommand::Parity(arguments) => parity::run(arguments),
    }
}
