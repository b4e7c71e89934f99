//! X2-Softmax, a margin that grows with the angle: s·(1 − m − c·θ²).
//! Knows one cosine at a time; no head, no tensors.

use arcface_losses::margin::{Margin, Row, Target};
use arcface_losses::registry::{About, Exception, Kind, Loss, Part, Property};
use arcface_losses::units::{CosineMargin, NonNegative};
use arcface_losses::{Result, register_loss};
use serde::{Deserialize, Serialize};

/// ψ(θ) = 1 − m − c·θ²: the paper's a·(θ − h)² + k with a = −c, h = 0 and k = 1 − m.
///
/// # Example
/// ```
/// use arcface_losses::margin::{Margin, Row};
/// use my_loss::{Parameters, X2Softmax};
///
/// let on_its_center = X2Softmax::new(Parameters::default()).target(1.0, 1.0, &Row::plain(1e-8));
/// assert!((on_its_center.value - 0.65).abs() < 1e-12);
/// ```
#[derive(Debug)]
pub struct X2Softmax(Parameters);

/// Parameters of [`X2Softmax`]; their types refuse what would let the logit rise with the angle.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// m, what the logit of an embedding on its center lacks.
    pub margin: CosineMargin,
    /// c, how fast the logit falls with the square of the angle.
    pub curvature: NonNegative,
}

impl Default for Parameters {
    /// As the authors train it: a = −0.9, h = 0, k = 0.65.
    fn default() -> Self {
        Self {
            margin: CosineMargin::try_from(0.35).expect("0.35 is a cosine margin"),
            curvature: NonNegative::try_from(0.9).expect("0.9 is not negative"),
        }
    }
}

impl X2Softmax {
    /// The margin with `parameters`.
    pub fn new(parameters: Parameters) -> Self {
        Self(parameters)
    }
}

impl Loss for X2Softmax {
    const ABOUT: About =
        About::new("x2softmax", Kind::Margin, "margin that grows with the angle", "s·(1 − m − c·θ_y²)")
            .paper("Xu et al., X2-Softmax, arXiv 2312.05281")
            // cosθ up to the fourth power of θ.
            .neutral("margin = 0.0\ncurvature = 0.5")
            .exceptions(&[Exception {
                property: Property::NeutralIsNormface,
                reason: "a parabola touches cosθ_y at 0 and leaves it at larger angles",
            }]);
    type Parameters = Parameters;

    fn build(parameters: Parameters) -> Result<Part> {
        Ok(Part::margin(Self(parameters)))
    }
}
register_loss!(X2Softmax);

impl Margin for X2Softmax {
    fn target(&self, cosine: f64, _norm: f64, row: &Row) -> Target {
        let (margin, curvature) = (self.0.margin.get(), self.0.curvature.get());
        let angle = cosine.clamp(-1.0, 1.0).acos();
        // dθ/dcosθ = −1/sinθ; the floor keeps it finite at θ = 0 and π.
        let sine = angle.sin().max(row.sine_floor);
        Target::new(1.0 - margin - curvature * angle * angle, 2.0 * curvature * angle / sine)
    }
}
