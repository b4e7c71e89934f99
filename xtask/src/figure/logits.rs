//! `cargo xtask figure logits`: target logits over the angle to the own class center.
//! Knows no loss.

use arcface_eval::report::{self, Lines};
use serde_json::json;

use super::album::Album;
use super::curves::curves;
use crate::cli::LossFigureArguments;

/// Degrees, as in the paper.
const FROM: f64 = 20.0;
const TO: f64 = 100.0;
const STEPS: u32 = 160;

/// Draws the curves.
///
/// # Errors
/// If a run or a loss is not right, or a file cannot be written.
pub(super) fn run(arguments: &LossFigureArguments) -> anyhow::Result<()> {
    let angles: Vec<f64> = (0..=STEPS).map(|step| FROM + (TO - FROM) * f64::from(step) / f64::from(STEPS)).collect();
    let curves = curves(arguments, &angles)?;
    let logits =
        |curve: &super::curves::Curve| -> Vec<f64> { curve.values.iter().map(|value| curve.scale * value).collect() };
    let lines: Vec<(&str, Vec<(f64, f64)>)> =
        curves.iter().map(|curve| (&*curve.name, angles.iter().copied().zip(logits(curve)).collect())).collect();
    let svg = report::lines(&Lines {
        title: "Target logit over the angle to the class center",
        x: "θ_y, degrees",
        y: "target logit s·ψ(θ_y)",
        lines: &lines,
    })?;
    let of =
        |curve: &super::curves::Curve| json!({ "name": curve.name, "scale": curve.scale, "logits": logits(curve) });
    let numbers = json!({ "degrees": angles, "curves": curves.iter().map(of).collect::<Vec<_>>() });
    Album::open(&arguments.out)?.put("logits", &svg, &numbers)
}
