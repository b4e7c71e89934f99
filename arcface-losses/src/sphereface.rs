//! SphereFace, a multiplicative angular margin: cos(m·θ_y) with a real m, or the original piecewise form with λ.
//! Knows one cosine at a time; no head, no tensors.

use std::f64::consts::PI;

use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::angular::{self, BeyondPi, GradientMode};
use crate::margin::{Margin, MarginBatch, Row, Target};
use crate::register_loss;
use crate::registry::{About, Kind, Loss, Part};
use crate::units::{Factor, NonNegative, valid};

/// How the margin multiplies the angle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// cos(m·θ) with a real m, 1.35 by default, no annealing.
    #[default]
    Real,
    /// (λ·cosθ + ψ(θ))/(1 + λ) with a whole m, 4 by default, and ψ(θ) = (−1)^k·cos(m·θ) − 2k on [kπ/m, (k+1)π/m].
    Integer,
}

/// Parameters of SphereFace.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, from = "Given")]
pub struct Parameters {
    /// How the margin multiplies the angle.
    pub form: Form,
    /// m; 1.35 for the real form and 4 for the integer one.
    pub margin: Factor,
    /// λ does not fall below this.
    pub lambda_min: NonNegative,
    /// λ at step 0.
    pub lambda_0: NonNegative,
    /// λ = max(λ_min, λ_0/(1 + γ·step)).
    pub gamma: NonNegative,
    /// Beyond m·θ = π, for the real form.
    pub beyond_pi: BeyondPi,
    /// How it is differentiated.
    pub gradient: GradientMode,
}

/// The parameters as given: the default of `margin` depends on `form`.
#[derive(Deserialize)]
#[serde(default)]
struct Given {
    form: Form,
    margin: Option<Factor>,
    lambda_min: NonNegative,
    lambda_0: NonNegative,
    gamma: NonNegative,
    beyond_pi: BeyondPi,
    gradient: GradientMode,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            form: Form::default(),
            margin: None,
            lambda_min: valid(5.0),
            lambda_0: valid(1000.0),
            gamma: valid(0.12),
            beyond_pi: BeyondPi::default(),
            gradient: GradientMode::default(),
        }
    }
}

impl From<Given> for Parameters {
    fn from(given: Given) -> Self {
        let Given { form, margin, lambda_min, lambda_0, gamma, beyond_pi, gradient } = given;
        let usual = if form == Form::Integer { 4.0 } else { 1.35 };
        let margin = margin.unwrap_or_else(|| valid(usual));
        Self { form, margin, lambda_min, lambda_0, gamma, beyond_pi, gradient }
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Given::default().into()
    }
}

/// SphereFace in its real form: ψ(θ) = cos(m·θ).
#[derive(Debug)]
pub struct SphereFace(Parameters);

/// SphereFace in its original form.
#[derive(Debug)]
pub struct IntegerSphereFace {
    parameters: Parameters,
    lambda: f64,
}

impl Loss for SphereFace {
    const ABOUT: About = About::new(
        "sphereface",
        Kind::Margin,
        "multiplicative angular margin, real or integer with annealing",
        "s·cos(m·θ_y), or s·(λ·cosθ_y + ψ(θ_y))/(1 + λ)",
    )
    .paper("Liu et al., SphereFace, arXiv 1704.08063; real m: arXiv 1801.07698v4, Equation 4")
    .neutral("margin = 1.0");
    type Parameters = Parameters;

    fn build(parameters: Parameters) -> Result<Part> {
        let margin = parameters.margin.get();
        match parameters.form {
            Form::Real => Ok(Part::margin(Self(parameters))),
            Form::Integer if margin.fract() == 0.0 => {
                Ok(Part::margin(IntegerSphereFace { parameters, lambda: parameters.lambda(0) }))
            }
            Form::Integer => Err(Error::value("margin", "a whole number for form = \"integer\"", margin)),
        }
    }
}
register_loss!(SphereFace);

impl Parameters {
    /// λ, a pure function of the step.
    fn lambda(&self, step: u64) -> f64 {
        self.lambda_min.get().max(self.lambda_0.get() / (1.0 + self.gamma.get() * step as f64))
    }
}

impl Margin for SphereFace {
    fn prepare(&mut self, batch: &MarginBatch<'_>) -> Vec<Row> {
        batch.rows(self.0.margin.get(), 0.0, 0.0)
    }

    fn target(&self, cosine: f64, _norm: f64, row: &Row) -> Target {
        angular::target(cosine, row, self.0.beyond_pi, self.0.gradient)
    }
}

impl Margin for IntegerSphereFace {
    fn prepare(&mut self, batch: &MarginBatch<'_>) -> Vec<Row> {
        self.lambda = self.parameters.lambda(batch.step);
        batch.rows(self.parameters.margin.get(), 0.0, 0.0)
    }

    fn target(&self, cosine: f64, _norm: f64, row: &Row) -> Target {
        let (psi, slope) = piecewise(cosine, row.m1);
        let value = (self.lambda * cosine + psi) / (1.0 + self.lambda);
        match self.parameters.gradient {
            GradientMode::Exact => Target::new(value, (self.lambda + slope) / (1.0 + self.lambda)),
            GradientMode::StraightThrough => Target::new(value, 1.0),
        }
    }
}

/// ψ(θ) = (−1)^k·cos(m·θ) − 2k and its derivative by cosθ, both polynomials of the cosine: nothing is divided.
fn piecewise(cosine: f64, m: f64) -> (f64, f64) {
    let k = (m * cosine.acos() / PI).floor().min(m - 1.0);
    let sign = if k % 2.0 == 0.0 { 1.0 } else { -1.0 };
    let (first, second) = chebyshev(cosine, m as u32);
    (sign * first - 2.0 * k, sign * m * second)
}

/// cos(m·θ) = T_m(cosθ) and sin(m·θ)/sinθ = U_{m−1}(cosθ), by cos((n+1)θ) = 2·cosθ·cos(nθ) − cos((n−1)θ).
fn chebyshev(cosine: f64, m: u32) -> (f64, f64) {
    let (mut first, mut second) = ((1.0, cosine), (0.0, 1.0));
    for _ in 1..m {
        first = (first.1, 2.0 * cosine * first.1 - first.0);
        second = (second.1, 2.0 * cosine * second.1 - second.0);
    }
    (first.1, second.1)
}
