//! An experiment as values: complete, typed, unknown keys refused.
//! Knows no file but the one it is read from; opens no data set and builds no network.

mod layers;
mod noise;
mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arcface_data::source::{Holdout, SameName};
use arcface_data::{Augmentation, Normalisation, OnCorrupt};
use arcface_models::Architecture;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::cli::ConfigArguments;
use crate::output;

pub(crate) use arcface_core::device::Choice as DeviceChoice;
pub(crate) use layers::{assignments, dotted, explain, merge};
pub(crate) use noise::{Noise, Strangers};
pub(crate) use values::{Curve, Every, Identities, Method, Precision, SamplerChoice, SourceKind};

/// The configurations that come with the binary.
const BUILT_IN: [(&str, &str); 9] = [
    ("default", include_str!("../configs/default.toml")),
    ("lfw_actors", include_str!("../configs/lfw_actors.toml")),
    ("lfw20_actors", include_str!("../configs/lfw20_actors.toml")),
    ("toy", include_str!("../configs/toy.toml")),
    ("paper/casia_r50", include_str!("../configs/paper/casia_r50.toml")),
    ("paper/vgg2_r50", include_str!("../configs/paper/vgg2_r50.toml")),
    ("paper/ms1mv3_r50", include_str!("../configs/paper/ms1mv3_r50.toml")),
    ("paper/ms1mv3_r100", include_str!("../configs/paper/ms1mv3_r100.toml")),
    ("paper/ms1mv0_subcenter_r50", include_str!("../configs/paper/ms1mv0_subcenter_r50.toml")),
];

/// A whole experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) seed: u64,
    pub(crate) device: DeviceChoice,
    pub(crate) precision: Precision,
    pub(crate) data: Data,
    pub(crate) model: Model,
    /// `name` and the parameters of that loss, complete.
    pub(crate) loss: Table,
    pub(crate) optimizer: Optimizer,
    pub(crate) schedule: Schedule,
    pub(crate) train: Train,
    pub(crate) eval: Eval,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    pub(crate) source: SourceKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identities: Option<Identities>,
    pub(crate) images_per_identity: usize,
    /// Runs from before it was there kept all.
    #[serde(default = "one")]
    pub(crate) min_images: usize,
    pub(crate) nuisance: f32,
    pub(crate) same_name: SameName,
    pub(crate) holdout: Holdout,
    pub(crate) sampler: SamplerChoice,
    pub(crate) images_per_class: usize,
    pub(crate) flip: bool,
    pub(crate) on_corrupt: OnCorrupt,
    pub(crate) workers: usize,
    pub(crate) cache_mib: usize,
    pub(crate) normalise: Normalisation,
    /// A list of the training images to take, as `purify` writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keep: Option<PathBuf>,
    pub(crate) augmentation: Augmentation,
    /// Absent in runs of older versions.
    #[serde(default)]
    pub(crate) noise: Noise,
    pub(crate) sources: Vec<Part>,
}

fn one() -> usize {
    1
}

/// One of several folders that are joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identities: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    pub(crate) backbone: Architecture,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) embedding_size: Option<usize>,
    pub(crate) input_size: usize,
    pub(crate) dropout: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weights: Option<PathBuf>,
    pub(crate) freeze: Vec<String>,
    #[serde(default)]
    pub(crate) recompute: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Optimizer {
    pub(crate) name: Method,
    pub(crate) learning_rate: f64,
    pub(crate) momentum: f64,
    pub(crate) weight_decay: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) eps: f64,
    pub(crate) clip_norm: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schedule {
    pub(crate) name: Curve,
    pub(crate) warmup_epochs: f64,
    pub(crate) milestones: Vec<f64>,
    pub(crate) factor: f64,
    pub(crate) power: f64,
    pub(crate) floor: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Train {
    pub(crate) epochs: u64,
    pub(crate) batch_size: usize,
    pub(crate) accumulate: u64,
    pub(crate) checkpoint_every: Every,
    pub(crate) keep_checkpoints: usize,
    pub(crate) log_every: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Eval {
    pub(crate) every: Every,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) images: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pairs: Option<PathBuf>,
    pub(crate) count: usize,
    pub(crate) folds: usize,
    pub(crate) mirror: bool,
    pub(crate) batch_size: usize,
    pub(crate) baselines: bool,
}

/// A configuration with what the user said about it.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) config: Config,
    /// A short name for runs of it.
    pub(crate) name: String,
    /// Dotted keys that the user set; all others are defaults, which may give way to the data.
    pub(crate) explicit: BTreeSet<String>,
    /// What the user should know about how it came about.
    pub(crate) notes: Vec<String>,
}

impl Chosen {
    /// The configuration of a run: all of it was decided when it began.
    pub(crate) fn resumed(config: Config, name: String) -> Self {
        let explicit = ["train.batch_size", "eval.count", "eval.folds"].map(str::to_owned).into();
        Self { config, name, explicit, notes: Vec::new() }
    }

