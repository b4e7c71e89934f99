//! What is chosen about an inversion: weights, optimiser, augmentation, resolutions; the paper's and a fast one.
//! Knows no network and no target.

use arcface_core::schedule::{Curve, Schedule};
use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::prior::Differences;
use crate::statistics::{Compared, StatisticsConfig};

/// How images are made of noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InversionConfig {
    /// Steps of the optimiser.
    pub steps: u64,
    /// Learning rate of Adam.
    pub learning_rate: f64,
    /// Its course over the steps.
    pub curve: Curve,
    /// Adam's decay of the mean gradient and of the mean squared gradient.
    pub betas: [f64; 2],
    /// What becomes of the terms of single images, which the prior of the batch's statistics is weighed against.
    pub reduction: Reduction,
    /// The prior of the batch norms; none for a network that has no batch norm.
    pub statistics: Option<StatisticsConfig>,
    /// Weight of the total variation.
    pub total_variation: f64,
    /// What it sums over neighbouring pixels.
    pub differences: Differences,
    /// Weight of the length of the image.
    pub l2: f64,
    /// Each step shifts each image by up to so many pixels in both directions.
    pub jitter: f64,
    /// Each step turns each image by up to so many degrees.
    pub rotation: f64,
    /// Each step enlarges or shrinks each image by up to this part of it.
    pub zoom: f64,
    /// Probability with which each step mirrors an image.
    pub flip: f64,
    /// Standard deviation of the noise that each step adds to what the network sees.
    pub view_noise: f64,
    /// Standard deviation of the noise that images begin as.
    pub noise: f64,
    /// An image is the sum of so many images, each half as wide as the one before, and Adam moves all of them.
    pub levels: usize,
    /// Smaller images that are made first, from coarse to fine.
    pub coarse: Vec<Coarse>,
    /// The least and the largest value of a pixel; images are clipped to it after every step.
    pub range: Option<[f64; 2]>,
}

/// How the terms of single images become those of a batch, which has one prior of its statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Their mean: how much an image minds the statistics does not depend on how many share them.
    Mean,
    /// Their sum: the more images share the statistics, the less each minds them.
    Sum,
}

/// Steps on a smaller image, which the network sees enlarged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coarse {
    /// How many times smaller its side is.
    pub factor: usize,
    /// Share of all steps.
    pub share: f64,
}

impl InversionConfig {
    /// The paper's: Adam at 0.25 for 20,000 steps from N(0, 1), 0.05 for the prior, 1e-3 for the total variation, 1e-4
    /// for the length.
    ///
    /// Of what it leaves open, betas are Adam's own, the rate falls to nothing, images of a batch are summed, total variation
    /// is that of its definition, the network sees images from a little aside, nothing is mirrored, there is one resolution,
    /// and pixels stay within what an image can be.
    ///
    /// The effects beside some of it are mean cosines to the target as those of [`InversionConfig::fast`] are: 16 faces of LFW
    /// by `model-y1`, seed 0.
    pub fn paper() -> Self {
        Self {
            steps: 20_000,
            learning_rate: 0.25,
            // The last steps settle what large ones leave unsteady: 0.967 by the network itself in place of 0.915 (300 steps).
            curve: Curve::Cosine { floor: 0.0 },
            betas: [0.9, 0.999],
            // Where they are averaged they mind the statistics more and the person less: 0.560 by a third network in place of
            // 0.493, 0.996 by the network itself in place of 0.959 (1,500 steps).
            reduction: Reduction::Sum,
            statistics: Some(StatisticsConfig::paper()),
            total_variation: 1e-3,
            // 0.456 by a third network in place of 0.414 by squares, 0.398 in place of 0.381 with seed 1 (300 steps).
            differences: Differences::Absolute,
            l2: 1e-4,
            // What deceives the network pixel by pixel does so from one place only: 0.414 by a third network in place of
            // 0.324 (300 steps).
            jitter: 2.0,
            rotation: 3.0,
            zoom: 0.03,
            flip: 0.0,
            view_noise: 0.0,
            noise: 1.0,
            levels: 1,
            coarse: vec![],
            range: Some([-1.0, 1.0]),
        }
    }

