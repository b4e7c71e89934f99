//! How far two sides lie apart, and whether that is near enough.
//! Knows no network; losses and tensors come in as values.

use arcface_core::candle::{DType, Tensor};
use arcface_models::weights::StateDict;
use serde::Serialize;

use super::case::Case;
use super::ours::Steps;

/// The most by which losses in f64 may differ.
const F64_BOUND: f64 = 1e-6;
/// How many times further than PyTorch's f32 ours may lie from the run in f64.
const F32_FACTOR: f64 = 3.0;

/// A side's steps in both types.
pub(super) struct Both {
    pub(super) f32: Steps,
    pub(super) f64: Steps,
}

/// One bound and what was found.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    case: &'static str,
    dtype: &'static str,
    steps: u64,
    figure: Figure,
    difference: f64,
    bound: f64,
    holds: bool,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Figure {
    /// The largest difference of a loss over all steps.
    Loss,
    /// The length of the difference of the first update, by that of the update.
    FirstUpdate,
}

/// Everything about one case.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Verdict {
    pub(super) rows: Vec<Row>,
    /// In f64.
    norms_difference: f64,
    /// In f64, the tensor whose first update differs most from the other side's; by the largest value of all tensors,
    /// since some gradients are nothing but rounding: a constant before a batch norm changes nothing.
    first_update: Option<Worst>,
    /// The same of the weights after the last step.
    last_weights: Option<Worst>,
    losses: [Losses; 2],
}

/// The tensor that differs most.
#[derive(Debug, Clone, Serialize)]
struct Worst {
    tensor: String,
    /// The largest difference by the largest value of all tensors.
    relative: f64,
}

#[derive(Debug, Clone, Serialize)]
struct Losses {
    dtype: &'static str,
    ours: Vec<f64>,
    torch: Vec<f64>,
}

impl Verdict {
    /// Compares both sides of `case`.
    ///
    /// # Errors
    /// If tensors of one name do not fit each other.
    pub(super) fn new(case: &Case, ours: Both, theirs: Both) -> anyhow::Result<Self> {
        let reference = &theirs.f64.losses;
        let row = |dtype, figure, difference, bound| Row {
            case: case.name,
            dtype,
            steps: if figure == Figure::Loss { case.steps } else { 1 },
            figure,
            difference,
            bound,
            holds: difference <= bound,
        };
        let mut rows = vec![
            row("f64", Figure::Loss, distance(&ours.f64.losses, reference), F64_BOUND),
            row(
                "f32",
                Figure::Loss,
                distance(&ours.f32.losses, reference),
                F32_FACTOR * distance(&theirs.f32.losses, reference),
            ),
        ];
        // Losses of many steps say little of f32: rounding moves activations across the kink of a PReLU, which changes
        // gradients by far more than rounding does, and soon both sides have gone their own ways.
        let update = |side: &Steps| apart(&side.velocity, &theirs.f64.velocity);
        if let (Some(ours), Some(theirs)) = (update(&ours.f32)?, update(&theirs.f32)?) {
            rows.push(row("f32", Figure::FirstUpdate, ours, F32_FACTOR * theirs));
        }
        Ok(Self {
            rows,
            norms_difference: distance(&ours.f64.norms, &theirs.f64.norms),
            first_update: worst(&ours.f64.velocity, &theirs.f64.velocity)?,
            last_weights: worst(&ours.f64.weights, &theirs.f64.weights)?,
            losses: [
                Losses { dtype: "f64", ours: ours.f64.losses, torch: theirs.f64.losses },
                Losses { dtype: "f32", ours: ours.f32.losses, torch: theirs.f32.losses },
            ],
        })
    }

    /// Where to look when a bound is broken.
    pub(super) fn hint(&self) -> Option<String> {
        let worst = self.first_update.as_ref().filter(|_| self.rows.iter().any(|row| !row.holds))?;
        let (case, Worst { tensor, relative }) = (self.rows[0].case, worst);
        Some(format!("{case}: the first update differs most in `{tensor}`, by {relative:.1e} of the largest value"))
    }
}

impl Row {
    pub(super) fn holds(&self) -> bool {
        self.holds
    }
}

/// The rows as a table.
pub(super) fn table(verdicts: &[Verdict]) -> String {
    let rows: Vec<&Row> = verdicts.iter().flat_map(|verdict| &verdict.rows).collect();
    let width = rows.iter().map(|row| row.case.len()).max().unwrap_or(0).max("case".len());
    let line = |row: &&Row| {
        let Row { case, dtype, steps, figure, difference, bound, holds } = row;
        let figure = match figure {
            Figure::Loss => "max |Δloss|",
            Figure::FirstUpdate => "‖Δv‖/‖v‖",
        };
        let verdict = if *holds { "holds" } else { "BROKEN" };
        format!("{case:<width$}  {dtype:<5}  {steps:>5}  {figure:<11}  {difference:>10.2e}  {bound:>8.2e}  {verdict}\n")
    };
    let head = format!(
        "{:<width$}  {:<5}  {:>5}  {:<11}  {:>10}  {:>8}  verdict\n",
        "case", "dtype", "steps", "figure", "difference", "bound"
    );
    std::iter::once(head).chain(rows.iter().map(line)).collect()
}

/// The largest difference; infinite where one side has more steps or a number that is none.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, largest)
}

/// The larger one; a number that is none counts as infinite.
fn largest(a: f64, b: f64) -> f64 {
    if b.is_nan() { f64::INFINITY } else { a.max(b) }
}

/// The tensor of `ours` that differs most from its namesake in `theirs`; one that is missing there differs by ∞.
fn worst(ours: &StateDict, theirs: &StateDict) -> anyhow::Result<Option<Worst>> {
    let (mut worst, mut size) = (None, f64::MIN_POSITIVE);
    for (name, tensor) in ours {
        let (own, other) = (values(tensor)?, theirs.get(name).map(values).transpose()?);
        size = own.iter().map(|value| value.abs()).fold(size, largest);
        let difference = other.map_or(f64::INFINITY, |other| distance(&own, &other));
        if worst.as_ref().is_none_or(|(_, most)| *most < difference) {
            worst = Some((name, difference));
        }
    }
    Ok(worst.map(|(tensor, difference)| Worst { tensor: tensor.clone(), relative: difference / size }))
}

/// ‖a − b‖/‖b‖ over all tensors together; `None` if there are none.
fn apart(a: &StateDict, b: &StateDict) -> anyhow::Result<Option<f64>> {
    let (mut difference, mut size) = (0.0, 0.0);
    for (name, tensor) in b {
        let (own, other) = (a.get(name).map(values).transpose()?.unwrap_or_default(), values(tensor)?);
        if own.len() != other.len() {
            return Ok(Some(f64::INFINITY));
        }
        difference += own.iter().zip(&other).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        size += other.iter().map(|b| b * b).sum::<f64>();
    }
    Ok((!b.is_empty()).then(|| (difference / size).sqrt()))
}

fn values(tensor: &Tensor) -> anyhow::Result<Vec<f64>> {
    Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_compared_is_far_apart() {
        assert!(distance(&[1.0, 2.0], &[1.0, 2.5]) <= 0.5);
        assert!(distance(&[1.0], &[1.0, 2.0]).is_infinite());
        assert!(distance(&[f64::NAN, 1.0], &[1.0, 1.0]).is_infinite());
        assert!(distance(&[1.0, f64::NAN], &[1.0, 1.0]).is_infinite());
    }
}
