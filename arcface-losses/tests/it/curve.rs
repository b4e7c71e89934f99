//! Target logits over angles against numpy, and what has none.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use arcface_losses::target_curve;
use insta::assert_snapshot;

use crate::table;

// The Python that made the values (numpy 2):
//
// import numpy as np
// t = np.radians([20.0, 60.0, 100.0])
// def beyond(m1, m2, m3):
//     a = m1 * t + m2
//     low = np.cos(t) - m2 * np.sin(m2) - m3 if m1 == 1 else np.cos(t) - np.cos((np.pi - m2) / m1) - 1 - m3
//     return np.where(a <= np.pi, np.cos(a) - m3, low)
// def integer(m=4, lam=5.0):
//     k = np.floor(m * t / np.pi); return (lam * np.cos(t) + (-1) ** k * np.cos(m * t) - 2 * k) / (1 + lam)
// def mag(a): return beyond(1, 0.45 + 0.35 * (a - 10) / 100, 0)
// def ada(a, m=0.4, h=0.333):  # the batch has moved the mean by a hundredth, the deviation from 100 to 99
//     z = np.clip(h * (a - (20 + 0.01 * (a - 20))) / (99 + 1e-3), -1, 1)
//     return np.cos(np.clip(t - m * z, 1e-3, np.pi - 1e-3)) - (m + m * z)
// for v in (np.cos(t), beyond(1, .5, 0), beyond(1, 2.0, 0), beyond(1, 0, .35), beyond(.9, .4, .15), beyond(1.35, 0, 0),
//           integer(), mag(60.0), ada(80.0)): print(v)
#[test]
fn curves_are_those_of_numpy() {
    let check = |name: &str, parameters: &str, norm: f64, expected: [f64; 3]| {
        let angles = [20.0_f64, 60.0, 100.0].map(f64::to_radians);
        let curve = target_curve(name, &table(parameters), norm, &angles).unwrap();
        for (value, expected) in curve.values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-11, "{name} {parameters}: {value} instead of {expected}");
        }
        assert!((curve.scale - 64.0).abs() < 1e-12);
    };
    let plain = [0.939_692_620_786, 0.5, -0.173_648_177_667];
    check("normface", "", 1.0, plain);
    check("intra", "", 1.0, plain);
    let arcface = [0.660_684_666_111, 0.023_596_585_291, -0.624_532_600_034];
    check("arcface", "", 1.0, arcface);
    check("subcenter_arcface", "", 1.0, arcface);
    check("curricularface", "", 1.0, arcface);
    check("arcface", "warmup_steps = 1000", 9.0, arcface);
    check("arcface", "margin = 2.0", 1.0, [-0.702_048_147_715, -0.995_548_089_5, -1.992_243_031_318]);
    check("cosface", "", 1.0, [0.589_692_620_786, 0.15, -0.523_648_177_667]);
    check("combined", "m1 = 0.9; m2 = 0.4; m3 = 0.15", 1.0, [0.605_644_174_557, 0.076_340_011_888, -0.539_418_342_309]);
    check("sphereface", "", 1.0, [0.891_006_524_188, 0.156_434_465_04, -FRAC_1_SQRT_2]);
    check("sphereface", "form = \"integer\"", 1.0, [0.812_018_546_933, 0.166_666_666_667, -0.683_699_407_536]);
    check("magface", "", 60.0, [0.561_941_005_978, -0.101_227_542_299, -0.717_030_598_515]);
    check("adaface", "", 80.0, [0.484_078_965_925, 0.087_623_285_196, -0.574_391_828_489]);
}

/// E ~ N(m, σ²): the mean of cos(θ + E) is cos(θ + m)·exp(−σ²/2), that of cosθ − E is cosθ − m.
#[test]
fn of_a_random_margin_it_is_the_mean() {
    let at = |name: &str| target_curve(name, &table("sigma = 0.1"), 1.0, &[1.0]).unwrap().values[0];
    assert!((at("elastic_arcface") - 1.5_f64.cos() * (-0.005_f64).exp()).abs() < 2e-3);
    assert!((at("elastic_cosface") - (1.0_f64.cos() - 0.35)).abs() < 2e-3);
}

#[test]
fn every_margin_that_is_linked_has_one() {
    let angles: Vec<f64> = (0..=180).map(|degrees| PI * f64::from(degrees) / 180.0).collect();
    for loss in arcface_losses::losses().unwrap() {
        let curve = target_curve(loss.name, &toml::Table::new(), 20.0, &angles);
        let has_one = !["softmax", "triplet"].contains(&loss.name);
        assert_eq!(curve.is_ok(), has_one, "{}", loss.name);
        assert!(curve.into_iter().flat_map(|curve| curve.values).all(f64::is_finite), "{}", loss.name);
    }
}

#[test]
fn what_has_no_curve_is_told() {
    let error = |name: &str, norm: f64, angle: f64| {
        target_curve(name, &toml::Table::new(), norm, &[angle]).unwrap_err().to_string()
    };
    assert_snapshot!(error("softmax", 1.0, 1.0), @"loss: expected one whose target logit is a function of the angle to a class center, got `softmax`");
    assert_snapshot!(error("triplet", 1.0, 1.0), @"loss: expected one whose target logit is a function of the angle to a class center, got `triplet`");
    assert_snapshot!(error("arcface", 0.0, 1.0), @"norm of the embedding: expected a finite number above 0, got 0");
    assert_snapshot!(error("arcface", 1.0, 3.2), @"angle: expected radians from 0 to π, got 3.2");
    assert_snapshot!(error("arcface", 1.0, f64::NAN), @"angle: expected radians from 0 to π, got NaN");
}
