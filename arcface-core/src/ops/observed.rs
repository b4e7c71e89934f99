//! Batch norm by running statistics that also tells those of the batch, as a pass back to the image needs it.
//! Knows no gradient but that of what goes in: the weights around it are frozen.
//!
//! The values and the sums for the statistics are made while a chunk is in cache, and so are the gradients of both.

use std::cell::OnceCell;
use std::rc::Rc;

use candle_core::Tensor;

use super::batch_norm_prelu::{activate, check_slope, input_gradient};
use super::element::Element;
use super::normaliser::{Normaliser, check_given};
use super::passes::{Map, Mix, Moments, add_moments, combined, stretch};
use super::rows::{build_and_collect, from_f64, narrowed, row_chunk, to_f64, total, with_optional, with_values};
use super::tape;
use crate::{Error, Result, shape, with_element};

/// Statistics of what went into a batch norm, and the way of their gradient back to it.
#[derive(Debug)]
pub struct Observed {
    statistics: Tensor,
    gradient: Gradient,
}

/// Gradients (2, C) by the means and by the variances; empty until they are given.
type Gradient = Rc<OnceCell<Tensor>>;

impl Observed {
    /// Statistics of the batch (2, C): row 0 means, row 1 biased variances; outside of any graph.
    pub fn statistics(&self) -> &Tensor {
        &self.statistics
    }

    /// Lets the gradient of the statistics into the backward pass that is to come.
    ///
    /// # Shapes
    /// `gradient` (2, C): by the means, by the variances.
    ///
    /// # Errors
    /// If the shape is another or there was a gradient before.
    pub fn give(&self, gradient: &Tensor) -> Result<()> {
        shape::exactly(gradient, "gradient of batch statistics", "(2, C)", self.statistics.dims())?;
        let again = |_| Error::Invalid("gradient of batch statistics: expected one, got a second one".to_owned());
        self.gradient.set(gradient.detach()).map_err(again)
    }
}

/// [`batch_norm_eval`](super::batch_norm_eval), with a `PReLU` of `slope` behind it if there is one, and the statistics
/// of `x`, which change nothing of the result.
///
/// It has a gradient by `x` alone and on a tape alone: that of the result and the one that [`Observed::give`] got.
///
/// # Shapes
/// `x` (B, H, W, C) or (B, C); `affine` (2, C): γ, β; `running` (2, C): mean, variance; `slope` (C). The result has the
/// shape of `x`.
///
/// # Errors
/// If a shape or type does not fit.
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor, Var};
/// use arcface_core::ops::{batch_norm_observed, tape::record};
/// let x = Var::new(&[[1f64], [3.]], &Device::Cpu)?;
/// let affine = Tensor::new(&[[1f64], [0.]], &Device::Cpu)?;
/// let running = Tensor::new(&[[0f64], [4.]], &Device::Cpu)?;
/// let mut observed = None;
/// let (y, tape) = record(|| {
///     let (y, statistics) = batch_norm_observed(&x, &affine, &running, None, 0.0)?;
///     observed = Some(statistics);
///     Ok(y)
/// })?;
/// let observed = observed.unwrap();
/// assert_eq!(y.to_vec2::<f64>()?, [[0.5], [1.5]]);
/// assert_eq!(observed.statistics().to_vec2::<f64>()?, [[2.0], [1.0]]);
/// observed.give(&Tensor::new(&[[1f64], [0.]], &Device::Cpu)?)?;
/// let gradients = tape.backward(&y.zeros_like()?)?;
/// assert_eq!(gradients.get(&x).unwrap().to_vec2::<f64>()?, [[0.5], [0.5]]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn batch_norm_observed(
    x: &Tensor,
    affine: &Tensor,
    running: &Tensor,
    slope: Option<&Tensor>,
    eps: f64,
) -> Result<(Tensor, Observed)> {
    check_given(x, affine, running, eps)?;
    slope.map(|slope| check_slope(x, slope)).transpose()?;
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        let (y, statistics, observer) = super::cuda::normalise::observe(x, affine, running, slope, eps)?;
        let gradient = Gradient::default();
        let observed = Observed { statistics, gradient: gradient.clone() };
        let y = tape::made(x, y, move |x, dy| observer.backward(x, dy, gradient.get()))?;
        return Ok((y, observed));
    }
    let normaliser = Normaliser::given(x, affine, running, eps)?;
    with_element!(x.dtype(), "batch norm", T => {
        let map = with_values(affine, |affine| Ok(normaliser.map::<T>(affine)))?;
        let slope = slope.map(|slope| with_values(slope, |slope| Ok(slope.to_vec()))).transpose()?;
        observe(x, Kernel { map, slope })
    })
}

