//! MagFace: an angular margin that grows with the embedding's norm, and a penalty that makes norms grow with quality.
//! Knows one cosine and one norm at a time; no head, no tensors.

use arcface_core::{Error, Margin as Radians, Result};
use serde::{Deserialize, Serialize};

use crate::angular::{self, BeyondPi, GradientMode};
use crate::margin::{Margin, MarginBatch, Penalty, Row, Target};
use crate::register_loss;
use crate::registry::{About, Exception, Kind, Loss, Part, Property};
use crate::units::{NonNegative, radians, valid};

/// ψ(θ, a) = cos(θ + m(a)) with a = ‖x‖ kept within [l_a, u_a], and λ_g·(a/u_a² + 1/a) beside the softmax.
#[derive(Debug)]
pub struct MagFace(Parameters);

/// Parameters of [`MagFace`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// The norm that gets the lower margin, l_a.
    pub lower_norm: NonNegative,
    /// The norm that gets the upper margin, u_a.
    pub upper_norm: NonNegative,
    /// The margin in radians at the lower norm, l_m.
    pub lower_margin: Radians,
    /// The margin in radians at the upper norm, u_m.
    pub upper_margin: Radians,
    /// λ_g, the weight of the penalty.
    pub lambda_g: NonNegative,
    /// Beyond θ + m = π.
    pub beyond_pi: BeyondPi,
    /// How the target is differentiated by the cosine.
    pub gradient: GradientMode,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            lower_norm: valid(10.0),
            upper_norm: valid(110.0),
            lower_margin: radians(0.45),
            upper_margin: radians(0.8),
            lambda_g: valid(35.0),
            beyond_pi: BeyondPi::default(),
            gradient: GradientMode::default(),
        }
    }
}

impl Loss for MagFace {
    const ABOUT: About = About::new(
        "magface",
        Kind::Margin,
        "angular margin and penalty by the embedding's norm",
        "s·cos(θ_y + m(‖x‖)) and + λ_g·(‖x‖/u_a² + 1/‖x‖)",
    )
    .paper("Meng et al., MagFace, arXiv 2103.06627, Equations 2 to 5")
    .neutral("lower_margin = 0.0\nupper_margin = 0.0\nlambda_g = 0.0")
    .exceptions(&[Exception { property: Property::LengthInvariance, reason: "the norm chooses the margin" }]);
    type Parameters = Parameters;

    fn build(parameters: Parameters) -> Result<Part> {
        let (lower, upper) = (parameters.lower_norm.get(), parameters.upper_norm.get());
        if 0.0 < lower && lower < upper {
            return Ok(Part::margin(Self(parameters)));
        }
        Err(Error::value("lower_norm, upper_norm", "0 < lower_norm < upper_norm", format!("{lower}, {upper}")))
    }
}
register_loss!(MagFace);

impl MagFace {
    /// The norm within its bounds, and its derivative: 0 outside.
    fn bounded(&self, norm: f64) -> (f64, f64) {
        let (lower, upper) = (self.0.lower_norm.get(), self.0.upper_norm.get());
        (norm.clamp(lower, upper), if lower <= norm && norm <= upper { 1.0 } else { 0.0 })
    }

    /// m(a) = l_m + (u_m − l_m)·(a − l_a)/(u_a − l_a), and dm/d‖x‖.
    fn margin(&self, norm: f64) -> (f64, f64) {
        let Parameters { lower_norm, upper_norm, lower_margin, upper_margin, .. } = self.0;
        let slope = (upper_margin.get() - lower_margin.get()) / (upper_norm.get() - lower_norm.get());
        let (a, d_a) = self.bounded(norm);
        (lower_margin.get() + slope * (a - lower_norm.get()), slope * d_a)
    }
}

impl Margin for MagFace {
    fn prepare(&mut self, batch: &MarginBatch<'_>) -> Vec<Row> {
        let row = |norm: &f64| Row { m2: self.margin(*norm).0, ..Row::plain(batch.sine_floor) };
        batch.norms.iter().map(row).collect()
    }

    fn target(&self, cosine: f64, norm: f64, row: &Row) -> Target {
        let target = angular::target(cosine, row, self.0.beyond_pi, self.0.gradient);
        let (_, d_margin) = self.margin(norm);
        Target { d_norm: d_margin * angular::slope_by_m2(cosine, row, self.0.beyond_pi), ..target }
    }

    fn penalty(&self, norm: f64, _row: &Row) -> Penalty {
        let (a, d_a) = self.bounded(norm);
        let (weight, upper) = (self.0.lambda_g.get(), self.0.upper_norm.get());
        Penalty {
            value: weight * (a / (upper * upper) + 1.0 / a),
            d_norm: weight * d_a * (1.0 / (upper * upper) - 1.0 / (a * a)),
        }
    }
}
