//! `cargo xtask eval`: pairs of faces verified with trained networks, and the protocols of the field.
//! Knows no training; each protocol is a file of its own.

mod compare;
mod embeddings;
mod entries;
mod faces;
mod ijb;
mod lfr;
mod megaface;
mod names;
mod page;
mod pairs;
mod rates;
mod suite;
mod videos;
mod ytf;

use crate::cli::{EvalArguments, EvalCommand, EvalPairsArguments};
use crate::interrupt;

/// Evaluates what is asked for.
///
/// # Errors
/// As the protocols.
pub(crate) fn run(arguments: &EvalArguments) -> anyhow::Result<()> {
    interrupt::listen()?;
    match &arguments.command {
        None => verify(&arguments.pairs),
        Some(EvalCommand::Embeddings(arguments)) => embeddings::run(arguments),
        Some(EvalCommand::Ijb(arguments)) => ijb::run(arguments),
        Some(EvalCommand::Megaface(arguments)) => megaface::run(arguments),
        Some(EvalCommand::LfrImage(arguments)) => lfr::images(arguments),
        Some(EvalCommand::LfrVideo(arguments)) => lfr::videos(arguments),
        Some(EvalCommand::Ytf(arguments)) => ytf::run(arguments),
        Some(EvalCommand::Compare(arguments)) => compare::run(arguments),
    }
}

/// One network on one set has a report of its own; several of either stand in one table.
fn verify(arguments: &EvalPairsArguments) -> anyhow::Result<()> {
    match (&arguments.nets[..], &arguments.suite) {
        ([net], None) => pairs::run(arguments, net),
        _ => suite::run(arguments),
    }
}
