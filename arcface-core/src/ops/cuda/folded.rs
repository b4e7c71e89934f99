//! A convolution with what follows it, on a device and without a way back.
//! Knows numbers per channel, not where they come from.

use std::sync::{Arc, OnceLock};

use candle_core::{DType, Tensor};

use super::conv::{self, arranged, is_depthwise};
use super::elementwise::sum;
use super::memory::Held;
use super::normalise;
use crate::Result;
use crate::ops::element::check_parameter;
use crate::ops::geometry::Geometry;

/// A weight (KH, KW, Cin/groups, Cout) as cuDNN reads it beside activations of either type, once it was asked for.
#[derive(Debug, Clone, Default)]
pub(in crate::ops) struct Filters {
    f32: Arc<OnceLock<Tensor>>,
    bf16: Arc<OnceLock<Tensor>>,
}

impl Filters {
    fn of(&self, weight: &Tensor, g: &Geometry, dtype: DType) -> Result<Tensor> {
        if is_depthwise(g) {
            return Ok(weight.clone());
        }
        let kept = if dtype == DType::BF16 { &self.bf16 } else { &self.f32 };
        if let Some(filters) = kept.get() {
            return Ok(filters.clone());
        }
        let filters = arranged(&Held::new(weight)?, g, dtype)?.into_tensor(weight.elem_count());
        Ok(kept.get_or_init(|| filters).clone())
    }
}

/// Scale and shift (C) of each channel, for [`forward`].
pub(in crate::ops) fn map(scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    normalise::scaling(scale, shift)
}

/// The convolution of `x` by `weight`, scaled and shifted by a [`map`], bent by slopes, with `shortcut` added; what is
/// left out, is not done.
pub(in crate::ops) fn forward(
    g: &Geometry,
    x: &Tensor,
    (weight, filters): (&Tensor, &Filters),
    channels: Option<(&Tensor, &Tensor)>,
    shortcut: Option<&Tensor>,
) -> Result<Tensor> {
    let (dims, count) = (g.output_dims(), g.output_dims().iter().product());
    let filters = Held::new(&filters.of(weight, g, x.dtype())?)?;
    let mut y = conv::forward(g, &Held::new(x)?, &filters)?;
    if let Some((map, slope)) = channels {
        y = normalise::scaled(&Held::of_fresh(y), map, slope, &dims)?;
    }
    if let Some(shortcut) = shortcut {
        y = sum(&Held::of_fresh(y), &Held::new(shortcut)?, count)?;
    }
    Ok(y.into_tensor(&dims[..]))
}

/// That a weight is one that the kernels take.
pub(in crate::ops) fn check(weight: &Tensor) -> Result<()> {
    check_parameter("conv2d weight", weight)
}
