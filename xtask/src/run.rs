//! The folder of a run: what stands in it, how it is begun, gone on with and kept whole.
//! Knows no network; what is written comes from `train`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;

use crate::output;

/// Weights of a network, in a run and in each of its checkpoints.
pub(crate) const WEIGHTS: &str = "weights.safetensors";
/// Everything else that training goes on with.
pub(crate) const STATE: &str = "state.safetensors";

/// What a run was made by.
pub(crate) const PROVENANCE: &str = "run.json";

const CHECKPOINT: &str = "step-";

/// The folder of one run.
#[derive(Debug, Clone)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder at `path`, whether it is there or not.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The run in the folder `path`, finished or not.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn begun(path: &Path) -> anyhow::Result<Self> {
        let run = Self::at(path);
        if run.is_begun() {
            return Ok(run);
        }
        bail!("{}: expected the folder of a run, with config.toml and {PROVENANCE}", path.display())
    }

    /// The run that `path` names or lies in, if there is one.
    pub(crate) fn around(path: &Path) -> Option<Self> {
        path.ancestors().take(4).map(Self::at).find(Self::is_begun)
    }

    /// A new folder for the run `name`, or for the first free number of `stem` where it has none.
    ///
    /// # Errors
    /// If the name is taken or cannot be that of a folder, or the folder cannot be made.
    pub(crate) fn create(runs: &Path, name: Option<&str>, stem: &str) -> anyhow::Result<Self> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => free_name(runs, stem),
        };
        Self::check_free(runs, &name)?;
        let path = runs.join(&name);
        let checkpoints = path.join("checkpoints");
        fs::create_dir_all(&checkpoints).with_context(|| format!("{} cannot be made", checkpoints.display()))?;
        Ok(Self { path })
    }

    /// Whether a run may be called `name`.
    ///
    /// # Errors
    /// If the name is taken or cannot be that of a folder.
    pub(crate) fn check_free(runs: &Path, name: &str) -> anyhow::Result<()> {
        check_name(name)?;
        let path = runs.join(name);
        if path.exists() {
            bail!(
                "{}: this run exists; choose another name, or go on with it: cargo xtask train --resume --name {name}",
                path.display()
            );
        }
        Ok(())
    }

    /// The folder of the run `name` that is to go on.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn existing(runs: &Path, name: &str) -> anyhow::Result<Self> {
        check_name(name)?;
        let run = Self { path: runs.join(name) };
        if !run.is_begun() {
            bail!(
                "{}: no run to go on with; expected a folder with the files config.toml and {PROVENANCE} of a run",
                run.path.display()
            );
        }
        Ok(run)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether a run of ours was begun here, rather than some other program's `config.toml` standing around.
    pub(crate) fn is_begun(&self) -> bool {
        self.config().is_file() && self.path.join(PROVENANCE).is_file()
    }

    /// The resolved configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    pub(crate) fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// Writes a text file of the run, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        output::file(&self.path.join(name), text)
    }

    /// Writes a JSON document of the run.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        self.write(name, &(serde_json::to_string_pretty(value)? + "\n"))
    }

    /// Reads a JSON document of the run.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read_json(&self, name: &str) -> anyhow::Result<Value> {
        let path = self.path.join(name);
        let read = || anyhow::Ok(serde_json::from_slice(&fs::read(&path)?)?);
        read().with_context(|| path.display().to_string())
    }

    /// Adds a line to the metrics.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn log(&self, line: &impl Serialize) -> anyhow::Result<()> {
        let path = self.metrics();
        let text = serde_json::to_string(line)? + "\n";
        let append = || fs::OpenOptions::new().create(true).append(true).open(&path)?.write_all(text.as_bytes());
        append().with_context(|| path.display().to_string())
    }

    /// The lines of the metrics, each with what it says.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn metrics_lines(&self) -> anyhow::Result<Vec<(String, Value)>> {
        let path = self.metrics();
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        // A line that was cut short when the run was killed is none.
        let parsed = text.lines().filter_map(|line| Some((line.to_owned(), serde_json::from_str(line).ok()?)));
        Ok(parsed.collect())
    }

    /// Cuts the metrics back to what was there at `step`, byte for byte.
    ///
    /// # Errors
    /// If they cannot be read or written.
    pub(crate) fn cut_metrics(&self, step: u64) -> anyhow::Result<()> {
        let lines = self.metrics_lines()?.into_iter();
        let kept = lines.filter(|(_, value)| value["step"].as_u64().is_some_and(|at| at <= step));
        self.write("metrics.jsonl", &kept.map(|(line, _)| line + "\n").collect::<String>())
    }

    /// The folder of the checkpoint at `step`.
    pub(crate) fn checkpoint(&self, step: u64) -> PathBuf {
        self.path.join("checkpoints").join(format!("{CHECKPOINT}{step:08}"))
    }

    /// Writes the checkpoint of `step` through `write`, whole or not at all.
    ///
    /// # Errors
    /// Those of `write`, and if a folder cannot be made or renamed; the checkpoints before are untouched then.
    pub(crate) fn save_checkpoint(
        &self,
        step: u64,
        write: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let path = self.checkpoint(step);
        let partial = path.with_file_name(format!(".{CHECKPOINT}{step:08}.partial"));
        let written = fresh_folder(&partial).and_then(|()| write(&partial)).and_then(|()| put(&partial, &path));
        if let Err(error) = written {
            // The first error is the one to report.
            let _ = fs::remove_dir_all(&partial);
            return Err(error.context(format!("checkpoint {} was not written; those before are whole", path.display())));
        }
        Ok(())
    }

    /// Removes all checkpoints but the last `keep`.
    ///
    /// # Errors
    /// If one cannot be removed.
    pub(crate) fn prune_checkpoints(&self, keep: usize) -> anyhow::Result<()> {
        let all = self.checkpoints()?;
        let superfluous = all.len().saturating_sub(keep);
        all.iter().take(superfluous).try_for_each(|path| {
            fs::remove_dir_all(path).with_context(|| format!("{} cannot be removed", path.display()))
        })
    }

    /// The newest checkpoint.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(crate) fn last_checkpoint(&self) -> anyhow::Result<Option<PathBuf>> {
        Ok(self.checkpoints()?.pop())
    }

    /// All whole checkpoints with their steps, the oldest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(crate) fn checkpoints_by_step(&self) -> anyhow::Result<Vec<(u64, PathBuf)>> {
        let step = |path: PathBuf| {
            let name = path.file_name()?.to_str()?.strip_prefix(CHECKPOINT)?;
            Some((name.parse().ok()?, path))
        };
        Ok(self.checkpoints()?.into_iter().filter_map(step).collect())
    }

    /// All whole checkpoints, the oldest first.
    fn checkpoints(&self) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.path.join("checkpoints");
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        let is_checkpoint = |path: &PathBuf| {
            path.is_dir() && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(CHECKPOINT))
        };
        let mut all: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_checkpoint).collect();
        all.sort();
        Ok(all)
    }
}

fn fresh_folder(path: &Path) -> anyhow::Result<()> {
    // A run that was killed may have left one.
    let _ = fs::remove_dir_all(path);
    fs::create_dir_all(path).with_context(|| format!("{} cannot be made", path.display()))
}

/// Moves a finished folder to its place.
fn put(partial: &Path, path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("{} cannot be replaced", path.display()))?;
    }
    fs::rename(partial, path).with_context(|| format!("{} cannot be renamed", partial.display()))
}

fn free_name(runs: &Path, stem: &str) -> String {
    let mut names = (1..).map(|number| format!("{stem}-{number}"));
    names.find(|name| !runs.join(name).exists()).unwrap_or_default()
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
        bail!("--name `{name}`: expected letters, digits, `-`, `_` and `.`, not beginning with a dot");
    }
    Ok(())
}
