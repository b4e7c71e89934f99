//! A pass with frozen weights, in evaluation, and the way back from it to the images.
//! Knows no loss: gradients of the embeddings and of the batch's statistics are given.

use arcface_core::candle::{Tensor, Var};
use arcface_core::ops::tape::{Tape, record};
use arcface_core::ops::{Observed, channels_first, channels_last};
use arcface_core::{Error, Result, shape};

use crate::layers::{self, BatchNorm, Layer};
use crate::network::{Entrance, as_type};

/// Whether a pass to the images looks at what goes into the batch norms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// It takes the statistics of the batch before every batch norm, for a prior on images.
    Statistics,
    /// It does not, and needs no batch norm.
    Nothing,
}

/// Statistics of what goes into one batch norm: of this batch, and what training left.
#[derive(Debug, Clone)]
pub struct LayerStatistics {
    /// Name of the batch norm.
    pub name: String,
    /// Means (row 0) and biased variances (row 1) of the batch over its images and pixels, (2, C).
    pub batch: Tensor,
    /// Running means and variances, (2, C).
    pub running: Tensor,
}

/// Embeddings of images by a network whose weights are frozen, and the way back from them to the images.
///
/// Of the activations it keeps what goes into batch norms and lone `PReLU`s, and nothing else.
pub struct ImagePass {
    embeddings: Tensor,
    statistics: Vec<LayerStatistics>,
    observed: Vec<Observed>,
    /// Images (B, H, W, 3) without the columns that the network does not see.
    seen: Var,
    /// Columns on the left and on the right that the network does not see.
    hidden: [usize; 2],
    tape: Tape,
}

impl ImagePass {
    pub(crate) fn new(layers: &[Layer], entrance: &Entrance, images: &Tensor, watch: Watch) -> Result<Self> {
        entrance.check(images)?;
        if watch == Watch::Statistics && layers::batch_norms(layers).is_empty() {
            return Err(without_batch_norm());
        }
        let cut = entrance.seen(images)?;
        let hidden = images.dim(3)? - cut.dim(3)?;
        let seen = Var::from_tensor(&channels_last(&cut.detach())?)?;
        let mut observed = vec![];
        let (embeddings, tape) = record(|| {
            let activated = entrance.as_activations(&seen)?;
            let embeddings = match watch {
                Watch::Statistics => layers::observed(layers, &activated, &mut observed)?,
                Watch::Nothing => layers::forward(layers, &activated, layers::Mode::Eval)?,
            };
            as_type(&embeddings, entrance.dtype)
        })?;
        let statistics = layers::batch_norms(layers).into_iter().zip(&observed);
        let statistics = statistics.map(|(norm, observed)| statistics_of(norm, observed)).collect::<Result<_>>()?;
        Ok(Self { embeddings, statistics, observed, seen, hidden: [hidden / 2, hidden - hidden / 2], tape })
    }

    /// The embeddings (B, D), which are not normalised and outside of any graph.
    pub fn embeddings(&self) -> &Tensor {
        &self.embeddings
    }

    /// The statistics before every batch norm in the order of the forward pass, a block's shortcut behind its main way;
    /// empty if they were not watched.
    pub fn statistics(&self) -> &[LayerStatistics] {
        &self.statistics
    }

    /// The gradient of the images.
    ///
    /// # Shapes
    /// `by_embeddings` (B, D); `by_statistics` one (2, C) for each of [`ImagePass::statistics`], or none at all →
    /// (B, 3, S, S).
    ///
    /// # Errors
    /// If a shape does not fit, the numbers of statistics differ, or an operator fails.
    pub fn backward(self, by_embeddings: &Tensor, by_statistics: &[Tensor]) -> Result<Tensor> {
        shape::exactly(by_embeddings, "gradient of the embeddings", "(B, D)", self.embeddings.dims())?;
        if ![0, self.observed.len()].contains(&by_statistics.len()) {
            let expected = format!("{} of them, one for each batch norm, or none", self.observed.len());
            return Err(Error::value("gradients of batch statistics", expected, by_statistics.len()));
        }
        self.observed.iter().zip(by_statistics).try_for_each(|(observed, gradient)| observed.give(gradient))?;
        let unreached = || Error::Invalid("the embeddings do not depend on the images".to_owned());
        let gradient = self.tape.backward(by_embeddings)?.remove(&self.seen).ok_or_else(unreached)?;
        let [left, right] = self.hidden;
        Ok(channels_first(&gradient)?.pad_with_zeros(3, left, right)?)
    }
}

fn statistics_of(norm: &BatchNorm, observed: &Observed) -> Result<LayerStatistics> {
    let running = norm.by_running(None)?.statistics;
    Ok(LayerStatistics { name: norm.name().to_owned(), batch: observed.statistics().clone(), running })
}

fn without_batch_norm() -> Error {
    let message = "batch-norm prior: expected a network with batch norms, got one without any, or with all of them \
                   folded into its convolutions: there are no statistics to come near to; go without the prior";
    Error::Invalid(message.to_owned())
}
