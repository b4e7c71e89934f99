//! `ArcFace`, an additive angular margin: s·cos(θ_y + m).
//! Knows one cosine at a time; no head, no tensors.

use arcface_core::{Margin as Radians, Result};
use serde::{Deserialize, Serialize};

use crate::angular::{self, BeyondPi, GradientMode};
use crate::margin::{Margin, MarginBatch, Row, Target};
use crate::registry::{About, Kind, Loss, Part};
use crate::{register_loss, units};

/// ψ(θ) = cos(θ + m) (Equation 3).
#[derive(Debug)]
pub struct ArcFace(Parameters);

/// Parameters of [`ArcFace`] and of its sub-center form.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// m in radians.
    pub margin: Radians,
    /// Beyond θ + m = π.
    pub beyond_pi: BeyondPi,
    /// How it is differentiated.
    pub gradient: GradientMode,
}

impl Default for Parameters {
    fn default() -> Self {
        let margin = units::radians(0.5);
        Self { margin, beyond_pi: BeyondPi::default(), gradient: GradientMode::default() }
    }
}

impl ArcFace {
    /// The margin with `parameters`.
    pub fn new(parameters: Parameters) -> Self {
        Self(parameters)
    }
}

impl Loss for ArcFace {
    const ABOUT: About = About::new("arcface", Kind::Margin, "additive angular margin", "s·cos(θ_y + m)")
        .paper("Deng et al., ArcFace, arXiv 1801.07698v4, Equation 3");
    type Parameters = Parameters;

    fn build(parameters: Parameters) -> Result<Part> {
        Ok(Part::margin(Self(parameters)))
    }
}
register_loss!(ArcFace);

impl Margin for ArcFace {
    fn prepare(&mut self, batch: &MarginBatch<'_>) -> Vec<Row> {
        batch.rows(1.0, self.0.margin.get(), 0.0)
    }

    fn target(&self, cosine: f64, _norm: f64, row: &Row) -> Target {
        angular::target(cosine, row, self.0.beyond_pi, self.0.gradient)
    }
}
