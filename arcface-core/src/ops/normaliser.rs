//! The numbers per channel that batch norm and its fusions work with, all worked out in f64.
//! Knows no values of activations, only their statistics.

use candle_core::Tensor;

use super::batch_norm::BatchStatistics;
use super::element::{Element, check_operands};
use super::passes::{Center, Map, Mix, Moments, moments};
use super::rows::{from_f64, narrowed, to_f64, with_values};
use crate::{Error, Result, shape, with_element};

/// Where the statistics come from; those of the batch depend on x and add their terms to its gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Source {
    Batch,
    Given,
}

/// Mean and 1/√(σ² + ε) per channel.
#[derive(Debug)]
pub(super) struct Normaliser {
    mean: Vec<f64>,
    inverse: Vec<f64>,
    source: Source,
}

impl Normaliser {
    /// That of the batch `x`, and the batch's statistics.
    pub(super) fn of_batch(x: &Tensor, affine: &Tensor, eps: f64) -> Result<(Self, BatchStatistics)> {
        let (rows, channels) = check_batch(x, affine, eps)?;
        let moments = batch_moments(x, channels)?;
        let statistics = BatchStatistics {
            mean: from_f64(&moments.mean, &[channels], x)?,
            variance: from_f64(&moments.variance, &[channels], x)?,
            count: rows,
        };
        Ok((Self::new(moments, eps, Source::Batch), statistics))
    }

    /// That of `statistics` (2, C).
    pub(super) fn given(x: &Tensor, affine: &Tensor, statistics: &Tensor, eps: f64) -> Result<Self> {
        check_given(x, affine, statistics, eps)?;
        Ok(Self::of_given(to_f64(statistics)?, eps))
    }

    /// That of means and, behind them, variances.
    fn of_given(statistics: Vec<f64>, eps: f64) -> Self {
        let mut mean = statistics;
        let variance = mean.split_off(mean.len() / 2);
        Self::new(Moments { mean, variance }, eps, Source::Given)
    }

    /// y = x·scale + shift, for `affine` γ, β behind one another and `statistics` means, variances.
    pub(super) fn folded(affine: &[f64], statistics: Vec<f64>, eps: f64) -> (Vec<f64>, Vec<f64>) {
        let normaliser = Self::of_given(statistics, eps);
        let (gamma, beta) = affine.split_at(normaliser.channels());
        let scale = normaliser.scale(gamma);
        let shift = beta.iter().zip(&normaliser.mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale);
        let shift = shift.collect();
        (scale, shift)
    }

    fn new(moments: Moments, eps: f64, source: Source) -> Self {
        let inverse = moments.variance.iter().map(|variance| 1.0 / (variance + eps).sqrt()).collect();
        Self { mean: moments.mean, inverse, source }
    }

    fn channels(&self) -> usize {
        self.mean.len()
    }

    /// Whether the statistics are the batch's.
    pub(super) fn moves_with_batch(&self) -> bool {
        self.source == Source::Batch
    }

    /// y = γ·(x − μ)/√(σ² + ε) + β for `affine` γ, β.
    pub(super) fn map<T: Element>(&self, affine: &[T]) -> Map<T> {
        let center = Center::<T>::new(&self.mean);
        let (gamma, beta) = affine.split_at(self.channels());
        let scale = self.scale(gamma);
        let shift = (0..self.channels()).map(|c| beta[c].to_f64() - center.rest[c] * scale[c]);
        Map { shift: narrowed(shift), scale: narrowed(scale.iter().copied()), center: center.rounded }
    }

    /// dγ = Σ dy·x̂ and dβ = Σ dy, from `sums`: Σ dy·(x − center) and Σ dy.
    pub(super) fn affine_gradient<T: Element>(&self, sums: &[f64]) -> Vec<f64> {
        let center = Center::<T>::new(&self.mean);
        let (products, by_beta) = sums.split_at(self.channels());
        let by_gamma = |c: usize| self.inverse[c] * (products[c] - center.rest[c] * by_beta[c]);
        (0..self.channels()).map(by_gamma).chain(by_beta.iter().copied()).collect()
    }

    /// dx = γ/√(σ² + ε) · (dy − mean(dy) − x̂·mean(dy·x̂)) over `count` rows: the mean and the variance move with x.
    ///
    /// With given statistics the means of the gradient fall away.
    pub(super) fn mix<T: Element>(&self, gamma: &[T], affine_gradient: &[f64], count: f64) -> Mix<T> {
        let center = Center::<T>::new(&self.mean);
        let (by_gamma, by_beta) = affine_gradient.split_at(self.channels());
        let part = if self.moves_with_batch() { 1.0 / count } else { 0.0 };
        let scale = self.scale(gamma);
        let by_value: Vec<f64> =
            (0..self.channels()).map(|c| -scale[c] * self.inverse[c] * by_gamma[c] * part).collect();
        let rest = (0..self.channels()).map(|c| -scale[c] * by_beta[c] * part - by_value[c] * center.rest[c]);
        Mix {
            rest: narrowed(rest),
            by_gradient: narrowed(scale.iter().copied()),
            by_value: narrowed(by_value.iter().copied()),
        }
    }

    /// γ/√(σ² + ε).
    fn scale<T: Element>(&self, gamma: &[T]) -> Vec<f64> {
        gamma.iter().zip(&self.inverse).map(|(gamma, inverse)| gamma.to_f64() * inverse).collect()
    }
}

/// Mean and biased variance of each channel of `x`.
pub(super) fn batch_moments(x: &Tensor, channels: usize) -> Result<Moments> {
    with_element!(x.dtype(), "x", T => with_values(x, |x| Ok(moments::<T>(x, channels))))
}

/// The rows and channels of `x` that batch norm in training takes.
pub(super) fn check_batch(x: &Tensor, affine: &Tensor, eps: f64) -> Result<(usize, usize)> {
    let (rows, channels) = check(x, affine, eps)?;
    if rows < 2 {
        let expected = "more than 1 value per channel in training (a larger batch, or evaluation mode)";
        return Err(Error::value("batch norm", expected, format!("x of shape {:?}", x.dims())));
    }
    Ok((rows, channels))
}

/// Checks the arguments of batch norm by `statistics` (2, C).
pub(super) fn check_given(x: &Tensor, affine: &Tensor, statistics: &Tensor, eps: f64) -> Result<()> {
    let (_, channels) = check(x, affine, eps)?;
    shape::exactly(statistics, "statistics", "(2, C)", &[2, channels])
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
