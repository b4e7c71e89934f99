//! What our side does over and over, by the functions that `train`, `eval` and `embed` call.
//! Knows no other side and no command; a job says how long its repetitions took.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use arcface_core::candle::{Tensor, Var};
use arcface_core::optim::Optimizer;
use arcface_data::{Batch, Loader};
use arcface_losses::Objective;
use arcface_models::{Backbone, Inference, Mode};
use arcface_synth::{Distance, Inversion, InversionConfig, Targets};

use super::protocol::{STEPS, Side, Task};
use crate::config::{Chosen, Config};
use crate::host::Computer;
use crate::trainer::{self, Outcome, Trainer};
use crate::upload::{Arriving, Uploaded};
use crate::verify::{Presentation, image_tensor};
use crate::{sources, train};

/// Steps of a training that does not come to its end.
const TOTAL: u64 = 1 << 40;

/// Work that can be repeated.
pub(super) trait Job {
    /// Images, or embeddings, of one repetition.
    fn items(&self) -> u64;

    /// Does it so many times, and says how long that took without what is made ready in between.
    ///
    /// # Errors
    /// If an operator fails or a file cannot be read.
    fn repeat(&mut self, times: u64) -> anyhow::Result<Duration>;
}

/// Makes everything ready for `side`, one of ours.
///
/// # Errors
/// If the configuration is not right or a file cannot be read.
pub(super) fn prepare(side: Side, task: &Task) -> anyhow::Result<Box<dyn Job>> {
    Ok(match task {
        Task::Input { config, classes } if side == Side::OursAtHand => {
            Box::new(Several(Training::new(config, *classes)?))
        }
        Task::Input { config, classes } => Box::new(Several(Fed::new(config, *classes)?)),
        Task::Training { config, classes } => Box::new(Training::new(config, *classes)?),
        Task::Inference { config } => Box::new(Embedding::new(config)?),
        Task::Head { config, classes } => Box::new(Head::new(config, *classes)?),
        Task::Inversion { config, inversion } => Box::new(Inverting::new(config, inversion)?),
        Task::Loading { config, .. } => Box::new(Loading::new(config)?),
    })
}

/// Steps of [`Trainer`] on one batch.
struct Training {
    trainer: Trainer,
    batch: Input,
    items: u64,
    step: u64,
}

/// A batch where the other sides have it too: they bring none to a device, over and over.
enum Input {
    Host(Batch),
    Device(Uploaded),
}

impl Training {
    fn new(config: &Config, classes: usize) -> anyhow::Result<Self> {
        let batch = batch(config.train.batch_size, config.model.input_size, classes);
        let mut trainer = Trainer::new(config, classes, TOTAL)?;
        let items = batch.labels.len() as u64;
        let on_cpu = trainer.computer.device.is_cpu();
        let batch = if on_cpu { Input::Host(batch) } else { Input::Device(trainer.upload(batch)?) };
        Ok(Self { trainer, batch, items, step: 0 })
    }

    fn step(&mut self) -> anyhow::Result<(Outcome, Duration)> {
        let step = self.step;
        match &self.batch {
            Input::Host(batch) => {
                let batch = vec![Batch { step, ..batch.clone() }];
                let start = Instant::now();
                Ok((self.trainer.step(step, TOTAL, batch)?, start.elapsed()))
            }
            Input::Device(batch) => {
                let batch = vec![Uploaded { step, ..batch.clone() }];
                let start = Instant::now();
                Ok((self.trainer.step_on(step, TOTAL, batch)?, start.elapsed()))
            }
        }
    }
}

impl Job for Training {
    fn items(&self) -> u64 {
        self.items
    }

    fn repeat(&mut self, times: u64) -> anyhow::Result<Duration> {
        let mut spent = Duration::ZERO;
        for _ in 0..times {
            let (outcome, took) = self.step()?;
            spent += took;
            if let Outcome::Skipped(why) = outcome {
                bail!("step {}: {why}; choose a smaller learning rate", self.step);
            }
            self.step += 1;
        }
        Ok(spent)
    }
}

/// Steps of [`Trainer`] on batches that come from files, as `train` makes them.
struct Fed {
    trainer: Trainer,
    batches: Arriving,
    items: u64,
    step: u64,
}

