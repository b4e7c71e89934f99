//! Whether images have the size that batches take, told from the headers of some before the first batch.
//! Knows no pixels: what a header does not tell shows when its image is decoded.

use arcface_core::seed::{Purpose, rng};
use arcface_core::{Error, Result};
use rand::Rng;

use super::worker::Plan;
use super::{Loader, OnCorrupt};
use crate::align::TEMPLATE_SIZE;
use crate::source::Source;

/// Most headers that are read.
const MOST: usize = 64;

impl Loader {
    /// Looks at the sizes of up to 64 images, one from each of as many parts of all, drawn by the seed. A set that was
    /// not aligned is told at once, without decoding any of it.
    ///
    /// # Errors
    /// If one of them has another size than batches take, or its header cannot be read; where unusable images are
    /// skipped, if none of them can be used.
    pub fn check_sizes(&self) -> Result<()> {
        let (source, config) = (&*self.reader.source, &self.reader.config);
        let mut checks = self.sample().into_iter().map(|index| {
            let (width, height) = source.dimensions(index)?;
            check_size(source, index, (width, height), config.image_size)
        });
        match config.on_corrupt {
            OnCorrupt::Error => checks.try_for_each(|check| check),
            OnCorrupt::Skip => checks.reduce(|first, next| if next.is_ok() { next } else { first }).unwrap_or(Ok(())),
        }
    }

    /// Numbers of the images to look at.
    fn sample(&self) -> Vec<usize> {
        let seed = self.reader.config.seed;
        match &self.reader.plan {
            Plan::Sampled(_) => spread(self.reader.source.len(), seed).collect(),
            Plan::InOrder { indices, .. } => spread(indices.len(), seed).map(|place| indices[place]).collect(),
        }
    }
}

/// Up to [`MOST`] of the numbers below `count`, one from each of as many runs of nearly equal length.
fn spread(count: usize, seed: u64) -> impl Iterator<Item = usize> {
    let parts = count.min(MOST);
    let mut draws = rng(seed, Purpose::Sampling, 0, 0x7369_7a65);
    let start = move |part: usize| (part as u128 * count as u128 / parts as u128) as usize;
    (0..parts).map(move |part| draws.random_range(start(part)..start(part + 1)))
}

/// Whether image `index`, of width and height `found`, is as wide and high as `size`.
///
/// # Errors
/// If it is not; the message names the command that makes it so.
pub(super) fn check_size(source: &dyn Source, index: usize, found: (usize, usize), size: usize) -> Result<()> {
    if found == (size, size) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "{}: expected an image of {size}×{size} pixels, got {}×{}; align the photographs first: \
         cargo xtask data align IMAGES LANDMARKS.csv --out DIR{}",
        source.describe(index),
        found.0,
        found.1,
        if size == TEMPLATE_SIZE { String::new() } else { format!(" --size {size}") }
    )))
}
