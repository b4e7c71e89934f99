//! What is purified: a finished run, the faces that it was trained on, its network and its sub-centers.
//! Knows no angles; whatever does not belong together is an error here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use arcface_core::candle::DType;
use arcface_data::Source;
use arcface_data::purify::SubCenters;

use crate::census::{Census, Standing};
use crate::checkpoint;
use crate::config::{self, Config};
use crate::net::{Net, Overrides};
use crate::run::{PROVENANCE, RunFolder, WEIGHTS};
use crate::sources::{self, Planted, Training};

/// A run and all that belongs to it.
pub(super) struct Subject {
    pub(super) run: RunFolder,
    pub(super) config: Config,
    pub(super) source: Arc<dyn Source>,
    pub(super) census: Census,
    /// What is true of the labels, where noise was planted.
    pub(super) planted: Option<Planted>,
    pub(super) centers: SubCenters,
    pub(super) net: Net,
    pub(super) checkpoint: PathBuf,
}

impl Subject {
    /// The run in the folder `path`.
    ///
    /// # Errors
    /// If it is none, is unfinished, has no sub-centers, or its data set is no longer the same.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let run = RunFolder::at(path);
        let place = || path.display().to_string();
        if !run.is_begun() {
            bail!("{}: expected the folder of a run, with config.toml and {PROVENANCE}", place());
        }
        let config = config::resume(&run.config(), &[])?;
        refuse_single_centers(&config).with_context(place)?;
        let checkpoint = last_checkpoint(&run)?;
        let (Training { source, planted }, _) = sources::training(&config)?;
        let census = Census::of(&*source, planted.as_ref());
        if census.check(&run.read_json(PROVENANCE)?).with_context(place)? == Standing::Unknown {
            eprintln!("{}: {PROVENANCE} does not tell what the data set was; it is taken to be the same", place());
        }
        let centers = sub_centers(&run, &checkpoint, &source)?;
        let net = Net::load(&checkpoint.join(WEIGHTS), &Overrides::default())?;
        Ok(Self { run, config, source, census, planted, centers, net, checkpoint })
    }

    /// K.
    pub(super) fn per_class(&self) -> usize {
        self.centers.shape()[1]
    }
}

fn refuse_single_centers(config: &Config) -> anyhow::Result<()> {
    let (name, parameters) = config.loss();
    match parameters.get("sub_centers").and_then(toml::Value::as_integer) {
        Some(2..) => Ok(()),
        Some(_) => bail!(
            "loss.sub_centers = 1: there is nothing to tell noise by; train with sub-centers: --set loss.sub_centers=3"
        ),
        None => {
            bail!("loss.name = \"{name}\" has no sub-centers; train with others: --set loss.name=subcenter_arcface")
        }
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

fn sub_centers(run: &RunFolder, checkpoint: &Path, source: &Arc<dyn Source>) -> anyhow::Result<SubCenters> {
    let centers = checkpoint::centers(checkpoint)?;
    let dims = centers.dims3().with_context(|| format!("{}: centers (C, K, D)", checkpoint.display()))?;
    if dims.0 != source.num_identities() {
        bail!(
            "{}: expected centers of {} classes as the data set has, found {}; the data set has changed since the run",
            run.path().display(),
            source.num_identities(),
            dims.0
        );
    }
    let values = centers.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    SubCenters::new(values, [dims.0, dims.1, dims.2]).with_context(|| checkpoint.display().to_string())
}
