//! A batch of images on its way from noise to faces: one step after the other, saved and gone on with.
//! Knows no loss and no data set: what embeddings are to become is the objective's matter.
//!
//! All that is random is a function of (seed, step, image), and every image is worked on by itself but for the network:
//! the same seed gives the same bytes for any number of threads, stopped or not.

use std::collections::BTreeMap;
use std::path::Path;

use arcface_core::candle::{DType, Device, Tensor, Var};
use arcface_core::checkpoint::{load_tensors, save_tensors, take};
use arcface_core::seed::{Purpose, rng};
use arcface_core::{Error, Result};
use arcface_models::{Network, Watch};
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use crate::config::{InversionConfig, Reduction, Resolution};
use crate::placement::{Placement, Pose};
use crate::prior::{Differences, l2, total_variation};
use crate::pyramid::{Moments, Pyramid, Rule};
use crate::resample::Enlargement;
use crate::statistics::statistics_prior;

/// Values per pixel.
const CHANNELS: usize = 3;

/// A batch of images that are being made.
#[derive(Debug, Clone)]
pub struct Inversion {
    config: InversionConfig,
    seed: u64,
    /// Steps done.
    step: u64,
    /// Side of the images that the network takes.
    size: usize,
    images: Vec<Image>,
}

/// One image of the present resolution, (3, S, S), with Adam's moments of the images that it is the sum of.
#[derive(Debug, Clone)]
struct Image {
    pixels: Vec<f32>,
    moments: Vec<Moments>,
}

/// The terms of a step before it moved anything, without their weights: means over the images, but for the batch's
/// statistics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    /// What the objective returned.
    pub objective: f64,
    /// The prior of the batch norms, 0 if there is none.
    pub statistics: f64,
    /// The total variation.
    pub total_variation: f64,
    /// The length.
    pub l2: f64,
    /// The sum of all by their weights and by the configuration's reduction, which the step makes smaller.
    pub total: f64,
}

impl Inversion {
    /// `count` images of noise for a network that takes images of side `size`.
    ///
    /// # Errors
    /// If the configuration is out of range, there is no image, or a coarse image has no pixel.
    ///
    /// # Example
    /// ```
    /// use arcface_core::candle::{DType, Device};
    /// use arcface_models::{Architecture, Backbone, BackboneConfig};
    /// use arcface_synth::{Inversion, InversionConfig};
    /// let config = BackboneConfig { input_size: 32, ..BackboneConfig::new(Architecture::FaceNano) };
    /// let backbone = Backbone::new(&config, 0, DType::F32, &Device::Cpu)?;
    /// let mut inversion = Inversion::new(&InversionConfig::fast(), 0, 2, 32)?;
    /// let losses = inversion.step(backbone.network(), |embeddings| Ok(embeddings.sqr()?.mean_all()?))?;
    /// assert!(0.0 < losses.total);
    /// assert_eq!(inversion.images()?.dims(), [2, 3, 32, 32]);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn new(config: &InversionConfig, seed: u64, count: usize, size: usize) -> Result<Self> {
        config.check()?;
        if count == 0 {
            return Err(Error::value("images", "at least one to make", count));
        }
        let largest = config.coarse.iter().map(|coarse| coarse.factor).max().unwrap_or(1);
        if size < 2 * largest {
            return Err(Error::value("coarse.factor", format!("at most half of the side {size}"), largest));
        }
        let side = side(size, config.resolution(0));
        let pyramid = Pyramid::new(side, config.levels);
        let images = (0..count as u64).map(|index| Image::noise(config, seed, index, &pyramid)).collect();
        Ok(Self { config: config.clone(), seed, step: 0, size, images })
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// Whether all steps of the configuration are done.
    pub fn is_done(&self) -> bool {
        self.config.steps <= self.step
    }

