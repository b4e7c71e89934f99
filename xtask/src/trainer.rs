//! One training step: batches in, parameters moved, figures out.
//! Knows no files, no schedule of evaluations and no printing.

use anyhow::Context;
use arcface_core::device::keep_shapes;
use arcface_core::optim::{AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig, clip_norm};
use arcface_core::parameters::Accumulation;
use arcface_core::schedule::{self, Schedule};
use arcface_core::{Gradients, Parameters};
use arcface_data::Batch;
use arcface_losses::{HeadShape, Objective};
use arcface_models::{Backbone, BackboneConfig};

use crate::config::{Config, Curve, Method};
use crate::host::Computer;
use crate::pretrained;
use crate::upload::{Uploaded, Uploader};

/// A network, its loss and its optimiser.
pub(crate) struct Trainer {
    pub(crate) backbone: Backbone,
    pub(crate) objective: Objective,
    pub(crate) optimizer: Box<dyn Optimizer>,
    /// Of both the backbone and the head.
    pub(crate) parameters: Parameters,
    pub(crate) computer: Computer,
    uploader: Uploader,
    schedule: Schedule,
    clip_norm: Option<f64>,
    seed: u64,
}

/// What one step came to.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The parameters moved.
    Moved(Figures),
    /// Nothing moved, since something was not finite: what it was.
    Skipped(String),
}

/// Figures of one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Mean over the batch, or batches.
    pub(crate) loss: f64,
    /// Mean of the target angle in degrees; NaN for a loss without class centers.
    pub(crate) target_angle: f64,
    /// ‖g‖ of the backbone before clipping.
    pub(crate) gradient_norm: f64,
    pub(crate) learning_rate: f64,
}

impl Trainer {
    /// Everything at the beginning, for `num_classes` identities.
    ///
    /// # Errors
    /// If a value is out of range, or given weights do not fit.
    pub(crate) fn new(config: &Config, num_classes: usize, steps_per_epoch: u64) -> anyhow::Result<Self> {
        let trainer = Self::for_checkpoint(config, num_classes, steps_per_epoch)?;
        if let Some(path) = &config.model.weights {
            pretrained::begin_with(&trainer.backbone, path)?;
        }
        Ok(trainer)
    }

    /// The same with drawn weights whatever `model.weights` says: those of a checkpoint take their place, and the file
    /// that the run began from may be gone.
    ///
    /// # Errors
    /// If a value is out of range.
    pub(crate) fn for_checkpoint(config: &Config, num_classes: usize, steps_per_epoch: u64) -> anyhow::Result<Self> {
        let computer = Computer::of(config)?;
        let mut backbone = backbone(config)?;
        backbone.recompute(&config.model.recompute).context("[model] recompute")?;
        let objective = objective(config, num_classes, backbone.config().embedding_size)?;
        let mut parameters = backbone.parameters().clone();
        parameters.merge(objective.parameters())?;
        Ok(Self {
            optimizer: optimizer(config, &parameters)?,
            schedule: schedule(config, steps_per_epoch)?,
            clip_norm: Some(config.optimizer.clip_norm).filter(|norm| 0.0 < *norm),
            seed: config.seed,
            uploader: Uploader::new(&computer, config.model.input_size),
            backbone,
            objective,
            parameters,
            computer,
        })
    }

    /// Step `step` of `total`, whose gradient is the mean over `batches`.
    ///
    /// # Errors
    /// If an operator fails; a loss or gradient that is not finite is an [`Outcome`].
    pub(crate) fn step(&mut self, step: u64, total: u64, batches: Vec<Batch>) -> anyhow::Result<Outcome> {
        let uploaded = batches.into_iter().map(|batch| self.upload(batch)).collect::<anyhow::Result<_>>()?;
        self.step_on(step, total, uploaded)
    }

    /// The batch on the device.
    ///
    /// # Errors
    /// If the device has no more memory.
    pub(crate) fn upload(&mut self, batch: Batch) -> anyhow::Result<Uploaded> {
        self.uploader.upload(batch)
    }

