//! What was made, as figures: the JSON document and the lines on the terminal.
//! Knows no pictures.

use std::fmt::Write as _;

use arcface_synth::InversionConfig;
use serde::Serialize;

use super::folder::{Record, Terms};
use super::head::Recognised;
use super::memory::Nearest;
use super::verdict::Verdict;

/// The document; shares are fractions, and what cannot be said is null.
#[derive(Debug, Serialize)]
pub(super) struct Findings<'a> {
    pub(super) net: String,
    /// Digest of its weights.
    pub(super) weights: String,
    pub(super) network: String,
    pub(super) normalisation: String,
    /// The loss of a class, or the distance of embeddings, that was to become small.
    pub(super) objective: String,
    pub(super) seed: u64,
    pub(super) configuration: &'a InversionConfig,
    /// Mean cosine to the target.
    pub(super) cosine: f64,
    /// Of the classes, those that the image is recognised as.
    pub(super) recognised: Option<f64>,
    /// Steps of each beginning.
    pub(super) steps: u64,
    /// How often every image was begun; the figures are of the best.
    pub(super) beginnings: u64,
    pub(super) seconds: f64,
    pub(super) batches: Vec<OfBatch>,
    /// The own network's word, then those of others.
    pub(super) judges: Vec<Verdict>,
    /// The folder that they compare with.
    pub(super) against: Option<String>,
    pub(super) images: Vec<OfImage>,
    pub(super) folder: String,
}

/// A batch of images that were made together.
#[derive(Debug, Serialize)]
pub(super) struct OfBatch {
    pub(super) images: usize,
    pub(super) seconds: f64,
    /// Of the last step of all.
    pub(super) losses: Terms,
}

impl OfBatch {
    /// That of `images` images.
    pub(super) fn new(images: usize, record: &Record) -> Self {
        Self { images, seconds: record.seconds, losses: record.losses }
    }
}

/// One image.
#[derive(Debug, Serialize)]
pub(super) struct OfImage {
    pub(super) name: String,
    pub(super) batch: usize,
    /// A class, the path of an image or the row of a file.
    pub(super) target: serde_json::Value,
    /// To its target: the class center, the embedding of the image or the row.
    pub(super) cosine: f64,
    /// The class whose center is nearest.
    pub(super) recognised: Option<Recognised>,
    /// Whether it is the target.
    pub(super) is_right: Option<bool>,
    pub(super) nearest_training_image: Option<Nearest>,
}

impl Findings<'_> {
    /// The lines on the terminal.
    pub(super) fn words(&self) -> String {
        let least = self.images.iter().map(|image| image.cosine).fold(f64::INFINITY, f64::min);
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<24}{value}");
        };
        line("images", format!("{} in {}", self.images.len(), self.folder));
        let times = if self.beginnings == 1 { String::new() } else { format!("{} times ", self.beginnings) };
        line("steps", format!("{times}{}, {:.0} s in all", self.steps, self.seconds));
        line("cosine to the target", format!("{:.3} in the mean, {least:.3} the least", self.cosine));
        if let Some(share) = self.recognised {
            line("recognised", format!("{:.1} %", 100.0 * share));
        }
        let nearest = self.images.iter().filter_map(|image| Some((image, image.nearest_training_image.as_ref()?)));
        if let Some((image, nearest)) = nearest.max_by(|a, b| a.1.cosine.total_cmp(&b.1.cosine)) {
            line("nearest training image", format!("{:.3}, {} to {}", nearest.cosine, nearest.image, image.name));
        }
        self.judges.iter().flat_map(Verdict::lines).for_each(|(name, value)| line(name, value));
        text
    }
}

/// The mean, 0 of nothing.
pub(super) fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}