impl Fed {
    fn new(config: &Config, classes: usize) -> anyhow::Result<Self> {
        let batches = loader(config)?.batches(0, TOTAL);
        let trainer = Trainer::new(config, classes, TOTAL)?;
        let batches = Arriving::at(&trainer.computer, config.model.input_size, batches);
        Ok(Self { trainer, batches, items: config.train.batch_size as u64, step: 0 })
    }
}

impl Job for Fed {
    fn items(&self) -> u64 {
        self.items
    }

    fn repeat(&mut self, times: u64) -> anyhow::Result<Duration> {
        let start = Instant::now();
        for _ in 0..times {
            let batch = self.batches.next().context("the source has no more batches")??;
            if let Outcome::Skipped(why) = self.trainer.step_on(self.step, TOTAL, vec![batch])? {
                bail!("step {}: {why}; choose a smaller learning rate", self.step);
            }
            self.step += 1;
        }
        Ok(start.elapsed())
    }
}

/// So many repetitions as one that no queue hides anything in them.
struct Several<J>(J);

impl<J: Job> Job for Several<J> {
    fn items(&self) -> u64 {
        STEPS * self.0.items()
    }

    fn repeat(&mut self, times: u64) -> anyhow::Result<Duration> {
        self.0.repeat(STEPS * times)
    }
}

/// Embeddings of one batch, as `eval` and `embed` make them.
struct Embedding {
    network: Inference,
    presentation: Presentation,
    images: Vec<f32>,
    /// The same where the other sides have them too, if that is not the host.
    on_device: Option<Tensor>,
}

impl Embedding {
    fn new(config: &Config) -> anyhow::Result<Self> {
        let presentation = train::presentation(config);
        let images = pixels(presentation.batch_size, presentation.image_size);
        let network = trainer::backbone(config)?.inference()?;
        let upload = || image_tensor(images.clone(), presentation.image_size, network.dtype(), network.device());
        let on_device = (!network.device().is_cpu()).then(upload).transpose()?;
        Ok(Self { network, presentation, images, on_device })
    }
}

impl Job for Embedding {
    fn items(&self) -> u64 {
        self.presentation.batch_size as u64
    }

    fn repeat(&mut self, times: u64) -> anyhow::Result<Duration> {
        let mut spent = Duration::ZERO;
        for _ in 0..times {
            if let Some(images) = &self.on_device {
                black_box(self.network.forward(images)?);
                continue;
            }
            let images = self.images.clone();
            let start = Instant::now();
            black_box(self.presentation.embed(&self.network, images)?);
            spent += start.elapsed();
        }
        Ok(spent)
    }
}

/// A head without a network: what [`Trainer`] does between the embeddings and their gradient, and the head's update.
struct Head {
    objective: Objective,
    optimizer: Box<dyn Optimizer>,
    embeddings: Var,
    labels: Vec<u32>,
    learning_rate: f64,
    step: u64,
}

impl Head {
    fn new(config: &Config, classes: usize) -> anyhow::Result<Self> {
        let size = trainer::backbone_config(config).embedding_size;
        let objective = trainer::objective(config, classes, size)?;
        let batch = config.train.batch_size;
        let embeddings = Tensor::from_vec(numbers(batch * size), (batch, size), &Computer::of(config)?.device)?;
        Ok(Self {
            optimizer: trainer::optimizer(config, objective.parameters())?,
            embeddings: Var::from_tensor(&embeddings.to_dtype(objective.parameters().dtype())?)?,
            objective,
            labels: labels(batch, classes),
            learning_rate: config.optimizer.learning_rate,
            step: 0,
        })
    }

    fn step(&mut self) -> anyhow::Result<()> {
        let output = self.objective.forward(&self.embeddings, &self.labels, self.step)?;
        let store = output.loss.backward()?;
        black_box(store.get(&self.embeddings).context("the embeddings have no gradient")?);
        if !output.value.is_finite() {
            bail!("step {}: the loss is {}; choose a smaller learning rate", self.step, output.value);
        }
        if let Some(name) = output.gradients.first_non_finite()? {
            bail!("step {}: the gradient of `{name}` is not finite; choose a smaller learning rate", self.step);
        }
        self.optimizer.step(self.objective.parameters(), &output.gradients, self.learning_rate)?;
        self.step += 1;
        Ok(())
    }
}

