//! Batch normalisation and channel statistics on channels-last activations.
//! Knows no running statistics: the training loop commits those from [`BatchStatistics`].
//!
//! Sums are taken in f64 of values less the first row, so that a mean far above the deviation costs no digits.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};

use super::element::{Element, check_operand, storage, values};
use super::normaliser::{Normaliser, batch_moments};
use super::passes::{Center, Map, Moments, combined, gradient_sums, stretched};
use super::rows::{from_f64, narrowed, to_f64, with_optional, with_three, with_values};
use super::tape::{self, Made, Recorded, is_wanted};
#[cfg(feature = "cuda")]
use super::{cuda::normalise::Behind, normaliser};
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
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        normaliser::check_batch(x, affine, eps)?;
        return super::cuda::normalise::train(x, affine, Behind::Nothing, eps);
    }
    let (normaliser, statistics) = Normaliser::of_batch(x, affine, eps)?;
    Ok((tape::apply2(x, affine, BatchNorm(normaliser))?, statistics))
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
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        normaliser::check_given(x, affine, statistics, eps)?;
        return super::cuda::normalise::given(x, affine, statistics, Behind::Nothing, eps);
    }
    tape::apply2(x, affine, BatchNorm(Normaliser::given(x, affine, statistics, eps)?))
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
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return super::cuda::normalise::statistics(x);
    }
    let moments = batch_moments(x, channels)?;
    tape::apply1(x, ChannelStatistics(moments))
}

/// One call of batch norm with what its backward pass needs.
pub(super) struct BatchNorm(pub(super) Normaliser);

impl BatchNorm {
    /// On top of `shortcut`, if there is one.
    pub(super) fn forward<T: Element>(&self, x: &[T], affine: &[T], shortcut: Option<&[T]>) -> CpuStorage {
        storage(stretched(x, &self.0.map(affine), shortcut))
    }

    /// Gradients by x, on top of what is gathered for it, and by affine, each if asked for.
    fn backward<T: Element>(
        &self,
        x: &[T],
        affine: &[T],
        dy: &[T],
        wanted: Wanted<'_, T>,
    ) -> (Option<Vec<T>>, Option<Vec<f64>>) {
        let map = self.0.map(affine);
        let slopes = (wanted.affine || self.0.moves_with_batch())
            .then(|| self.0.affine_gradient::<T>(&gradient_sums(x, dy, &map.center)));
        let dx = wanted.x.then(|| match &slopes {
            Some(slopes) if self.0.moves_with_batch() => {
                let channels = map.center.len();
                let mix = self.0.mix(&affine[..channels], slopes, (x.len() / channels) as f64);
                combined(dy, x, &map.center, &mix, wanted.gathered)
            }
            _ => plain_gradient(dy, map.scale, wanted.gathered),
        });
        (dx, slopes.filter(|_| wanted.affine))
    }
}

/// dx = γ/√(σ² + ε) · dy.
fn plain_gradient<T: Element>(dy: &[T], scale: Vec<T>, onto: Option<&[T]>) -> Vec<T> {
    let zeros = vec![T::ZERO; scale.len()];
    stretched(dy, &Map { center: zeros.clone(), scale, shift: zeros }, onto)
}

/// Which gradients are asked for.
#[derive(Clone, Copy)]
struct Wanted<'a, T> {
    x: bool,
    /// What there is of it.
    gathered: Option<&'a [T]>,
    affine: bool,
}

impl Recorded for BatchNorm {
    const RESULT: Made = Made::Again;
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
        let y = with_element!(x.dtype(), "batch norm", T => {
            values::<T>(x, x_layout).and_then(|x| Ok(self.forward(&x, &values(affine, affine_layout)?, None)))
        });
        Ok((y?, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let [wants_x, wants_affine] = [x, affine].map(is_wanted);
        let gathered = tape::gathered(x);
        let run = with_element!(x.dtype(), "batch norm", T => {
            with_optional(gathered.as_ref(), |gathered| with_three(x, affine, dy, |at, affine, dy| {
                let wanted = Wanted { x: wants_x, gathered, affine: wants_affine };
                let (dx, slopes) = self.backward::<T>(at, affine, dy, wanted);
                let dx = dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
                Ok((dx, slopes))
            }))
        });
        let (dx, slopes) = run?;
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
        let shift = narrowed((0..channels).map(|c| by_mean[c] / count - scale[c] * center.rest[c]));
        stretched(x, &Map { center: center.rounded, scale: narrowed(scale.iter().copied()), shift }, None)
    }
}

impl Recorded for ChannelStatistics {}

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
