//! No head: terms of the embeddings alone, without class centers.
//! Knows no term by name.

use arcface_core::ops::element::Element;

use super::dense::{Input, Output};
use super::terms::{gather, weighted_sum};
use super::unit::UnitRows;
use crate::options::WeightedTerm;
use crate::term::{TermBatch, lazy};

/// The weighted sum of all terms and its gradient by the embeddings.
pub(crate) fn forward<T: Element>(input: &Input<'_, T>, terms: &[WeightedTerm]) -> Output<T> {
    let x = UnitRows::new(input.embeddings, input.embedding_size);
    let batch = TermBatch {
        labels: input.labels,
        target_cosines: &[],
        embedding_size: input.embedding_size,
        num_classes: 0,
        sine_floor: input.sine_floor,
        embeddings: lazy(|| gather(&x, 0..x.len())),
        centers: lazy(Vec::new),
    };
    let term = weighted_sum(terms, &batch);
    let zeros = vec![T::ZERO; input.embeddings.len()];
    Output {
        loss: term.value,
        d_embeddings: x.pull_back(&zeros, &term.d_embeddings, &[]),
        d_centers: Vec::new(),
        d_bias: Vec::new(),
        classes: None,
        target_cosines: Vec::new(),
    }
}
