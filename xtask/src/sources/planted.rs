//! Label noise in the faces to train on, as a configuration asks for it, and the truth about every image.
//! Knows no training; what is planted where is `arcface-data`'s.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arcface_core::checkpoint::atomic_write;
use arcface_data::source::{Holdout, hold_out};
use arcface_data::{NoisySource, ProceduralConfig, ProceduralSource, Source, Truth};

use super::{Divided, Training, drawing, expand};
use crate::config::{Config, SourceKind, Strangers};
use crate::data::kind;

/// What is true of the faces to train on, some of which have wrong labels.
#[derive(Debug, Clone)]
pub(crate) struct Planted {
    noisy: Arc<NoisySource>,
    /// The image of the noisy set that each image is; `None` where all are there.
    images: Option<Vec<usize>>,
}

impl Planted {
    /// The set with noise, before some of its images were chosen.
    pub(crate) fn noisy(&self) -> &NoisySource {
        &self.noisy
    }

    /// What is true of the label of image `index`.
    pub(crate) fn truth(&self, index: usize) -> Truth {
        self.noisy.truth(self.place(index))
    }

    /// The same of some of the images.
    pub(super) fn of_images(&self, images: &[usize]) -> Self {
        let images = images.iter().map(|index| self.place(*index)).collect();
        Self { noisy: self.noisy.clone(), images: Some(images) }
    }

    /// Writes the truth about every image of `source`, a line for each.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn write(&self, path: &Path, source: &dyn Source) -> anyhow::Result<()> {
        Ok(atomic_write(path, |file| {
            writeln!(file, "image,label,identity,truth,shown")?;
            (0..source.len()).try_for_each(|index| {
                let (label, truth) = (source.label(index), self.truth(index).name());
                let [identity, shown] = [source.identity(label), self.noisy.shown(self.place(index))].map(quoted);
                writeln!(file, "{index},{label},{identity},{truth},{shown}")
            })
        })?)
    }

    fn place(&self, index: usize) -> usize {
        self.images.as_ref().map_or(index, |images| images[index])
    }
}

/// A field of a CSV, in quotes where it must be.
pub(super) fn quoted(field: String) -> String {
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

/// `source` with the noise of a configuration.
///
/// # Errors
/// If there are no strangers as it asks for, or too few identities.
pub(super) fn plant(source: Arc<dyn Source>, config: &Config) -> anyhow::Result<Training> {
    let noise = &config.data.noise;
    // Held out or not, so that a set without noise is the same set.
    let is_parted = 0.0 < noise.open || noise.strangers.is_some();
    let (source, strangers) = if is_parted { part(source, config)? } else { (source, None) };
    if noise.rates().is_off() {
        return Ok(Training { source, planted: None });
    }
    let noisy = Arc::new(NoisySource::new(source, strangers, noise.rates()).context("data.noise")?);
    Ok(Training { source: noisy.clone(), planted: Some(Planted { noisy, images: None }) })
}

/// Faces to train on and those of strangers.
fn part(source: Arc<dyn Source>, config: &Config) -> anyhow::Result<Divided> {
    let strangers = config.data.noise.strangers.as_ref();
    match (strangers, config.data.source) {
        (Some(Strangers::Set(path)), _) => {
            let strangers = kind::open(&expand(path)?, None).context("data.noise.strangers")?;
            Ok((source, Some(strangers)))
        }
        (_, SourceKind::Procedural) => Ok((source, Some(Arc::new(drawn(strangers, config)?)))),
        (Some(Strangers::Count(count)), _) => {
            let holdout = Holdout::Identities(*count);
            let (known, strangers) =
                hold_out(&source, holdout, config.data.noise.seed).context("data.noise.strangers")?;
            Ok((Arc::new(known), Some(Arc::new(strangers))))
        }
        (None, _) => Ok((source, None)),
    }
}

/// Identities beyond those of the set.
fn drawn(strangers: Option<&Strangers>, config: &Config) -> anyhow::Result<ProceduralSource> {
    let set = drawing(config);
    let identities = match strangers {
        Some(Strangers::Count(count)) => *count,
        _ => set.identities,
    };
    let first_identity = set.first_identity + set.identities as u64;
    ProceduralSource::new(ProceduralConfig { identities, first_identity, ..set }).context("data.noise.strangers")
}
