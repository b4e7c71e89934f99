//! `NormFace` (Norm-Softmax): s·cosθ_y, no margin.
//! Knows one cosine at a time; no head, no tensors.

use arcface_core::Result;
use serde::{Deserialize, Serialize};

use crate::margin::{Margin, Row, Target};
use crate::register_loss;
use crate::registry::{About, Kind, Loss, Part};

/// ψ(θ) = cosθ (Equation 2).
#[derive(Debug)]
pub struct NormFace;

/// `NormFace` has no parameters beside the head's.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Parameters {}

impl Loss for NormFace {
    const ABOUT: About = About::new("normface", Kind::Margin, "softmax of scaled cosines, no margin", "s·cosθ_y")
        .paper("Wang et al., NormFace, arXiv 1704.06369; v4 Equation 2 (its best scale is 20)")
        .neutral("");
    type Parameters = Parameters;

    fn build(_: Parameters) -> Result<Part> {
        Ok(Part::margin(Self))
    }
}
register_loss!(NormFace);

impl Margin for NormFace {
    fn target(&self, cosine: f64, _norm: f64, _row: &Row) -> Target {
        Target::new(cosine, 1.0)
    }
}
