//! What training goes on from: weights that speak for themselves, and the state of everything else.
//! Knows no schedule; it writes and reads what a trainer and its progress hold.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use arcface_core::candle::{DType, Tensor};
use arcface_core::checkpoint::{load_tensors, save_tensors, take};
use arcface_data::purify::SubCenters;
use arcface_eval::Verification;
use arcface_eval::report::Hardest;
use arcface_losses::Objective;
use arcface_models::weights::{Metadata, read};
use serde::{Deserialize, Serialize};

use crate::config::{Config, DeviceChoice, Precision};
use crate::net::spelling;
use crate::run::{RunFolder, STATE, WEIGHTS};
use crate::train::Plan;
use crate::trainer::{self, Trainer};
use crate::verify::Baselines;

/// How far a run has come: all that is neither in a tensor nor a function of the step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Steps done, skipped ones included.
    pub(crate) step: u64,
    /// Images trained on.
    pub(crate) images: u64,
    /// Seconds of the whole run.
    pub(crate) seconds: f64,
    /// Seconds of its training steps.
    pub(crate) train_seconds: f64,
    /// Steps at which nothing moved.
    pub(crate) skipped_steps: u64,
    /// Of these the last ones in a row.
    pub(crate) skipped_in_a_row: u64,
    /// Unusable images that others took the place of.
    pub(crate) replaced_images: u64,
    /// Figures since the last line of the metrics.
    pub(crate) interval: Interval,
    /// Without a trained network.
    pub(crate) baselines: Option<Baselines>,
    pub(crate) untrained: Option<f64>,
    /// The step of the last verification, and what it gave.
    pub(crate) verified: Option<(u64, Verification)>,
    /// Its hardest pairs.
    #[serde(default)]
    pub(crate) hardest: Option<Hardest>,
    /// The step of the best verification, and its accuracy.
    pub(crate) best: Option<(u64, f64)>,
}

/// Sums over some steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interval {
    pub(crate) steps: u64,
    pub(crate) loss: f64,
    pub(crate) gradient_norm: f64,
    /// Absent for a loss without class centers.
    pub(crate) target_angle: Option<f64>,
}

/// Writes the checkpoint of the progress' step; weights and state stand in one folder, whole or not at all.
///
/// # Errors
/// If it cannot be written; the checkpoints before are whole then.
pub(crate) fn save(run: &RunFolder, plan: &Plan, trainer: &Trainer, progress: &Progress) -> anyhow::Result<()> {
    run.save_checkpoint(progress.step, |folder| {
        save_weights(&folder.join(WEIGHTS), run, plan, trainer, progress)?;
        save_state(&folder.join(STATE), trainer, progress)
    })
}

/// Writes the weights with what is known about them.
///
/// # Errors
/// If they cannot be written.
pub(crate) fn save_weights(
    path: &Path,
    run: &RunFolder,
    plan: &Plan,
    trainer: &Trainer,
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut metadata = Metadata::new(trainer.backbone.config())
        .with("run", run.name())
        .with("step", progress.step.to_string())
        .with("loss", plan.config.loss().0);
    spelling(plan.config.data.normalise).clone_into(&mut metadata.normalisation);
    if let Some((step, verification)) = &progress.verified
        && *step == progress.step
    {
        metadata = metadata
            .with("accuracy", verification.accuracy.to_string())
            .with("threshold", verification.threshold.to_string())
            .with("threshold_of", "squared l2 distance of normalised embeddings, up to which a pair is the same person")
            .with("mirror", plan.config.eval.mirror.to_string());
    }
    Ok(trainer.backbone.save(path, &metadata)?)
}

fn save_state(path: &Path, trainer: &Trainer, progress: &Progress) -> anyhow::Result<()> {
    let head = trainer.objective.parameters().iter();
    let head = head.map(|(name, parameter)| (format!("head.{name}"), parameter.var.as_detached_tensor()));
    let optimizer = trainer.optimizer.state().into_iter().map(|(name, tensor)| (format!("optimizer.{name}"), tensor));
    let metadata = BTreeMap::from([
        ("progress".to_owned(), serde_json::to_string(progress)?),
        ("margin".to_owned(), serde_json::to_string(&trainer.objective.state())?),
    ]);
    Ok(save_tensors(path, &head.chain(optimizer).collect(), &metadata)?)
}

