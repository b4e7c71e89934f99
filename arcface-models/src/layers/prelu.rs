//! `PReLU` with one slope per channel.
//! Knows no neighbour.

use arcface_core::Result;
use arcface_core::candle::Tensor;
use arcface_core::ops;

use crate::layers::{Builder, Mode, Weight};
use crate::plan::PreluSpec;

/// max(x, 0) + slope·min(x, 0).
#[derive(Debug)]
pub(crate) struct Prelu {
    pub(crate) slope: Weight,
}

/// The `PReLU` of `spec`.
pub(crate) fn prelu(spec: &PreluSpec, builder: &mut Builder) -> Result<Prelu> {
    Ok(Prelu { slope: builder.weight(&spec.entry())? })
}

impl Prelu {
    /// # Shapes
    /// (B, H, W, C) → the same.
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        ops::prelu(x, &self.slope.tensor(mode))
    }
}
