//! Batch normalisation and channel statistics on channels-last activations.
//! Knows no running statistics: the training loop commits those from [`BatchStatistics`].
//!
//! Sums are taken in f64 of values less the first row, so that a mean far above the deviation costs no digits.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};

use super::element::{Element, check_operand, check_operands, storage, values};
use super::passes::{Center, Moments, combined, gradient_sums, moments, stretched};
use super::rows::{from_f64, narrowed, to_f64, with_values};
use crate::{Error, Result, shape, with_element};

/// Mean and variance of each channel of one batch, outside of any graph.
#[derive(Debug, Clone)]
pub struct BatchStatistics {
    /// Means (C).
    pub mean: Tensor,
    /// Biased variances (C): the sum of squares over N, not N − 1.
    pub variance: Tensor,
    /// N, the number of values per channel.
    pub count: usize,
}

/// Batch normalisation in training: y = γ·(x − μ)/√(σ² + ε) + β with μ, σ² (biased) of this batch.
///
/// # Shapes
/// `x` (B, H, W, C) or (B, C); `affine` (2, C): row 0 γ, row 1 β. The result has the shape of `x`.
///
/// # Errors
/// If a shape or type does not fit, or there is only one value per channel, whose variance says nothing.
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor};
/// use arcface_core::ops::batch_norm_train;
/// let x = Tensor::new(&[[1f64, 10.], [3., 30.]], &Device::Cpu)?;
/// let affine = Tensor::new(&[[1f64, 1.], [0., 5.]], &Device::Cpu)?;
/// let (y, statistics) = batch_norm_train(&x, &affine, 0.0)?;
/// assert_eq!(y.to_vec2::<f64>()?, [[-1., 4.], [1., 6.]]);
/// assert_eq!(statistics.variance.to_vec1::<f64>()?, [1., 100.]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn batch_norm_train(x: &Tensor, affine: &Tensor, eps: f64) -> Result<(Tensor, BatchStatistics)> {
    let (rows, channels) = check(x, affine, eps)?;
    if rows < 2 {
        let expected = "more than 1 value per channel in training (a larger batch, or evaluation mode)";
        return Err(Error::value("batch norm", expected, format!("x of shape {:?}", x.dims())));
    }
    let moments = batch_moments(x, channels)?;
    let statistics = BatchStatistics {
        mean: from_f64(&moments.mean, &[channels], x)?,
        variance: from_f64(&moments.variance, &[channels], x)?,
        count: rows,
    };
    let y = x.apply_op2(affine, BatchNorm::new(moments, eps, Source::Batch))?;
    Ok((y, statistics))
}

/// Batch normalisation with given statistics: y = γ·(x − μ)/√(σ² + ε) + β.
///
/// Differentiable by `x` and `affine`; the statistics are constants.
///
/// # Shapes
/// `x` (B, H, W, C) or (B, C); `affine` (2, C): γ, β; `statistics` (2, C): mean, variance.
///
/// # Errors
/// If a shape or type does not fit.
pub fn batch_norm_eval(x: &Tensor, affine: &Tensor, statistics: &Tensor, eps: f64) -> Result<Tensor> {
    let (_, channels) = check(x, affine, eps)?;
    shape::exactly(statistics, "statistics", "(2, C)", &[2, channels])?;
    let mut mean = to_f64(statistics)?;
    let variance = mean.split_off(channels);
    let op = BatchNorm::new(Moments { mean, variance }, eps, Source::Given);
    Ok(x.apply_op2(affine, op)?)
}

/// Mean and biased variance of each channel, differentiable.
///
/// # Shapes
/// `x` (B, H, W, C) or (B, C); the result (2, C): row 0 means, row 1 variances.
///
/// # Errors
/// If `x` has another rank or type, or no element.
pub fn channel_statistics(x: &Tensor) -> Result<Tensor> {
    let (_, channels) = shape::rows_and_channels(x, "x")?;
    check_operand("x", x)?;
    let moments = batch_moments(x, channels)?;
    Ok(x.apply_op1(ChannelStatistics(moments))?)
}

fn check(x: &Tensor, affine: &Tensor, eps: f64) -> Result<(usize, usize)> {
    let (rows, channels) = shape::rows_and_channels(x, "x")?;
    shape::exactly(affine, "affine", "(2, C)", &[2, channels])?;
    check_operands(&[("x", x), ("affine", affine)])?;
    if !(0.0 <= eps && eps.is_finite()) {
        return Err(Error::value("batch norm", "0 <= eps < ∞", eps));
    }
    Ok((rows, channels))
}

fn batch_moments(x: &Tensor, channels: usize) -> Result<Moments> {
    with_element!(x.dtype(), "x", T => with_values(x, |x| Ok(moments::<T>(x, channels))))
}

/// Where the statistics come from; those of the batch depend on x and add their terms to its gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    Batch,
    Given,
}

/// One call of batch norm with what its backward pass needs.
struct BatchNorm {
    mean: Vec<f64>,
    /// 1/√(σ² + ε).
    inverse: Vec<f64>,
    source: Source,
}

impl BatchNorm {
    fn new(moments: Moments, eps: f64, source: Source) -> Self {
        let inverse = moments.variance.iter().map(|variance| 1.0 / (variance + eps).sqrt()).collect();
        Self { mean: moments.mean, inverse, source }
    }

    fn channels(&self) -> usize {
        self.mean.len()
    }

    fn forward_storage<T: Element>(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
    ) -> Result<CpuStorage> {
        let y = self.forward::<T>(&values(x, x_layout)?, &values(affine, affine_layout)?);
        Ok(storage(y))
    }

