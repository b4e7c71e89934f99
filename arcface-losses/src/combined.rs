//! The combined margin of ArcFace's paper: s·(cos(m1·θ_y + m2) − m3).
//! Knows one cosine at a time; no head, no tensors.

use arcface_core::{Margin as Radians, Result};
use serde::{Deserialize, Serialize};

use crate::angular::{self, BeyondPi, GradientMode};
use crate::margin::{Margin, MarginBatch, Row, Target};
use crate::register_loss;
use crate::registry::{About, Kind, Loss, Part};
use crate::units::{CosineMargin, Factor, radians, valid};

/// ψ(θ) = cos(m1·θ + m2) − m3 (Equation 4).
#[derive(Debug)]
pub struct Combined(Parameters);

/// Parameters of [`Combined`]; the paper's CM1 is (1, 0.3, 0.2), the default, and CM2 (0.9, 0.4, 0.15).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// Factor of the angle.
    pub m1: Factor,
    /// Added to the angle, in radians.
    pub m2: Radians,
    /// Taken from the cosine.
    pub m3: CosineMargin,
    /// Beyond m1·θ + m2 = π.
    pub beyond_pi: BeyondPi,
    /// How it is differentiated.
    pub gradient: GradientMode,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            m1: valid(1.0),
            m2: radians(0.3),
            m3: valid(0.2),
            beyond_pi: BeyondPi::default(),
            gradient: GradientMode::default(),
        }
    }
}

impl Loss for Combined {
    const ABOUT: About =
        About::new("combined", Kind::Margin, "margins of three kinds together", "s·(cos(m1·θ_y + m2) − m3)")
            .paper("Deng et al., ArcFace, arXiv 1801.07698v4, Equation 4")
            .neutral("m1 = 1.0\nm2 = 0.0\nm3 = 0.0");
    type Parameters = Parameters;

    fn build(parameters: Parameters) -> Result<Part> {
        Ok(Part::margin(Self(parameters)))
    }
}
register_loss!(Combined);

impl Margin for Combined {
    fn prepare(&mut self, batch: &MarginBatch<'_>) -> Vec<Row> {
        batch.rows(self.0.m1.get(), self.0.m2.get(), self.0.m3.get())
    }

    fn target(&self, cosine: f64, _norm: f64, row: &Row) -> Target {
        angular::target(cosine, row, self.0.beyond_pi, self.0.gradient)
    }
}
