//! Procedural identities: an unlimited, seeded source of drawn faces whose identities are known by construction.
//! Knows no files; how a face is drawn is the business of [`faces`](crate::faces).

use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Source;
use crate::faces::{Identity, Nuisance, draw};
use crate::image::Image;

/// Edge lengths that a face can be drawn at.
const SIZES: std::ops::RangeInclusive<usize> = 16..=1024;

/// Labels are u32.
const MOST_IDENTITIES: usize = u32::MAX as usize;

/// Which identities to draw, how often, how large and under how much nuisance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProceduralConfig {
    /// Another seed gives other identities.
    pub seed: u64,
    /// Number of identities, at least 1.
    pub identities: usize,
    /// Images of each identity, at least 1.
    pub images_per_identity: usize,
    /// Pixels along an edge, 16 to 1024.
    pub image_size: usize,
    /// Number of the first identity: sources whose ranges do not overlap share no identity.
    pub first_identity: u64,
    /// Strength of pose, light, expression, occlusion, blur and noise: 0 none, 1 all.
    ///
    /// Comparing pixels tells 60 to 70 % of balanced pairs apart at 1.
    pub nuisance: f32,
}

impl Default for ProceduralConfig {
    fn default() -> Self {
        Self { seed: 0, identities: 1000, images_per_identity: 40, image_size: 112, first_identity: 0, nuisance: 1.0 }
    }
}

impl ProceduralConfig {
    /// # Errors
    /// If a value lies outside its range; the message names the key.
    fn check(&self) -> Result<()> {
        check_count("identities", self.identities, MOST_IDENTITIES)?;
        check_count("images_per_identity", self.images_per_identity, usize::MAX / self.identities)?;
        if !SIZES.contains(&self.image_size) {
            return Err(Error::value("image_size", "16 to 1024 pixels", self.image_size));
        }
        if self.first_identity.checked_add(self.identities as u64).is_none() {
            return Err(Error::value("first_identity", "first_identity + identities < 2⁶⁴", self.first_identity));
        }
        if !(0.0 <= self.nuisance && self.nuisance <= 1.0) {
            return Err(Error::value("nuisance", "0 <= nuisance <= 1", self.nuisance));
        }
        Ok(())
    }
}

fn check_count(key: &str, count: usize, most: usize) -> Result<()> {
    if 1 <= count && count <= most { Ok(()) } else { Err(Error::value(key, format!("1 to {most}"), count)) }
}

/// Drawn faces; every image is a pure function of (seed, identity, image number), whatever was drawn before.
///
/// Images are grouped by identity: `index = label · images_per_identity + image`.
///
/// ```
/// use arcface_data::{ProceduralConfig, ProceduralSource, Source};
/// let config = ProceduralConfig { identities: 20, images_per_identity: 5, ..ProceduralConfig::default() };
/// let source = ProceduralSource::new(config)?;
/// assert_eq!((source.len(), source.label(17)), (100, 3));
/// assert_eq!(source.image(17)?.width, 112);
/// assert_eq!(source.describe(17), "procedural identity 3 image 2 (seed 0)");
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ProceduralSource {
    config: ProceduralConfig,
    identities: Vec<Identity>,
}

impl ProceduralSource {
    /// The source that `config` describes.
    ///
    /// # Errors
    /// If a value lies outside its range; the message names the key.
    pub fn new(config: ProceduralConfig) -> Result<Self> {
        config.check()?;
        let numbers = config.first_identity..config.first_identity + config.identities as u64;
        let identities = numbers.map(|number| Identity::new(config.seed, number)).collect();
        Ok(Self { config, identities })
    }

    /// What this source was made from.
    pub fn config(&self) -> &ProceduralConfig {
        &self.config
    }

    /// The number of an identity in the unlimited sequence of the seed.
    fn number(&self, label: u32) -> u64 {
        self.config.first_identity + u64::from(label)
    }

    /// The number of an image among those of its identity.
    fn image_number(&self, index: usize) -> u64 {
        (index % self.config.images_per_identity) as u64
    }
}

impl Source for ProceduralSource {
    fn len(&self) -> usize {
        self.config.identities * self.config.images_per_identity
    }

    fn num_identities(&self) -> usize {
        self.config.identities
    }

    fn label(&self, index: usize) -> u32 {
        (index / self.config.images_per_identity) as u32
    }

    fn identity(&self, label: u32) -> String {
        format!("procedural_{:06}", self.number(label))
    }

    fn image(&self, index: usize) -> Result<Image> {
        let label = self.label(index);
        let Some(identity) = self.identities.get(label as usize) else {
            return Err(Error::value("image index", format!("less than {}", self.len()), index));
        };
        let ProceduralConfig { seed, image_size, nuisance, .. } = self.config;
        let nuisance = Nuisance::new(seed, self.number(label), self.image_number(index), nuisance);
        Ok(draw(identity, &nuisance, image_size))
    }

    fn dimensions(&self, _index: usize) -> Result<(usize, usize)> {
        Ok((self.config.image_size, self.config.image_size))
    }

    fn describe(&self, index: usize) -> String {
        let (identity, image) = (self.number(self.label(index)), self.image_number(index));
        format!("procedural identity {identity} image {image} (seed {})", self.config.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_depends_on_its_numbers_alone() {
        let config = ProceduralConfig { identities: 3, images_per_identity: 2, image_size: 48, ..Default::default() };
        let shifted = ProceduralConfig { identities: 2, first_identity: 1, ..config.clone() };
        let (all, last) = (ProceduralSource::new(config).unwrap(), ProceduralSource::new(shifted).unwrap());
        let backwards: Vec<_> = (0..4).rev().map(|index| last.image(index).unwrap()).collect();
        let forwards: Vec<_> = (2..6).map(|index| all.image(index).unwrap()).collect();
        assert!(backwards.iter().rev().eq(&forwards));
        assert_ne!(forwards[0], forwards[1]);
        assert_eq!(all.identity(1), last.identity(0));
    }
}
