//! Learning rates as pure functions of the step: constant, step, polynomial, cosine, each with a linear warm-up.
//! Knows no optimiser and no epochs; whoever configures in epochs converts to steps.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The course of the rate after the warm-up, relative to the full rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Curve {
    /// Always 1.
    Constant,
    /// factorⁿ, n the number of milestones at or below the step (torch's `MultiStepLR`).
    Step {
        /// Steps at which the rate is multiplied by `factor`, rising.
        milestones: Vec<u64>,
        /// 0 < factor ≤ 1.
        factor: f64,
    },
    /// (1 − p)^power, p the share of the steps after the warm-up that is done (torch's `PolynomialLR`).
    Polynomial {
        /// 0 < power.
        power: f64,
    },
    /// floor + (1 − floor)·(1 + cos πp)/2 (torch's `CosineAnnealingLR`).
    Cosine {
        /// Where the curve ends, 0 ≤ floor ≤ 1.
        floor: f64,
    },
}

/// A learning rate for every step.
///
/// With W warm-up steps the rate of step t < W is multiplied by (t+1)/(W+1): the first step runs at 1/(W+1) of the full
/// rate, each is higher by as much again, and step W, the first after the warm-up, runs at the full rate.
/// Polynomial and cosine begin to fall at step W and end at `total`.
///
/// ```
/// use arcface_core::schedule::{Curve, Schedule};
/// let schedule = Schedule::new(0.1, Curve::Polynomial { power: 1.0 }, 4)?;
/// let rates: Vec<f64> = [0, 3, 4, 5, 8].map(|step| schedule.learning_rate(step, 8)).to_vec();
/// for (rate, expected) in rates.iter().zip([0.02, 0.08, 0.1, 0.075, 0.0]) {
///     assert!((rate - expected).abs() < 1e-12);
/// }
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    full: f64,
    curve: Curve,
    warmup: u64,
}

impl Schedule {
    /// A schedule that reaches the rate `full` after `warmup` steps and then follows `curve`.
    ///
    /// # Errors
    /// If a number lies outside its range.
    pub fn new(full: f64, curve: Curve, warmup: u64) -> Result<Self> {
        if !(0.0 <= full && full.is_finite()) {
            return Err(Error::value("learning_rate", "0 <= learning_rate < ∞", full));
        }
        curve.check()?;
        Ok(Self { full, curve, warmup })
    }

    /// The learning rate of `step` (counted from 0) out of `total`.
    pub fn learning_rate(&self, step: u64, total: u64) -> f64 {
        self.full * self.ramp(step) * self.curve.at(step, self.warmup, total)
    }

    /// The rate that the warm-up leads to.
    pub fn full_rate(&self) -> f64 {
        self.full
    }

    /// (t+1)/(W+1), then 1.
    fn ramp(&self, step: u64) -> f64 {
        if step < self.warmup { (step + 1) as f64 / (self.warmup + 1) as f64 } else { 1.0 }
    }
}

impl Curve {
    fn check(&self) -> Result<()> {
        match self {
            Self::Constant => Ok(()),
            Self::Step { milestones, factor } => check_step(milestones, *factor),
            Self::Polynomial { power } if 0.0 < *power && power.is_finite() => Ok(()),
            Self::Polynomial { power } => Err(Error::value("power", "0 < power < ∞", power)),
            Self::Cosine { floor } if 0.0 <= *floor && *floor <= 1.0 => Ok(()),
            Self::Cosine { floor } => Err(Error::value("floor", "0 <= floor <= 1", floor)),
        }
    }

    fn at(&self, step: u64, warmup: u64, total: u64) -> f64 {
        let done = progress(step, warmup, total);
        match self {
            Self::Constant => 1.0,
            Self::Step { milestones, factor } => {
                factor.powi(milestones.iter().filter(|&&milestone| milestone <= step).count() as i32)
            }
            Self::Polynomial { power } => (1.0 - done).powf(*power),
            Self::Cosine { floor } => floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        }
    }
}

/// The share of the steps behind the warm-up that lies before `step`, within [0, 1].
fn progress(step: u64, warmup: u64, total: u64) -> f64 {
    let steps = total.saturating_sub(warmup).max(1);
    (step.saturating_sub(warmup) as f64 / steps as f64).min(1.0)
}

fn check_step(milestones: &[u64], factor: f64) -> Result<()> {
    if !(0.0 < factor && factor <= 1.0) {
        return Err(Error::value("factor", "0 < factor <= 1", factor));
    }
    if !milestones.is_sorted_by(|a, b| a < b) {
        return Err(Error::value("milestones", "rising steps", format!("{milestones:?}")));
    }
    Ok(())
}
