//! Conformance: every general property over every loss that is linked in; behind the feature `testing`.
//! Knows no loss by name but normface, which margins are compared with.
//!
//! A crate that registers a loss of its own writes, in its integration tests:
//!
//! ```ignore
//! use my_margin as _;
//! arcface_losses::testing::conformance!("my_margin");
//! ```
//!
//! The names are those that must be linked: a dependency that no path mentions registers nothing, and every property
//! would hold of the losses that are there.

use arcface_core::testing::{gradient_error, normal, slice_difference, values};
use arcface_core::{Error, Result};
use candle_core::{DType, Device, Tensor};
use toml::{Table, Value};

pub use crate::conformance;
use crate::margin::{Margin, MarginBatch};
use crate::registry::{Kind, LossEntry, Part, Property, losses};
use crate::{Evaluation, Objective, defaults};

/// One test per general property; each runs over every loss that is linked in and honours the declared exceptions.
/// One more asserts that the losses named are among them.
#[macro_export]
macro_rules! conformance {
    ($($name:literal),* $(,)?) => {
        #[test]
        fn the_losses_named_are_linked_in() {
            let names: &[&str] = &[$($name),*];
            for name in names {
                assert!($crate::find(name).is_ok(), "no loss `{name}` is linked in: write `use its_crate as _;`");
            }
        }
        $crate::conformance! { properties:
            without_margin_it_is_normface NeutralIsNormface;
            lengths_do_not_matter LengthInvariance;
            rotations_do_not_matter RotationInvariance;
            the_order_of_classes_does_not_matter PermutationInvariance;
            the_target_logit_falls_with_the_angle FallsWithAngle;
            the_target_logit_falls_with_the_margin FallsWithMargin;
            gradients_are_finite FiniteGradients;
            gradients_agree_with_differences FiniteDifferences;
            one_sub_center_is_dense OneSubCenterIsDense;
            the_state_survives_a_checkpoint StateRoundTrip;
            single_precision_agrees_with_double SinglePrecision;
        }
    };
    (properties: $($test:ident $property:ident;)*) => {
        mod every_linked_loss {
            $(
                #[test]
                fn $test() {
                    let violations = $crate::testing::violations($crate::registry::Property::$property);
                    assert!(violations.is_empty(), "{}", violations.join("\n"));
                }
            )*
        }
    };
}

/// What speaks against `property` among all linked losses: a line for each that should have it and does not, and for
/// each that declares to lack it without need.
pub fn violations(property: Property) -> Vec<String> {
    match losses() {
        Ok(all) => all.into_iter().filter_map(|entry| violation(entry, property)).collect(),
        Err(error) => vec![error.to_string()],
    }
}

/// What speaks against `property` of one loss.
pub fn violation(entry: &LossEntry, property: Property) -> Option<String> {
    let found = match (examine(entry, property), entry.lacks(property)) {
        (Ok(Verdict::Holds), true) => "declares that it lacks this, but has it: remove the exception".to_owned(),
        (Ok(Verdict::Fails(how)), false) => how,
        (Err(error), false) => error.to_string(),
        _ => return None,
    };
    Some(format!("{} · {property:?}: {found}", entry.name))
}

/// Whether a loss has a property.
enum Verdict {
    Holds,
    Fails(String),
    /// The loss has nothing that the property speaks of.
    DoesNotApply,
}

impl Verdict {
    /// Holds if `difference` is below `tolerance`.
    fn small(difference: f64, tolerance: f64) -> Self {
        if difference < tolerance { Self::Holds } else { Self::Fails(format!("differs by {difference:e}")) }
    }

    /// Holds if no value of `after` exceeds that of `before`.
    fn falls(before: &[f64], after: &[f64]) -> Self {
        match before.iter().zip(after).position(|(before, after)| before + 1e-12 < *after) {
            Some(at) => Self::Fails(format!("the target logit rises from {} to {}", before[at], after[at])),
            None => Self::Holds,
        }
    }

    /// Holds if both do.
    fn and(self, other: impl FnOnce() -> Result<Self>) -> Result<Self> {
        match self {
            Self::Holds => other(),
            Self::Fails(_) | Self::DoesNotApply => Ok(self),
        }
    }
}

fn examine(entry: &LossEntry, property: Property) -> Result<Verdict> {
    match property {
        Property::NeutralIsNormface => neutral_is_normface(entry),
        Property::LengthInvariance => invariance(entry, Batch::stretched),
        Property::RotationInvariance => invariance(entry, Batch::rotated),
        Property::PermutationInvariance => invariance(entry, Batch::permuted),
        Property::FallsWithAngle => falls_with_angle(entry),
        Property::FallsWithMargin => falls_with_margin(entry),
        Property::FiniteGradients => finite_gradients(entry),
        Property::FiniteDifferences => finite_differences(entry),
        Property::OneSubCenterIsDense => one_sub_center_is_dense(entry),
        Property::StateRoundTrip => state_round_trip(entry),
        Property::SinglePrecision => single_precision(entry),
    }
}

