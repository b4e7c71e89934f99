//! Our side of a comparison: one beginning for both sides, and the steps that `train` would make of it.
//! Knows no other side; what it needs is in a file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use arcface_core::candle::{Device, Tensor};
use arcface_core::checkpoint::{load_tensors, save_tensors};
use arcface_data::{Batch, Loader};
use arcface_models::weights::StateDict;

use super::case::Case;
use crate::config::{Chosen, Config, Precision};
use crate::trainer::{Outcome, Trainer};
use crate::{interrupt, sources};

/// Where both sides begin, and the batches that they see.
pub(super) struct Beginning {
    config: Config,
    classes: usize,
    per_epoch: u64,
    /// In f32, from which both types begin alike.
    network: StateDict,
    head: StateDict,
    batches: Vec<Batch>,
}

/// What a side's steps came to.
pub(super) struct Steps {
    /// Before each step.
    pub(super) losses: Vec<f64>,
    /// Of the network's gradient, before clipping.
    pub(super) norms: Vec<f64>,
    /// After the first step of SGD: gradient and decay.
    pub(super) velocity: StateDict,
    /// Network and head after the last step.
    pub(super) weights: StateDict,
}

impl Beginning {
    /// Weights, centers and batches, drawn by the configuration's seed.
    ///
    /// # Errors
    /// If the configuration is not right.
    pub(super) fn draw(case: &Case) -> anyhow::Result<Self> {
        let config = Config { precision: Precision::F32, ..case.config()? };
        let faces = sources::open(&mut Chosen::resumed(config.clone(), case.name.to_owned()))?;
        let loader = Loader::new(faces.train.clone(), &sources::loader_config(&config))?;
        let (classes, per_epoch) = (faces.train.num_identities(), loader.batches_per_epoch());
        let trainer = Trainer::new(&config, classes, per_epoch)?;
        let batches = loader.batches(0, case.steps).collect::<Result<_, _>>()?;
        let network = trainer.backbone.state_dict()?;
        let head = copies(&trainer)?;
        Ok(Self { config, classes, per_epoch, network, head, batches })
    }

    /// Writes everything for the other side.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut tensors =
            BTreeMap::from([("images".to_owned(), self.images()?), ("labels".to_owned(), self.labels()?)]);
        tensors.extend(prefixed("network", &self.network));
        tensors.extend(prefixed("head", &self.head));
        let metadata = BTreeMap::from([
            ("config".to_owned(), serde_json::to_string(&self.config)?),
            ("total".to_owned(), self.batches.len().to_string()),
            ("steps_per_epoch".to_owned(), self.per_epoch.to_string()),
        ]);
        Ok(save_tensors(path, &tensors, &metadata)?)
    }

    /// Trains in `precision`.
    ///
    /// # Errors
    /// If an operator fails, a number is not finite, or the user interrupts.
    pub(super) fn train(&self, precision: Precision) -> anyhow::Result<Steps> {
        let config = Config { precision, ..self.config.clone() };
        let mut trainer = Trainer::new(&config, self.classes, self.per_epoch)?;
        self.begin(&trainer)?;
        let (mut losses, mut norms, mut velocity) = (Vec::new(), Vec::new(), StateDict::new());
        let total = self.batches.len() as u64;
        for (step, batch) in (0..total).zip(&self.batches) {
            interrupt::check()?;
            match trainer.step(step, total, vec![batch.clone()])? {
                Outcome::Moved(figures) => {
                    losses.push(figures.loss);
                    norms.push(figures.gradient_norm);
                }
                Outcome::Skipped(why) => bail!("step {step}: {why}; choose a smaller learning rate"),
            }
            if step == 0 {
                velocity = velocities(&trainer)?;
            }
        }
        let mut weights: StateDict = prefixed("network", &trainer.backbone.state_dict()?).collect();
        weights.extend(prefixed("head", &copies(&trainer)?));
        Ok(Steps { losses, norms, velocity, weights })
    }

    /// Brings a trainer of any precision to this beginning.
    fn begin(&self, trainer: &Trainer) -> anyhow::Result<()> {
        trainer.backbone.load_state_dict(&self.network)?;
        for (name, parameter) in trainer.objective.parameters().iter() {
            let begun = self.head.get(name).with_context(|| format!("parameter `{name}` has no beginning"))?;
            parameter.var.set(&begun.to_dtype(parameter.var.dtype())?.to_device(parameter.var.device())?)?;
        }
        Ok(())
    }

    /// (T, B, 3, S, S).
    fn images(&self) -> anyhow::Result<Tensor> {
        let (side, batch) = (self.config.model.input_size, self.config.train.batch_size);
        let values: Vec<f32> = self.batches.iter().flat_map(|batch| batch.images.iter().copied()).collect();
        Ok(Tensor::from_vec(values, (self.batches.len(), batch, 3, side, side), &Device::Cpu)?)
    }

    /// (T, B).
    fn labels(&self) -> anyhow::Result<Tensor> {
        let values: Vec<u32> = self.batches.iter().flat_map(|batch| batch.labels.iter().copied()).collect();
        Ok(Tensor::from_vec(values, (self.batches.len(), self.config.train.batch_size), &Device::Cpu)?)
    }
}

impl Steps {
    /// What the other side has written.
    ///
    /// # Errors
    /// If the file cannot be read or lacks a figure.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let (mut tensors, _) = load_tensors(path)?;
        let mut figures = |name: &str| -> anyhow::Result<Vec<f64>> {
            let tensor = tensors.remove(name).with_context(|| format!("{}: no tensor `{name}`", path.display()))?;
            Ok(tensor.to_vec1()?)
        };
        let (losses, norms) = (figures("losses")?, figures("norms")?);
        let (velocity, weights): (StateDict, StateDict) =
            tensors.into_iter().partition(|(name, _)| name.starts_with("velocity."));
        let velocity = velocity.into_iter().map(|(name, tensor)| (name["velocity.".len()..].to_owned(), tensor));
        Ok(Self { losses, norms, velocity: velocity.collect(), weights })
    }
}

/// The head's parameters, which training does not change.
pub(super) fn copies(trainer: &Trainer) -> anyhow::Result<StateDict> {
    let copy = |(name, parameter): (&str, &arcface_core::Parameter)| Ok((name.to_owned(), parameter.var.copy()?));
    trainer.objective.parameters().iter().map(copy).collect()
}

/// The momentum of every parameter under torch's names, in torch's layouts.
fn velocities(trainer: &Trainer) -> anyhow::Result<StateDict> {
    let entries = trainer.backbone.config().plan()?.entries();
    let layouts: BTreeMap<&str, _> = entries.iter().map(|entry| (entry.name.as_str(), entry.layout)).collect();
    let state = trainer.optimizer.state().into_iter();
    let momentum = state.filter_map(|(name, tensor)| Some((name.strip_prefix("momentum.")?.to_owned(), tensor)));
    let in_torch = |(name, tensor): (String, Tensor)| {
        let layout = layouts.get(name.as_str());
        let tensor = layout.map_or_else(|| Ok(tensor.clone()), |layout| layout.to_torch(&tensor))?;
        Ok((name, tensor))
    };
    momentum.map(in_torch).collect()
}

/// The same under `prefix.`.
pub(super) fn prefixed<'a>(prefix: &'a str, tensors: &'a StateDict) -> impl Iterator<Item = (String, Tensor)> + 'a {
    tensors.iter().map(move |(name, tensor)| (format!("{prefix}.{name}"), tensor.clone()))
}