    /// Identities are held out to verify on. Drawn ones cost nothing, real ones are dear; with pairs of the user's own
    /// none are needed. What the user said about it stands.
    fn hold_out_what_is_needed(&mut self) {
        let (holdout, note) = match (&self.config.eval.pairs, self.config.data.source) {
            _ if self.is_explicit("data.holdout") => return,
            (Some(_), _) => (Holdout::Identities(0), "data.holdout = 0: eval.pairs says what to verify on"),
            (None, SourceKind::Procedural) => return,
            (
                None,
                SourceKind::Folder | SourceKind::Record | SourceKind::Idx | SourceKind::Parquet | SourceKind::Joined,
            ) => (Holdout::Fraction(0.1), "data.holdout = 0.1: nine in ten identities are trained on"),
        };
        self.config.data.holdout = holdout;
        self.notes.push(note.to_owned());
    }

    pub(crate) fn is_explicit(&self, key: &str) -> bool {
        self.explicit.contains(key)
    }
}

/// `cargo xtask config`: the default file with its comments, or what a configuration resolves to.
///
/// # Errors
/// As [`choose`].
pub(crate) fn print(arguments: &ConfigArguments) -> anyhow::Result<()> {
    if arguments.config.is_none() && arguments.set.is_empty() {
        return output::text(built_in("default").unwrap_or_default());
    }
    let chosen = choose(arguments)?;
    chosen.notes.iter().for_each(|note| eprintln!("{note}"));
    output::text(&chosen.config.to_toml()?)
}

/// The configuration that the arguments ask for: defaults, then the file, then each `--set`.
///
/// # Errors
/// If the file cannot be read or is no TOML, a key is unknown or a value out of range; the message names the key.
pub(crate) fn choose(arguments: &ConfigArguments) -> anyhow::Result<Chosen> {
    let base = default_table()?;
    let file = match &arguments.config {
        Some(path) => read(path)?,
        None => Layer { name: "default".to_owned(), place: "default".to_owned(), table: Table::new() },
    };
    let set = layers::assignments(&arguments.set)?;
    let mut notes = Vec::new();
    let mut explicit = layers::keys(&file.table);
    let table = layers::over(base, file.table, &mut notes).with_context(|| file.place.clone())?;
    // The file must be right by itself: its errors then name the file, and those of `--set` do not.
    let mut config = Config::from_table(table.clone()).with_context(|| file.place.clone())?;
    if !set.is_empty() {
        explicit.extend(layers::keys(&set));
        let table = layers::over(table, set, &mut notes).context("--set")?;
        config = Config::from_table(table).context("--set")?;
    }
    let mut chosen = Chosen { config, name: file.name, explicit, notes };
    chosen.hold_out_what_is_needed();
    Ok(chosen)
}

/// The configuration of a run that is to go on, with what may change about it.
///
/// # Errors
/// If the file is not one of ours, or `--set` changes more than epochs, device, precision or workers.
pub(crate) fn resume(path: &Path, set: &[String]) -> anyhow::Result<Config> {
    // Another device may not have the precision.
    const MAY_CHANGE: [&str; 4] = ["train.epochs", "device", "precision", "data.workers"];
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let stored: Table = toml::from_str(&text).with_context(|| path.display().to_string())?;
    let set = layers::assignments(set)?;
    if let Some(key) = layers::keys(&set).iter().find(|key| !MAY_CHANGE.contains(&key.as_str())) {
        bail!(
            "--set {key}: a run goes on as it was configured; only {} may change. Start a new run for other values",
            MAY_CHANGE.join(", ")
        );
    }
    Config::from_table(layers::over(stored, set, &mut Vec::new())?).with_context(|| path.display().to_string())
}

fn default_table() -> anyhow::Result<Table> {
    toml::from_str(built_in("default").unwrap_or_default()).context("built-in configuration `default`")
}

fn built_in(name: &str) -> Option<&'static str> {
    BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// What a file changes.
struct Layer {
    name: String,
    place: String,
    table: Table,
}

