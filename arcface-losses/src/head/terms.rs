//! Terms beside a head: shows them unit embeddings and dominant centers, and sends their gradients back.
//! Knows no term by name.

use arcface_core::ops::element::Element;

use super::dense::{Input, Rule};
use super::rows::RowTarget;
use super::sub_center::winner;
use super::unit::UnitRows;
use crate::options::WeightedTerm;
use crate::term::{TermBatch, TermOutput, lazy};

/// A batch that has met its centers.
pub(crate) struct Meeting<'a, T> {
    pub(crate) x: &'a UnitRows<'a, T>,
    pub(crate) w: &'a UnitRows<'a, T>,
    /// (B, C·K).
    pub(crate) cosines: &'a [T],
    pub(crate) rows: &'a [RowTarget],
    pub(crate) input: &'a Input<'a, T>,
    pub(crate) rule: &'a Rule,
}

/// The weighted sum of all terms; its gradient by the centers is spread to (C, K, D).
pub(crate) fn evaluate<T: Element>(terms: &[WeightedTerm], meeting: &Meeting<'_, T>) -> TermOutput {
    if terms.is_empty() {
        return TermOutput::default();
    }
    let dominant = dominant(meeting);
    let target_cosines: Vec<f64> = meeting.rows.iter().map(|row| meeting.rule.pool.pool(&row.cosines)).collect();
    let batch = TermBatch {
        labels: meeting.input.labels,
        target_cosines: &target_cosines,
        embedding_size: meeting.input.embedding_size,
        num_classes: dominant.len(),
        sine_floor: meeting.input.sine_floor,
        embeddings: lazy(|| gather(meeting.x, 0..meeting.x.len())),
        centers: lazy(|| gather(meeting.w, dominant.iter().copied())),
    };
    let mut output = weighted_sum(terms, &batch);
    output.d_centers = scatter(output.d_centers, &dominant, meeting.rule.sub_centers, meeting.w.width);
    output
}

/// Σ weight·term.
pub(crate) fn weighted_sum(terms: &[WeightedTerm], batch: &TermBatch<'_>) -> TermOutput {
    let mut sum = TermOutput::default();
    for WeightedTerm { term, weight } in terms {
        sum.add(*weight, &term.evaluate(batch));
    }
    sum
}

/// The unit rows `indices` in f64.
pub(crate) fn gather<T: Element>(rows: &UnitRows<'_, T>, indices: impl Iterator<Item = usize>) -> Vec<f64> {
    indices.flat_map(|index| rows.unit_f64(index)).collect()
}

/// The row of the dominant sub-center of each class (C).
pub(crate) fn dominant<T: Element>(meeting: &Meeting<'_, T>) -> Vec<usize> {
    let k = meeting.rule.sub_centers;
    let classes = meeting.w.len() / k;
    if k == 1 {
        return (0..classes).collect();
    }
    let (of_all, of_own) = votes(meeting, classes);
    let favourite = |class: usize| {
        let range = class * k..(class + 1) * k;
        let own = &of_own[range.clone()];
        let votes = if own.iter().all(|votes| *votes == 0) { &of_all[range] } else { own };
        class * k + winner(votes)
    };
    (0..classes).map(favourite).collect()
}

/// How many rows of the batch are nearest to each sub-center of a class: of all rows, and of the class's own.
fn votes<T: Element>(meeting: &Meeting<'_, T>, classes: usize) -> (Vec<u32>, Vec<u32>) {
    let k = meeting.rule.sub_centers;
    let (mut of_all, mut of_own) = (vec![0; classes * k], vec![0; classes * k]);
    for (cosines, row) in meeting.cosines.chunks_exact(classes * k).zip(meeting.rows) {
        for (class, cosines) in cosines.chunks_exact(k).enumerate() {
            of_all[class * k + winner(cosines)] += 1;
        }
        of_own[row.label * k + winner(&row.cosines)] += 1;
    }
    (of_all, of_own)
}

/// Gradients of the dominant centers (C, D), of `width` values each, at their places among all (C, K, D).
pub(crate) fn scatter(gradients: Vec<f64>, dominant: &[usize], sub_centers: usize, width: usize) -> Vec<f64> {
    if gradients.is_empty() || sub_centers == 1 {
        return gradients;
    }
    let mut all = vec![0.0; dominant.len() * sub_centers * width];
    for (gradient, place) in gradients.chunks_exact(width).zip(dominant) {
        all[place * width..][..width].copy_from_slice(gradient);
    }
    all
}
