//! Batch norm followed by `PReLU` as one operator: the value between them is never written to memory.
//! Knows no running statistics.
//!
//! Equals [`prelu`](super::prelu()) of [`batch_norm_train`](super::batch_norm_train) or its evaluation to the last bit,
//! and its gradients up to rounding, for about half of the memory traffic.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

use super::batch_norm::BatchStatistics;
use super::element::{Element, check_operands, storage, values};
use super::normaliser::Normaliser;
use super::passes::{Map, Mix, built};
use super::rows::{from_f64, row_chunk, sum_chunks, with_optional, with_three, with_values};
use super::tape::{self, Made, Recorded, is_wanted};
#[cfg(feature = "cuda")]
use super::{cuda::normalise::Behind, normaliser};
use crate::{Result, multiversion, shape, with_element};

/// `PReLU` of batch norm in training.
///
/// # Shapes
/// `x` (B, H, W, C) or (B, C); `affine` (2, C): γ, β; `slope` (C). The result has the shape of `x`.
///
/// # Errors
/// As [`batch_norm_train`](super::batch_norm_train) and [`prelu`](super::prelu()).
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor};
/// use arcface_core::ops::batch_norm_prelu_train;
/// let x = Tensor::new(&[[1f64], [3.]], &Device::Cpu)?;
/// let affine = Tensor::new(&[[1f64], [0.]], &Device::Cpu)?;
/// let slope = Tensor::new(&[0.25f64], &Device::Cpu)?;
/// let (y, _) = batch_norm_prelu_train(&x, &affine, &slope, 0.0)?;
/// assert_eq!(y.to_vec2::<f64>()?, [[-0.25], [1.]]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn batch_norm_prelu_train(
    x: &Tensor,
    affine: &Tensor,
    slope: &Tensor,
    eps: f64,
) -> Result<(Tensor, BatchStatistics)> {
    check_slope(x, slope)?;
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        normaliser::check_batch(x, affine, eps)?;
        return super::cuda::normalise::train(x, affine, Behind::Prelu(slope), eps);
    }
    let (normaliser, statistics) = Normaliser::of_batch(x, affine, eps)?;
    Ok((tape::apply3(x, affine, slope, Fused(normaliser))?, statistics))
}

/// `PReLU` of batch norm with given statistics; differentiable by `x`, `affine` and `slope`.
///
/// # Shapes
/// `x` (B, H, W, C) or (B, C); `affine` (2, C): γ, β; `statistics` (2, C): mean, variance; `slope` (C).
///
/// # Errors
/// As [`batch_norm_eval`](super::batch_norm_eval) and [`prelu`](super::prelu()).
pub fn batch_norm_prelu_eval(
    x: &Tensor,
    affine: &Tensor,
    statistics: &Tensor,
    slope: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    check_slope(x, slope)?;
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        normaliser::check_given(x, affine, statistics, eps)?;
        return super::cuda::normalise::given(x, affine, statistics, Behind::Prelu(slope), eps);
    }
    let normaliser = Normaliser::given(x, affine, statistics, eps)?;
    tape::apply3(x, affine, slope, Fused(normaliser))
}

pub(super) fn check_slope(x: &Tensor, slope: &Tensor) -> Result<()> {
    let (_, channels) = shape::rows_and_channels(x, "x")?;
    shape::exactly(slope, "slope", "(C)", &[channels])?;
    check_operands(&[("x", x), ("slope", slope)])
}

struct Fused(Normaliser);

/// Gradients by x, by affine and by slope.
type Gradients<T> = (Vec<T>, Vec<f64>, Vec<f64>);

impl Fused {
    fn forward<T: Element>(&self, x: &[T], affine: &[T], slope: &[T]) -> CpuStorage {
        let map = self.0.map(affine);
        storage(built(x.len(), slope.len(), None, |start, y| activate(&x[start..], &map, slope, y)))
    }

    /// That by x on top of `onto`.
    fn backward<T: Element>(
        &self,
        (x, affine, slope): (&[T], &[T], &[T]),
        dy: &[T],
        onto: Option<&[T]>,
    ) -> Gradients<T> {
        let (map, channels) = (self.0.map(affine), slope.len());
        let mut sums = gradient_sums(x, dy, &map, slope);
        let by_slope = sums.split_off(2 * channels);
        let by_affine = self.0.affine_gradient::<T>(&sums);
        let mix = self.0.mix(&affine[..channels], &by_affine, (x.len() / channels) as f64);
        (input_gradient((x, dy), &map, &mix, slope, onto), by_affine, by_slope)
    }
}

