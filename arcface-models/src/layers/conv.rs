//! Convolution without bias.
//! Knows no neighbour.

use arcface_core::Result;
use arcface_core::candle::Tensor;
use arcface_core::ops::{ConvConfig, conv2d};

use crate::layers::{Builder, Mode, Weight};
use crate::plan::ConvSpec;

/// A convolution; the weight is (KH, KW, I/groups, O).
#[derive(Debug)]
pub(crate) struct Conv {
    pub(crate) weight: Weight,
    pub(crate) config: ConvConfig,
}

/// The convolution of `spec`.
pub(crate) fn conv(spec: &ConvSpec, builder: &mut Builder) -> Result<Conv> {
    let config = ConvConfig { stride: spec.stride, padding: spec.padding, groups: spec.groups };
    Ok(Conv { weight: builder.weight(&spec.entry())?, config })
}

impl Conv {
    /// # Shapes
    /// (B, H, W, I) → (B, H', W', O).
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        conv2d(x, &self.weight.tensor(mode), self.config)
    }
}
