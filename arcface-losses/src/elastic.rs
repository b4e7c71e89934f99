//! ElasticFace: margins of ArcFace and CosFace drawn from a normal distribution, one for each row and step.
//! Knows one cosine at a time; no head, no tensors.

use arcface_core::seed::{Purpose, rng};
use arcface_core::{Margin as Radians, Result};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use crate::angular::{self, BeyondPi, GradientMode};
use crate::margin::{Margin, MarginBatch, Row, Target};
use crate::register_loss;
use crate::registry::{About, Kind, Loss, Part};
use crate::units::{CosineMargin, NonNegative, radians, valid};

/// ψ(θ) = cos(θ + E) with E ~ N(m, σ²).
#[derive(Debug)]
pub struct ElasticArcFace(ArcParameters);

/// Parameters of [`ElasticArcFace`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct ArcParameters {
    /// The mean margin in radians.
    pub margin: Radians,
    /// σ, the standard deviation of the margin.
    pub sigma: NonNegative,
    /// Beyond θ + E = π.
    pub beyond_pi: BeyondPi,
    /// How it is differentiated.
    pub gradient: GradientMode,
}

impl Default for ArcParameters {
    fn default() -> Self {
        let (beyond_pi, gradient) = (BeyondPi::default(), GradientMode::default());
        Self { margin: radians(0.5), sigma: valid(0.0125), beyond_pi, gradient }
    }
}

impl Loss for ElasticArcFace {
    const ABOUT: About =
        About::new("elastic_arcface", Kind::Margin, "arcface with random margins", "s·cos(θ_y + E), E ~ N(m, σ²)")
            .paper("Boutros et al., ElasticFace, arXiv 2109.09416, Equation 5")
            .neutral("margin = 0.0\nsigma = 0.0");
    type Parameters = ArcParameters;

    fn build(parameters: ArcParameters) -> Result<Part> {
        Ok(Part::margin(Self(parameters)))
    }
}
register_loss!(ElasticArcFace);

impl Margin for ElasticArcFace {
    fn prepare(&mut self, batch: &MarginBatch<'_>) -> Vec<Row> {
        let (mean, sigma) = (self.0.margin.get(), self.0.sigma.get());
        let margins = draw(batch, mean, sigma).into_iter();
        // An angle is added, never taken away, and not more than half a turn.
        margins.map(|m| Row { m2: m.clamp(0.0, std::f64::consts::PI), ..Row::plain(batch.sine_floor) }).collect()
    }

    fn target(&self, cosine: f64, _norm: f64, row: &Row) -> Target {
        angular::target(cosine, row, self.0.beyond_pi, self.0.gradient)
    }
}

/// ψ(θ) = cosθ − E with E ~ N(m, σ²).
#[derive(Debug)]
pub struct ElasticCosFace(CosParameters);

/// Parameters of [`ElasticCosFace`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct CosParameters {
    /// The mean margin, taken from the cosine.
    pub margin: CosineMargin,
    /// σ, the standard deviation of the margin.
    pub sigma: NonNegative,
    /// How it is differentiated.
    pub gradient: GradientMode,
}

impl Default for CosParameters {
    fn default() -> Self {
        Self { margin: valid(0.35), sigma: valid(0.0125), gradient: GradientMode::default() }
    }
}

impl Loss for ElasticCosFace {
    const ABOUT: About =
        About::new("elastic_cosface", Kind::Margin, "cosface with random margins", "s·(cosθ_y − E), E ~ N(m, σ²)")
            .paper("Boutros et al., ElasticFace, arXiv 2109.09416, Equation 6")
            .neutral("margin = 0.0\nsigma = 0.0");
    type Parameters = CosParameters;

    fn build(parameters: CosParameters) -> Result<Part> {
        Ok(Part::margin(Self(parameters)))
    }
}
register_loss!(ElasticCosFace);

impl Margin for ElasticCosFace {
    fn prepare(&mut self, batch: &MarginBatch<'_>) -> Vec<Row> {
        let margins = draw(batch, self.0.margin.get(), self.0.sigma.get()).into_iter();
        margins.map(|m3| Row { m3, ..Row::plain(batch.sine_floor) }).collect()
    }

    fn target(&self, cosine: f64, _norm: f64, row: &Row) -> Target {
        angular::target(cosine, row, BeyondPi::Linear, self.0.gradient)
    }
}

/// A margin for each row, a function of (seed, step, row).
fn draw(batch: &MarginBatch<'_>, mean: f64, sigma: f64) -> Vec<f64> {
    let margin =
        |row| mean + sigma * rng(batch.seed, Purpose::Margin, batch.step, row).sample::<f64, _>(StandardNormal);
    (0..batch.target_cosines.len() as u64).map(margin).collect()
}
