//! The folder of an ablation: a run for each cell, and what each was asked to be.
//! Knows no process; it says what is finished, what can go on, and refuses what is another ablation.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cells::{Cell, Plan, slug};
use super::faces::Aims;
use super::file::{Benchmark, Synth};
use crate::difference::first_change;
use crate::run::RunFolder;
use crate::{outcomes, output};

/// What every cell was asked to be.
const MANIFEST: &str = "cells.json";
/// What is written last into a run.
pub(super) const SUMMARY: &str = "summary.json";

/// The folder.
#[derive(Debug)]
pub(crate) struct Cells {
    path: PathBuf,
    benchmarks: Vec<Benchmark>,
    synth: Option<Synth>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    cells: BTreeMap<String, Value>,
}

/// How far a cell has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing that could be gone on with.
    New,
    /// A run that was begun.
    Begun,
    /// Trained, but not verified on every benchmark.
    Trained,
    /// Verified, but not all faces are made of it.
    Verified,
    /// Nothing is left to do.
    Finished,
}

impl Cells {
    /// The folder of `plan`, new or of the same configurations, its manifest grown by new cells.
    ///
    /// # Errors
    /// If it holds a cell of the same name and another configuration, is not that of an ablation, or cannot be written.
    pub(crate) fn open(runs: &Path, plan: &Plan) -> anyhow::Result<Self> {
        let name = format!("ablate-{}", plan.name);
        if slug(&name) != name {
            bail!("--name `{}`: expected letters, digits, `_`, `.` and single hyphens", plan.name);
        }
        let folder = Self { path: runs.join(name), benchmarks: plan.benchmarks.clone(), synth: plan.synth.clone() };
        let mut manifest = folder.manifest()?;
        for cell in &plan.cells {
            if let Some(before) = manifest.cells.insert(cell.name.clone(), cell.resolved.clone()) {
                folder.refuse_change(cell, &before)?;
            }
        }
        let logs = folder.path.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("{} cannot be made", logs.display()))?;
        folder.write(MANIFEST, &(serde_json::to_string_pretty(&manifest)? + "\n"))?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The run of a cell.
    pub(crate) fn run(&self, cell: &Cell) -> PathBuf {
        self.path.join(&cell.name)
    }

    /// Where the words of a cell's process are kept.
    pub(crate) fn log(&self, cell: &Cell) -> PathBuf {
        self.path.join("logs").join(format!("{}.log", cell.name))
    }

    /// Where a cell's figures on a benchmark are kept.
    pub(crate) fn benchmark(&self, cell: &Cell, benchmark: &Benchmark) -> PathBuf {
        self.run(cell).join("benchmarks").join(slug(&benchmark.name))
    }

    pub(crate) fn state(&self, cell: &Cell) -> State {
        let run = self.run(cell);
        if !run.join(SUMMARY).is_file() {
            return if RunFolder::at(&run).is_begun() { State::Begun } else { State::New };
        }
        if self.benchmarks_left(cell).next().is_some() {
            return State::Trained;
        }
        if self.aims_left(cell).next().is_some() { State::Verified } else { State::Finished }
    }

    /// What is to be made of the networks.
    pub(crate) fn synth(&self) -> Option<&Synth> {
        self.synth.as_ref()
    }

    /// Where faces of a cell are made.
    pub(crate) fn faces(&self, cell: &Cell, aims: Aims) -> PathBuf {
        self.run(cell).join("synth").join(aims.word())
    }

    /// The faces that are not made of a cell yet.
    pub(crate) fn aims_left<'a>(&'a self, cell: &'a Cell) -> impl Iterator<Item = Aims> + 'a {
        let synth = self.synth.as_ref().filter(|_| cell.judge.is_some());
        let aims = synth.into_iter().flat_map(Aims::of);
        aims.filter(|aims| !self.faces(cell, *aims).join(SUMMARY).is_file())
    }

    /// The benchmarks that a cell was not verified on yet.
    pub(crate) fn benchmarks_left<'a>(&'a self, cell: &'a Cell) -> impl Iterator<Item = &'a Benchmark> + 'a {
        self.benchmarks.iter().filter(|benchmark| !self.benchmark(cell, benchmark).join(outcomes::FILE).is_file())
    }

    /// Removes what a cell that cannot go on left behind.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(crate) fn clear(&self, cell: &Cell) -> anyhow::Result<()> {
        let run = self.run(cell);
        if !run.exists() {
            return Ok(());
        }
        fs::remove_dir_all(&run).with_context(|| format!("{} cannot be removed", run.display()))
    }

    /// Writes a text file, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        output::file(&self.path.join(name), text)
    }

    fn manifest(&self) -> anyhow::Result<Manifest> {
        let path = self.path.join(MANIFEST);
        if !path.exists() {
            return if self.path.exists() { Err(self.not_ours()) } else { Ok(Manifest::default()) };
        }
        let read = || anyhow::Ok(serde_json::from_slice(&fs::read(&path)?)?);
        read().with_context(|| path.display().to_string())
    }

    fn not_ours(&self) -> anyhow::Error {
        anyhow::anyhow!(
            "{}: expected a new folder or that of an ablation, found one without {MANIFEST}; choose another with --name",
            self.path.display()
        )
    }

    fn refuse_change(&self, cell: &Cell, before: &Value) -> anyhow::Result<()> {
        let Some((key, before, now)) = first_change("", before, &cell.resolved) else { return Ok(()) };
        bail!(
            "{}: {key} of the cell `{}` was {before} and would now be {now}; give this ablation a folder of its own with \
             --name, or remove that one",
            self.path.display(),
            cell.name
        )
    }
}