    /// The images as they are, of the full size.
    ///
    /// # Shapes
    /// (B, 3, S, S) in f32, in the network's normalisation.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn images(&self) -> Result<Tensor> {
        let enlargement = self.enlargement();
        self.batch(&self.images.par_iter().map(|image| enlargement.enlarged(&image.pixels)).collect::<Vec<_>>())
    }

    /// One step of the optimiser towards a smaller `objective` (the mean over the images, a scalar, differentiable in the
    /// embeddings (B, D)).
    ///
    /// # Errors
    /// If the network takes images of another size or has no batch norm for the prior, the objective does not depend on
    /// the embeddings, or a loss is not finite; the images stay as they were then.
    pub fn step(&mut self, network: &Network, objective: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Losses> {
        let enlargement = self.enlargement();
        let views: Vec<View> =
            (0..self.images.len()).into_par_iter().map(|index| self.view(index, &enlargement)).collect();
        let (by_network, gradient) = self.network_gradient(network, &views, objective)?;
        let (rule, pyramid) = (self.rule()?, self.pyramid());
        let range = self.config.range.map(|range| range.map(|limit| limit as f32));
        let of_image = |weight: f64| self.weight_of_mean() * weight / self.images.len() as f64;
        let weights = [self.config.total_variation, self.config.l2].map(of_image);
        let differences = self.config.differences;
        let gradients = gradient.par_chunks_exact(CHANNELS * self.size * self.size);
        let priors = self.images.par_iter_mut().zip(&views).zip(gradients).map(|((image, view), gradient)| {
            let (priors, gradient) = view.gradient(gradient, self.size, differences, weights);
            image.follow(&enlargement.gradient(&gradient), rule, &pyramid, range);
            priors
        });
        let priors: Vec<[f64; 2]> = priors.collect();
        self.step += 1;
        self.enter_resolution();
        Ok(self.losses(by_network, &priors))
    }

    /// Enlarges the images if the next step is the first of a finer resolution.
    fn enter_resolution(&mut self) {
        let enlargement = Enlargement::new(self.side(), side(self.size, self.config.resolution(self.step)));
        if !enlargement.is_identity() {
            let pyramid = Pyramid::new(side(self.size, self.config.resolution(self.step)), self.config.levels);
            self.images
                .par_iter_mut()
                .for_each(|image| *image = Image::still(enlargement.enlarged(&image.pixels), &pyramid));
        }
    }

    /// From the present resolution to that of the network.
    fn enlargement(&self) -> Enlargement<f32> {
        Enlargement::new(self.side(), self.size)
    }

    /// The images that those of the present resolution are sums of.
    fn pyramid(&self) -> Pyramid {
        Pyramid::new(self.side(), self.config.levels)
    }

    /// The side of the images of the present resolution.
    fn side(&self) -> usize {
        (self.images[0].pixels.len() / CHANNELS).isqrt()
    }

    fn view(&self, index: usize, enlargement: &Enlargement<f32>) -> View {
        let image = enlargement.enlarged(&self.images[index].pixels);
        let pose = Pose::draw(&self.config, (self.seed, self.step, index as u64));
        let noise = drawn(self.config.view_noise, image.len(), (self.seed, self.step + 1, index as u64));
        View { image, placement: Placement::new(self.size, pose), noise }
    }

    /// Values of the objective and of the batch norms' prior, and the gradient of their weighted sum by what is seen.
    fn network_gradient(
        &self,
        network: &Network,
        views: &[View],
        objective: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<([f64; 2], Vec<f32>)> {
        let parameters = network.parameters();
        let seen = self.batch(&views.par_iter().map(View::seen).collect::<Vec<_>>())?;
        let seen = seen.to_dtype(parameters.dtype())?.to_device(parameters.device())?;
        let watch = self.config.statistics.as_ref().map_or(Watch::Nothing, |_| Watch::Statistics);
        let pass = network.image_pass(&seen, watch)?;
        let (value, by_embeddings) = differentiated(pass.embeddings(), objective)?;
        let prior = self.config.statistics.as_ref().map(|config| statistics_prior(pass.statistics(), config));
        let (statistics, by_statistics) = prior.transpose()?.map_or((0.0, vec![]), |term| (term.value, term.gradients));
        self.check_finite("objective", value)?;
        self.check_finite("statistics prior", statistics)?;
        let by_embeddings = (by_embeddings * self.weight_of_mean())?;
        let gradient = pass.backward(&by_embeddings, &by_statistics)?;
        Ok(([value, statistics], gradient.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?))
    }

    /// What the mean over the images counts in the batch.
    fn weight_of_mean(&self) -> f64 {
        match self.config.reduction {
            Reduction::Mean => 1.0,
            Reduction::Sum => self.images.len() as f64,
        }
    }

    fn check_finite(&self, what: &str, value: f64) -> Result<()> {
        let expected = || format!("a finite value in step {} (a lower learning rate may help)", self.step);
        if value.is_finite() { Ok(()) } else { Err(Error::value(what, expected(), value)) }
    }

    /// What Adam does in this step; it begins anew with each resolution.
    fn rule(&self) -> Result<Rule> {
        let InversionConfig { betas, steps, .. } = &self.config;
        let age = (self.step - self.config.resolution(self.step).since + 1) as i32;
        let [mean, square] = betas.map(|beta| 1.0 - beta.powi(age));
        let learning_rate = self.config.schedule()?.learning_rate(self.step, *steps);
        Ok(Rule {
            betas: betas.map(|beta| beta as f32),
            rate: (learning_rate / mean) as f32,
            root: (1.0 / square.sqrt()) as f32,
        })
    }

    fn losses(&self, [objective, statistics]: [f64; 2], priors: &[[f64; 2]]) -> Losses {
        let mean = |term: usize| priors.iter().map(|terms| terms[term]).sum::<f64>() / priors.len() as f64;
        let (total_variation, l2) = (mean(0), mean(1));
        let weight = self.config.statistics.as_ref().map_or(0.0, |config| config.weight);
        let of_image = objective + self.config.total_variation * total_variation + self.config.l2 * l2;
        let total = self.weight_of_mean() * of_image + weight * statistics;
        Losses { objective, statistics, total_variation, l2, total }
    }

    /// (B, 3, S, S) of images of the full size.
    fn batch(&self, images: &[Vec<f32>]) -> Result<Tensor> {
        let shape = (images.len(), CHANNELS, self.size, self.size);
        Ok(Tensor::from_vec(images.concat(), shape, &Device::Cpu)?)
    }
}

/// Saving, and going on.
impl Inversion {
    /// Writes all that the next step depends on, but for the configuration.
    ///
    /// # Errors
    /// If the file cannot be written; an older one is as it was then.
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensor = |side: usize, values: &dyn Fn(&Image) -> &Vec<f32>| {
            let values: Vec<f32> = self.images.iter().flat_map(|image| values(image).iter().copied()).collect();
            Ok::<_, Error>(Tensor::from_vec(values, (self.images.len(), CHANNELS, side, side), &Device::Cpu)?)
        };
        let mut tensors = BTreeMap::from([("images".to_owned(), tensor(self.side(), &|image| &image.pixels)?)]);
        for (level, side) in self.pyramid().sides().enumerate() {
            tensors.insert(format!("mean.{level}"), tensor(side, &|image| &image.moments[level].mean)?);
            tensors.insert(format!("square.{level}"), tensor(side, &|image| &image.moments[level].square)?);
        }
        let metadata = [("seed", self.seed), ("size", self.size as u64), ("step", self.step)];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_string()));
        save_tensors(path, &tensors, &BTreeMap::from(metadata))
    }

    /// Goes on with what [`Inversion::save`] wrote, under the configuration that it was begun with.
    ///
    /// # Errors
    /// If the file cannot be read, holds something else, or its images are not those of `config` at their step.
    pub fn resume(config: &InversionConfig, path: &Path) -> Result<Self> {
        config.check()?;
        let (mut tensors, metadata) = load_tensors(path)?;
        let number = |key: &str| {
            let found = metadata.get(key).and_then(|text| text.parse::<u64>().ok());
            found.ok_or_else(|| Error::file(path, format!("expected a saved inversion, got no number `{key}`")))
        };
        let (seed, size, step) = (number("seed")?, number("size")? as usize, number("step")?);
        let count = tensors.get("images").and_then(|images| images.dims().first().copied()).unwrap_or(1);
        if count == 0 {
            return Err(Error::file(path, "expected a saved inversion, got one of no image"));
        }
        let side = side(size, config.resolution(step));
        let mut values = |name: &str, side: usize| {
            let tensor = take(path, &mut tensors, name, &[count, CHANNELS, side, side], DType::F32)?;
            Ok::<_, Error>(tensor.flatten_from(1)?.to_vec2::<f32>()?)
        };
        let pixels = values("images", side)?.into_iter();
        let mut images: Vec<Image> = pixels.map(|pixels| Image { pixels, moments: vec![] }).collect();
        for (level, side) in Pyramid::new(side, config.levels).sides().enumerate() {
            let moments =
                values(&format!("mean.{level}"), side)?.into_iter().zip(values(&format!("square.{level}"), side)?);
            images
                .iter_mut()
                .zip(moments)
                .for_each(|(image, (mean, square))| image.moments.push(Moments { mean, square }));
        }
        Ok(Self { config: config.clone(), seed, step, size, images })
    }
}

