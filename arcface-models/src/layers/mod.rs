//! Layers as tensors and a forward pass on channels-last operators, built from their description.
//! Knows no architecture and no file.

mod batch_norm;
mod builder;
mod conv;
mod dropout;
mod linear;
mod prelu;

use arcface_core::Result;
use arcface_core::candle::Tensor;
use arcface_core::ops::add;

pub(crate) use batch_norm::BatchNorm;
pub(crate) use builder::{Begin, Builder, Weight};

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
    /// Normalises by the running statistics; weights are detached, so that no graph is built for them.
    Eval,
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
    Residual {
        main: Vec<Layer>,
        shortcut: Vec<Layer>,
    },
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
                Self::Residual { main: build(main, builder)?, shortcut: build(shortcut, builder)? }
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
            Self::Residual { main, shortcut } => Ok(add(&forward(main, x, mode)?, &forward(shortcut, x, mode)?)?),
        }
    }

    fn batch_norms(&self) -> Vec<&BatchNorm> {
        match self {
            Self::BatchNorm(layer) | Self::BatchNormPrelu(layer, _) => vec![layer],
            Self::Residual { main, shortcut } => main.iter().chain(shortcut).flat_map(Self::batch_norms).collect(),
            _ => vec![],
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

/// Every batch norm in `layers`, in order.
pub(crate) fn batch_norms(layers: &[Layer]) -> Vec<&BatchNorm> {
    layers.iter().flat_map(Layer::batch_norms).collect()
}
