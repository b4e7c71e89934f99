//! Which images make up which batch: a pure function of (seed, step), so that resuming needs no state.
//! Knows labels and numbers of images; reads no image.

use std::sync::{Arc, Mutex, PoisonError};

use arcface_core::seed::{Purpose, rng};
use arcface_core::{Error, Result};
use rand::seq::{SliceRandom, index};
use serde::{Deserialize, Serialize};

use crate::source::{Source, images_by_identity};

/// How batches are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerKind {
    /// Every epoch is a new permutation of all images, cut into batches.
    ///
    /// The images left over after the last whole batch are dropped for this epoch; each epoch drops other ones.
    #[default]
    Shuffle,
    /// Every batch has P identities with K images each, in groups of K.
    ///
    /// Identities take turns: each is drawn once before any is drawn again, but for the C mod P that a round leaves
    /// over. The K images differ where the identity has as many, else each comes up once before any is repeated.
    Balanced {
        /// Identities per batch P.
        identities: usize,
        /// Images per identity K.
        images: usize,
    },
}

impl SamplerKind {
    /// The batch size that the kind itself asks for: P·K for balanced batches.
    pub fn batch_size(self) -> Option<usize> {
        match self {
            Self::Shuffle => None,
            Self::Balanced { identities, images } => Some(identities.saturating_mul(images)),
        }
    }

    /// The largest batch that `source` can fill.
    ///
    /// A defaulted batch size shrinks to this; who shrinks it says so.
    pub fn largest_batch_size(self, source: &dyn Source) -> usize {
        match self {
            Self::Shuffle => source.len(),
            Self::Balanced { identities, images } => identities.min(with_images(source)).saturating_mul(images),
        }
    }
}

/// The batches of one source.
#[derive(Debug)]
pub struct Sampler {
    seed: u64,
    batch_size: usize,
    images: usize,
    plan: Plan,
    /// The permutation used last; it saves time and never changes an answer.
    last: Mutex<Option<(u64, Arc<Vec<u32>>)>>,
}

#[derive(Debug)]
enum Plan {
    Shuffle,
    Balanced { by_identity: Vec<Vec<usize>>, identities: usize, images: usize },
}

impl Sampler {
    /// Batches of `batch_size` images of `source`.
    ///
    /// # Errors
    /// If `batch_size` is 0, larger than the source, or not P·K for balanced batches; or the source has fewer than P
    /// identities or more than 2³² images.
    pub fn new(kind: SamplerKind, source: &dyn Source, batch_size: usize, seed: u64) -> Result<Self> {
        check_batch_size(kind, source, batch_size)?;
        if u32::try_from(source.len()).is_err() {
            return Err(Error::value("images of a source", "fewer than 2³²", source.len()));
        }
        let plan = match kind {
            SamplerKind::Shuffle => Plan::Shuffle,
            SamplerKind::Balanced { identities, images } => {
                let mut by_identity = images_by_identity(source);
                by_identity.retain(|own| !own.is_empty());
                Plan::Balanced { by_identity, identities, images }
            }
        };
        Ok(Self { seed, batch_size, images: source.len(), plan, last: Mutex::new(None) })
    }

    /// Images per batch.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Whole batches per epoch: as many as the images fill, at least one.
    pub fn batches_per_epoch(&self) -> u64 {
        (self.images / self.batch_size).max(1) as u64
    }

    /// The images of batch `step`, counted from 0 over all epochs.
    pub fn batch_indices(&self, step: u64) -> Vec<usize> {
        match &self.plan {
            Plan::Shuffle => self.shuffled(step),
            Plan::Balanced { by_identity, identities, images } => {
                self.balanced(step, by_identity, *identities, *images)
            }
        }
    }

    fn shuffled(&self, step: u64) -> Vec<usize> {
        let (epoch, batch) = (step / self.batches_per_epoch(), step % self.batches_per_epoch());
        let order = self.permutation(epoch, self.images);
        let first = batch as usize * self.batch_size;
        order[first..first + self.batch_size].iter().map(|index| *index as usize).collect()
    }

    fn balanced(&self, step: u64, by_identity: &[Vec<usize>], identities: usize, images: usize) -> Vec<usize> {
        let per_round = (by_identity.len() / identities) as u64;
        let order = self.permutation(step / per_round, by_identity.len());
        let first = (step % per_round) as usize * identities;
        let drawn = &order[first..first + identities];
        // Index 0 of a step is the permutation of a round or an epoch; identities follow it.
        drawn.iter().flat_map(|label| self.images_of(step, *label, &by_identity[*label as usize], images)).collect()
    }

    fn images_of(&self, step: u64, label: u32, own: &[usize], count: usize) -> Vec<usize> {
        let mut rng = rng(self.seed, Purpose::Sampling, step, 1 + u64::from(label));
        let mut drawn = Vec::with_capacity(count);
        while drawn.len() < count {
            let wanted = own.len().min(count - drawn.len());
            drawn.extend(index::sample(&mut rng, own.len(), wanted).iter().map(|index| own[index]));
        }
        drawn
    }

    fn permutation(&self, round: u64, length: usize) -> Arc<Vec<u32>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, order)) = &*last
            && *known == round
        {
            return order.clone();
        }
        let mut order: Vec<u32> = (0..length as u32).collect();
        order.shuffle(&mut rng(self.seed, Purpose::Sampling, round, 0));
        let order = Arc::new(order);
        *last = Some((round, order.clone()));
        order
    }
}

/// Identities that have an image: label noise may leave some without.
fn with_images(source: &dyn Source) -> usize {
    images_by_identity(source).iter().filter(|images| !images.is_empty()).count()
}

fn check_batch_size(kind: SamplerKind, source: &dyn Source, batch_size: usize) -> Result<()> {
    if source.is_empty() {
        return Err(Error::Invalid("the data set has no images".to_owned()));
    }
    if let SamplerKind::Balanced { identities, images } = kind {
        check_balanced(identities, images, batch_size, with_images(source))?;
    } else if batch_size < 1 || source.len() < batch_size {
        let expected = format!("1 <= batch_size <= {} (the images of the data set)", source.len());
        return Err(Error::value("batch_size", expected, batch_size));
    }
    Ok(())
}

fn check_balanced(identities: usize, images: usize, batch_size: usize, available: usize) -> Result<()> {
    if identities < 1 || images < 1 {
        let got = format!("{identities} × {images}");
        return Err(Error::value("balanced sampler", "at least 1 identity × 1 image", got));
    }
    if available < identities {
        let expected = format!("at most {available} identities per batch (those of the data set)");
        return Err(Error::value("balanced sampler", expected, identities));
    }
    if identities.checked_mul(images) != Some(batch_size) {
        let expected = format!("{identities} identities × {images} images = {}", identities.saturating_mul(images));
        return Err(Error::value("batch_size", expected, batch_size));
    }
    Ok(())
}