impl Recorded for Fused {
    const RESULT: Made = Made::Again;
}

impl CustomOp3 for Fused {
    fn name(&self) -> &'static str {
        "batch-norm-prelu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
        slope: &CpuStorage,
        slope_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = with_element!(x.dtype(), "batch norm", T => {
            let (affine, slope) = (values::<T>(affine, affine_layout)?, values(slope, slope_layout)?);
            values(x, x_layout).map(|x| self.forward(&x, &affine, &slope))
        });
        Ok((y?, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        slope: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gathered = tape::gathered(x);
        let run = with_element!(x.dtype(), "batch norm", T => with_optional(gathered.as_ref(), |gathered| {
            with_values(dy, |dy| with_three(x, affine, slope, |at, affine, slope| {
                let (dx, by_affine, by_slope) = self.backward::<T>((at, affine, slope), dy, gathered);
                Ok((Tensor::from_vec(dx, x.shape(), x.device())?, by_affine, by_slope))
            }))
        }));
        let (dx, by_affine, by_slope) = run?;
        let dx = is_wanted(x).then_some(dx);
        let by_affine = is_wanted(affine).then(|| from_f64(&by_affine, affine.dims(), x)).transpose()?;
        let by_slope = is_wanted(slope).then(|| from_f64(&by_slope, slope.dims(), x)).transpose()?;
        Ok((dx, by_affine, by_slope))
    }
}

/// Per channel, one after the other, with dz the gradient behind `PReLU`: Σ dz·(x − center), Σ dz, Σ dy·min(z, 0).
fn gradient_sums<T: Element>(x: &[T], dy: &[T], map: &Map<T>, slope: &[T]) -> Vec<f64> {
    sum_chunks(x.len(), row_chunk(slope.len()), |chunk| {
        let mut sums = vec![0.0; 3 * slope.len()];
        add_gradient(&x[chunk.clone()], &dy[chunk], map, slope, &mut sums);
        sums
    })
}

/// By the values x and the gradient dy, on top of `onto`.
pub(super) fn input_gradient<T: Element>(
    (x, dy): (&[T], &[T]),
    map: &Map<T>,
    mix: &Mix<T>,
    slope: &[T],
    onto: Option<&[T]>,
) -> Vec<T> {
    built(x.len(), slope.len(), onto, |start, dx| mix_gradient(&x[start..], &dy[start..], map, mix, slope, dx))
}

multiversion! {
    pub(super) fn activate[T: Element](x: &[T], map: &Map<T>, slope: &[T], y: &mut [T]) {
        let channels = slope.len();
        let (center, scale, shift) = (&map.center[..channels], &map.scale[..channels], &map.shift[..channels]);
        for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            for c in 0..channels {
                let z = (x[c] - center[c]) * scale[c] + shift[c];
                y[c] = if T::ZERO < z { z } else { slope[c] * z };
            }
        }
    }

    fn add_gradient[T: Element](x: &[T], dy: &[T], map: &Map<T>, slope: &[T], sums: &mut [f64]) {
        let channels = slope.len();
        let (center, scale, shift) = (&map.center[..channels], &map.scale[..channels], &map.shift[..channels]);
        let (products, rest) = sums.split_at_mut(channels);
        let (plain, slopes) = rest.split_at_mut(channels);
        let slopes = &mut slopes[..channels];
        for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
            for c in 0..channels {
                let centered = x[c] - center[c];
                let z = centered * scale[c] + shift[c];
                let positive = T::ZERO < z;
                let dz = if positive { dy[c] } else { slope[c] * dy[c] };
                products[c] += (dz * centered).to_f64();
                plain[c] += dz.to_f64();
                slopes[c] += (if positive { T::ZERO } else { dy[c] * z }).to_f64();
            }
        }
    }

    fn mix_gradient[T: Element](x: &[T], dy: &[T], map: &Map<T>, mix: &Mix<T>, slope: &[T], dx: &mut [T]) {
        let channels = slope.len();
        let (center, scale, shift) = (&map.center[..channels], &map.scale[..channels], &map.shift[..channels]);
        let (a, b, rest) = (&mix.by_gradient[..channels], &mix.by_value[..channels], &mix.rest[..channels]);
        let rows = dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(dy.chunks_exact(channels));
        for ((dx, x), dy) in rows {
            for c in 0..channels {
                let centered = x[c] - center[c];
                let z = centered * scale[c] + shift[c];
                let dz = if T::ZERO < z { dy[c] } else { slope[c] * dy[c] };
                dx[c] = a[c] * dz + b[c] * centered + rest[c];
            }
        }
    }
}
