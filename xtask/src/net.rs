//! A trained network from wherever it stands: a run, a checkpoint, a weights file.
//! Knows no faces and no figures.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arcface_data::Normalisation;
use arcface_models::weights::{Metadata, WeightsFile, read};
use arcface_models::{Architecture, Backbone, BackboneConfig};

use crate::cli::ComputerArguments;
use crate::host::Computer;
use crate::run::{self, RunFolder};

/// What can be said about a file that does not say it itself, and what is to compute.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    pub(crate) backbone: Option<String>,
    pub(crate) normalise: Option<String>,
    pub(crate) computer: ComputerArguments,
}

/// A network and how images become its input.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) backbone: Backbone,
    pub(crate) normalisation: Normalisation,
    pub(crate) computer: Computer,
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
    /// If there is none, it cannot be told which network the weights belong to, or the device cannot be used.
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
        let normalisation = match &overrides.normalise {
            Some(name) => name.parse().context("--normalise")?,
            None => presented(&path, &file, &config)?,
        };
        if file.metadata.is_none() && overrides.normalise.is_none() {
            notes.push(format!("images are normalised as {}; `--normalise` changes it", spelling(normalisation)));
        }
        let computer = Computer::open(overrides.computer.device, overrides.computer.precision)?;
        let backbone = Backbone::load_as(&path, &file, &config, computer.dtype(), &computer.device)?;
        let backbone = backbone.with_activations(computer.activations())?;
        Ok(Self { backbone, normalisation, computer, path, notes })
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

/// How the network of `file` takes images: what the file says, else what its kind of network was published with.
///
/// # Errors
/// If the file says something that is not known here.
pub(crate) fn presented(path: &Path, file: &WeightsFile, config: &BackboneConfig) -> anyhow::Result<Normalisation> {
    let published = Metadata::new(config);
    let metadata = file.metadata.as_ref().unwrap_or(&published);
    if metadata.colour_order != published.colour_order {
        let (path, expected, found) = (path.display(), &published.colour_order, &metadata.colour_order);
        bail!("{path}: metadata `colour_order`: expected {expected}, got `{found}`; swap the first layer's channels");
    }
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
