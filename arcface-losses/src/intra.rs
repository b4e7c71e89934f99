//! The intra term: the mean angle of embeddings to their class centers, as a part of π.
//! Knows target cosines only.

use std::f64::consts::PI;

use arcface_core::{Result, sphere};
use serde::{Deserialize, Serialize};

use crate::register_loss;
use crate::registry::{About, Kind, Loss, Part};
use crate::term::{Term, TermBatch, TermOutput};

/// (1/B)·Σ_i θ_{y_i}/π (Equation 8).
#[derive(Debug)]
pub struct Intra;

/// The intra term has no parameters.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Parameters {}

impl Loss for Intra {
    const ABOUT: About = About::new(
        "intra",
        Kind::Term,
        "pulls embeddings to their class centers; as a loss, beside normface",
        "normface + mean θ_y/π",
    )
    .paper("Deng et al., ArcFace, arXiv 1801.07698v4, Equation 8");
    type Parameters = Parameters;

    fn build(_: Parameters) -> Result<Part> {
        Ok(Part::term(Self))
    }
}
register_loss!(Intra);

impl Term for Intra {
    fn evaluate(&self, batch: &TermBatch<'_>) -> TermOutput {
        let share = 1.0 / (PI * batch.target_cosines.len() as f64);
        let angles = batch.target_cosines.iter().map(|cosine| sphere::arccos(*cosine, batch.sine_floor));
        let (angles, slopes): (Vec<f64>, Vec<f64>) = angles.unzip();
        TermOutput {
            value: share * angles.iter().sum::<f64>(),
            d_target_cosines: slopes.iter().map(|slope| share * slope).collect(),
            ..TermOutput::default()
        }
    }
}
