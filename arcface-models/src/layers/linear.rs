//! Flattening and a fully connected layer.
//! Knows no neighbour.

use arcface_core::Result;
use arcface_core::candle::Tensor;
use arcface_core::ops;
use arcface_core::ops::tape::reshape;

use crate::layers::{Builder, Mode, Weight};
use crate::network::as_type;
use crate::plan::LinearSpec;

/// x·Wᵀ + b on the flattened image; the weight is (O, H·W·C).
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Weight,
    pub(crate) bias: Option<Weight>,
}

/// The fully connected layer of `spec`.
pub(crate) fn linear(spec: &LinearSpec, builder: &mut Builder) -> Result<Linear> {
    let weight = builder.weight(&spec.weight_entry())?;
    let bias = spec.bias_entry().map(|entry| builder.weight(&entry)).transpose()?;
    Ok(Linear { weight, bias })
}

impl Linear {
    /// # Shapes
    /// (B, H, W, C) → (B, O).
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(|bias| bias.tensor(mode));
        let (batch, count) = (x.dim(0)?, x.elem_count());
        let weight = self.weight.tensor(mode);
        // From here on everything is of the weights' type, whatever the activations before.
        let flat = as_type(&reshape(x, (batch, count / batch.max(1)))?, weight.dtype())?;
        ops::linear(&flat, &weight, bias.as_ref())
    }
}