impl Job for Head {
    fn items(&self) -> u64 {
        self.labels.len() as u64
    }

    fn repeat(&mut self, times: u64) -> anyhow::Result<Duration> {
        let start = Instant::now();
        (0..times).try_for_each(|_| self.step())?;
        Ok(start.elapsed())
    }
}

/// Steps of [`Inversion`] towards embeddings of noise, at the full size of the images.
struct Inverting {
    backbone: Backbone,
    inversion: Inversion,
    targets: Targets,
}

impl Inverting {
    fn new(config: &Config, inversion: &InversionConfig) -> anyhow::Result<Self> {
        let backbone = trainer::backbone(config)?;
        let (count, size) = (config.eval.batch_size, config.model.input_size);
        let parameters = backbone.parameters();
        let noise = image_tensor(pixels(count, size), size, parameters.dtype(), parameters.device())?;
        let targets = Targets::new(&backbone.forward(&noise, Mode::Eval)?, Distance::Euclidean)?;
        let inversion = InversionConfig { steps: TOTAL, coarse: Vec::new(), ..inversion.clone() };
        Ok(Self { inversion: Inversion::new(&inversion, 0, count, size)?, backbone, targets })
    }
}

impl Job for Inverting {
    fn items(&self) -> u64 {
        self.targets.count() as u64
    }

    fn repeat(&mut self, times: u64) -> anyhow::Result<Duration> {
        let (network, targets) = (self.backbone.network(), &self.targets);
        let start = Instant::now();
        for _ in 0..times {
            black_box(self.inversion.step(network, |embeddings| targets.loss(embeddings))?);
        }
        Ok(start.elapsed())
    }
}

/// Epochs of training batches.
struct Loading {
    loader: Loader,
    batch_size: usize,
    step: u64,
}

impl Loading {
    fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self { loader: loader(config)?, batch_size: config.train.batch_size, step: 0 })
    }
}

/// That of the faces of a configuration.
fn loader(config: &Config) -> anyhow::Result<Loader> {
    let mut chosen = Chosen::resumed(config.clone(), "loading".to_owned());
    let faces = sources::open(&mut chosen)?;
    Ok(Loader::new(faces.train, &sources::loader_config(config))?)
}

impl Job for Loading {
    fn items(&self) -> u64 {
        self.loader.batches_per_epoch() * self.batch_size as u64
    }

    fn repeat(&mut self, times: u64) -> anyhow::Result<Duration> {
        let end = self.step + times * self.loader.batches_per_epoch();
        let start = Instant::now();
        for batch in self.loader.batches(self.step, end) {
            black_box(batch?);
        }
        self.step = end;
        Ok(start.elapsed())
    }
}

/// A batch by formula.
fn batch(size: usize, side: usize, classes: usize) -> Batch {
    Batch {
        images: pixels(size, side),
        labels: labels(size, classes),
        indices: (0..size).collect(),
        step: 0,
        skipped: Vec::new(),
    }
}

/// Images (B, 3, S, S).
fn pixels(batch: usize, side: usize) -> Vec<f32> {
    numbers(batch * 3 * side * side)
}

/// Numbers spread evenly over −1 to 1: the fractional parts of the multiples of an irrational number.
fn numbers(count: usize) -> Vec<f32> {
    let spread = |index: u32| index.wrapping_mul(2_654_435_761) as f32 / 2f32.powi(31) - 1.0;
    (0..count as u32).map(spread).collect()
}

/// Labels spread over all classes.
fn labels(batch: usize, classes: usize) -> Vec<u32> {
    (0..batch).map(|row| (row * 7919 % classes.max(1)) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_spread_over_their_range() {
        let numbers = numbers(10_000);
        let mean = numbers.iter().sum::<f32>() / 1e4;
        assert!(mean.abs() < 0.01 && numbers.iter().all(|number| number.abs() <= 1.0), "{mean}");
        assert_eq!(labels(4, 1000), [0, 919, 838, 757]);
    }
}