fn observe<T: Element>(x: &Tensor, kernel: Kernel<T>) -> Result<(Tensor, Observed)> {
    let (y, moments) = with_values(x, |x| Ok(kernel.forward(x)))?;
    let statistics = [moments.mean.as_slice(), &moments.variance].concat();
    let statistics = from_f64(&statistics, &[2, moments.mean.len()], x)?;
    let gradient = Gradient::default();
    let observed = Observed { statistics, gradient: gradient.clone() };
    let y = tape::made(x, Tensor::from_vec(y, x.shape(), x.device())?, move |x, dy| {
        let count = x.elem_count() / moments.mean.len();
        let of_statistics = gradient.get().map(to_f64).transpose()?;
        let mix = kernel.mix(&moments.mean, of_statistics.as_deref(), count as f64);
        let gathered = tape::gathered(x);
        let dx = with_optional(gathered.as_ref(), |gathered| {
            with_values(x, |x| with_values(dy, |dy| Ok(kernel.backward(x, dy, &mix, gathered))))
        })?;
        Ok(Tensor::from_vec(dx, x.shape(), x.device())?)
    })?;
    Ok((y, observed))
}

/// z = (x − center)·scale + shift and, with a slope, y = max(z, 0) + slope·min(z, 0).
struct Kernel<T> {
    map: Map<T>,
    slope: Option<Vec<T>>,
}

impl<T: Element> Kernel<T> {
    fn forward(&self, x: &[T]) -> (Vec<T>, Moments) {
        let channels = self.map.center.len();
        let (first, chunk_len) = (&x[..channels], row_chunk(channels));
        let (y, sums) = build_and_collect(x.len(), chunk_len, |index, y: &mut [T]| {
            let x = &x[index * chunk_len..][..y.len()];
            let mut sums = vec![0.0; 2 * channels];
            add_moments(x, first, &mut sums);
            match &self.slope {
                Some(slope) => activate(x, &self.map, slope, y),
                None => stretch(x, &self.map.center, &self.map.scale, &self.map.shift, y),
            }
            sums
        });
        (y, Moments::from_sums(total(sums), first, (x.len() / channels) as f64))
    }

    /// dx = scale·dz + (dμ + 2·dσ²·(x − μ))/N, with the mean μ of the batch and `gradient` dμ, dσ².
    fn mix(&self, mean: &[f64], gradient: Option<&[f64]>, count: f64) -> Mix<T> {
        let channels = mean.len();
        let gradient = |index: usize| gradient.map_or(0.0, |gradient| gradient[index]) / count;
        let by_value: Vec<f64> = (0..channels).map(|c| 2.0 * gradient(channels + c)).collect();
        let rest = (0..channels).map(|c| gradient(c) + by_value[c] * (self.map.center[c].to_f64() - mean[c]));
        Mix { rest: narrowed(rest), by_gradient: self.map.scale.clone(), by_value: narrowed(by_value.iter().copied()) }
    }

    /// On top of `onto`.
    fn backward(&self, x: &[T], dy: &[T], mix: &Mix<T>, onto: Option<&[T]>) -> Vec<T> {
        match &self.slope {
            Some(slope) => input_gradient((x, dy), &self.map, mix, slope, onto),
            None => combined(dy, x, &self.map.center, mix, onto),
        }
    }
}
