//! CosFace, an additive cosine margin: s·(cosθ_y − m).
//! Knows one cosine at a time; no head, no tensors.

use arcface_core::Result;
use serde::{Deserialize, Serialize};

use crate::angular::{self, BeyondPi, GradientMode};
use crate::margin::{Margin, MarginBatch, Row, Target};
use crate::register_loss;
use crate::registry::{About, Kind, Loss, Part};
use crate::units::{CosineMargin, valid};

/// ψ(θ) = cosθ − m.
#[derive(Debug)]
pub struct CosFace(Parameters);

/// Parameters of [`CosFace`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// m, taken from the cosine.
    pub margin: CosineMargin,
    /// `easy` leaves the margin out where cosθ ≤ 0; the others make no difference, as θ never exceeds π.
    pub beyond_pi: BeyondPi,
    /// How it is differentiated.
    pub gradient: GradientMode,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { margin: valid(0.35), beyond_pi: BeyondPi::default(), gradient: GradientMode::default() }
    }
}

impl Loss for CosFace {
    const ABOUT: About = About::new("cosface", Kind::Margin, "additive cosine margin", "s·(cosθ_y − m)")
        .paper("Wang et al., CosFace, arXiv 1801.09414");
    type Parameters = Parameters;

    fn build(parameters: Parameters) -> Result<Part> {
        Ok(Part::margin(Self(parameters)))
    }
}
register_loss!(CosFace);

impl Margin for CosFace {
    fn prepare(&mut self, batch: &MarginBatch<'_>) -> Vec<Row> {
        batch.rows(1.0, 0.0, self.0.margin.get())
    }

    fn target(&self, cosine: f64, _norm: f64, row: &Row) -> Target {
        angular::target(cosine, row, self.0.beyond_pi, self.0.gradient)
    }
}
