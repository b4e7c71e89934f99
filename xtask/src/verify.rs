//! Pairs of faces verified by a network, and by what can be had without one.
//! Knows no run and prints nothing; pictures of the figures are written where the caller says.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arcface_core::candle::{DType, Device, Tensor};
use arcface_data::augment::mirrored;
use arcface_data::{Batch, DrawPairs, Image, Loader, LoaderConfig, Normalisation, PairSet, Source, draw_pairs};
use arcface_eval::baseline::{Picture, PixelDifferences, hog_distances, raw_pixel_distances};
use arcface_eval::comparison::Scored;
use arcface_eval::report::Hardest;
use arcface_eval::{Embeddings, Roc, Verification, report, verify_folds};
use arcface_models::{Backbone, Inference};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::net::Net;
use crate::report::HARDEST;
use crate::sources::available_pairs;
use crate::{interrupt, outcomes, output};

/// Whether the embedding of the mirror image is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mirror {
    /// The image alone.
    Without,
    /// The image and its mirror image.
    With,
}

impl From<bool> for Mirror {
    fn from(with: bool) -> Self {
        if with { Self::With } else { Self::Without }
    }
}

/// How faces are brought to a network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presentation {
    pub(crate) mirror: Mirror,
    pub(crate) normalisation: Normalisation,
    pub(crate) batch_size: usize,
    pub(crate) image_size: usize,
    pub(crate) workers: usize,
    pub(crate) cache_bytes: usize,
}

impl Presentation {
    /// As `net` takes them.
    pub(crate) fn to(net: &Net, mirror: Mirror, batch_size: usize, workers: usize) -> Self {
        let (normalisation, image_size) = (net.normalisation, net.backbone.config().input_size);
        Self { mirror, normalisation, batch_size, image_size, workers, cache_bytes: 0 }
    }

    /// How their batches are made.
    pub(crate) fn loader(&self) -> LoaderConfig {
        LoaderConfig {
            batch_size: self.batch_size,
            workers: self.workers,
            normalisation: self.normalisation,
            image_size: self.image_size,
            cache_bytes: self.cache_bytes,
            ..LoaderConfig::default()
        }
    }

    /// The embeddings of a batch, and those of its mirror images where they are added, else none.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub(crate) fn embed(&self, network: &Inference, images: Vec<f32>) -> anyhow::Result<[Vec<f32>; 2]> {
        let mirror = match self.mirror {
            Mirror::With => self.forward(network, mirrored(&images, self.image_size))?,
            Mirror::Without => Vec::new(),
        };
        Ok([self.forward(network, images)?, mirror])
    }

    fn forward(&self, network: &Inference, images: Vec<f32>) -> anyhow::Result<Vec<f32>> {
        let images = image_tensor(images, self.image_size, network.dtype(), network.device())?;
        let embeddings = network.forward(&images)?;
        Ok(embeddings.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    }
}

/// Pairs that are verified again and again.
pub(crate) struct Verifier {
    pub(crate) set: PairSet,
    loader: Loader,
    presentation: Presentation,
}

/// A verification and what it was made of.
#[derive(Debug, Clone)]
pub(crate) struct Verified {
    pub(crate) verification: Verification,
    pub(crate) distances: Vec<f64>,
    pub(crate) same: Vec<bool>,
    /// Number of each pair's fold.
    pub(crate) folds: Vec<usize>,
}

/// Accuracy on the same pairs without a trained network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Baselines {
    /// Cosine of small grey pictures.
    pub(crate) raw_pixels: f64,
    /// Cosine of histograms of gradients.
    pub(crate) hog: f64,
    /// Logistic regression on pixel differences, learnt from pairs of the training identities; `None` where these
    /// give too few.
    pub(crate) pixel_differences: Option<f64>,
}

impl Verifier {
    /// Verifies `set`, its faces presented so.
    ///
    /// # Errors
    /// If a size is 0, or faces are not aligned to the size of the network.
    pub(crate) fn new(set: PairSet, presentation: Presentation) -> anyhow::Result<Self> {
        let loader = Loader::in_order(set.source.clone(), set.images.clone(), &presentation.loader())?;
        loader.check_sizes()?;
        Ok(Self { set, loader, presentation })
    }

    /// The figures of `backbone`; `progress` is told how many faces are done.
    ///
    /// # Errors
    /// If a face cannot be read, the network gives no usable embedding, or the user interrupts.
    pub(crate) fn verify(&self, backbone: &Backbone, progress: impl FnMut(u64)) -> anyhow::Result<Verified> {
        let embeddings = self.embed(backbone, progress)?;
        self.verified(embeddings.squared_distances(&positions(&self.set))?)
    }