const ROWS: usize = 6;
const CLASSES: usize = 7;
const SIZE: usize = 8;

/// Embeddings, centers and labels that losses are tried on.
#[derive(Clone)]
struct Batch {
    embeddings: Tensor,
    centers: Tensor,
    labels: Vec<u32>,
}

impl Batch {
    /// Normally distributed directions; norms of embeddings from 5 to 80, which margins by the norm tell apart.
    fn new(index: u64) -> Result<Self> {
        let norms: Vec<f64> = (0..ROWS).map(|row| 5.0 + 15.0 * row as f64).collect();
        let embeddings = unit_rows(&normal(&[ROWS, SIZE], DType::F64, 10 + index)?)?;
        Ok(Self {
            embeddings: embeddings.broadcast_mul(&Tensor::from_vec(norms, (ROWS, 1), &Device::Cpu)?)?,
            centers: normal(&[CLASSES, SIZE], DType::F64, 20 + index)?,
            labels: vec![2, 0, 6, 2, 3, 0],
        })
    }

    /// Other lengths of embeddings and centers.
    fn stretched(&self) -> Result<Self> {
        let factors =
            |rows: usize| Tensor::arange(0.0, rows as f64, &Device::Cpu)?.affine(0.7, 0.3)?.reshape((rows, 1));
        Ok(Self {
            embeddings: self.embeddings.broadcast_mul(&factors(ROWS)?)?,
            centers: self.centers.broadcast_mul(&factors(CLASSES)?)?,
            labels: self.labels.clone(),
        })
    }

    /// Embeddings and centers turned by the same rotation, of two reflections.
    fn rotated(&self) -> Result<Self> {
        let turn = |vectors: &Tensor| reflect(&reflect(vectors, 30)?, 31);
        Ok(Self { embeddings: turn(&self.embeddings)?, centers: turn(&self.centers)?, labels: self.labels.clone() })
    }

    /// The classes in the opposite order.
    fn permuted(&self) -> Result<Self> {
        let order: Vec<u32> = (0..CLASSES as u32).rev().collect();
        Ok(Self {
            embeddings: self.embeddings.clone(),
            centers: self.centers.index_select(&Tensor::from_vec(order, CLASSES, &Device::Cpu)?, 0)?,
            labels: self.labels.iter().map(|label| CLASSES as u32 - 1 - label).collect(),
        })
    }

    fn evaluate(&self, entry: &LossEntry, parameters: &Table) -> Result<Evaluation> {
        let mut objective = Objective::from_centers(entry.name, parameters, &self.centers, None)?;
        objective.evaluate(&self.embeddings, &self.labels, 3)
    }

    fn loss(&self, entry: &LossEntry, parameters: &Table) -> Result<f64> {
        Ok(values(&self.evaluate(entry, parameters)?.loss)?[0])
    }
}

fn unit_rows(vectors: &Tensor) -> Result<Tensor> {
    Ok(vectors.broadcast_div(&vectors.sqr()?.sum_keepdim(1)?.sqrt()?)?)
}

/// x − 2(x·v)v for a random unit vector v.
fn reflect(vectors: &Tensor, index: u64) -> Result<Tensor> {
    let v = unit_rows(&normal(&[1, SIZE], DType::F64, index)?)?;
    let along = vectors.broadcast_mul(&v)?.sum_keepdim(1)?;
    Ok((vectors - along.broadcast_mul(&v)?.affine(2.0, 0.0)?)?)
}

fn invariance(entry: &LossEntry, change: fn(&Batch) -> Result<Batch>) -> Result<Verdict> {
    let batch = Batch::new(0)?;
    let (before, after) = (batch.loss(entry, &Table::new())?, change(&batch)?.loss(entry, &Table::new())?);
    Ok(Verdict::small((before - after).abs() / before.abs().max(1.0), 1e-9))
}

/// The neutral parameters, each of which the loss must have: a misspelt one would leave the margin as it is.
fn neutral(entry: &LossEntry) -> Result<Table> {
    let invalid = |message: &str| Error::Invalid(format!("neutral parameters: {message}"));
    let neutral: Table = entry.neutral.parse().map_err(|error: toml::de::Error| invalid(error.message()))?;
    crate::resolve(entry.name, &neutral).map_err(|error| invalid(&error.to_string()))?;
    Ok(neutral)
}

