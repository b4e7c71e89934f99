//! Heads: they own the class centers, turn embeddings into logits and give the gradients of both by hand.
//! Knows margins by their trait only; no names, no configuration.
//!
//! A margin sees one row at a time, so that a head alone decides where the centers live:
//!
//! - [`chunked`]: class centers (C, K, D), K of them pooled to one cosine per class, chunk of classes by chunk;
//! - [`dense`]: the same with the whole matrix of cosines (B, C·K), which terms look at;
//! - [`sampled`]: one of these on some of the classes, Partial-FC;
//! - [`sub_center`]: how K cosines become one;
//! - [`softmax`]: plain W·x + b, nothing normalised;
//! - [`alone`]: no centers, terms of the embeddings only;
//! - [`device`]: all of these on a CUDA device.
//!
//! Heads that share the classes between ranks belong beside these: each lets embeddings [`meeting::meet`] their own
//! centers, reduces its part of a row and [`rows::finish`]es it.

use arcface_core::ops::element::Element;

use self::dense::{Input, Output, Rule};
use self::meeting::Centers;
use crate::margin::Margin;
use crate::options::{Chunk, WeightedTerm};

pub(crate) mod alone;
pub(crate) mod chunked;
pub(crate) mod dense;
pub(crate) mod device;
mod lanes;
pub(crate) mod meeting;
pub(crate) mod rows;
mod sampled;
pub(crate) mod softmax;
pub(crate) mod sub_center;
pub(crate) mod terms;
pub(crate) mod unit;

/// Which classes a head meets, and how many at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) chunk: Chunk,
    /// The share of the classes, 0 < r ≤ 1.
    pub(crate) sample_rate: f64,
}

/// The loss of a batch with class centers, and its gradients; terms look at all cosines, so that they need the dense
/// head.
pub(crate) fn forward<T: Element>(
    input: &Input<'_, T>,
    rule: &Rule,
    choice: Choice,
    margin: &mut dyn Margin,
    terms: &[WeightedTerm],
) -> Output<T> {
    if choice.sample_rate < 1.0 {
        return sampled::forward(input, rule, choice, margin, terms);
    }
    if choice.chunk == Chunk::Dense || !terms.is_empty() {
        return dense::forward(input, rule, margin, terms);
    }
    let centers = Centers::all(input.centers, rule.sub_centers * input.embedding_size);
    chunked::forward(input, centers, rule, choice.chunk, margin)
}
