//! How one batch is made, from the numbers of its images to normalised planes.
//! Knows no threads and no channels; a batch is a function of its step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arcface_core::{Error, Result};

use super::cache::Cache;
use super::planes::{Values, append};
use super::sizes::check_size;
use super::{Batch, LoaderConfig, OnCorrupt};
use crate::augment::{self, Facing, flips};
use crate::image::Image;
use crate::sampler::Sampler;
use crate::source::Source;

/// Unusable images in a row after which skipping gives up.
const MOST_SKIPPED: usize = 100;

#[derive(Debug)]
pub(super) enum Plan {
    Sampled(Sampler),
    InOrder { indices: Vec<usize>, batch_size: usize },
}

impl Plan {
    pub(super) fn batches(&self) -> u64 {
        match self {
            Self::Sampled(sampler) => sampler.batches_per_epoch(),
            Self::InOrder { indices, batch_size } => indices.len().div_ceil(*batch_size) as u64,
        }
    }

    /// The step at which there are no more batches.
    pub(super) fn end(&self) -> Option<u64> {
        match self {
            Self::Sampled(_) => None,
            Self::InOrder { .. } => Some(self.batches()),
        }
    }

    pub(super) fn indices(&self, step: u64) -> Vec<usize> {
        match self {
            Self::Sampled(sampler) => sampler.batch_indices(step),
            Self::InOrder { indices, batch_size } => {
                indices.chunks(*batch_size).nth(step as usize).map_or_else(Vec::new, <[usize]>::to_vec)
            }
        }
    }
}

pub(super) struct Reader {
    pub(super) source: Arc<dyn Source>,
    pub(super) config: LoaderConfig,
    pub(super) plan: Plan,
    pub(super) cache: Cache,
    pub(super) values: Values,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({} images)", self.source.len())
    }
}

impl Reader {
    /// [`batch`](Self::batch), with a panic of the source as an error.
    pub(super) fn batch_or_panic_message(&self, step: u64, stop: &AtomicBool) -> Result<Batch> {
        catch_unwind(AssertUnwindSafe(|| self.batch(step, stop))).unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let message = message.unwrap_or_else(|| "no message".to_owned());
            Err(Error::Invalid(format!("loader: a thread panicked at step {step}: {message}")))
        })
    }

    pub(super) fn batch(&self, step: u64, stop: &AtomicBool) -> Result<Batch> {
        let mut indices = self.plan.indices(step);
        let mut images = Vec::with_capacity(indices.len() * self.values_per_image());
        let mut skipped = Vec::new();
        for (place, index) in (0..).zip(&mut indices) {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Invalid("loader: stopped".to_owned()));
            }
            let (used, image) = self.usable(*index, &mut skipped)?;
            *index = used;
            self.append(&mut images, image, step, place);
        }
        let labels = indices.iter().map(|index| self.source.label(*index)).collect();
        Ok(Batch { images, labels, indices, step, skipped })
    }

    fn values_per_image(&self) -> usize {
        3 * self.config.image_size * self.config.image_size
    }

    fn append(&self, images: &mut Vec<f32>, image: Image, step: u64, place: u64) {
        let LoaderConfig { seed, flip, augmentation, .. } = &self.config;
        let changes = &mut augment::changes(*seed, step, place);
        let image = if augmentation.is_off() { image } else { augmentation.apply(image, changes) };
        let facing = if *flip && flips(*seed, step, place) { Facing::Mirrored } else { Facing::AsIs };
        append(images, &image, &self.values, facing);
    }

    /// Image `index`, or the one that takes its place, with its number.
    fn usable(&self, index: usize, skipped: &mut Vec<String>) -> Result<(usize, Image)> {
        let error = match (self.image(index), self.config.on_corrupt) {
            (Ok(image), _) => return Ok((index, image)),
            (Err(error), OnCorrupt::Error) => return Err(error),
            (Err(error), OnCorrupt::Skip) => error,
        };
        skipped.push(error.to_string());
        self.replacements(index)
            .take(MOST_SKIPPED - 1)
            .find_map(|other| Some((other, self.image(other).ok()?)))
            .ok_or_else(|| Error::Invalid(format!("{error}; none of the images tried in its place can be used either")))
    }

    /// The other images in the order in which they replace `index`: those of its identity first.
    fn replacements(&self, index: usize) -> impl Iterator<Item = usize> {
        let (source, length) = (&self.source, self.source.len());
        let others = move || (1..length).map(move |offset| (index + offset) % length);
        let same = move |other: &usize| source.label(*other) == source.label(index);
        others().filter(same).chain(others().filter(move |other| !same(other)))
    }

    fn image(&self, index: usize) -> Result<Image> {
        self.cache.get(index, || self.sized_image(index))
    }

    fn sized_image(&self, index: usize) -> Result<Image> {
        let image = self.source.image(index)?;
        check_size(&*self.source, index, (image.width, image.height), self.config.image_size)?;
        Ok(image)
    }
}
