//! `cargo xtask figure margins`: where two classes are divided, and what a margin leaves between them (Figure 5 of v4).
//! Knows no loss.
//!
//! An image of class 1 is accepted where its target logit reaches that of class 2, ψ(θ₁) = cosθ₂.

use arcface_eval::report::{self, Decision};
use serde_json::json;

use super::album::Album;
use super::curves::{Curve, curves};
use crate::cli::LossFigureArguments;

/// Steps of a quarter of a degree from 0° to 90°.
const STEPS: u32 = 360;

/// Draws the boundaries.
///
/// # Errors
/// If a run or a loss is not right, or a file cannot be written.
pub(super) fn run(arguments: &LossFigureArguments) -> anyhow::Result<()> {
    let angles: Vec<f64> = (0..=STEPS).map(|step| 90.0 * f64::from(step) / f64::from(STEPS)).collect();
    let curves = curves(arguments, &angles)?;
    let boundaries: Vec<Vec<(f64, f64)>> = curves.iter().map(|curve| boundary(&angles, curve)).collect();
    let panels = curves.iter().zip(&boundaries);
    let panels = panels.map(|(curve, boundary)| Decision { name: &curve.name, boundary: boundary.clone() });
    let svg = report::decisions("Decision margins of two classes", &panels.collect::<Vec<_>>())?;
    let of = |(curve, boundary): (&Curve, &Vec<(f64, f64)>)| json!({ "name": curve.name, "boundary": boundary });
    let numbers = curves.iter().zip(&boundaries).map(of).collect::<Vec<_>>();
    Album::open(&arguments.out)?.put("margins", &svg, &json!({ "boundaries": numbers }))
}

/// (θ₁, θ₂) in degrees with cosθ₂ = ψ(θ₁), where there is such a θ₂.
fn boundary(angles: &[f64], curve: &Curve) -> Vec<(f64, f64)> {
    let points = angles.iter().zip(&curve.values).filter(|(_, value)| -1.0 <= **value && **value <= 1.0);
    points.map(|(angle, value)| (*angle, value.acos().to_degrees())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_lie_a_margin_beyond_the_diagonal() {
        let curve = |f: &dyn Fn(f64) -> f64| {
            let values = [0.0_f64, 30.0, 60.0].map(|angle| f(angle.to_radians())).to_vec();
            boundary(&[0.0, 30.0, 60.0], &Curve { name: String::new(), scale: 1.0, values })
        };
        let arcface = curve(&|angle| (angle + 0.5).cos());
        let margin = 0.5_f64.to_degrees();
        assert!(arcface.iter().all(|(own, other)| (other - own - margin).abs() < 1e-9));
        // cosθ₂ = cosθ₁ − 1.6 has a solution for small angles only.
        assert_eq!(curve(&|angle| angle.cos() - 1.6).len(), 2);
    }
}
