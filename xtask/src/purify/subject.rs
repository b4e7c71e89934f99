//! What is purified: a finished run, its network and its sub-centers.
//! Knows no angles.

use std::ops::Deref;
use std::path::Path;

use anyhow::{Context, bail};
use arcface_data::purify::SubCenters;

use crate::checkpoint;
use crate::config::Config;
use crate::finished::Finished;
use crate::net::{Net, Overrides};
use crate::run::WEIGHTS;

/// A run, to which it dereferences, and all that belongs to it.
pub(super) struct Subject {
    finished: Finished,
    pub(super) centers: SubCenters,
    pub(super) net: Net,
}

impl Deref for Subject {
    type Target = Finished;
    fn deref(&self) -> &Finished {
        &self.finished
    }
}

impl Subject {
    /// The run in the folder `path`.
    ///
    /// # Errors
    /// If it is none, is unfinished, has no sub-centers, or its data set is no longer the same.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let finished = Finished::open(path)?;
        refuse_single_centers(&finished.config).with_context(|| path.display().to_string())?;
        let centers = sub_centers(&finished)?;
        let net = Net::load(&finished.checkpoint.join(WEIGHTS), &Overrides::default())?;
        Ok(Self { finished, centers, net })
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

fn sub_centers(finished: &Finished) -> anyhow::Result<SubCenters> {
    let checkpoint = &finished.checkpoint;
    let centers = checkpoint::sub_centers(&checkpoint::centers(checkpoint)?);
    let centers = centers.with_context(|| checkpoint.display().to_string())?;
    let (classes, identities) = (centers.shape()[0], finished.source.num_identities());
    if classes != identities {
        bail!(
            "{}: expected centers of {identities} classes as the data set has, found {classes}; the data set has changed \
             since the run",
            finished.run.path().display()
        );
    }
    Ok(centers)
}