    /// [`Trainer::step`] on what is there already.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub(crate) fn step_on(&mut self, step: u64, total: u64, batches: Vec<Uploaded>) -> anyhow::Result<Outcome> {
        let state = self.objective.state();
        let outcome = self.try_step(step, total, batches)?;
        match &outcome {
            Outcome::Moved(_) => self.backbone.commit_statistics()?,
            Outcome::Skipped(_) => {
                self.backbone.discard_statistics();
                self.objective.load_state(&state)?;
            }
        }
        Ok(outcome)
    }

    fn try_step(&mut self, step: u64, total: u64, batches: Vec<Uploaded>) -> anyhow::Result<Outcome> {
        let count = batches.len() as f64;
        let (mut of_backbone, mut of_head) = (Accumulation::default(), Accumulation::default());
        let (mut loss, mut angle) = (0.0, 0.0);
        for batch in batches {
            let pass = {
                let _shapes = keep_shapes(&self.computer.device);
                self.backbone.training_pass(&batch.images, self.seed, batch.step)?
            };
            let output = self.objective.forward(pass.embeddings(), &batch.labels, step)?;
            if !output.value.is_finite() {
                return Ok(Outcome::Skipped(format!("the loss is {}", output.value)));
            }
            loss += output.value / count;
            angle += mean_angle(&output.target_cosines) / count;
            let _shapes = keep_shapes(&self.computer.device);
            of_backbone.push(pass.backward(&output.loss)?)?;
            of_head.push(output.gradients)?;
        }
        let (mut gradients, of_head) = (of_backbone.take_mean()?, of_head.take_mean()?);
        if let Some(name) = not_finite([&gradients, &of_head])? {
            return Ok(Outcome::Skipped(format!("the gradient of `{name}` is not finite")));
        }
        let gradient_norm = match self.clip_norm {
            Some(most) => clip_norm(&mut gradients, most)?,
            None => gradients.norm()?,
        };
        gradients.merge(of_head)?;
        let learning_rate = self.schedule.learning_rate(step, total);
        self.optimizer.step(&self.parameters, &gradients, learning_rate)?;
        Ok(Outcome::Moved(Figures { loss, target_angle: angle, gradient_norm, learning_rate }))
    }
}

/// The network of a configuration, its weights drawn.
///
/// # Errors
/// If a value is out of range or this build cannot use the device.
pub(crate) fn backbone(config: &Config) -> anyhow::Result<Backbone> {
    let computer = Computer::of(config)?;
    let backbone = Backbone::new(&backbone_config(config), config.seed, computer.dtype(), &computer.device);
    backbone.and_then(|backbone| backbone.with_activations(computer.activations())).context("[model]")
}

/// The loss of a configuration with its class centers.
///
/// # Errors
/// If a value is out of range or this build cannot use the device.
pub(crate) fn objective(config: &Config, num_classes: usize, embedding_size: usize) -> anyhow::Result<Objective> {
    let computer = Computer::of(config)?;
    let (name, parameters) = config.loss();
    let (dtype, device) = (computer.dtype(), &computer.device);
    let shape = HeadShape { num_classes, embedding_size, dtype, device, seed: config.seed };
    Objective::build(name, &parameters, shape).context("[loss]")
}

/// What a configuration says about its network.
pub(crate) fn backbone_config(config: &Config) -> BackboneConfig {
    let model = &config.model;
    let usual = BackboneConfig::new(model.backbone);
    BackboneConfig {
        embedding_size: model.embedding_size.unwrap_or(usual.embedding_size),
        input_size: model.input_size,
        dropout: model.dropout,
        freeze: model.freeze.clone(),
        ..usual
    }
}

/// The optimiser of a configuration, at rest.
///
/// # Errors
/// If a setting lies outside its range.
pub(crate) fn optimizer(config: &Config, parameters: &Parameters) -> anyhow::Result<Box<dyn Optimizer>> {
    let settings = &config.optimizer;
    let weight_decay = settings.weight_decay;
    Ok(match settings.name {
        Method::Sgd => Box::new(Sgd::new(SgdConfig { momentum: settings.momentum, weight_decay }, parameters)?),
        Method::AdamW => {
            let (beta1, beta2, eps) = (settings.beta1, settings.beta2, settings.eps);
            Box::new(AdamW::new(AdamWConfig { beta1, beta2, eps, weight_decay }, parameters)?)
        }
    })
}

/// The schedule with epochs turned into steps.
fn schedule(config: &Config, steps_per_epoch: u64) -> anyhow::Result<Schedule> {
    let settings = &config.schedule;
    let steps = |epochs: f64| (epochs * steps_per_epoch as f64).round() as u64;
    let curve = match settings.name {
        Curve::Constant => schedule::Curve::Constant,
        Curve::Polynomial => schedule::Curve::Polynomial { power: settings.power },
        Curve::Cosine => schedule::Curve::Cosine { floor: settings.floor },
        Curve::Step => {
            let milestones = settings.milestones.iter().map(|epochs| steps(*epochs)).collect();
            schedule::Curve::Step { milestones, factor: settings.factor }
        }
    };
    Ok(Schedule::new(config.optimizer.learning_rate, curve, steps(settings.warmup_epochs))?)
}

/// Mean of arccos in degrees; NaN of nothing.
fn mean_angle(cosines: &[f64]) -> f64 {
    cosines.iter().map(|cosine| cosine.clamp(-1.0, 1.0).acos().to_degrees()).sum::<f64>() / cosines.len() as f64
}

fn not_finite(gradients: [&Gradients; 2]) -> anyhow::Result<Option<String>> {
    for gradients in gradients {
        if let Some(name) = gradients.first_non_finite()? {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}
