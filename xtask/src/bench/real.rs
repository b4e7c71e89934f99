//! `cargo xtask bench parity --real`: whole trainings here and in PyTorch, and the interval of their difference.
//! Knows no network; both sides give embeddings of the faces to verify.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::checkpoint::{load_tensors, save_tensors};
use arcface_data::augment::flips;
use arcface_data::{Loader, Source};
use arcface_eval::Embeddings;
use arcface_models::Backbone;
use serde_json::{Value, json};

use super::figures::{Material, Report};
use super::ours::{copies, prefixed};
use super::peer::Peer;
use super::scratch::Scratch;
use crate::cli::{ConfigArguments, ParityArguments};
use crate::config::{self, Chosen, Config};
use crate::progress::Progress;
use crate::sources::Faces;
use crate::trainer::{Outcome, Trainer};
use crate::verify::Verifier;
use crate::{interrupt, output, sources, train};

/// What the scripts import.
const MODULES: [&str; 3] = ["torch", "numpy", "PIL"];

/// The built-in configuration that is trained where none is named.
const CONFIGURATION: &str = "lfw_actors";

/// A shorter training, whose only augmentation is the mirror image, which both sides have.
const SHORT: [&str; 11] = [
    "train.epochs=4",
    "loss.warmup_steps=400",
    "data.augmentation.shift=0",
    "data.augmentation.rotation=0",
    "data.augmentation.zoom=0",
    "data.augmentation.brightness=0",
    "data.augmentation.contrast=0",
    "data.augmentation.saturation=0",
    "data.augmentation.grey=0",
    "data.augmentation.low_resolution=0",
    "data.augmentation.erasing=0",
];

/// One seed's training.
struct Training {
    config: Config,
    images: Arc<dyn Source>,
    loader: Loader,
    verifier: Verifier,
    total: u64,
}

/// What is left of it when ours is done; the decoded images are gone.
struct Trained {
    config: Config,
    ours: Embeddings,
    /// What the other side is to do.
    job: Value,
    output: PathBuf,
}

/// Trains each seed on both sides, and prints the figures and the interval of their difference.
///
/// # Errors
/// If there is no PyTorch, the data are missing, a side fails, or ours may be worse by three points.
pub(super) fn run(arguments: &ParityArguments) -> anyhow::Result<()> {
    let peer = Peer::find(&MODULES)?;
    let scratch = Scratch::new(arguments.out.as_deref())?;
    let first = Training::new(arguments, 0)?;
    let material = Material::of(&first.verifier.set);
    let mut trained = vec![first.finish(&scratch)?];
    for seed in 1..arguments.seeds.get() {
        trained.push(Training::new(arguments, seed)?.finish(&scratch)?);
    }
    eprintln!("training {} seeds with PyTorch {}", trained.len(), peer.version);
    peer.run("train.py", &trained.iter().map(|seed| seed.job.clone()).collect(), scratch.path())?;
    let theirs = trained.iter().map(Trained::theirs).collect::<anyhow::Result<Vec<_>>>()?;
    let (config, ours): (Vec<Config>, Vec<Embeddings>) =
        trained.into_iter().map(|seed| (seed.config, seed.ours)).unzip();
    let report = Report::new(&material, &ours, &theirs)?;
    if arguments.json {
        output::json(&json!({ "torch": peer.version, "config": config[0], "report": report }))?;
    } else {
        output::text(&report.table())?;
    }
    report.conclude()
}

impl Training {
    fn new(arguments: &ParityArguments, seed: u64) -> anyhow::Result<Self> {
        let set = SHORT.iter().map(ToString::to_string).chain(arguments.set.iter().cloned());
        let name = arguments.config.clone().unwrap_or_else(|| CONFIGURATION.into());
        let set = set.chain([format!("seed={seed}")]).collect();
        let mut chosen = config::choose(&ConfigArguments { config: Some(name), set })?;
        if chosen.config.eval.pairs.is_none() {
            bail!(
                "eval.pairs: expected a list, since all seeds are verified on the same pairs; \
                 set eval.pairs and eval.images"
            );
        }
        let Faces { train: images, pairs, .. } = sources::open(&mut chosen)?;
        let Chosen { config, .. } = chosen;
        let pairs = pairs.context("eval.pairs: the list gives no pairs")?;
        check_files(&*images)?;
        let loader = Loader::new(images.clone(), &sources::loader_config(&config))?;
        let total = config.train.epochs * loader.batches_per_epoch();
        let verifier = Verifier::new(pairs, train::presentation(&config))?;
        Ok(Self { config, images, loader, verifier, total })
    }

