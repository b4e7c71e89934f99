//! Variables moved towards values: how running statistics follow those of batches.
//! Knows no layer, and no gradient.

use candle_core::{Tensor, Var};

use crate::{Result, shape};

/// What a variable becomes: kept·v + share·x.
#[derive(Debug, Clone)]
pub struct Blend<'a> {
    /// v.
    pub var: &'a Var,
    /// x, of the shape and type of v.
    pub with: &'a Tensor,
    /// How much of v stays.
    pub kept: f64,
    /// How much of x comes.
    pub share: f64,
}

/// Blends each variable, in place; on a CUDA device all of them in one launch. They must all be of one device.
///
/// # Errors
/// If a shape does not fit, or values on a CUDA device are not f32.
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor, Var};
/// use arcface_core::ops::{Blend, blend};
/// let (var, with) = (Var::new(&[2f64, 4.0], &Device::Cpu)?, Tensor::new(&[10f64, 10.0], &Device::Cpu)?);
/// blend(&[Blend { var: &var, with: &with, kept: 0.5, share: 0.1 }])?;
/// assert_eq!(var.to_vec1::<f64>()?, [2.0, 3.0]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn blend(blends: &[Blend<'_>]) -> Result<()> {
    for Blend { var, with, .. } in blends {
        shape::exactly(with, "what a variable is blended with", "of the variable", var.dims())?;
    }
    #[cfg(feature = "cuda")]
    if blends.first().is_some_and(|blend| blend.var.device().is_cuda()) {
        return super::cuda::optimise::blend(blends);
    }
    blends.iter().try_for_each(|Blend { var, with, kept, share }| {
        let stays = var.as_detached_tensor().affine(*kept, 0.0)?;
        Ok(var.set(&(stays + with.affine(*share, 0.0)?)?)?)
    })
}
