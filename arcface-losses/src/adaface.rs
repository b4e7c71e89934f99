//! AdaFace: the norm, as a stand-in for quality, chooses between an angular and a cosine margin.
//! Knows one cosine at a time and the norms of the batch; no head, no tensors.

use std::collections::BTreeMap;
use std::f64::consts::PI;

use arcface_core::sphere::sine;
use arcface_core::{Margin as Radians, Result};
use serde::{Deserialize, Serialize};

use crate::angular::GradientMode;
use crate::margin::{Margin, MarginBatch, Row, Target, take_state};
use crate::register_loss;
use crate::registry::{About, Exception, Kind, Loss, Part, Property};
use crate::units::{Fraction, NonNegative, radians, valid};

/// ψ(θ) = cos(θ − m·z) − (m + m·z), where z is the standardised norm times h within [−1, 1].
#[derive(Debug)]
pub struct AdaFace {
    parameters: Parameters,
    mean: f64,
    std: f64,
}

/// Parameters of [`AdaFace`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// m in radians.
    pub margin: Radians,
    /// h, the concentration of the standardised norms.
    pub h: NonNegative,
    /// How much a batch moves the mean and standard deviation of the norms, from 20 and 100.
    pub momentum: Fraction,
    /// How the target is differentiated by the cosine.
    pub gradient: GradientMode,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { margin: radians(0.4), h: valid(0.333), momentum: valid(0.01), gradient: GradientMode::default() }
    }
}

/// The angle θ − m·z is kept this far from 0 and π.
const EDGE: f64 = 1e-3;

impl Loss for AdaFace {
    const ABOUT: About = About::new(
        "adaface",
        Kind::Margin,
        "angular or cosine margin by the quality that the norm tells",
        "s·(cos(θ_y − m·z) − m − m·z), z by ‖x‖",
    )
    .paper("Kim et al., AdaFace, arXiv 2204.00964, Equations 14 to 17")
    .exceptions(&[
        Exception { property: Property::LengthInvariance, reason: "the norm chooses the margin" },
        Exception { property: Property::FiniteDifferences, reason: "z follows the norms and is not differentiated" },
    ]);
    type Parameters = Parameters;

    fn build(parameters: Parameters) -> Result<Part> {
        Ok(Part::margin(Self { parameters, mean: 20.0, std: 100.0 }))
    }
}
register_loss!(AdaFace);

impl AdaFace {
    /// Moves the statistics towards those of the norms (the standard deviation is the unbiased one).
    fn follow(&mut self, norms: &[f64]) {
        let (count, momentum) = (norms.len() as f64, self.parameters.momentum.get());
        let mean = norms.iter().sum::<f64>() / count;
        self.mean += momentum * (mean - self.mean);
        if 1.0 < count {
            let squares: f64 = norms.iter().map(|norm| (norm - mean).powi(2)).sum();
            self.std += momentum * ((squares / (count - 1.0)).sqrt() - self.std);
        }
    }

    /// The angle gains −m·z, the cosine loses m + m·z.
    fn row(&self, norm: f64, sine_floor: f64) -> Row {
        let m = self.parameters.margin.get();
        let z = (self.parameters.h.get() * (norm - self.mean) / (self.std + EDGE)).clamp(-1.0, 1.0);
        Row { m2: -m * z, m3: m + m * z, ..Row::plain(sine_floor) }
    }
}

impl Margin for AdaFace {
    fn prepare(&mut self, batch: &MarginBatch<'_>) -> Vec<Row> {
        let norms: Vec<f64> = batch.norms.iter().map(|norm| norm.clamp(1e-3, 100.0)).collect();
        self.follow(&norms);
        norms.iter().map(|norm| self.row(*norm, batch.sine_floor)).collect()
    }

    fn target(&self, cosine: f64, _norm: f64, row: &Row) -> Target {
        let angle = cosine.acos() + row.m2;
        let kept = angle.clamp(EDGE, PI - EDGE);
        let inside = EDGE <= angle && angle <= PI - EDGE;
        let slope = if inside { angle.sin() / sine(cosine, row.sine_floor) } else { 0.0 };
        match self.parameters.gradient {
            GradientMode::Exact => Target::new(kept.cos() - row.m3, slope),
            GradientMode::StraightThrough => Target::new(kept.cos() - row.m3, 1.0),
        }
    }

    fn state(&self) -> BTreeMap<String, f64> {
        BTreeMap::from([("norm_mean".to_owned(), self.mean), ("norm_std".to_owned(), self.std)])
    }

    fn load_state(&mut self, state: &BTreeMap<String, f64>) -> Result<()> {
        [self.mean, self.std] = take_state(state, ["norm_mean", "norm_std"])?;
        Ok(())
    }
}
