//! `cargo xtask ablate`: variants of one configuration over several seeds, compared in one table.
//! Knows no training: every cell of the table is a run of `cargo xtask train`.

mod cells;
mod faces;
mod file;
mod folder;
mod process;
mod queue;
mod results;

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use anyhow::bail;

use crate::cli::AblateArguments;
use crate::{interrupt, output};
use cells::Plan;
use file::Ablation;
use folder::{Cells, State};
use process::Runner;

/// Trains what is not trained yet, and leaves and prints the comparison.
///
/// # Errors
/// If the ablation or a configuration is not right, the folder holds other configurations under the same names, every cell
/// fails, or the user interrupts; then what is finished stays, and the same command goes on.
pub(crate) fn run(arguments: &AblateArguments) -> anyhow::Result<()> {
    interrupt::listen()?;
    let ablation = Ablation::read(&arguments.ablation)?;
    let plan = Plan::new(&ablation, arguments)?;
    let folder = Cells::open(&arguments.runs, &plan)?;
    plan.notes.iter().for_each(|note| eprintln!("{note}"));
    let kept = plan.cells.iter().filter(|cell| folder.state(cell) == State::Finished).count();
    eprintln!("{}: {} cells, {kept} of them finished before", folder.path().display(), plan.cells.len());
    let jobs = jobs(arguments.jobs);
    let failures = queue::work(&plan, &folder, &Runner::new(jobs)?, jobs)?;
    if failures.len() == plan.cells.len() {
        let (cell, why) = failures.first_key_value().map_or(("", ""), |(cell, why)| (cell.as_str(), why.as_str()));
        bail!("every cell failed; {cell}: {why}");
    }
    let results = results::Results::of(&plan, &folder, &failures)?;
    results.write(&folder)?;
    if arguments.json { output::json(&results.document()?) } else { output::text(&results.markdown()) }
}

/// Cells that run side by side. A small network does not fill two cores with one batch, and two cells do.
fn jobs(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    asked.or_else(|| available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}
