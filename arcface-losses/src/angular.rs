//! The target logit cos(m1·θ + m2) − m3 that most margins share, beyond π too.
//! Knows no names and no configuration but the two choices that the formula leaves open.

use std::f64::consts::PI;

use arcface_core::sphere::sine;
use serde::{Deserialize, Serialize};

use crate::margin::{Row, Target};

/// What the target logit does where m1·θ + m2 > π and the formula would rise again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BeyondPi {
    /// Falls on: cosθ − m2·sin m2 − m3 for m1 = 1, else cosθ − cosθ* − 1 − m3 with θ* = (π − m2)/m1.
    #[default]
    Linear,
    /// The plain formula.
    None,
    /// The margin applies only where cosθ > 0.
    Easy,
    /// The angle m1·θ + m2 is kept below π.
    Clip,
}

/// How the target logit is differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GradientMode {
    /// The derivative of the formula.
    #[default]
    Exact,
    /// 1, as `arcface_torch` has it.
    StraightThrough,
}

/// The angle that [`BeyondPi::Clip`] does not exceed, as in `AdaFace`.
const CLIPPED: f64 = PI - 1e-3;

/// ψ(θ) = cos(m1·θ + m2) − m3 of `row` and its derivative by cosθ (Equation 4).
pub fn target(cosine: f64, row: &Row, beyond_pi: BeyondPi, gradient: GradientMode) -> Target {
    let (value, d_cosine) = value_and_slope(cosine, row, beyond_pi);
    match gradient {
        GradientMode::Exact => Target::new(value, d_cosine),
        GradientMode::StraightThrough => Target::new(value, 1.0),
    }
}

/// dψ/dm2, for margins whose m2 depends on the embedding.
pub fn slope_by_m2(cosine: f64, row: &Row, beyond_pi: BeyondPi) -> f64 {
    let turn = (PI - row.m2) / row.m1;
    let angle = row.m1 * cosine.acos() + row.m2;
    match beyond_pi {
        BeyondPi::Linear if turn < PI && cosine < turn.cos() && is_one(row.m1) => {
            -(row.m2.sin() + row.m2 * row.m2.cos())
        }
        // cosθ* = cos((π − m2)/m1), whose derivative by m2 is sinθ*/m1.
        BeyondPi::Linear if turn < PI && cosine < turn.cos() => -turn.sin() / row.m1,
        BeyondPi::Easy if cosine <= 0.0 => 0.0,
        BeyondPi::Clip if CLIPPED < angle => 0.0,
        _ => -angle.sin(),
    }
}

fn value_and_slope(cosine: f64, row: &Row, beyond_pi: BeyondPi) -> (f64, f64) {
    let turn = (PI - row.m2) / row.m1; // θ*, where the angle reaches π.
    match beyond_pi {
        BeyondPi::Linear if turn < PI && cosine < turn.cos() => (beyond_linearly(cosine, row, turn), 1.0),
        BeyondPi::Easy if cosine <= 0.0 => (cosine, 1.0),
        BeyondPi::Clip if CLIPPED < row.m1 * cosine.acos() + row.m2 => (CLIPPED.cos() - row.m3, 0.0),
        _ if is_one(row.m1) => shifted(cosine, row),
        _ => stretched(cosine, row),
    }
}

/// The linear continuation: below −1 − m3 and falling with θ.
fn beyond_linearly(cosine: f64, row: &Row, turn: f64) -> f64 {
    if is_one(row.m1) { cosine - row.m2 * row.m2.sin() - row.m3 } else { cosine - turn.cos() - 1.0 - row.m3 }
}

/// m1 = 1: cos(θ + m) = cosθ·cos m − sinθ·sin m, no arccos needed.
fn shifted(cosine: f64, row: &Row) -> (f64, f64) {
    let (sin_m, cos_m) = row.m2.sin_cos();
    let value = cosine * cos_m - sine(cosine, 0.0) * sin_m - row.m3;
    (value, cos_m + cosine * sin_m / sine(cosine, row.sine_floor))
}

/// Any m1: the derivative is m1·sin(m1·θ + m2)/sinθ.
fn stretched(cosine: f64, row: &Row) -> (f64, f64) {
    let angle = row.m1 * cosine.acos() + row.m2;
    (angle.cos() - row.m3, row.m1 * angle.sin() / sine(cosine, row.sine_floor))
}

fn is_one(factor: f64) -> bool {
    (factor - 1.0).abs() < f64::EPSILON
}