    /// Trains here and embeds the faces to verify; what the other side begins with is written on the way.
    fn finish(self, scratch: &Scratch) -> anyhow::Result<Trained> {
        let seed = self.config.seed;
        let input = scratch.file(&format!("seed-{seed}.safetensors"));
        let output = scratch.file(&format!("seed-{seed}-torch.safetensors"));
        let trainer = Trainer::new(&self.config, self.images.num_identities(), self.loader.batches_per_epoch())?;
        self.write(&trainer, &input)?;
        let ours = self.verifier.embed(&self.train(trainer)?, |_| ())?;
        let job = self.job(&input, &output);
        Ok(Trained { config: self.config, ours, job, output })
    }

    fn train(&self, mut trainer: Trainer) -> anyhow::Result<Backbone> {
        let seed = self.config.seed;
        let progress = Progress::new(&format!("seed {seed}"), "img", self.total * self.config.train.batch_size as u64);
        let mut done = 0;
        for batch in self.loader.batches(0, self.total) {
            interrupt::check()?;
            let batch = batch?;
            let (step, images) = (batch.step, batch.labels.len() as u64);
            match trainer.step(step, self.total, vec![batch])? {
                Outcome::Moved(figures) => {
                    done += images;
                    progress.at(done, &format!("loss {:.2}", figures.loss));
                }
                Outcome::Skipped(why) => bail!("seed {seed}, step {step}: {why}"),
            }
        }
        progress.finish();
        Ok(trainer.backbone)
    }

    /// Weights, centers, labels and the images of every batch, for the other side.
    fn write(&self, trainer: &Trainer, path: &Path) -> anyhow::Result<()> {
        let (batch, seed) = (self.config.train.batch_size, self.config.seed);
        let indices: Vec<u32> = (0..self.total)
            .flat_map(|step| self.loader.batch_indices(step).into_iter().map(|index| index as u32))
            .collect();
        let mirrored =
            |step| (0..batch as u64).map(move |place| u32::from(self.config.data.flip && flips(seed, step, place)));
        let mirrored: Vec<u32> = (0..self.total).flat_map(mirrored).collect();
        let labels: Vec<u32> = (0..self.images.len()).map(|index| self.images.label(index)).collect();
        let shape = (self.total as usize, batch);
        let mut tensors = BTreeMap::from([
            ("indices".to_owned(), Tensor::from_vec(indices, shape, &Device::Cpu)?),
            ("flips".to_owned(), Tensor::from_vec(mirrored, shape, &Device::Cpu)?),
            ("labels".to_owned(), Tensor::new(labels, &Device::Cpu)?),
        ]);
        tensors.extend(prefixed("network", &trainer.backbone.state_dict()?));
        tensors.extend(prefixed("head", &copies(trainer)?));
        let metadata = BTreeMap::from([
            ("config".to_owned(), serde_json::to_string(&self.config)?),
            ("total".to_owned(), self.total.to_string()),
            ("steps_per_epoch".to_owned(), self.loader.batches_per_epoch().to_string()),
        ]);
        Ok(save_tensors(path, &tensors, &metadata)?)
    }

    fn job(&self, input: &Path, output: &Path) -> Value {
        let set = &self.verifier.set;
        let images: Vec<String> = (0..self.images.len()).map(|index| self.images.describe(index)).collect();
        let faces: Vec<String> = set.images.iter().map(|index| set.source.describe(*index)).collect();
        json!({ "input": input, "output": output, "images": images, "faces": faces })
    }
}

impl Trained {
    /// The embeddings that the other side has written.
    fn theirs(&self) -> anyhow::Result<Embeddings> {
        let place = self.output.display();
        let (tensors, _) = load_tensors(&self.output)?;
        let values = |name: &str| -> anyhow::Result<(Vec<f32>, usize)> {
            let tensor = tensors.get(name).with_context(|| format!("{place}: no tensor `{name}`"))?;
            let size = tensor.dims().last().copied().unwrap_or(0);
            Ok((tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?, size))
        };
        let ((plain, size), (mirrored, _)) = (values("embeddings")?, values("mirrored")?);
        Ok(if self.config.eval.mirror {
            Embeddings::with_mirrors(&plain, &mirrored, size)?
        } else {
            Embeddings::normalised(&plain, size)?
        })
    }
}

/// The other side reads images itself: each must be a file.
fn check_files(images: &dyn Source) -> anyhow::Result<()> {
    let first = images.describe(0);
    if !Path::new(&first).is_file() {
        bail!(
            "data.source: expected image files, which the other side can read, found {first}; name a folder of faces"
        );
    }
    Ok(())
}