/// An image of the full size and how the network sees it in one step.
struct View {
    image: Vec<f32>,
    placement: Placement<f32>,
    /// Added to what is seen; empty if there is none.
    noise: Vec<f32>,
}

impl View {
    fn seen(&self) -> Vec<f32> {
        let mut seen = self.placement.seen(&self.image);
        seen.iter_mut().zip(&self.noise).for_each(|(seen, noise)| *seen += noise);
        seen
    }

    /// Total variation and length, and the gradient of the image: theirs by `weights` and that of what is seen.
    fn gradient(
        &self,
        of_seen: &[f32],
        side: usize,
        differences: Differences,
        weights: [f64; 2],
    ) -> ([f64; 2], Vec<f32>) {
        let mut gradient = self.placement.gradient(of_seen);
        let variation = total_variation(&self.image, side, differences, weights[0], &mut gradient);
        ([variation, l2(&self.image, weights[1], &mut gradient)], gradient)
    }
}

impl Image {
    /// Noise, a function of (seed, index).
    fn noise(config: &InversionConfig, seed: u64, index: u64, pyramid: &Pyramid) -> Self {
        let side = pyramid.sides().next().unwrap_or_default();
        let mut noise = drawn(config.noise, CHANNELS * side * side, (seed, 0, index));
        noise.resize(CHANNELS * side * side, 0.0);
        Self::still(noise, pyramid)
    }

