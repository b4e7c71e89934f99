//! A trained network from wherever it stands: a run, a checkpoint, a weights file.
//! Knows no faces and no figures.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arcface_core::candle::DType;
use arcface_data::Normalisation;
use arcface_models::weights::{Metadata, read};
use arcface_models::{Architecture, Backbone, BackboneConfig};

use crate::run::{self, RunFolder};

/// What can be said about a file that does not say it itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    pub(crate) backbone: Option<String>,
    pub(crate) normalise: Option<String>,
}

/// A network and how images become its input.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) backbone: Backbone,
    pub(crate) normalisation: Normalisation,
    /// The file it came from.
    pub(crate) path: PathBuf,
    /// What had to be guessed.
    pub(crate) notes: Vec<String>,
}

/// The spelling of normalisations in the metadata of weights.
const SPELLINGS: [(&str, Normalisation); 3] = [
    ("(x-127.5)/127.5", Normalisation::By127_5),
    ("(x-127.5)/128", Normalisation::By128),
    ("(x/255-mean)/std", Normalisation::ImageNet),
];

/// How a normalisation is written into weights.
pub(crate) fn spelling(normalisation: Normalisation) -> &'static str {
    SPELLINGS.iter().find(|(_, known)| *known == normalisation).map_or("", |(spelling, _)| spelling)
}

impl Net {
    /// The network that `path` leads to.
    ///
    /// # Errors
    /// If there is none, or it cannot be told which network the weights belong to.
    pub(crate) fn load(path: &Path, overrides: &Overrides) -> anyhow::Result<Self> {
        let path = weights_of(path)?;
        let file = read(&path)?;
        let mut notes: Vec<String> = file.notes.iter().map(|note| format!("{}: {note}", path.display())).collect();
        let config = match &overrides.backbone {
            Some(name) => named(name, file.guess().ok().map(|guess| guess.config))?,
            None => file.guess().with_context(|| path.display().to_string())?.config,
        };
        if file.metadata.is_none() {
            notes.push(format!("{}: taken for {config} by its tensors' names", path.display()));
        }
        let normalisation = normalisation(&path, file.metadata.as_ref(), overrides, &mut notes)?;
        let backbone = Backbone::load_as(&path, &file, &config, DType::F32)?;
        Ok(Self { backbone, normalisation, path, notes })
    }
}

/// The weights file that a run, a checkpoint or a file stands for.
///
/// # Errors
/// If it is a folder without any.
pub(crate) fn weights_of(path: &Path) -> anyhow::Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let own = path.join(run::WEIGHTS);
    if own.is_file() {
        return Ok(own);
    }
    match RunFolder::at(path).last_checkpoint()? {
        Some(checkpoint) => Ok(checkpoint.join(run::WEIGHTS)),
        None => bail!(
            "{}: expected a run, a checkpoint or a weights file, found a folder without {} and without checkpoints",
            path.display(),
            run::WEIGHTS
        ),
    }
}

/// The network called `name`, with the sizes that the file shows.
fn named(name: &str, seen: Option<BackboneConfig>) -> anyhow::Result<BackboneConfig> {
    let architecture: Architecture = name.parse()?;
    let usual = BackboneConfig::new(architecture);
    Ok(seen.map_or(usual, |seen| BackboneConfig { architecture, ..seen }))
}

fn normalisation(
    path: &Path,
    metadata: Option<&Metadata>,
    overrides: &Overrides,
    notes: &mut Vec<String>,
) -> anyhow::Result<Normalisation> {
    if let Some(name) = &overrides.normalise {
        return name.parse().context("--normalise");
    }
    let Some(metadata) = metadata else {
        notes.push("images are normalised as (x-127.5)/127.5; `--normalise` changes it".to_owned());
        return Ok(Normalisation::By127_5);
    };
    let known = SPELLINGS.iter().find(|(spelling, _)| *spelling == metadata.normalisation);
    known.map(|(_, normalisation)| *normalisation).with_context(|| {
        format!(
            "{}: metadata `normalisation`: expected {}, got `{}`; say it with --normalise",
            path.display(),
            SPELLINGS.map(|(spelling, _)| spelling).join(", "),
            metadata.normalisation
        )
    })
}
