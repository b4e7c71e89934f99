//! A network made ready to embed: batch norms folded into the convolutions before them, weights arranged once.
//! Knows no training and no gradient.

use arcface_core::Result;
use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::ops::parallel::inside;
use arcface_core::ops::tape::reshape;
use arcface_core::ops::{FoldedConv, add, batch_norm_eval, batch_norm_prelu_eval, linear, prelu};

use crate::layers::{Block, Layer, Mode};
use crate::network::{Entrance, as_type};

/// A network that embeds, and does nothing else.
///
/// It shares the weights of the network that it was made of: make a new one once that was trained further.
#[derive(Debug, Clone)]
pub struct Inference {
    entrance: Entrance,
    steps: Vec<Step>,
}

/// A layer, or some that became one.
#[derive(Debug, Clone)]
enum Step {
    /// A convolution and what follows it.
    Conv(FoldedConv),
    Norm(Norm),
    Prelu(Tensor),
    Linear {
        weight: Tensor,
        bias: Option<Tensor>,
    },
    Residual {
        main: Vec<Step>,
        shortcut: Vec<Step>,
    },
}

/// A batch norm by running statistics; both (2, C) as the operators take them.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    pub(crate) affine: Tensor,
    pub(crate) statistics: Tensor,
    pub(crate) eps: f64,
    /// Of the `PReLU` behind it.
    pub(crate) slope: Option<Tensor>,
}

impl Inference {
    pub(crate) fn new(layers: &[Layer], entrance: Entrance) -> Result<Self> {
        Ok(Self { entrance, steps: steps(layers)? })
    }

    /// Element type of images, weights and embeddings.
    pub fn dtype(&self) -> DType {
        self.entrance.dtype
    }

    /// Device of images, weights and embeddings.
    pub fn device(&self) -> &Device {
        &self.entrance.device
    }

    /// Images to embeddings, which are not normalised: those of an evaluation by the network itself, up to rounding.
    ///
    /// # Shapes
    /// `images` (B, 3, S, S) with S the plan's input size → (B, D), as of [`Network::forward`](crate::Network::forward).
    ///
    /// # Errors
    /// If the images have another shape or type.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.entrance.check(images)?;
        let embed = || as_type(&forward(&self.steps, self.entrance.activated(images)?)?, self.entrance.dtype);
        // A device is told what to do by one thread; on the CPU the operators' threads are at hand from within.
        if images.device().is_cpu() { inside(embed) } else { embed() }
    }
}

fn steps(layers: &[Layer]) -> Result<Vec<Step>> {
    layers.iter().try_fold(Vec::with_capacity(layers.len()), |mut steps, layer| {
        let step = match (steps.pop(), layer) {
            (Some(Step::Conv(conv)), Layer::BatchNorm(_) | Layer::BatchNormPrelu(..)) => {
                Step::Conv(folded(conv, layer)?)
            }
            (Some(Step::Conv(conv)), Layer::Prelu(prelu)) => {
                Step::Conv(conv.with_prelu(&prelu.slope.tensor(Mode::Eval))?)
            }
            (before, layer) => {
                steps.extend(before);
                let Some(step) = Step::new(layer)? else { return Ok(steps) };
                step
            }
        };
        steps.push(step);
        Ok(steps)
    })
}

/// `conv` with the batch norm, or the batch norm and `PReLU`, of `layer` behind it.
fn folded(conv: FoldedConv, layer: &Layer) -> Result<FoldedConv> {
    let Some(Step::Norm(Norm { affine, statistics, eps, slope })) = Step::new(layer)? else { return Ok(conv) };
    let conv = conv.with_batch_norm(&affine, &statistics, eps)?;
    match slope {
        Some(slope) => conv.with_prelu(&slope),
        None => Ok(conv),
    }
}

impl Step {
    /// The step of one layer; none for a layer that does nothing in evaluation.
    fn new(layer: &Layer) -> Result<Option<Self>> {
        Ok(Some(match layer {
            Layer::Conv(conv) => Self::Conv(FoldedConv::new(&conv.weight.tensor(Mode::Eval), conv.config)?),
            Layer::BatchNorm(norm) => Self::Norm(norm.by_running(None)?),
            Layer::BatchNormPrelu(norm, prelu) => Self::Norm(norm.by_running(Some(prelu.slope.tensor(Mode::Eval)))?),
            Layer::Prelu(prelu) => Self::Prelu(prelu.slope.tensor(Mode::Eval)),
            Layer::Linear(linear) => Self::Linear {
                weight: linear.weight.tensor(Mode::Eval),
                bias: linear.bias.as_ref().map(|bias| bias.tensor(Mode::Eval)),
            },
            Layer::Residual(block, _) => {
                let Block { main, shortcut, .. } = &**block;
                Self::Residual { main: steps(main)?, shortcut: steps(shortcut)? }
            }
            Layer::Dropout(_) => return Ok(None),
        }))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Conv(conv) => conv.forward(x, None),
            Self::Norm(Norm { affine, statistics, eps, slope: None }) => batch_norm_eval(x, affine, statistics, *eps),
            Self::Norm(Norm { affine, statistics, eps, slope: Some(slope) }) => {
                batch_norm_prelu_eval(x, affine, statistics, slope, *eps)
            }
            Self::Prelu(slope) => prelu(x, slope),
            Self::Linear { weight, bias } => {
                let flat = reshape(x, (x.dim(0)?, x.elem_count() / x.dim(0)?.max(1)))?;
                linear(&as_type(&flat, weight.dtype())?, weight, bias.as_ref())
            }
            Self::Residual { main, shortcut } => {
                let shortcut = forward(shortcut, x.clone())?;
                match main.split_last() {
                    Some((Self::Conv(last), before)) => last.forward(&forward(before, x.clone())?, Some(&shortcut)),
                    _ => add(&forward(main, x.clone())?, &shortcut),
                }
            }
        }
    }
}

/// Takes `x`, so that it is gone as soon as the first step is done.
fn forward(steps: &[Step], x: Tensor) -> Result<Tensor> {
    steps.iter().try_fold(x, |x, step| step.forward(&x))
}