/// A file, or else a built-in configuration of that name.
fn read(path: &Path) -> anyhow::Result<Layer> {
    let name = path.file_stem().map_or_else(|| "run".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let place = path.display().to_string();
    let text = match (std::fs::read_to_string(path), path.to_str().and_then(built_in)) {
        (Ok(text), _) => text,
        (Err(_), Some(text)) => text.to_owned(),
        (Err(error), None) => {
            let known = BUILT_IN.map(|(name, _)| name).join(", ");
            bail!("{place}: {error}; expected a configuration file or the name of a built-in one: {known}")
        }
    };
    let table = toml::from_str(&text).with_context(|| place.clone())?;
    Ok(Layer { name, place, table })
}

impl Config {
    fn from_table(table: Table) -> anyhow::Result<Self> {
        let mut config: Self = table.try_into().map_err(|error| layers::explain(&error))?;
        config.loss = resolve_loss(&config.loss)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration as a file that gives it back.
    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        toml::to_string(self).context("configuration")
    }

    /// Name and parameters of the loss.
    pub(crate) fn loss(&self) -> (&str, Table) {
        let mut parameters = self.loss.clone();
        parameters.remove("name");
        (self.loss.get("name").and_then(Value::as_str).unwrap_or_default(), parameters)
    }

    fn check(&self) -> anyhow::Result<()> {
        let at_least_one = [
            ("train.epochs", self.train.epochs),
            ("train.batch_size", self.train.batch_size as u64),
            ("train.accumulate", self.train.accumulate),
            ("train.keep_checkpoints", self.train.keep_checkpoints as u64),
            ("train.log_every", self.train.log_every),
            ("eval.batch_size", self.eval.batch_size as u64),
            ("data.images_per_class", self.data.images_per_class as u64),
        ];
        if let Some((key, _)) = at_least_one.iter().find(|(_, value)| *value < 1) {
            bail!("{key}: expected at least 1, got 0");
        }
        self.data.check()?;
        self.optimizer.check()?;
        self.schedule.check()?;
        if self.eval.pairs.is_some() != self.eval.images.is_some() {
            bail!("eval.pairs and eval.images: expected both or neither; the list names faces of that folder");
        }
        Ok(())
    }
}

fn resolve_loss(table: &Table) -> anyhow::Result<Table> {
    let mut given = table.clone();
    let name = given.remove("name").context("loss.name: expected the name of a loss, got none")?;
    let name = name.as_str().with_context(|| format!("loss.name: expected a string, got `{name}`"))?;
    let mut complete = Table::from_iter([("name".to_owned(), name.into())]);
    complete.extend(arcface_losses::resolve(name, &given)?);
    Ok(complete)
}

impl Data {
    fn check(&self) -> anyhow::Result<()> {
        let number = matches!(self.identities, Some(Identities::Count(_)));
        match self.source {
            SourceKind::Procedural if !number => {
                bail!("data.identities: expected how many identities to draw, for data.source = \"procedural\"")
            }
            SourceKind::Folder if self.path.is_none() => {
                bail!("data.path: expected the folder of faces, for data.source = \"folder\"; set data.path")
            }
            SourceKind::Record if self.path.is_none() => {
                bail!(
                    "data.path: expected a .rec or a folder with train.rec, for data.source = \"record\"; set data.path"
                )
            }
            SourceKind::Idx if self.path.is_none() => {
                bail!(
                    "data.path: expected a folder with train-images-idx3-ubyte, for data.source = \"idx\"; set data.path"
                )
            }
            SourceKind::Parquet if self.path.is_none() => {
                bail!(
                    "data.path: expected a .parquet or a folder of them, for data.source = \"parquet\"; set data.path"
                )
            }
            SourceKind::Joined if self.sources.is_empty() => {
                bail!("data.sources: expected at least one [[data.sources]], for data.source = \"joined\"")
            }
            _ => {
                self.noise.check(self.source)?;
                Ok(self.augmentation.check()?)
            }
        }
    }
}

impl Optimizer {
    fn check(&self) -> anyhow::Result<()> {
        let ranges = [
            ("learning_rate", 0.0 < self.learning_rate, self.learning_rate, "above 0"),
            ("momentum", 0.0 <= self.momentum && self.momentum < 1.0, self.momentum, "0 <= momentum < 1"),
            ("weight_decay", 0.0 <= self.weight_decay, self.weight_decay, "0 or more"),
            ("beta1", 0.0 <= self.beta1 && self.beta1 < 1.0, self.beta1, "0 <= beta1 < 1"),
            ("beta2", 0.0 <= self.beta2 && self.beta2 < 1.0, self.beta2, "0 <= beta2 < 1"),
            ("eps", 0.0 < self.eps, self.eps, "above 0"),
            ("clip_norm", 0.0 <= self.clip_norm, self.clip_norm, "0 (not clipped) or more"),
        ];
        check_ranges("optimizer", &ranges)
    }
}

impl Schedule {
    fn check(&self) -> anyhow::Result<()> {
        let ranges = [
            ("warmup_epochs", 0.0 <= self.warmup_epochs, self.warmup_epochs, "0 or more"),
            ("factor", 0.0 < self.factor && self.factor <= 1.0, self.factor, "0 < factor <= 1"),
            ("power", 0.0 < self.power, self.power, "above 0"),
            ("floor", 0.0 <= self.floor && self.floor <= 1.0, self.floor, "0 <= floor <= 1"),
        ];
        check_ranges("schedule", &ranges)?;
        if !self.milestones.is_sorted_by(|a, b| a < b) {
            bail!("schedule.milestones: expected rising epochs, got {:?}", self.milestones);
        }
        Ok(())
    }
}

/// (key, whether it is in range, value, range in words); infinite values are in no range.
fn check_ranges(section: &str, ranges: &[(&str, bool, f64, &str)]) -> anyhow::Result<()> {
    match ranges.iter().find(|(_, fits, value, _)| !fits || !value.is_finite()) {
        Some((key, _, value, expected)) => bail!("{section}.{key}: expected {expected}, got {value}"),
        None => Ok(()),
    }
}
