//! Our margin against its formula and finite differences, and every general property over every linked loss.

use std::f64::consts::PI;

use arcface_losses::margin::{Margin, Row, Target};
use arcface_losses::toml::toml;
use my_loss::{Parameters, X2Softmax};

arcface_losses::testing::conformance!("x2softmax");

/// The target logit with the default parameters.
fn at(angle: f64) -> Target {
    X2Softmax::new(Parameters::default()).target(angle.cos(), 1.0, &Row::plain(1e-8))
}

#[test]
fn the_target_logit_is_the_parabola() {
    fn check(angle: f64, expected: f64) {
        let value = at(angle).value;
        assert!((value - expected).abs() < 1e-12, "{angle}: {value}, not {expected}");
    }
    // Python: [-0.9 * t * t + 0.65 for t in (0, 0.5, 1, math.pi / 2, 3)]
    check(0.0, 0.65);
    check(0.5, 0.425);
    check(1.0, -0.25);
    check(PI / 2.0, -1.570_660_990_245_306);
    check(3.0, -7.45);
}

#[test]
fn the_derivative_by_the_cosine_agrees_with_differences() {
    const STEP: f64 = 1e-6;
    for cosine in [-0.99, -0.5, 0.0, 0.3, 0.999] {
        let value = |cosine: f64| at(cosine.acos()).value;
        let expected = (value(cosine + STEP) - value(cosine - STEP)) / (2.0 * STEP);
        let d_cosine = at(cosine.acos()).d_cosine;
        assert!((d_cosine - expected).abs() < 1e-6 * expected, "{cosine}: {d_cosine}, not {expected}");
    }
}

#[test]
fn a_margin_that_would_rise_with_the_angle_is_refused() {
    let error = arcface_losses::resolve("x2softmax", &toml! { curvature = -0.9 }).unwrap_err().to_string();
    assert_eq!(error, "loss `x2softmax`: `curvature`: expected 0 <= value < inf, got -0.9");
}
