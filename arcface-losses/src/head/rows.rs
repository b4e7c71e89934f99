//! One row of logits at a time: margin on the target, treatment of the others, log-softmax and its gradient.
//! Knows no embeddings and no centers, only cosines (or the plain logits of softmax).

use arcface_core::ops::element::Element;

use super::sub_center::Pool;
use crate::margin::{Margin, MarginBatch, NonTarget, Penalty, Target};

/// What is the same for every row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowRule {
    /// s.
    pub(crate) scale: f64,
    /// The treatment of the non-target cosines.
    pub(crate) non_target: NonTarget,
    /// How K cosines become one.
    pub(crate) pool: Pool,
    /// K.
    pub(crate) sub_centers: usize,
    /// What the gradients are multiplied by: 1/B.
    pub(crate) weight: f64,
}

/// What is known of a row before its logits.
#[derive(Debug, Clone)]
pub(crate) struct RowTarget {
    /// The class y.
    pub(crate) label: usize,
    /// The K target cosines in f64.
    pub(crate) cosines: Vec<f64>,
    /// Margin, before the scale.
    pub(crate) target: Target,
    /// Beside the softmax.
    pub(crate) penalty: Penalty,
    /// A term's gradient by cosθ_y, for the whole batch.
    pub(crate) d_term: f64,
}

impl RowTarget {
    /// A row without margin yet.
    pub(crate) fn new(label: usize, cosines: Vec<f64>) -> Self {
        Self { label, cosines, target: Target::new(0.0, 1.0), penalty: Penalty::default(), d_term: 0.0 }
    }
}

/// What a row gives beside the gradients of its cosines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowResult {
    /// −log softmax_y + penalty.
    pub(crate) loss: f64,
    /// dL/d‖x‖ of the batch mean.
    pub(crate) d_norm: f64,
    /// dL/dcosθ_y of the batch mean.
    pub(crate) d_target: f64,
}

/// Margin's rows and targets for the pooled target cosines of a batch.
///
/// A batch that is not finite leaves the margin's state as it was, so that a skipped step does no harm.
pub(crate) fn prepare(margin: &mut dyn Margin, batch: &MarginBatch<'_>) -> Vec<(Target, Penalty)> {
    let before = margin.state();
    let rows = margin.prepare(batch);
    if !batch.target_cosines.iter().chain(batch.norms).all(|value| value.is_finite()) {
        // What a margin gave as its state it takes back.
        let _ = margin.load_state(&before);
    }
    let statistics = batch.target_cosines.iter().zip(batch.norms);
    let each = rows.iter().zip(statistics);
    each.map(|(row, (&cosine, &norm))| (margin.target(cosine, norm, row), margin.penalty(norm, row))).collect()
}

/// Replaces a row of cosines (C·K) by the gradient of the batch's mean loss by them.
///
/// With R = Σ_{j≠y} e^{z_j} the loss is log(1 + e^{ln R − z_y}), which keeps its digits where p_y is nearly 1.
pub(crate) fn replace_by_gradient<T: Element>(
    cosines: &mut [T],
    row: &RowTarget,
    rule: &RowRule,
    logits: &mut Vec<f64>,
) -> RowResult {
    non_target_logits(cosines, row, rule, logits);
    let (top, sum) = exponentials(logits);
    let Finished { result, factor } = finish(row, rule, top, sum);
    spread_non_targets(cosines, row, rule, logits, factor);
    let own = row.label * rule.sub_centers..(row.label + 1) * rule.sub_centers;
    let gradients = spread_target(rule.pool, result.d_target, &row.cosines);
    cosines[own].iter_mut().zip(gradients).for_each(|(out, gradient)| *out = T::from_f64(gradient));
    result
}

/// A row whose non-target logits are known by their largest and their sum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finished {
    pub(crate) result: RowResult,
    /// s·(1 − p_y)/(B·Σ e^{z_j − max}), which makes a gradient by cosθ_j of an exponential.
    pub(crate) factor: f64,
}

/// Loss and gradients of a row with R = `sum`·e^`top`.
pub(crate) fn finish(row: &RowTarget, rule: &RowRule, top: f64, sum: f64) -> Finished {
    let gap = top + sum.ln() - rule.scale * row.target.value;
    let missing = sigmoid(gap); // 1 − p_y
    let d_logit = rule.weight * rule.scale * missing;
    let d_norm = rule.weight * row.penalty.d_norm - d_logit * row.target.d_norm;
    Finished {
        result: RowResult {
            loss: softplus(gap) + row.penalty.value,
            d_norm,
            d_target: row.d_term - d_logit * row.target.d_cosine,
        },
        // Without another class there is nothing to share out.
        factor: if sum <= 0.0 { 0.0 } else { d_logit / sum },
    }
}

/// z_j of every class, −∞ at the target.
fn non_target_logits<T: Element>(cosines: &[T], row: &RowTarget, rule: &RowRule, logits: &mut Vec<f64>) {
    logits.clear();
    logits.extend(cosines.chunks_exact(rule.sub_centers).map(|cosines| {
        let (value, _) = rule.non_target.apply(rule.pool.pool(cosines), row.target.value);
        rule.scale * value
    }));
    logits[row.label] = f64::NEG_INFINITY;
}

/// Replaces z_j by e^{z_j − max}; returns the maximum and the sum.
fn exponentials(logits: &mut [f64]) -> (f64, f64) {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // A single class has no other logit; then every difference would be ∞ − ∞.
    let shift = if top.is_finite() { top } else { 0.0 };
    let mut sum = 0.0;
    for logit in logits {
        *logit = (*logit - shift).exp();
        sum += *logit;
    }
    (shift, sum)
}

/// Writes the gradients of all cosines but the target's: s·(1 − p_y)·e_j/R·dz_j/dcosθ_j.
fn spread_non_targets<T: Element>(cosines: &mut [T], row: &RowTarget, rule: &RowRule, exponentials: &[f64], d: f64) {
    for (class, cosines) in cosines.chunks_exact_mut(rule.sub_centers).enumerate() {
        if class == row.label {
            continue;
        }
        let (_, slope) = rule.non_target.apply(rule.pool.pool(cosines), row.target.value);
        rule.pool.spread(d * exponentials[class] * slope, cosines);
    }
}

/// The gradients by the K target cosines, from that by the pooled one.
pub(crate) fn spread_target(pool: Pool, gradient: f64, cosines: &[f64]) -> Vec<f64> {
    let mut gradients = cosines.to_vec();
    pool.spread(gradient, &mut gradients);
    gradients
}

/// log(1 + eˣ).
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// 1/(1 + e⁻ˣ).
fn sigmoid(x: f64) -> f64 {
    if 0.0 <= x { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}
