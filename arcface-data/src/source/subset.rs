//! Some identities of a source, and its division into identities to train on and identities held out.
//! Knows no files; works for every source.

use std::borrow::Cow;
use std::sync::Arc;

use arcface_core::seed::{Purpose, rng};
use arcface_core::{Error, Result};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::Source;
use crate::image::Image;

/// How many identities are held out of training: `50` or `0.1` in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Holdout {
    /// So many identities.
    Identities(usize),
    /// This fraction of the identities, rounded to the nearest number, at least one where it is above 0.
    Fraction(f64),
}

impl Holdout {
    /// The number of identities to hold out of `identities`.
    ///
    /// # Errors
    /// If a fraction is not within [0, 1), or fewer than one identity would be left.
    pub fn count(self, identities: usize) -> Result<usize> {
        let count = match self {
            Self::Identities(count) => count,
            Self::Fraction(fraction) if 0.0 <= fraction && fraction < 1.0 => held(fraction, identities),
            Self::Fraction(fraction) => return Err(Error::value("holdout", "0 <= fraction < 1", fraction)),
        };
        if count < identities {
            return Ok(count);
        }
        Err(Error::value("holdout", format!("fewer than the {identities} identities there are"), count))
    }
}

fn held(fraction: f64, identities: usize) -> usize {
    let count = (fraction * identities as f64).round() as usize;
    count.max(usize::from(0.0 < fraction))
}

/// Divides a source by identity into a part to train on and a part held out, in this order.
///
/// Which identities are held out is a pure function of `seed` and their number; both parts keep the order of labels.
///
/// # Errors
/// As [`Holdout::count`].
pub fn hold_out(source: &Arc<dyn Source>, holdout: Holdout, seed: u64) -> Result<(Subset, Subset)> {
    let count = holdout.count(source.num_identities())?;
    let mut labels: Vec<u32> = (0..source.num_identities() as u32).collect();
    labels.shuffle(&mut rng(seed, Purpose::Sampling, 0, 0x686f_6c64));
    let (held_out, kept) = labels.split_at_mut(count);
    kept.sort_unstable();
    held_out.sort_unstable();
    Ok((Subset::new(source.clone(), kept)?, Subset::new(source.clone(), held_out)?))
}

/// Some identities of a source, with labels renumbered from 0.
#[derive(Clone)]
pub struct Subset {
    source: Arc<dyn Source>,
    labels: Vec<u32>,
    images: Vec<(usize, u32)>,
}

impl Subset {
    /// The identities of `source` with `labels`, which become 0, 1, … in the order given.
    ///
    /// # Errors
    /// If a label does not exist or stands twice.
    pub fn new(source: Arc<dyn Source>, labels: &[u32]) -> Result<Self> {
        let mut renumbered = vec![None; source.num_identities()];
        for (new, label) in (0_u32..).zip(labels) {
            let slot = renumbered.get_mut(*label as usize);
            let slot =
                slot.ok_or_else(|| Error::value("label", format!("less than {}", source.num_identities()), label))?;
            if slot.replace(new).is_some() {
                return Err(Error::value("labels of a subset", "each label once", format!("{label} twice")));
            }
        }
        let relabel = |index| renumbered[source.label(index) as usize].map(|label| (index, label));
        let images = (0..source.len()).filter_map(relabel).collect();
        Ok(Self { source, labels: labels.to_vec(), images })
    }

    /// The images `indices` of `source` in this order; identities without any are left out, and the others become
    /// 0, 1, … in the order of their labels.
    ///
    /// # Errors
    /// If an index is not smaller than the number of images.
    pub fn of_images(source: Arc<dyn Source>, indices: &[usize]) -> Result<Self> {
        if let Some(index) = indices.iter().find(|index| source.len() <= **index) {
            return Err(Error::value("index of an image", format!("less than {}", source.len()), index));
        }
        let mut has_images = vec![false; source.num_identities()];
        for index in indices {
            has_images[source.label(*index) as usize] = true;
        }
        let labels: Vec<u32> = (0..).zip(&has_images).filter(|(_, has)| **has).map(|(label, _)| label).collect();
        let mut renumbered = vec![0; has_images.len()];
        (0..).zip(&labels).for_each(|(new, label)| renumbered[*label as usize] = new);
        let images = indices.iter().map(|index| (*index, renumbered[source.label(*index) as usize])).collect();
        Ok(Self { source, labels, images })
    }

    /// The label that the identity with `label` has in the source.
    pub fn label_before(&self, label: u32) -> u32 {
        self.labels[label as usize]
    }
}

impl std::fmt::Debug for Subset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subset({} identities, {} images)", self.labels.len(), self.images.len())
    }
}

impl Source for Subset {
    fn len(&self) -> usize {
        self.images.len()
    }
    fn num_identities(&self) -> usize {
        self.labels.len()
    }
    fn label(&self, index: usize) -> u32 {
        self.images[index].1
    }
    fn identity(&self, label: u32) -> String {
        self.source.identity(self.labels[label as usize])
    }
    fn image(&self, index: usize) -> Result<Image> {
        self.source.image(self.images[index].0)
    }
    fn describe(&self, index: usize) -> String {
        self.source.describe(self.images[index].0)
    }
    fn file_name(&self, index: usize) -> Option<String> {
        self.source.file_name(self.images[index].0)
    }
    fn encoded(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        self.source.encoded(self.images[index].0)
    }
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        self.source.dimensions(self.images[index].0)
    }
}
