//! Plots as SVG: well-formed, with the words a reader needs.
//! Knows no pixels.

use arcface_eval::report::{Curve, Panel, curves, histogram, roc_plot};
use arcface_eval::{Roc, verify};

use crate::formula_pairs;

fn check(svg: &str, words: &[&str]) {
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    for word in words {
        assert!(svg.contains(word), "no `{word}` in the picture");
    }
}

#[test]
fn roc_has_a_logarithmic_axis_and_a_legend() {
    let (distances, same) = formula_pairs(603);
    let roc = Roc::from_distances(&distances, &same).unwrap();
    let worse = Roc::from_scores(&distances, &same).unwrap();
    let svg = roc_plot(&[("trained", &roc), ("raw pixels", &worse)]).unwrap();
    check(&svg, &["trained: AUC 0.9950", "raw pixels", "0.01", "0.1", "false accept rate (FAR)"]);
}

#[test]
fn roc_of_two_pairs_can_be_drawn() {
    let roc = Roc::from_scores(&[1.0, 0.0], &[true, false]).unwrap();
    check(&roc_plot(&[("two", &roc)]).unwrap(), &["AUC 1.0000"]);
}

#[test]
fn histogram_shows_both_kinds_and_the_threshold() {
    let (distances, same) = formula_pairs(603);
    let of = |kind| -> Vec<f64> { distances.iter().zip(&same).filter(|p| *p.1 == kind).map(|p| *p.0).collect() };
    let threshold = verify(&distances, &same, 10).unwrap().threshold;
    let svg = histogram("squared ℓ2 distance", &of(true), &of(false), Some(threshold)).unwrap();
    check(&svg, &["genuine", "impostor", "threshold 2.11", "squared ℓ2 distance"]);
}

#[test]
fn histogram_of_equal_scores_can_be_drawn() {
    check(&histogram("cosine", &[0.5], &[0.5], None).unwrap(), &["cosine"]);
}

#[test]
fn curves_leave_out_what_is_not_finite() {
    let loss = Curve { name: "training", points: vec![(0.0, 9.0), (1.0, f64::NAN), (2.0, 7.0)] };
    let accuracy = Curve { name: "pairs", points: vec![(2.0, 0.9)] };
    let empty = Curve { name: "none yet", points: vec![] };
    let panels =
        [Panel { quantity: "loss", curves: vec![loss] }, Panel { quantity: "accuracy", curves: vec![accuracy, empty] }];
    check(&curves("runs/a", &panels).unwrap(), &["runs/a", "loss", "accuracy", "none yet", "step"]);
}

#[test]
fn names_cannot_break_the_picture() {
    let curve = Curve { name: "a", points: vec![(0.0, 1.0), (1.0, 2.0)] };
    let svg = curves("<&>", &[Panel { quantity: "x", curves: vec![curve] }]).unwrap();
    assert!(svg.contains("&lt;&amp;&gt;"));
}
