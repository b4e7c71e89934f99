//! Batch norm and the sum with a shortcut as one operator: the value between them is never written to memory.
//! Knows no running statistics.
//!
//! Equals [`add`](super::add()) of [`batch_norm_train`](super::batch_norm_train) or its evaluation to the last bit on the
//! CPU, and so do its gradients.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};

use super::batch_norm::{BatchNorm, BatchStatistics};
use super::element::{check_operands, values};
use super::normaliser::Normaliser;
use super::tape::{self, Needs, Recorded, is_wanted};
#[cfg(feature = "cuda")]
use super::{cuda::normalise::Behind, normaliser};
use crate::{Error, Result, shape, with_element};

/// Batch norm in training, and `shortcut` on top of it: y = γ·(x − μ)/√(σ² + ε) + β + shortcut.
///
/// # Shapes
/// `x` (B, H, W, C) or (B, C); `affine` (2, C): γ, β; `shortcut` and the result have the shape of `x`.
///
/// # Errors
/// As [`batch_norm_train`](super::batch_norm_train), and if `shortcut` has another shape or type than `x`.
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor};
/// use arcface_core::ops::batch_norm_add_train;
/// let x = Tensor::new(&[[1f64], [3.]], &Device::Cpu)?;
/// let affine = Tensor::new(&[[1f64], [0.]], &Device::Cpu)?;
/// let (y, _) = batch_norm_add_train(&x, &affine, &x, 0.0)?;
/// assert_eq!(y.to_vec2::<f64>()?, [[0.], [4.]]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn batch_norm_add_train(
    x: &Tensor,
    affine: &Tensor,
    shortcut: &Tensor,
    eps: f64,
) -> Result<(Tensor, BatchStatistics)> {
    check_shortcut(x, shortcut)?;
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        normaliser::check_batch(x, affine, eps)?;
        return super::cuda::normalise::train(x, affine, Behind::Shortcut(shortcut), eps);
    }
    let (normaliser, statistics) = Normaliser::of_batch(x, affine, eps)?;
    Ok((tape::apply3(x, affine, shortcut, Raised(BatchNorm(normaliser)))?, statistics))
}

/// Batch norm with given statistics, and `shortcut` on top of it; differentiable by `x`, `affine` and `shortcut`.
///
/// # Shapes
/// `x` (B, H, W, C) or (B, C); `affine` (2, C): γ, β; `statistics` (2, C): mean, variance; `shortcut` as `x`.
///
/// # Errors
/// As [`batch_norm_eval`](super::batch_norm_eval), and if `shortcut` has another shape or type than `x`.
pub fn batch_norm_add_eval(
    x: &Tensor,
    affine: &Tensor,
    statistics: &Tensor,
    shortcut: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    check_shortcut(x, shortcut)?;
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        normaliser::check_given(x, affine, statistics, eps)?;
        return super::cuda::normalise::given(x, affine, statistics, Behind::Shortcut(shortcut), eps);
    }
    let normaliser = Normaliser::given(x, affine, statistics, eps)?;
    tape::apply3(x, affine, shortcut, Raised(BatchNorm(normaliser)))
}

fn check_shortcut(x: &Tensor, shortcut: &Tensor) -> Result<()> {
    shape::exactly(shortcut, "shortcut", "that of x", x.dims())?;
    check_operands(&[("x", x), ("shortcut", shortcut)])?;
    if x.dtype() != shortcut.dtype() {
        let expected = format!("dtype {} as x has", x.dtype().as_str());
        return Err(Error::value("shortcut", expected, shortcut.dtype().as_str()));
    }
    Ok(())
}

/// A batch norm on top of a shortcut.
struct Raised(BatchNorm);

impl Recorded for Raised {
    /// The shortcut's gradient is that of the sum.
    const NEEDS: Needs = Needs::First(2);
}

impl CustomOp3 for Raised {
    fn name(&self) -> &'static str {
        "batch-norm-add"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
        shortcut: &CpuStorage,
        shortcut_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = with_element!(x.dtype(), "batch norm", T => {
            let (affine, shortcut) = (values::<T>(affine, affine_layout)?, values::<T>(shortcut, shortcut_layout)?);
            values(x, x_layout).map(|x| self.0.forward(&x, &affine, Some(&shortcut[..])))
        });
        Ok((y?, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        shortcut: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let by_shortcut = is_wanted(shortcut).then(|| dy.clone());
        let (dx, by_affine) = self.0.bwd(x, affine, y, dy)?;
        Ok((dx, by_affine, by_shortcut))
    }
}