fn neutral_is_normface(entry: &LossEntry) -> Result<Verdict> {
    if entry.kind != Kind::Margin {
        return Ok(Verdict::DoesNotApply);
    }
    let batch = Batch::new(0)?;
    let normface = crate::find("normface")?;
    let (without, plain) = (batch.loss(entry, &neutral(entry)?)?, batch.loss(normface, &Table::new())?);
    Ok(Verdict::small((without - plain).abs() / plain.abs().max(1.0), 1e-9))
}

/// The target logit before the scale at `angles`, for an embedding of norm 20; none if the loss is no margin.
fn target_logits(entry: &LossEntry, parameters: &Table, angles: &[f64]) -> Result<Option<Vec<f64>>> {
    let Part::Margin(mut margin) = entry.build(parameters.clone())? else { return Ok(None) };
    Ok(Some(angles.iter().map(|angle| target_logit(margin.as_mut(), angle.cos())).collect()))
}

fn target_logit(margin: &mut dyn Margin, cosine: f64) -> f64 {
    let batch = MarginBatch { target_cosines: &[cosine], norms: &[20.0], step: 0, seed: 0, sine_floor: 1e-8 };
    margin.prepare(&batch).iter().map(|row| margin.target(cosine, 20.0, row).value).sum()
}

/// From 0 to π.
fn angles() -> Vec<f64> {
    (0..=720).map(|i| std::f64::consts::PI * f64::from(i) / 720.0).collect()
}

fn falls_with_angle(entry: &LossEntry) -> Result<Verdict> {
    let Some(logits) = target_logits(entry, &Table::new(), &angles())? else { return Ok(Verdict::DoesNotApply) };
    Ok(Verdict::falls(&logits, &logits[1..]))
}

fn falls_with_margin(entry: &LossEntry) -> Result<Verdict> {
    if entry.kind != Kind::Margin {
        return Ok(Verdict::DoesNotApply);
    }
    let (from, to) = (neutral(entry)?, defaults(entry.name)?);
    let mut verdict = Verdict::Holds;
    for quarter in 0..4 {
        let at = |share: f64| target_logits(entry, &between(&from, &to, share), &angles());
        let (Some(less), Some(more)) = (at(0.25 * f64::from(quarter))?, at(0.25 * f64::from(quarter + 1))?) else {
            return Ok(Verdict::DoesNotApply);
        };
        verdict = verdict.and(|| Ok(Verdict::falls(&less, &more)))?;
    }
    Ok(verdict)
}

/// The keys of `from` with their numbers moved towards those of `to`.
fn between(from: &Table, to: &Table, share: f64) -> Table {
    let moved = |(key, value): (&String, &Value)| {
        let (start, end) = (value.as_float()?, to.get(key)?.as_float()?);
        Some((key.clone(), Value::Float(start + share * (end - start))))
    };
    from.iter().filter_map(moved).collect()
}

/// Each choice of `beyond_pi` if the loss has it.
fn variants(entry: &LossEntry) -> Result<Vec<Table>> {
    let mut variants = vec![Table::new()];
    if defaults(entry.name)?.contains_key("beyond_pi") {
        let choice = |choice: &str| Table::from_iter([("beyond_pi".to_owned(), Value::from(choice))]);
        variants.extend(["none", "easy", "clip"].map(choice));
    }
    Ok(variants)
}

/// Embeddings on, opposite to and at right angles to their centers, and of no length; a center of no length too.
fn extreme(dtype: DType, sub_centers: usize) -> Result<Batch> {
    let axis =
        |class: usize, length: f64| (0..SIZE).map(move |i| if i == class { length } else { 0.0 }).collect::<Vec<f64>>();
    let zero = axis(SIZE, 0.0);
    let rows = [axis(0, 2.0), axis(1, -3.0), axis(5, 1.0), zero.clone(), axis(0, 7.0), axis(0, 1e-30)];
    let mut centers: Vec<Vec<f64>> = (0..CLASSES - 2).map(|class| axis(class, 0.01)).collect();
    centers.extend([axis(0, 1.0), zero]);
    let centers: Vec<f64> = centers.iter().flat_map(|center| center.repeat(sub_centers)).collect();
    let dims = if sub_centers == 1 { vec![CLASSES, SIZE] } else { vec![CLASSES, sub_centers, SIZE] };
    Ok(Batch {
        embeddings: Tensor::from_vec(rows.concat(), (ROWS, SIZE), &Device::Cpu)?.to_dtype(dtype)?,
        centers: Tensor::from_vec(centers, dims, &Device::Cpu)?.to_dtype(dtype)?,
        labels: vec![0, 1, 2, 3, 0, 0],
    })
}