    /// The figures of raw pixels, HOG and a linear classifier that learns from pairs of `train`.
    ///
    /// # Errors
    /// If a face cannot be read.
    pub(crate) fn baselines(&self, train: &Arc<dyn Source>, seed: u64) -> anyhow::Result<Baselines> {
        let images = read_images(&*self.set.source, &self.set.images)?;
        let pictures = pictures(&images)?;
        let accuracy = |distances| anyhow::Ok(self.verified(distances)?.verification.accuracy);
        let pairs = positions(&self.set);
        let classifier = learn(train, self.set.list.len(), seed)?;
        let differences =
            classifier.map(|classifier| accuracy(classifier.distances(&pictures, &pairs)?)).transpose()?;
        Ok(Baselines {
            raw_pixels: accuracy(raw_pixel_distances(&pictures, &pairs)?)?,
            hog: accuracy(hog_distances(&pictures, &pairs)?)?,
            pixel_differences: differences,
        })
    }

    /// Number of faces.
    pub(crate) fn faces(&self) -> u64 {
        self.set.images.len() as u64
    }

    fn verified(&self, distances: Vec<f64>) -> anyhow::Result<Verified> {
        let (same, folds) = (self.set.list.same(), self.set.list.folds());
        let verification = verify_folds(&distances, &same, &folds)?;
        Ok(Verified { verification, distances, same, folds })
    }

    /// The unit embeddings of the faces, in the order of the set.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub(crate) fn embed(&self, backbone: &Backbone, mut progress: impl FnMut(u64)) -> anyhow::Result<Embeddings> {
        let network = backbone.inference()?;
        let (mut plain, mut mirror) = (Vec::new(), Vec::new());
        let mut done = 0;
        for batch in self.loader.batches(0, self.loader.batches_per_epoch()) {
            interrupt::check()?;
            let Batch { images, indices, .. } = batch?;
            let [own, mirrored] = self.presentation.embed(&network, images)?;
            plain.extend(own);
            mirror.extend(mirrored);
            done += indices.len() as u64;
            progress(done);
        }
        let size = backbone.config().embedding_size;
        Ok(match self.presentation.mirror {
            Mirror::With => Embeddings::with_mirrors(&plain, &mirror, size)?,
            Mirror::Without => Embeddings::normalised(&plain, size)?,
        })
    }
}

impl Verified {
    /// The pairs that are most wrong, for a report.
    ///
    /// # Errors
    /// If there is no distance for every pair.
    pub(crate) fn hardest(&self) -> anyhow::Result<Hardest> {
        Ok(report::hardest(&self.distances, &self.same, HARDEST)?)
    }

    /// Writes what was measured of every pair into `folder`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn keep(&self, folder: &Path) -> anyhow::Result<()> {
        let (distances, same, folds) = (self.distances.clone(), self.same.clone(), self.folds.clone());
        outcomes::write(folder, &Scored { distances, same, folds })
    }

    /// Draws the ROC and the histogram of distances into `folder`.
    ///
    /// # Errors
    /// If a picture cannot be drawn or written.
    pub(crate) fn draw(&self, folder: &Path) -> anyhow::Result<()> {
        let roc = Roc::from_distances(&self.distances, &self.same)?;
        let of_kind = |kind: bool| -> Vec<f64> {
            let both = self.distances.iter().zip(&self.same);
            both.filter(|(_, same)| **same == kind).map(|(distance, _)| *distance).collect()
        };
        let histogram = report::histogram(
            "squared ℓ2 distance",
            &of_kind(true),
            &of_kind(false),
            Some(self.verification.threshold),
        )?;
        output::file(&folder.join("roc.svg"), &report::roc_plot(&[("network", &roc)])?)?;
        output::file(&folder.join("histogram.svg"), &histogram)
    }
}

/// Images of a batch as a tensor (B, 3, H, W).
///
/// # Errors
/// If the tensor library fails.
pub(crate) fn image_tensor(images: Vec<f32>, size: usize, dtype: DType, device: &Device) -> anyhow::Result<Tensor> {
    let batch = images.len() / (3 * size * size);
    Ok(Tensor::from_vec(images, (batch, 3, size, size), device)?.to_dtype(dtype)?)
}

/// A classifier of pixel differences from up to `count` pairs of the training identities.
fn learn(train: &Arc<dyn Source>, count: usize, seed: u64) -> anyhow::Result<Option<PixelDifferences>> {
    let count = count.min(available_pairs(&**train)) / 2 * 2;
    if count < 2 {
        return Ok(None);
    }
    let (set, _) = draw_pairs(train.clone(), DrawPairs { count, folds: 1, seed }).context("pairs to learn from")?;
    let images = read_images(&*set.source, &set.images)?;
    Ok(Some(PixelDifferences::fit(&pictures(&images)?, &positions(&set), &set.list.same())?))
}

/// The places of both faces of every pair.
pub(crate) fn positions(set: &PairSet) -> Vec<(usize, usize)> {
    set.positions.iter().map(|[a, b]| (*a, *b)).collect()
}

fn read_images(source: &dyn Source, indices: &[usize]) -> anyhow::Result<Vec<Image>> {
    Ok(indices.par_iter().map(|index| source.image(*index)).collect::<arcface_core::Result<_>>()?)
}

fn pictures(images: &[Image]) -> anyhow::Result<Vec<Picture<'_>>> {
    let pictures = images.iter().map(|image| Picture::new(image.width, image.height, &image.rgb));
    Ok(pictures.collect::<arcface_core::Result<_>>()?)
}
