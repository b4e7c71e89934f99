//! A run that came to its end, with the faces that it was trained on: what purifying and figures are made of.
//! Knows no figure; whatever does not belong together is an error here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use arcface_data::Source;

use crate::census::{Census, Standing};
use crate::config::{self, Config, DeviceChoice, Precision};
use crate::run::{PROVENANCE, RunFolder};
use crate::sources::{self, Planted, Training};

/// The run and its faces.
pub(crate) struct Finished {
    pub(crate) run: RunFolder,
    pub(crate) config: Config,
    /// The faces that it was trained on.
    pub(crate) source: Arc<dyn Source>,
    pub(crate) census: Census,
    /// What is true of the labels, where noise was planted.
    pub(crate) planted: Option<Planted>,
    /// Identities held out to verify on, if some were.
    pub(crate) held_out: Option<Arc<dyn Source>>,
    /// The last checkpoint.
    pub(crate) checkpoint: PathBuf,
}

impl Finished {
    /// The run in the folder `path`.
    ///
    /// # Errors
    /// If it is none, is unfinished, or its data set is no longer the same.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let run = RunFolder::begun(path)?;
        let place = || path.display().to_string();
        let config = config::resume(&run.config(), &[])?;
        // It may have been trained on a device that is not here.
        let config = Config { device: DeviceChoice::Auto, precision: Precision::F32, ..config };
        let checkpoint = last_checkpoint(&run)?;
        let (Training { source, planted }, held_out) = sources::training(&config)?;
        let census = Census::of(&*source, planted.as_ref());
        if census.check(&run.read_json(PROVENANCE)?).with_context(place)? == Standing::Unknown {
            eprintln!("{}: {PROVENANCE} does not tell what the data set was; it is taken to be the same", place());
        }
        Ok(Self { run, config, source, census, planted, held_out, checkpoint })
    }
}

/// The last checkpoint of a run that came to its end.
fn last_checkpoint(run: &RunFolder) -> anyhow::Result<PathBuf> {
    let unfinished = || {
        let runs = run.path().parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        format!(
            "{}: the run is not finished; go on with it: cargo xtask train --resume --name {} --runs {}",
            run.path().display(),
            run.name(),
            runs.display()
        )
    };
    if !run.path().join("summary.json").is_file() {
        bail!(unfinished());
    }
    let steps = run.read_json("summary.json")?["steps"].as_u64();
    let last = run.last_checkpoint()?.with_context(unfinished)?;
    // More epochs may have been begun since the summary was written.
    if steps.map(|steps| run.checkpoint(steps)).as_ref() != Some(&last) {
        bail!(unfinished());
    }
    Ok(last)
}
