//! The head of plain softmax: logits W·x + b, nothing normalised.
//! Knows no margin and no scale.

use arcface_core::ops::element::Element;
use arcface_core::ops::matmul::MatRef;
use arcface_core::sphere::NORM_FLOOR;
use rayon::prelude::*;

use super::dense::{Input, Output, mean_loss, product, softmax_rows};
use super::rows::{RowRule, RowTarget};
use super::sub_center::Pool;
use super::unit::dot;
use crate::margin::{NonTarget, Target};

/// The loss of a batch and its gradients; `bias` is (C).
pub(crate) fn forward<T: Element>(input: &Input<'_, T>, bias: &[T]) -> Output<T> {
    let (batch, classes) = (input.labels.len(), bias.len());
    let x = MatRef::new(input.embeddings, batch, input.embedding_size);
    let w = MatRef::new(input.centers, classes, input.embedding_size);
    let mut logits = product(x, w.transposed());
    logits.par_chunks_mut(classes).for_each(|row| row.iter_mut().zip(bias).for_each(|(z, b)| *z += *b));
    let results = softmax_rows(&mut logits, &targets(input, bias), &rule(batch));
    let d_logits = MatRef::new(&logits, batch, classes);
    Output {
        loss: mean_loss(&results),
        d_embeddings: product(d_logits, w),
        d_centers: product(d_logits.transposed(), x),
        d_bias: column_sums(&logits, classes),
        classes: None,
        target_cosines: target_cosines(input),
    }
}

/// W_y·x + b_y of each row, in f64.
fn targets<T: Element>(input: &Input<'_, T>, bias: &[T]) -> Vec<RowTarget> {
    let logit = |(x, &label): (&[T], &u32)| {
        let label = label as usize;
        let w = &input.centers[label * input.embedding_size..][..input.embedding_size];
        let value = dot(x, w) + bias[label].to_f64();
        RowTarget { target: Target::new(value, 1.0), ..RowTarget::new(label, vec![value]) }
    };
    input.embeddings.chunks_exact(input.embedding_size).zip(input.labels).map(logit).collect()
}

/// The rule of every row in a batch of `batch`.
pub(crate) fn rule(batch: usize) -> RowRule {
    let weight = 1.0 / batch as f64;
    RowRule { scale: 1.0, non_target: NonTarget::Plain, pool: Pool::Max, sub_centers: 1, weight }
}

fn column_sums<T: Element>(matrix: &[T], columns: usize) -> Vec<T> {
    let mut sums = vec![0.0; columns];
    for row in matrix.chunks_exact(columns) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value.to_f64());
    }
    sums.into_iter().map(T::from_f64).collect()
}

/// cosθ_y, for statistics only.
fn target_cosines<T: Element>(input: &Input<'_, T>) -> Vec<f64> {
    let cosine = |(x, &label): (&[T], &u32)| {
        let w = &input.centers[label as usize * input.embedding_size..][..input.embedding_size];
        dot(x, w) / (dot(x, x) * dot(w, w)).sqrt().max(NORM_FLOOR)
    };
    input.embeddings.chunks_exact(input.embedding_size).zip(input.labels).map(cosine).collect()
}
