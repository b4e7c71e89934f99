//! CurricularFace: ArcFace's target, and hard negatives weighted by a moving mean of the target cosines.
//! Knows one cosine at a time; no head, no tensors.

use std::collections::BTreeMap;

use arcface_core::{Margin as Radians, Result};
use serde::{Deserialize, Serialize};

use crate::angular::{self, BeyondPi, GradientMode};
use crate::margin::{Margin, MarginBatch, NonTarget, Row, Target, take_state};
use crate::register_loss;
use crate::registry::{About, Exception, Kind, Loss, Part, Property};
use crate::units::{Fraction, radians, valid};

/// ψ(θ_y) = cos(θ_y + m); cosθ_j·(t + cosθ_j) where cosθ_j > ψ(θ_y).
#[derive(Debug)]
pub struct CurricularFace {
    parameters: Parameters,
    t: f64,
}

/// Parameters of [`CurricularFace`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// m in radians.
    pub margin: Radians,
    /// How much a batch moves t: t ← momentum·mean(cosθ_y) + (1 − momentum)·t, from t = 0.
    pub momentum: Fraction,
    /// Beyond θ + m = π.
    pub beyond_pi: BeyondPi,
    /// How the target is differentiated.
    pub gradient: GradientMode,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            margin: radians(0.5),
            momentum: valid(0.01),
            beyond_pi: BeyondPi::default(),
            gradient: GradientMode::default(),
        }
    }
}

impl Loss for CurricularFace {
    const ABOUT: About = About::new(
        "curricularface",
        Kind::Margin,
        "arcface with negatives that grow harder as training goes on",
        "s·cos(θ_y + m); s·cosθ_j·(t + cosθ_j) for hard negatives",
    )
    .paper("Huang et al., CurricularFace, arXiv 2004.00288, Equations 8 to 11")
    .exceptions(&[
        Exception { property: Property::NeutralIsNormface, reason: "hard negatives are weighted without a margin too" },
        Exception { property: Property::FiniteDifferences, reason: "t follows the batch and is not differentiated" },
    ]);
    type Parameters = Parameters;

    fn build(parameters: Parameters) -> Result<Part> {
        Ok(Part::margin(Self { parameters, t: 0.0 }))
    }
}
register_loss!(CurricularFace);

impl Margin for CurricularFace {
    fn prepare(&mut self, batch: &MarginBatch<'_>) -> Vec<Row> {
        let momentum = self.parameters.momentum.get();
        let mean = batch.target_cosines.iter().sum::<f64>() / batch.target_cosines.len() as f64;
        self.t = momentum * mean + (1.0 - momentum) * self.t;
        batch.rows(1.0, self.parameters.margin.get(), 0.0)
    }

    fn target(&self, cosine: f64, _norm: f64, row: &Row) -> Target {
        angular::target(cosine, row, self.parameters.beyond_pi, self.parameters.gradient)
    }

    fn non_target(&self) -> NonTarget {
        NonTarget::Curricular { t: self.t }
    }

    fn state(&self) -> BTreeMap<String, f64> {
        BTreeMap::from([("t".to_owned(), self.t)])
    }

    fn load_state(&mut self, state: &BTreeMap<String, f64>) -> Result<()> {
        [self.t] = take_state(state, ["t"])?;
        Ok(())
    }
}
