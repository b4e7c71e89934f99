//! Plain softmax on W·x + b: nothing normalised, no margin, no scale. A head of its own.
//! Knows only its name; the computation is in `head/softmax.rs`.

use arcface_core::Result;
use serde::{Deserialize, Serialize};

use crate::register_loss;
use crate::registry::{About, Exception, Kind, Loss, Part, Property};

/// −log softmax_y(W·x + b) (Equation 1).
#[derive(Debug)]
pub struct Softmax;

/// Plain softmax has no parameters.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Parameters {}

impl Loss for Softmax {
    const ABOUT: About = About::new("softmax", Kind::Head, "plain softmax with a bias", "−log softmax_y(W·x + b)")
        .paper("Deng et al., ArcFace, arXiv 1801.07698v4, Equation 1")
        .exceptions(&[Exception { property: Property::LengthInvariance, reason: "nothing is normalised" }]);
    type Parameters = Parameters;

    fn build(_: Parameters) -> Result<Part> {
        Ok(Part::Softmax)
    }
}
register_loss!(Softmax);