    /// Less than a hundredth of the paper's steps, and faces that other networks recognise; of several that begin with other
    /// noise the one with the embedding nearest to its target is by far the best.
    ///
    /// The effects that stand beside each deviation are mean cosines to the target by a third network that had no part
    /// in it: 16 faces of LFW by `model-y1`, the 112×96 network judging, 150 steps, one seed. Where two differ by less
    /// than about 0.05 they hardly differ.
    pub fn fast() -> Self {
        Self {
            // In so few the paper's rate is as good as 0.5 and 1; lower ones are worse (64 faces: 0.552, 0.534 and 0.552; 0.471
            // at 0.1, 0.440 at 0.05).
            steps: 150,
            // Deviates: every batch norm counts alike, whatever its number of channels and the size of its values.
            // 0.567 in place of 0.415 by the paper's form, 0.504 without any prior. More of it makes smoother faces and fewer
            // of the person (64 faces: 0.547 at 4, 0.552 at 10, 0.485 at 30, 0.433 at 100); networks that have seen little,
            // such as those of drawn faces, want 150, and less total variation. Images are averaged, so that the weight suits any
            // number of them.
            reduction: Reduction::Mean,
            statistics: Some(StatisticsConfig { weight: 10.0, compared: Compared::Relative, layers: vec![] }),
            // Deviates: an image is a sum of five sizes, so that what is large is found first and moves as one. 0.531 in
            // place of 0.453 (200 steps, from coarse to fine), both with the paper's form of the prior.
            levels: 5,
            noise: 0.2,
            // Deviates: much smoother. 0.301 at 0.02, 0.415 at 0.1 with the paper's form of the prior; 0.567 at 0.1 and
            // 0.586 at 0.5 and 2 with the relative one, the last two pale and dark. Squares give 0.586
            // (the mean of seeds 0 and 1) in place of 0.443 by |d| at 0.01 and 0.455 at 0.03.
            total_variation: 0.3,
            differences: Differences::Squared,
            // Deviates: the network sees the image through noise too, so that it cannot be deceived by what no eye sees. The
            // noise gives 0.617 in place of about 0.58 (0.601 at 0.2), seen from a little aside 0.637. Mirrored, as training
            // sees faces, there are more faces in an image than one: 0.542 in place of 0.577 with a `flip` of 0.5 (64 faces,
            // 300 steps).
            view_noise: 0.1,
            ..Self::paper()
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// Naming the first that is out of its range.
    ///
    /// # Example
    /// ```
    /// use arcface_synth::InversionConfig;
    /// let config = InversionConfig { flip: 2.0, ..InversionConfig::paper() };
    /// assert_eq!(config.check().unwrap_err().to_string(), "flip: expected 0 <= flip <= 1, got 2");
    /// ```
    pub fn check(&self) -> Result<()> {
        in_range("steps", "0 < steps", 0 < self.steps, self.steps)?;
        self.schedule()?;
        for beta in self.betas {
            in_range("betas", "0 <= beta < 1", 0.0 <= beta && beta < 1.0, beta)?;
        }
        not_negative("total_variation", self.total_variation)?;
        not_negative("l2", self.l2)?;
        not_negative("noise", self.noise)?;
        not_negative("view_noise", self.view_noise)?;
        not_negative("jitter", self.jitter)?;
        not_negative("rotation", self.rotation)?;
        in_range("zoom", "0 <= zoom < 1", 0.0 <= self.zoom && self.zoom < 1.0, self.zoom)?;
        in_range("levels", "1 <= levels", 1 <= self.levels, self.levels)?;
        in_range("flip", "0 <= flip <= 1", 0.0 <= self.flip && self.flip <= 1.0, self.flip)?;
        self.statistics.iter().try_for_each(StatisticsConfig::check)?;
        self.check_coarse()?;
        self.range.map_or(Ok(()), |[least, largest]| {
            in_range(
                "range",
                "[least, largest] with least < largest",
                least < largest,
                format!("{:?}", [least, largest]),
            )
        })
    }

    /// The learning rate of each step.
    ///
    /// # Errors
    /// If the rate or its curve is out of range.
    pub(crate) fn schedule(&self) -> Result<Schedule> {
        Schedule::new(self.learning_rate, self.curve.clone(), 0)
    }

    /// How many times smaller the image of `step` is, and the step that its size began with.
    pub(crate) fn resolution(&self, step: u64) -> Resolution {
        let mut resolution = Resolution { factor: 1, since: 0 };
        let mut share = 0.0;
        for coarse in &self.coarse {
            let end = |share: f64| (share * self.steps as f64).round() as u64;
            if step < end(share + coarse.share) {
                return Resolution { factor: coarse.factor, since: end(share) };
            }
            share += coarse.share;
            resolution.since = end(share);
        }
        resolution
    }

    fn check_coarse(&self) -> Result<()> {
        let mut share = 0.0;
        for coarse in &self.coarse {
            in_range("coarse.factor", "2 <= factor", 2 <= coarse.factor, coarse.factor)?;
            in_range("coarse.share", "0 < share", 0.0 < coarse.share, coarse.share)?;
            share += coarse.share;
        }
        in_range("coarse", "shares with a sum below 1", share < 1.0, share)
    }
}

/// The size of an image during some steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resolution {
    pub(crate) factor: usize,
    /// The first step of this size.
    pub(crate) since: u64,
}

fn not_negative(what: &str, value: f64) -> Result<()> {
    in_range(what, &format!("0 <= {what} < ∞"), 0.0 <= value && value.is_finite(), value)
}

pub(crate) fn in_range(what: &str, expected: &str, holds: bool, got: impl std::fmt::Display) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::value(what, expected, got)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_images_come_first() {
        let [quarter, half] = [(4, 0.1), (2, 0.3)].map(|(factor, share)| Coarse { factor, share });
        let config = InversionConfig { steps: 10, coarse: vec![quarter, half], ..InversionConfig::paper() };
        let factors: Vec<usize> = (0..10).map(|step| config.resolution(step).factor).collect();
        assert_eq!(factors, [4, 2, 2, 2, 1, 1, 1, 1, 1, 1]);
        let since: Vec<u64> = (0..10).map(|step| config.resolution(step).since).collect();
        assert_eq!(since, [0, 1, 1, 1, 4, 4, 4, 4, 4, 4]);
    }
}
