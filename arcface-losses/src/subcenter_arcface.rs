//! Sub-center ArcFace: ArcFace on the nearest of K centers per class, three if nothing is said.
//! Knows only its name; the margin is ArcFace's, and the head gives any margin its sub-centers.

use arcface_core::Result;

use crate::arcface::{ArcFace, Parameters};
use crate::register_loss;
use crate::registry::{About, Kind, Loss, Part};

/// ψ(θ) = cos(θ + m) with θ_j = arccos(max_k W_jk·x) (Equation 6).
#[derive(Debug)]
pub struct SubCenterArcFace;

impl Loss for SubCenterArcFace {
    const ABOUT: About = About::new(
        "subcenter_arcface",
        Kind::Margin,
        "arcface with K centers per class, for noisy labels",
        "s·cos(θ_y + m), θ_j = arccos(max_k W_jk·x)",
    )
    .paper("Deng et al., Sub-center ArcFace, ECCV 2020; arXiv 1801.07698v4, Equation 6")
    .sub_centers(3);
    type Parameters = Parameters;

    fn build(parameters: Parameters) -> Result<Part> {
        Ok(Part::margin(ArcFace::new(parameters)))
    }
}
register_loss!(SubCenterArcFace);