/// Brings `trainer` to where the last checkpoint of `run` left it, and tells how far that was; `None` if there is none.
///
/// # Errors
/// If the checkpoint is damaged or of another network.
pub(crate) fn load_last(run: &RunFolder, trainer: &mut Trainer) -> anyhow::Result<Option<Progress>> {
    let Some(folder) = run.last_checkpoint()? else { return Ok(None) };
    let loaded = load(&folder, trainer);
    let advice = || format!("remove {} to go on from the checkpoint before, if there is one", folder.display());
    loaded.map(Some).with_context(advice)
}

fn load(folder: &Path, trainer: &mut Trainer) -> anyhow::Result<Progress> {
    let weights = folder.join(WEIGHTS);
    let file = read(&weights)?;
    trainer.backbone.load_state_dict(&file.state).with_context(|| weights.display().to_string())?;
    load_state(&folder.join(STATE), trainer)
}

/// The class centers of a checkpoint, without a trainer.
///
/// # Errors
/// If the checkpoint is damaged or its loss has no class centers.
pub(crate) fn centers(folder: &Path) -> anyhow::Result<Tensor> {
    let path = folder.join(STATE);
    let (mut tensors, _) = load_tensors(&path)?;
    let missing = || format!("{}: tensor `head.centers` is missing; this loss has no class centers", path.display());
    tensors.remove("head.centers").with_context(missing)
}

/// Class centers (C, D) or (C, K, D) as sub-centers; of the former each class has one.
///
/// # Errors
/// If the shape is another.
pub(crate) fn sub_centers(centers: &Tensor) -> anyhow::Result<SubCenters> {
    let shape = match *centers.dims() {
        [classes, size] => [classes, 1, size],
        [classes, per_class, size] => [classes, per_class, size],
        _ => bail!("class centers: expected (C, D) or (C, K, D), found {:?}", centers.dims()),
    };
    Ok(SubCenters::new(centers.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?, shape)?)
}

/// The loss of a checkpoint as training left it, in f32 on `device`, and how far that was.
///
/// # Errors
/// If the checkpoint is damaged, of another configuration, or its loss has no class centers.
pub(crate) fn head(folder: &Path, config: &Config, device: DeviceChoice) -> anyhow::Result<(Objective, Progress)> {
    let path = folder.join(STATE);
    let centers = centers(folder)?;
    let (&num_classes, &embedding_size) = centers.dims().first().zip(centers.dims().last()).with_context(|| {
        format!("{}: tensor `head.centers`: expected (C, D) or (C, K, D), found a scalar", path.display())
    })?;
    let config = Config { precision: Precision::F32, device, ..config.clone() };
    let mut objective = trainer::objective(&config, num_classes, embedding_size)?;
    let (mut tensors, metadata) = load_tensors(&path)?;
    load_head(&path, &mut tensors, &metadata, &mut objective)?;
    Ok((objective, field(&path, &metadata, "progress")?))
}

fn load_state(path: &Path, trainer: &mut Trainer) -> anyhow::Result<Progress> {
    let (mut tensors, metadata) = load_tensors(path)?;
    load_head(path, &mut tensors, &metadata, &mut trainer.objective)?;
    trainer.optimizer.load_state(optimizer_state(path, tensors)?).with_context(|| path.display().to_string())?;
    field(path, &metadata, "progress")
}

fn load_head(
    path: &Path,
    tensors: &mut BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
    objective: &mut Objective,
) -> anyhow::Result<()> {
    for (name, parameter) in objective.parameters().iter() {
        let var = &parameter.var;
        let values = take(path, tensors, &format!("head.{name}"), var.dims(), var.dtype())?;
        var.set(&values.to_device(var.device())?)?;
    }
    objective.load_state(&field(path, metadata, "margin")?).with_context(|| path.display().to_string())
}

fn optimizer_state(path: &Path, tensors: BTreeMap<String, Tensor>) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let strip = |(name, tensor): (String, Tensor)| match name.strip_prefix("optimizer.") {
        Some(own) => Ok((own.to_owned(), tensor)),
        None => bail!("{}: tensor `{name}` belongs to nothing in this run", path.display()),
    };
    tensors.into_iter().map(strip).collect()
}

fn field<T: for<'a> Deserialize<'a>>(path: &Path, metadata: &BTreeMap<String, String>, key: &str) -> anyhow::Result<T> {
    let text = metadata.get(key).with_context(|| format!("{}: metadata `{key}` is missing", path.display()))?;
    serde_json::from_str(text).with_context(|| format!("{}: metadata `{key}`", path.display()))
}
