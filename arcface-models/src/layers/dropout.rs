//! Dropout whose mask is a function of (seed, step, name).
//! Knows no neighbour.

use arcface_core::Result;
use arcface_core::candle::Tensor;
use arcface_core::ops::{self, DropKey};
use arcface_core::seed::name_index;

use crate::layers::{Builder, Mode};
use crate::plan::DropoutSpec;

/// Drops a share of the values in training and scales the others up.
#[derive(Debug)]
pub(crate) struct Dropout {
    rate: f64,
    layer: u64,
}

/// The dropout of `spec`; a frozen one drops nothing.
pub(crate) fn dropout(spec: &DropoutSpec, builder: &Builder) -> Dropout {
    let rate = if builder.is_frozen(&spec.name) { 0.0 } else { spec.rate };
    Dropout { rate, layer: name_index(&spec.name) }
}

impl Dropout {
    /// # Shapes
    /// Any → the same.
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match mode {
            Mode::Train { seed, step } | Mode::Repeat { seed, step } if 0.0 < self.rate => {
                ops::dropout(x, self.rate, DropKey { seed, step, layer: self.layer })
            }
            _ => Ok(x.clone()),
        }
    }
}
