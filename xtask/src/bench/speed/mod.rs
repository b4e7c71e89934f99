//! `cargo xtask bench peer`: the same work here, in PyTorch and in ONNX Runtime, in turns; ratios of time and memory.
//! Knows no operator; each side is a process that is told what to do.

mod child;
mod faces;
mod figures;
mod jobs;
mod machine;
mod measure;
mod protocol;
mod table;
mod work;
pub(super) mod worker;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::{Value, json};

use self::faces::DrawnFaces;
use self::figures::Row;
use self::measure::{Measure, Measured, Sides};
use self::protocol::Side;
use self::work::{Asked, Choice, Work};
use super::peer::Peer;
use super::scratch::Scratch;
use crate::cli::PeerArguments;
use crate::config::DeviceChoice;
use crate::host::Computer;
use crate::output;

/// What the script imports whatever it does.
const MODULES: [&str; 2] = ["torch", "numpy"];

const ROUNDS: u64 = 7;
const QUICK_ROUNDS: u64 = 2;

/// All that was measured.
#[derive(Debug, Default)]
struct Report {
    works: Vec<Measurements>,
    rows: Vec<Row>,
    versions: BTreeMap<String, String>,
    /// What was left out and what else to know, a line each.
    notes: Vec<String>,
}

/// One work on all sides.
#[derive(Debug, Serialize)]
struct Measurements {
    work: &'static str,
    sides: Vec<Measured>,
}

/// Measures, and prints the figures.
///
/// # Errors
/// If there is no PyTorch, a side fails, or with `--check` a figure misses its least.
pub(super) fn run(arguments: &PeerArguments) -> anyhow::Result<()> {
    let choice = if arguments.quick { Choice::Quick } else { Choice::Full };
    let works = work::choose(arguments.device, choice, &arguments.only)?;
    let asked = asked(arguments);
    if asked.device == DeviceChoice::Auto {
        bail!("--device auto: expected cpu or cuda:0, as all sides are to compute on the same");
    }
    Computer::open(asked.device, asked.precision())?;
    let needs_peer = works.iter().any(|work| work.needs_peer());
    let peer = needs_peer.then(|| Peer::find(&MODULES)).transpose()?;
    let scratch = Scratch::new(None)?;
    let busy = machine::busy();
    if let Some(words) = &busy {
        eprintln!("{words}");
    }
    let mut report = Report { notes: busy.into_iter().collect(), ..Report::default() };
    for work in works {
        report.add(work, arguments, peer.as_ref(), &scratch)?;
    }
    if arguments.json {
        output::json(&report.document(arguments))?;
    } else {
        output::text(&report.markdown(arguments))?;
    }
    if arguments.check { figures::check(&report.rows) } else { Ok(()) }
}

impl Report {
    fn add(
        &mut self,
        work: &Work,
        arguments: &PeerArguments,
        peer: Option<&Peer>,
        scratch: &Scratch,
    ) -> anyhow::Result<()> {
        let faces = work.drawn().map(|drawn| DrawnFaces::in_folder(scratch.path(), drawn)).transpose()?;
        let task = work.task(&asked(arguments), faces.as_ref()).with_context(|| work.name.to_owned())?;
        if !arguments.batch.is_empty() && !arguments.batch.contains(&task.batch()) {
            return Ok(());
        }
        let measure = Measure {
            command: &|side| command(side, arguments.threads.get(), peer, scratch.path()),
            threads: arguments.threads.get(),
            rounds: arguments.rounds.map_or(if arguments.quick { QUICK_ROUNDS } else { ROUNDS }, u64::from),
            turns: work.turns,
        };
        let Sides { measured, versions, missing } = measure.sides(work.name, &task)?;
        let is_asked = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
        for target in work.targets.iter().filter(|target| is_asked(target.name)) {
            match Row::new(target, &task, &measured) {
                Some(row) => {
                    eprint!("{}", table::rows(std::slice::from_ref(&row)));
                    self.rows.push(row);
                }
                None => self.notes.push(format!("{}: the system does not tell the peak memory", target.name)),
            }
        }
        let left_out = |(side, what): (Side, String)| format!("{}: without {}: {what}", work.name, side.label());
        self.notes.extend(missing.into_iter().map(left_out));
        self.versions.extend(versions);
        self.works.push(Measurements { work: work.name, sides: measured });
        Ok(())
    }

    fn document(&self, arguments: &PeerArguments) -> Value {
        json!({
            "processor": machine::processor(),
            "threads": arguments.threads,
            "device": arguments.device,
            "precision": asked(arguments).precision(),
            "date": machine::today(),
            "versions": self.versions,
            "rows": self.rows,
            "works": self.works,
            "notes": self.notes,
        })
    }

    fn markdown(&self, arguments: &PeerArguments) -> String {
        let works = self.works.iter().map(|measured| (measured.work, measured.sides.as_slice()));
        let versions: Vec<String> = self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let (processor, threads, today) = (machine::processor(), arguments.threads, machine::today());
        let notes: Vec<String> = self.notes.iter().map(|note| format!("\n- {note}")).collect();
        format!(
            "{}\n{}\n{processor}, {threads} threads on each side, {}; {today}\n{}\n",
            table::rows(&self.rows),
            table::sides(works),
            versions.join(", "),
            notes.concat()
        )
    }
}

fn asked(arguments: &PeerArguments) -> Asked<'_> {
    let PeerArguments { device, precision, classes, set, .. } = arguments;
    Asked { device: *device, precision: *precision, classes: classes.map(usize::from), set }
}

/// The process of a side.
fn command(side: Side, threads: usize, peer: Option<&Peer>, folder: &Path) -> anyhow::Result<Command> {
    if side.is_ours() {
        let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
        command.args(["bench", "worker"]);
        return Ok(command);
    }
    let mut command = peer.context("a side in Python without one")?.command("speed.py", folder)?;
    command.env("OMP_NUM_THREADS", threads.to_string()).env("PYTHONWARNINGS", "ignore");
    Ok(command)
}
