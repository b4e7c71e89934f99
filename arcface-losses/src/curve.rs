//! The target logit of a loss as a function of the angle, for plots and for people who compare margins.
//! Knows no batch and no class centers: one angle at a time.

use std::f64::consts::PI;

use arcface_core::{Error, Result, sphere};
use candle_core::DType;
use toml::Table;

use crate::margin::{Margin, MarginBatch, Row};
use crate::normface::NormFace;
use crate::options::Resolved;
use crate::registry::Part;

/// Draws of a random margin that its curve is the mean of: some 1e-4 of the margin's own deviation are left.
const DRAWS: usize = 1 << 16;
/// A step at which all annealing is over.
const LATE: u64 = 1 << 40;

/// ψ over some angles.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetCurve {
    /// s; the target logit is s·ψ(θ_y).
    pub scale: f64,
    /// ψ at each angle.
    pub values: Vec<f64>,
}

/// ψ(θ) of the loss called `name` with `parameters` (the keys of `[loss]` but `name`; what is missing has its default).
///
/// Warm-up and annealing are taken to be over, the embedding's length is `norm` and that of the batch too, of a random
/// margin it is the mean. A term leaves the target logit of normface as it is.
///
/// # Shapes
/// `angles`: any number, in radians from 0 to π; as many values.
///
/// # Errors
/// If there is no such loss or parameter, the loss has no logit of an angle (`softmax`, `triplet`), the norm is not above
/// 0, or an angle is out of range.
///
/// # Example
/// ```
/// use arcface_losses::{target_curve, toml::toml};
/// let curve = target_curve("arcface", &toml! { margin = 0.5 }, 1.0, &[0.0, 1.0])?;
/// assert!((curve.values[1] - 1.5_f64.cos()).abs() < 1e-12);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn target_curve(name: &str, parameters: &Table, norm: f64, angles: &[f64]) -> Result<TargetCurve> {
    if let Some(angle) = angles.iter().find(|angle| !(0.0 <= **angle && **angle <= PI)) {
        return Err(Error::value("angle", "radians from 0 to π", angle));
    }
    if !(0.0 < norm && norm < f64::INFINITY) {
        return Err(Error::value("norm of the embedding", "a finite number above 0", norm));
    }
    let resolved = Resolved::new(name, parameters)?;
    let Some(head) = &resolved.head else { return Err(without_angle(name)) };
    let scale = head.scale.get();
    let mut margin: Box<dyn Margin> = match resolved.entry.build(resolved.own.clone())? {
        Part::Margin(margin) => margin,
        Part::Term(_) => Box::new(NormFace),
        Part::Softmax => return Err(without_angle(name)),
    };
    let rows = rows(margin.as_mut(), norm);
    let value = |angle: &f64| mean(&rows, |row| margin.target(angle.cos(), norm, row).value);
    Ok(TargetCurve { scale, values: angles.iter().map(value).collect() })
}

fn without_angle(name: &str) -> Error {
    Error::value("loss", "one whose target logit is a function of the angle to a class center", format!("`{name}`"))
}

/// The rows of embeddings of one length: one, unless a random margin makes them differ.
fn rows(margin: &mut dyn Margin, norm: f64) -> Vec<Row> {
    // What moving statistics take from the cosines does not reach the target.
    let (target_cosines, norms) = (vec![0.5; DRAWS], vec![norm; DRAWS]);
    let sine_floor = sphere::sine_floor(DType::F64);
    let batch = MarginBatch { target_cosines: &target_cosines, norms: &norms, step: LATE, seed: 0, sine_floor };
    let mut rows = margin.prepare(&batch);
    if rows.iter().all(|row| *row == rows[0]) {
        rows.truncate(1);
    }
    rows
}

fn mean(rows: &[Row], value: impl Fn(&Row) -> f64) -> f64 {
    rows.iter().map(value).sum::<f64>() / rows.len() as f64
}
