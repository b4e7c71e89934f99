//! Embeddings meet the centers of their own classes: target cosines, and what the margin makes of them.
//! Knows no other class.

use std::ops::Range;

use arcface_core::ops::element::Element;
use rayon::prelude::*;

use super::dense::{Input, Rule};
use super::rows::{RowResult, RowRule, RowTarget, prepare, spread_target};
use super::unit::UnitRows;
use crate::margin::{Margin, MarginBatch, NonTarget};

/// Class centers, or some of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Centers<'a, T> {
    /// (C, K, D).
    values: &'a [T],
    /// The classes that take part, ascending; all if there is no list.
    classes: Option<&'a [u32]>,
    /// K·D.
    pub(crate) width: usize,
}

impl<'a, T: Element> Centers<'a, T> {
    /// All centers (C, K, D), K·D = `width`.
    pub(crate) fn all(values: &'a [T], width: usize) -> Self {
        Self { values, classes: None, width }
    }

    /// Those of `classes` alone; a class is then its place in this list.
    pub(crate) fn some(values: &'a [T], classes: &'a [u32], width: usize) -> Self {
        Self { values, classes: Some(classes), width }
    }

    /// Number of classes that take part.
    pub(crate) fn len(&self) -> usize {
        self.classes.map_or(self.values.len() / self.width, <[u32]>::len)
    }

    /// The K centers of a class (K, D).
    pub(crate) fn of(&self, class: usize) -> &'a [T] {
        let row = self.classes.map_or(class, |classes| classes[class] as usize);
        &self.values[row * self.width..][..self.width]
    }

    /// The centers of `range` (n, K, D), copied to `scratch` unless they lie together.
    pub(crate) fn range<'s>(&self, range: Range<usize>, scratch: &'s mut [T]) -> &'s [T]
    where
        'a: 's,
    {
        if self.classes.is_none() {
            return &self.values[range.start * self.width..range.end * self.width];
        }
        let scratch = &mut scratch[..range.len() * self.width];
        scratch.chunks_exact_mut(self.width).zip(range).for_each(|(row, class)| row.copy_from_slice(self.of(class)));
        scratch
    }

    /// Values of the scratch that [`Centers::range`] needs for `len` classes.
    pub(crate) fn scratch_len(&self, len: usize) -> usize {
        if self.classes.is_none() { 0 } else { len * self.width }
    }
}

/// The rows of a batch with margins on their targets, and the pooled target cosines.
pub(crate) fn meet<T: Element>(
    x: &UnitRows<'_, T>,
    centers: &Centers<'_, T>,
    input: &Input<'_, T>,
    rule: &Rule,
    margin: &mut dyn Margin,
) -> (Vec<RowTarget>, Vec<f64>) {
    let mut rows = targets(x, centers, input.labels);
    let target_cosines = pooled(&rows, rule);
    let Input { step, seed, sine_floor, .. } = *input;
    let batch = MarginBatch { target_cosines: &target_cosines, norms: &x.norms, step, seed, sine_floor };
    add_margin(&mut rows, &batch, margin);
    (rows, target_cosines)
}

/// The pooled target cosines.
pub(crate) fn pooled(rows: &[RowTarget], rule: &Rule) -> Vec<f64> {
    rows.iter().map(|row| rule.pool.pool(&row.cosines)).collect()
}

/// Puts the margin on the targets of a batch.
pub(crate) fn add_margin(rows: &mut [RowTarget], batch: &MarginBatch<'_>, margin: &mut dyn Margin) {
    for (row, (target, penalty)) in rows.iter_mut().zip(prepare(margin, batch)) {
        (row.target, row.penalty) = (target, penalty);
    }
}

/// Adds what the target cosines give to the gradients by embeddings (B, D) and `centers` (C, K, D).
///
/// By both sides it is a tangent, d·(ŵ − cosθ·x̂)/‖x‖ and d·(x̂ − cosθ·ŵ)/‖w‖, and d grows as 1/sinθ where the two nearly
/// agree. So it is made here, from the rows themselves in f64, and not by the matrix products, in whose sums it would be
/// the small difference of large rounded numbers.
pub(crate) fn add_own_gradients<T: Element>(
    x: &UnitRows<'_, T>,
    centers: &Centers<'_, T>,
    rule: &Rule,
    (rows, results): (&[RowTarget], &[RowResult]),
    d_embeddings: &mut [T],
    d_centers: &mut [T],
) {
    let batch = rows.iter().zip(results).zip(d_embeddings.chunks_exact_mut(x.width)).enumerate();
    for (index, ((row, result), d_embedding)) in batch {
        let own = UnitRows::new(centers.of(row.label), x.width);
        let d_own = d_centers[row.label * centers.width..][..centers.width].chunks_exact_mut(x.width);
        let gradients = spread_target(rule.pool, result.d_target, &row.cosines);
        for (k, ((gradient, cosine), d_center)) in gradients.into_iter().zip(&row.cosines).zip(d_own).enumerate() {
            x.add_tangent(index, &own.unit_f64(k), *cosine, gradient, d_embedding);
            own.add_tangent(k, &x.unit_f64(index), *cosine, gradient, d_center);
        }
    }
}

/// The rule of every row in a batch of `batch`.
pub(crate) fn row_rule(rule: &Rule, non_target: NonTarget, batch: usize) -> RowRule {
    let Rule { scale, pool, sub_centers } = *rule;
    RowRule { scale, non_target, pool, sub_centers, weight: 1.0 / batch as f64 }
}

/// The rows with their target cosines, before the margin.
fn targets<T: Element>(x: &UnitRows<'_, T>, centers: &Centers<'_, T>, labels: &[u32]) -> Vec<RowTarget> {
    let target = |(row, &label): (usize, &u32)| {
        let own = centers.of(label as usize).chunks_exact(x.width);
        RowTarget::new(label as usize, own.map(|center| x.cosine(row, center)).collect())
    };
    labels.par_iter().enumerate().map(target).collect()
}