    /// One that Adam has not moved yet.
    fn still(pixels: Vec<f32>, pyramid: &Pyramid) -> Self {
        Self { pixels, moments: pyramid.sides().map(|side| Moments::none(CHANNELS * side * side)).collect() }
    }

    /// One step of Adam against the gradient, within the range.
    fn follow(&mut self, gradient: &[f32], rule: Rule, pyramid: &Pyramid, range: Option<[f32; 2]>) {
        let change = pyramid.change(gradient, &mut self.moments, rule);
        self.pixels.iter_mut().zip(change).for_each(|(pixel, change)| *pixel -= change);
        if let Some([least, largest]) = range {
            self.pixels.iter_mut().for_each(|pixel| *pixel = pixel.clamp(least, largest));
        }
    }
}

/// Normal numbers, a function of (seed, step, image); none if they would all be 0.
fn drawn(deviation: f64, count: usize, (seed, step, index): (u64, u64, u64)) -> Vec<f32> {
    if deviation <= 0.0 {
        return vec![];
    }
    let mut rng = rng(seed, Purpose::Synthesis, step, index);
    (0..count).map(|_| deviation as f32 * rng.sample::<f32, _>(StandardNormal)).collect()
}

/// The side of the images of `resolution`.
fn side(size: usize, resolution: Resolution) -> usize {
    size / resolution.factor
}

/// The value of `objective` and its gradient by the embeddings.
fn differentiated(embeddings: &Tensor, objective: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<(f64, Tensor)> {
    let embeddings = Var::from_tensor(embeddings)?;
    let loss = objective(&embeddings)?;
    let unreached = || Error::Invalid("objective: expected a function of the embeddings that it was given".to_owned());
    let gradient = loss.backward()?.remove(&embeddings).ok_or_else(unreached)?;
    Ok((loss.to_dtype(DType::F64)?.to_scalar()?, gradient))
}
