//! Layers as tensors and a forward pass on channels-last operators, built from their description.
//! Knows no architecture and no file.

mod batch_norm;
mod builder;
mod conv;
mod dropout;
mod linear;
mod prelu;

use std::sync::Arc;

use arcface_core::Result;
use arcface_core::candle::Tensor;
use arcface_core::ops::tape::recomputed;
use arcface_core::ops::{Observed, add};

pub(crate) use batch_norm::BatchNorm;
pub(crate) use builder::{Begin, Builder, Weight};

use crate::freeze::lies_under;
use crate::plan::Spec;

/// What a forward pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Builds the graph, normalises by the batch and drops out; the masks are a function of both numbers.
    Train {
        /// The run's seed.
        seed: u64,
        /// Number of the forward pass; with accumulation, each micro-batch has its own.
        step: u64,
    },
    /// The same training pass once more, for the gradients of what was not kept: its statistics count once.
    Repeat {
        /// The run's seed.
        seed: u64,
        /// Number of the forward pass.
        step: u64,
    },
    /// Normalises by the running statistics; weights are detached, so that no graph is built for them.
    Eval,
}

impl Mode {
    /// The mode in which a training pass runs once more.
    fn repeated(self) -> Self {
        match self {
            Self::Train { seed, step } => Self::Repeat { seed, step },
            other => other,
        }
    }
}

/// A layer with its tensors.
#[derive(Debug)]
pub(crate) enum Layer {
    Conv(conv::Conv),
    BatchNorm(BatchNorm),
    /// Both as one operator, which spares the value between them a way to memory and back.
    BatchNormPrelu(BatchNorm, prelu::Prelu),
    Prelu(prelu::Prelu),
    Dropout(dropout::Dropout),
    Linear(linear::Linear),
    Residual(Arc<Block>, Activations),
}

/// A residual block: the sum of two ways.
#[derive(Debug)]
pub(crate) struct Block {
    /// Name of its first entry.
    name: String,
    pub(crate) main: Vec<Layer>,
    pub(crate) shortcut: Vec<Layer>,
}

/// What a training pass keeps of the values inside of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activations {
    Kept,
    /// Only what goes in; the block runs again in the backward pass.
    Recomputed,
}

impl Layer {
    /// The layer of `spec`, its tensors recorded in `builder`.
    pub(crate) fn build(spec: &Spec, builder: &mut Builder) -> Result<Self> {
        Ok(match spec {
            Spec::Conv(spec) => Self::Conv(conv::conv(spec, builder)?),
            Spec::BatchNorm(spec) => Self::BatchNorm(batch_norm::batch_norm(spec, builder)?),
            Spec::Prelu(spec) => Self::Prelu(prelu::prelu(spec, builder)?),
            Spec::Dropout(spec) => Self::Dropout(dropout::dropout(spec, builder)),
            Spec::Linear(spec) => Self::Linear(linear::linear(spec, builder)?),
            Spec::Residual { main, shortcut } => {
                let name = spec.entries().first().map(|entry| entry.name.clone()).unwrap_or_default();
                let block = Block { name, main: build(main, builder)?, shortcut: build(shortcut, builder)? };
                Self::Residual(Arc::new(block), Activations::Kept)
            }
        })
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::Conv(layer) => layer.forward(x, mode),
            Self::BatchNorm(layer) => layer.forward(x, mode),
            Self::BatchNormPrelu(norm, prelu) => norm.forward_prelu(x, &prelu.slope.tensor(mode), mode),
            Self::Prelu(layer) => layer.forward(x, mode),
            Self::Dropout(layer) => layer.forward(x, mode),
            Self::Linear(layer) => layer.forward(x, mode),
            Self::Residual(block, Activations::Kept) => block.forward(x, mode),
            Self::Residual(block, Activations::Recomputed) => block.recomputed(x, mode),
        }
    }

    /// [`Layer::forward`] in evaluation that tells what goes into batch norms; nothing is recomputed.
    fn observed(&self, x: &Tensor, observed: &mut Vec<Observed>) -> Result<Tensor> {
        match self {
            Self::BatchNorm(norm) => norm.observed(x, None, observed),
            Self::BatchNormPrelu(norm, prelu) => norm.observed(x, Some(prelu.slope.tensor(Mode::Eval)), observed),
            Self::Residual(block, _) => {
                let main = self::observed(&block.main, x, observed)?;
                add(&main, &self::observed(&block.shortcut, x, observed)?)
            }
            layer => layer.forward(x, Mode::Eval),
        }
    }

    fn batch_norms(&self) -> Vec<&BatchNorm> {
        match self {
            Self::BatchNorm(layer) | Self::BatchNormPrelu(layer, _) => vec![layer],
            Self::Residual(block, _) => block.main.iter().chain(&block.shortcut).flat_map(Self::batch_norms).collect(),
            _ => vec![],
        }
    }
}

impl Block {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let Some((Layer::BatchNorm(norm), before)) = self.main.split_last() else {
            return add(&forward(&self.main, x, mode)?, &forward(&self.shortcut, x, mode)?);
        };
        // The main way first: on the way back its gradient goes on top of the shortcut's.
        let main = forward(before, x, mode)?;
        norm.forward_add(&main, &forward(&self.shortcut, x, mode)?, mode)
    }

    fn recomputed(self: &Arc<Self>, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let block = self.clone();
        recomputed(x, |x| self.forward(x, mode), move |x| block.forward(x, mode.repeated()))
    }
}

/// Marks the blocks under `prefixes`, and no other, to be recomputed.
pub(crate) fn recompute(layers: &mut [Layer], prefixes: &[String]) {
    for layer in layers {
        if let Layer::Residual(block, activations) = layer {
            let is_named = prefixes.iter().any(|prefix| lies_under(&block.name, prefix));
            *activations = if is_named { Activations::Recomputed } else { Activations::Kept };
        }
    }
}

/// The layers of `specs`; a batch norm and the `PReLU` after it become one.
pub(crate) fn build(specs: &[Spec], builder: &mut Builder) -> Result<Vec<Layer>> {
    let mut layers = Vec::with_capacity(specs.len());
    for spec in specs {
        let layer = Layer::build(spec, builder)?;
        match layers.pop() {
            Some(before) => layers.extend(fused(before, layer)),
            None => layers.push(layer),
        }
    }
    Ok(layers)
}

fn fused(before: Layer, layer: Layer) -> Vec<Layer> {
    match (before, layer) {
        (Layer::BatchNorm(norm), Layer::Prelu(prelu)) => vec![Layer::BatchNormPrelu(norm, prelu)],
        (before, layer) => vec![before, layer],
    }
}

/// One layer after the other.
///
/// # Shapes
/// `x` (B, H, W, C).
pub(crate) fn forward(layers: &[Layer], x: &Tensor, mode: Mode) -> Result<Tensor> {
    layers.iter().try_fold(x.clone(), |x, layer| layer.forward(&x, mode))
}

/// [`forward`] in evaluation; what goes into the batch norms is added to `observed`, in the order of [`batch_norms`].
pub(crate) fn observed(layers: &[Layer], x: &Tensor, observed: &mut Vec<Observed>) -> Result<Tensor> {
    layers.iter().try_fold(x.clone(), |x, layer| layer.observed(&x, observed))
}

/// Every batch norm in `layers`, in order.
pub(crate) fn batch_norms(layers: &[Layer]) -> Vec<&BatchNorm> {
    layers.iter().flat_map(Layer::batch_norms).collect()
}
