//! `cargo xtask figure`: the figures of the paper from runs and losses, as SVG, PNG and numbers.
//! Knows no formula: it brings runs to those who measure, and what they measured to those who draw.

mod album;
mod angles;
mod curves;
mod logits;
mod margins;
mod pairs;
mod statistics;
mod toy;

use crate::cli::{FigureArguments, FigureCommand};
use crate::interrupt;

/// Draws what is asked for.
///
/// # Errors
/// If a run, a loss or a file is not right, or the user interrupts.
pub(crate) fn run(arguments: &FigureArguments) -> anyhow::Result<()> {
    interrupt::listen()?;
    match &arguments.command {
        FigureCommand::Toy(arguments) => toy::run(arguments),
        FigureCommand::Angles(arguments) => angles::run(arguments),
        FigureCommand::Logits(arguments) => logits::run(arguments),
        FigureCommand::Margins(arguments) => margins::run(arguments),
        FigureCommand::Statistics(arguments) => statistics::run(arguments),
        FigureCommand::Pairs(arguments) => pairs::run(arguments),
    }
}
