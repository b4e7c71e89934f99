//! The objective of the closed set: the loss that a network was trained with, its class centers as they are.
//! Knows no image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arcface_core::Result;
use arcface_core::candle::{DType, Tensor};
use arcface_losses::Objective;
use rayon::prelude::*;

use super::judge::cosine;
use crate::checkpoint;
use crate::config::{self, DeviceChoice};
use crate::digest::Digest;
use crate::run::{RunFolder, STATE};

/// The loss as training left it.
#[derive(Debug)]
pub(super) struct Head {
    /// Name of the loss.
    pub(super) name: String,
    /// Of the checkpoint's state.
    pub(super) digest: String,
    objective: Objective,
    margin: BTreeMap<String, f64>,
    /// Steps of the training.
    trained: u64,
    centers: Centers,
}

/// (C, K, D).
#[derive(Debug)]
struct Centers {
    values: Vec<f32>,
    per_class: usize,
    size: usize,
}

/// The class whose center is nearest.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(super) struct Recognised {
    pub(super) class: u32,
    pub(super) cosine: f64,
}

/// The checkpoint that NET names, or the last one of the run that it names.
///
/// # Errors
/// If it names neither.
pub(super) fn checkpoint_of(net: &Path) -> anyhow::Result<PathBuf> {
    if net.join(STATE).is_file() {
        return Ok(net.to_owned());
    }
    RunFolder::at(net).last_checkpoint()?.with_context(|| {
        format!(
            "{}: --classes needs class centers, which stand in a run's folder or a checkpoint and not in weights alone; \
             give one of these, or aim at faces with --images",
            net.display()
        )
    })
}

impl Head {
    /// The loss of the checkpoint in `folder`, on the device of the network.
    ///
    /// # Errors
    /// If it belongs to no run, is damaged, or its loss has no class centers.
    pub(super) fn load(folder: &Path, device: DeviceChoice) -> anyhow::Result<Self> {
        let Some(run) = RunFolder::around(folder) else {
            bail!(
                "{}: expected a checkpoint in the folder of its run, whose config.toml names the loss",
                folder.display()
            )
        };
        let config = config::resume(&run.config(), &[])?;
        let (objective, progress) = checkpoint::head(folder, &config, device)?;
        let centers = objective.parameters().get("centers").map(|centers| centers.var.as_tensor().clone());
        let name = config.loss().0.to_owned();
        let centers = centers.with_context(|| format!("loss.name = \"{name}\" has no class centers"))?;
        Ok(Self {
            digest: Digest::of_file(&folder.join(STATE))?,
            margin: objective.state(),
            trained: progress.step,
            centers: Centers::of(&centers)?,
            objective,
            name,
        })
    }

    /// C.
    pub(super) fn classes(&self) -> usize {
        self.centers.values.len() / (self.centers.per_class * self.centers.size)
    }

    /// The loss of embeddings that are to be of the classes `labels`, in `step` of the inversion: that of training, had
    /// it gone on so long; its moving statistics stay, so that a step does not depend on those before.
    ///
    /// # Shapes
    /// `embeddings` (B, D), `labels` (B) → scalar.
    ///
    /// # Errors
    /// If a shape is another.
    pub(super) fn loss(&mut self, embeddings: &Tensor, labels: &[u32], step: u64) -> Result<Tensor> {
        self.objective.load_state(&self.margin)?;
        Ok(self.objective.forward(embeddings, labels, self.trained + step)?.loss)
    }

    /// The cosine of an embedding to the center of a class, the nearest of several.
    pub(super) fn cosine(&self, embedding: &[f32], class: u32) -> f64 {
        self.centers.of_class(class as usize).map(|center| cosine(embedding, center)).fold(-1.0, f64::max)
    }

    /// The class that an embedding is recognised as.
    pub(super) fn recognised(&self, embedding: &[f32]) -> Recognised {
        let classes = (0..self.classes() as u32).into_par_iter();
        let all: Vec<Recognised> =
            classes.map(|class| Recognised { class, cosine: self.cosine(embedding, class) }).collect();
        let first = Recognised { class: 0, cosine: f64::NEG_INFINITY };
        all.into_iter().fold(first, |best, next| if best.cosine < next.cosine { next } else { best })
    }
}

impl Centers {
    fn of(centers: &Tensor) -> anyhow::Result<Self> {
        let (per_class, size) = match *centers.dims() {
            [_, size] => (1, size),
            [_, per_class, size] => (per_class, size),
            _ => bail!("class centers: expected (C, D) or (C, K, D), found {:?}", centers.dims()),
        };
        Ok(Self { values: centers.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?, per_class, size })
    }

    fn of_class(&self, class: usize) -> std::slice::ChunksExact<'_, f32> {
        let length = self.per_class * self.size;
        self.values[class * length..][..length].chunks_exact(self.size)
    }
}
