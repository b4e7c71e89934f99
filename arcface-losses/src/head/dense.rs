//! The head of unit class centers: the whole matrix of cosines (B, C·K), margin softmax and all gradients.
//! Knows no tensors: slices in, values out; with K = 1 these are dense centers (C, D).

use arcface_core::ops::element::Element;
use arcface_core::ops::matmul::{Accumulate, MatRef, matmul};
use rayon::prelude::*;

use super::meeting::{Centers, add_own_gradients, meet, row_rule};
use super::rows::{RowResult, RowRule, RowTarget, replace_by_gradient};
use super::sub_center::Pool;
use super::terms::{self, Meeting};
use super::unit::UnitRows;
use crate::margin::Margin;
use crate::options::WeightedTerm;

/// A batch and the centers it meets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a, T> {
    /// (B, D).
    pub(crate) embeddings: &'a [T],
    /// (C, K, D) or, with K = 1, (C, D).
    pub(crate) centers: &'a [T],
    /// (B).
    pub(crate) labels: &'a [u32],
    /// D.
    pub(crate) embedding_size: usize,
    /// Counted from 0.
    pub(crate) step: u64,
    /// Of the run.
    pub(crate) seed: u64,
    /// Smallest sine that is divided by.
    pub(crate) sine_floor: f64,
}

/// What does not change from step to step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// s.
    pub(crate) scale: f64,
    /// How K cosines become one.
    pub(crate) pool: Pool,
    /// K.
    pub(crate) sub_centers: usize,
}

/// Loss and gradients.
#[derive(Debug)]
pub(crate) struct Output<T> {
    /// Mean over the batch.
    pub(crate) loss: f64,
    /// (B, D).
    pub(crate) d_embeddings: Vec<T>,
    /// As the centers, of all classes or of those in `classes`.
    pub(crate) d_centers: Vec<T>,
    /// The classes that took part, ascending, if not all.
    pub(crate) classes: Option<Vec<u32>>,
    /// (C) for the head with a bias.
    pub(crate) d_bias: Vec<T>,
    /// cosθ_y (B).
    pub(crate) target_cosines: Vec<f64>,
}

/// The loss of a batch and its gradients.
pub(crate) fn forward<T: Element>(
    input: &Input<'_, T>,
    rule: &Rule,
    margin: &mut dyn Margin,
    terms: &[WeightedTerm],
) -> Output<T> {
    let x = UnitRows::new(input.embeddings, input.embedding_size);
    let w = UnitRows::new(input.centers, input.embedding_size);
    let mut cosines = product(x.matrix(), w.matrix().transposed());
    let centers = Centers::all(input.centers, rule.sub_centers * input.embedding_size);
    let (mut rows, target_cosines) = meet(&x, &centers, input, rule, margin);
    let term = terms::evaluate(terms, &Meeting { x: &x, w: &w, cosines: &cosines, rows: &rows, input, rule });
    rows.iter_mut().zip(&term.d_target_cosines).for_each(|(row, d_term)| row.d_term = *d_term);
    let results = softmax_rows(&mut cosines, &rows, &row_rule(rule, margin.non_target(), rows.len()));
    for (cosines, row) in cosines.chunks_exact_mut(w.len()).zip(&rows) {
        cosines[row.label * rule.sub_centers..][..rule.sub_centers].fill(T::ZERO);
    }
    let d_norms: Vec<f64> = results.iter().map(|row| row.d_norm).collect();
    let d_cosines = MatRef::new(&cosines, x.len(), w.len());
    let (d_x, d_w) = (product(d_cosines, w.matrix()), product(d_cosines.transposed(), x.matrix()));
    let mut d_embeddings = x.pull_back(&d_x, &term.d_embeddings, &d_norms);
    let mut d_centers = w.pull_back(&d_w, &term.d_centers, &[]);
    add_own_gradients(&x, &centers, rule, (&rows, &results), &mut d_embeddings, &mut d_centers);
    Output {
        loss: mean_loss(&results) + term.value,
        d_embeddings,
        d_centers,
        d_bias: Vec::new(),
        classes: None,
        target_cosines,
    }
}

/// A·B.
pub(crate) fn product<T: Element>(a: MatRef<'_, T>, b: MatRef<'_, T>) -> Vec<T> {
    let mut out = vec![T::ZERO; a.rows * b.cols];
    matmul(a, b, &mut out, Accumulate::Replace);
    out
}

/// Replaces each row of cosines by its gradient.
pub(crate) fn softmax_rows<T: Element>(cosines: &mut [T], rows: &[RowTarget], rule: &RowRule) -> Vec<RowResult> {
    let width = cosines.len() / rows.len();
    let each = cosines.par_chunks_mut(width).zip(rows);
    each.map_init(Vec::new, |logits, (cosines, row)| replace_by_gradient(cosines, row, rule, logits)).collect()
}

/// Summed in the order of the rows, whatever thread made them.
pub(crate) fn mean_loss(results: &[RowResult]) -> f64 {
    results.iter().map(|row| row.loss).sum::<f64>() / results.len() as f64
}