    fn forward<T: Element>(&self, x: &[T], affine: &[T]) -> Vec<T> {
        let center = Center::<T>::new(&self.mean);
        let (gamma, beta) = affine.split_at(self.channels());
        let scale: Vec<f64> =
            gamma.iter().zip(&self.inverse).map(|(gamma, inverse)| gamma.to_f64() * inverse).collect();
        let shift = (0..self.channels()).map(|c| beta[c].to_f64() - center.rest[c] * scale[c]);
        stretched(x, &center.rounded, &narrowed(scale.iter().copied()), &narrowed(shift))
    }

    /// Gradients by x and by affine, each if asked for.
    fn backward<T: Element>(
        &self,
        x: &[T],
        gamma: &[f64],
        dy: &[T],
        wanted: Wanted,
    ) -> (Option<Vec<T>>, Option<Vec<f64>>) {
        let center = Center::<T>::new(&self.mean);
        let slopes = (wanted.affine || self.source == Source::Batch).then(|| self.affine_gradient(x, dy, &center));
        let dx = wanted.x.then(|| match (&slopes, self.source) {
            (Some(slopes), Source::Batch) => self.batch_gradient(x, gamma, dy, &center, slopes),
            _ => self.plain_gradient(gamma, dy),
        });
        (dx, slopes.filter(|_| wanted.affine))
    }

    /// dγ = Σ dy·x̂ and dβ = Σ dy, one after the other.
    fn affine_gradient<T: Element>(&self, x: &[T], dy: &[T], center: &Center<T>) -> Vec<f64> {
        let mut sums = gradient_sums(x, dy, &center.rounded);
        let by_beta = sums.split_off(self.channels());
        let by_gamma = |c: usize| self.inverse[c] * (sums[c] - center.rest[c] * by_beta[c]);
        (0..self.channels()).map(by_gamma).chain(by_beta.iter().copied()).collect()
    }

    /// dx = γ/√(σ² + ε) · (dy − mean(dy) − x̂·mean(dy·x̂)): the mean and the variance move with x.
    fn batch_gradient<T: Element>(
        &self,
        x: &[T],
        gamma: &[f64],
        dy: &[T],
        center: &Center<T>,
        slopes: &[f64],
    ) -> Vec<T> {
        let channels = self.channels();
        let count = (x.len() / channels) as f64;
        let (by_gamma, by_beta) = slopes.split_at(channels);
        let a: Vec<f64> = gamma.iter().zip(&self.inverse).map(|(gamma, inverse)| gamma * inverse).collect();
        let b: Vec<f64> = (0..channels).map(|c| -a[c] * self.inverse[c] * by_gamma[c] / count).collect();
        let rest = (0..channels).map(|c| -a[c] * by_beta[c] / count - b[c] * center.rest[c]);
        combined(dy, x, &center.rounded, &narrowed(a.iter().copied()), &narrowed(b.iter().copied()), &narrowed(rest))
    }

    /// dx = γ/√(σ² + ε) · dy.
    fn plain_gradient<T: Element>(&self, gamma: &[f64], dy: &[T]) -> Vec<T> {
        let zeros = vec![T::zero(); self.channels()];
        let scale = narrowed(gamma.iter().zip(&self.inverse).map(|(gamma, inverse)| gamma * inverse));
        stretched(dy, &zeros, &scale, &zeros)
    }
}

/// Which gradients are asked for.
#[derive(Clone, Copy)]
struct Wanted {
    x: bool,
    affine: bool,
}

impl CustomOp2 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let forward = with_element!(x.dtype(), "x", T => self.forward_storage::<T>(x, x_layout, affine, affine_layout));
        Ok((forward?, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let wanted = Wanted { x: x.track_op(), affine: affine.track_op() };
        let mut gamma = to_f64(affine)?;
        gamma.truncate(self.channels());
        let (dx, slopes) = with_element!(x.dtype(), "x", T => with_values(x, |values| with_values(dy, |dy| {
            let (dx, slopes) = self.backward::<T>(values, &gamma, dy, wanted);
            let dx = dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
            Ok((dx, slopes))
        })))?;
        let slopes = slopes.map(|slopes| from_f64(&slopes, affine.dims(), x)).transpose()?;
        Ok((dx, slopes))
    }
}

/// [`channel_statistics`] with its result worked out already.
struct ChannelStatistics(Moments);

impl ChannelStatistics {
    /// dx = (dμ + 2·dσ²·(x − μ)) / N.
    fn backward<T: Element>(&self, x: &[T], dy: &[f64]) -> Vec<T> {
        let center = Center::<T>::new(&self.0.mean);
        let channels = self.0.mean.len();
        let count = (x.len() / channels) as f64;
        let (by_mean, by_variance) = dy.split_at(channels);
        let scale: Vec<f64> = by_variance.iter().map(|by_variance| 2.0 * by_variance / count).collect();
        let shift = (0..channels).map(|c| by_mean[c] / count - scale[c] * center.rest[c]);
        stretched(x, &center.rounded, &narrowed(scale.iter().copied()), &narrowed(shift))
    }
}

impl CustomOp1 for ChannelStatistics {
    fn name(&self) -> &'static str {
        "channel-statistics"
    }

    fn cpu_fwd(&self, x: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let values = self.0.mean.iter().chain(&self.0.variance).copied();
        let storage = with_element!(x.dtype(), "x", T => Ok::<_, Error>(storage::<T>(narrowed(values))));
        Ok((storage?, Shape::from((2, self.0.mean.len()))))
    }

    fn bwd(&self, x: &Tensor, _statistics: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let dy = to_f64(dy)?;
        let dx = with_element!(x.dtype(), "x", T => with_values(x, |values| {
            Ok(Tensor::from_vec(self.backward::<T>(values, &dy), x.shape(), x.device())?)
        }));
        Ok(Some(dx?))
    }
}