fn finite_gradients(entry: &LossEntry) -> Result<Verdict> {
    for parameters in variants(entry)? {
        for dtype in [DType::F32, DType::F64] {
            for sub_centers in if has_sub_centers(entry)? { vec![1, 3] } else { vec![1] } {
                let all = everything(&extreme(dtype, sub_centers)?.evaluate(entry, &parameters)?)?;
                if !all.iter().all(|value| value.is_finite()) {
                    let how = format!("not finite in {} with K = {sub_centers}, {parameters}", dtype.as_str());
                    return Ok(Verdict::Fails(how));
                }
            }
        }
    }
    Ok(Verdict::Holds)
}

fn has_sub_centers(entry: &LossEntry) -> Result<bool> {
    Ok(defaults(entry.name)?.contains_key("sub_centers"))
}

fn finite_differences(entry: &LossEntry) -> Result<Verdict> {
    let batch = Batch::new(0)?;
    let by_embeddings = gradient_error(std::slice::from_ref(&batch.embeddings), |x| {
        let mut objective = Objective::from_centers(entry.name, &Table::new(), &batch.centers, None)?;
        Ok(objective.forward(&x[0], &batch.labels, 3)?.loss)
    })?;
    Verdict::small(by_embeddings, 1e-6).and(|| Ok(Verdict::small(center_gradient_error(entry, &batch)?, 1e-6)))
}

fn center_gradient_error(entry: &LossEntry, batch: &Batch) -> Result<f64> {
    const STEP: f64 = 1e-5;
    let analytic = values(&batch.evaluate(entry, &Table::new())?.d_centers)?;
    let at = values(&batch.centers)?;
    let moved = |index: usize, by: f64| {
        let mut changed = at.clone();
        changed[index] += by;
        let centers = Tensor::from_vec(changed, batch.centers.dims(), &Device::Cpu)?;
        Batch { centers, ..batch.clone() }.loss(entry, &Table::new())
    };
    let difference = |index| Ok((moved(index, STEP)? - moved(index, -STEP)?) / (2.0 * STEP));
    let numeric = (0..at.len()).map(difference).collect::<Result<Vec<f64>>>()?;
    Ok(slice_difference(&analytic, &numeric))
}

fn one_sub_center_is_dense(entry: &LossEntry) -> Result<Verdict> {
    if !has_sub_centers(entry)? {
        return Ok(Verdict::DoesNotApply);
    }
    let dense = Batch::new(0)?;
    let one = Batch { centers: dense.centers.unsqueeze(1)?, ..dense.clone() };
    let (dense, one) = (dense.evaluate(entry, &Table::new())?, one.evaluate(entry, &Table::new())?);
    Ok(Verdict::small(slice_difference(&everything(&one)?, &everything(&dense)?), 1e-12))
}

/// Loss and gradients in one row.
fn everything(evaluation: &Evaluation) -> Result<Vec<f64>> {
    let Evaluation { loss, d_embeddings, d_centers, .. } = evaluation;
    Ok([values(loss)?, values(d_embeddings)?, values(d_centers)?].concat())
}

fn state_round_trip(entry: &LossEntry) -> Result<Verdict> {
    let (first, second) = (Batch::new(0)?, Batch::new(1)?);
    let new = || Objective::from_centers(entry.name, &Table::new(), &first.centers, None);
    let (mut going, mut resumed) = (new()?, new()?);
    going.forward(&first.embeddings, &first.labels, 0)?;
    resumed.load_state(&going.state())?;
    let next =
        |objective: &mut Objective| Ok::<f64, Error>(objective.forward(&second.embeddings, &second.labels, 1)?.value);
    Ok(if next(&mut going)?.to_bits() == next(&mut resumed)?.to_bits() && going.state() == resumed.state() {
        Verdict::Holds
    } else {
        Verdict::Fails("goes on differently after its state was stored and loaded".to_owned())
    })
}

fn single_precision(entry: &LossEntry) -> Result<Verdict> {
    let double = Batch::new(0)?;
    let single = Batch {
        embeddings: double.embeddings.to_dtype(DType::F32)?,
        centers: double.centers.to_dtype(DType::F32)?,
        labels: double.labels.clone(),
    };
    let (single, double) = (single.evaluate(entry, &Table::new())?, double.evaluate(entry, &Table::new())?);
    let pairs = [
        (&single.loss, &double.loss),
        (&single.d_embeddings, &double.d_embeddings),
        (&single.d_centers, &double.d_centers),
    ];
    let mut verdict = Verdict::Holds;
    for (single, double) in pairs {
        verdict = verdict.and(|| Ok(Verdict::small(relative(&values(single)?, &values(double)?), 1e-4)))?;
    }
    Ok(verdict)
}

/// max |a − b| relative to max |b|.
fn relative(a: &[f64], b: &[f64]) -> f64 {
    let size = b.iter().fold(f64::MIN_POSITIVE, |max, b| max.max(b.abs()));
    a.iter().zip(b).fold(0.0, |max, (a, b)| f64::max(max, (a - b).abs() / size))
}
