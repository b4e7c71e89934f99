//! The text of every error, and the table that people read.
//! Knows no computation.

use arcface_eval::roc::Bootstrap;
use arcface_eval::{Embeddings, Roc, report, verify, verify_folds};
use insta::assert_snapshot;

use crate::formula_pairs;

fn message<T: std::fmt::Debug>(result: arcface_core::Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn embeddings() {
    assert_snapshot!(message(Embeddings::normalised(&[1.0, 0.0, 0.0, 0.0], 2)), @"embedding 1: expected a finite vector that is not zero (an untrained or diverged network gives others), got length 0");
    assert_snapshot!(message(Embeddings::normalised(&[1.0, f32::NAN], 2)), @"embedding 0: expected a finite vector that is not zero (an untrained or diverged network gives others), got length NaN");
    assert_snapshot!(message(Embeddings::normalised(&[1.0, 2.0, 3.0], 2)), @"embeddings: expected whole rows of 2 values, got 3 values");
    assert_snapshot!(message(Embeddings::with_mirrors(&[1.0, 2.0], &[1.0], 2)), @"embeddings of the mirror images: expected as many values as the embeddings, 2, got 1");
    assert_snapshot!(message(Embeddings::with_mirrors(&[1.0, 2.0], &[-1.0, -2.0], 2)), @"embedding 0: expected a finite vector that is not zero (an untrained or diverged network gives others), got length 0");
    let one = Embeddings::normalised(&[1.0, 2.0], 2).unwrap();
    assert_snapshot!(message(one.squared_distances(&[(0, 0), (0, 1)])), @"pair 1: expected rows below 1, got (0, 1)");
}

#[test]
fn pairs() {
    assert_snapshot!(message(verify(&[0.1, 0.2], &[true], 2)), @"scores: expected one per pair, 1, got 2");
    assert_snapshot!(message(verify(&[0.1, 0.2], &[true, true], 2)), @"pairs: expected at least one genuine and one impostor pair, got 2 genuine and 0 impostor pairs");
    assert_snapshot!(message(verify(&[0.1, f64::NAN], &[true, false], 2)), @"distance of pair 1: expected a squared ℓ2 distance within [0, 4], got NaN");
    assert_snapshot!(message(verify(&[0.1, 4.1], &[true, false], 2)), @"distance of pair 1: expected a squared ℓ2 distance within [0, 4], got 4.1");
    assert_snapshot!(message(verify(&[0.1, 0.2], &[true, false], 3)), @"folds: expected 2 <= folds <= 2 (the number of pairs), got 3");
    assert_snapshot!(message(verify(&[0.1, 0.2], &[true, false], 1)), @"folds: expected 2 <= folds <= 2 (the number of pairs), got 1");
    assert_snapshot!(message(verify_folds(&[0.1, 0.2], &[true, false], &[1])), @"fold numbers: expected one per pair, 2, got 1");
    assert_snapshot!(message(verify_folds(&[], &[], &[])), @"folds: expected 2 <= folds <= 0 (the number of pairs), got 0");
    assert_snapshot!(message(Roc::from_scores(&[0.1, f64::NAN], &[true, false])), @"score of pair 1: expected a number, got NaN");
}

#[test]
fn bootstrap() {
    let interval = |resamples, level| {
        let bootstrap = Bootstrap { resamples, level, seed: 0 };
        message(bootstrap.interval(&[0.1, 0.2], &[true, false], Roc::auc))
    };
    assert_snapshot!(interval(0, 0.95), @"resamples: expected at least 1, got 0");
    assert_snapshot!(interval(10, 1.0), @"level: expected 0 < level < 1, got 1");
}

#[test]
fn plots() {
    assert_snapshot!(message(report::roc_plot(&[])), @"ROC curves: expected at least one, got 0");
    assert_snapshot!(message(report::curves("run", &[])), @"panels of a plot: expected at least one, got 0");
    assert_snapshot!(message(report::histogram("cosine", &[0.1], &[], None)), @"histogram: expected scores of both kinds, got 1 genuine and 0 impostor scores");
    assert_snapshot!(message(report::histogram("cosine", &[0.1], &[f64::INFINITY], None)), @"histogram: expected finite numbers up to 1e100, got inf");
}

#[test]
fn table() {
    let (distances, same) = formula_pairs(603);
    assert_snapshot!(report::table(&verify(&distances, &same, 10).unwrap()), @"
    accuracy      94.86 % ± 1.90 (10 contiguous folds)
    by the grid   95.02 % ± 1.83 (thresholds of the grid 0, 0.01, …, 3.99)
    threshold     2.115 (squared ℓ2 distance, all pairs)
    AUC           0.9950
    EER           4.42 %
    TAR@FAR=1e-1  99.34 %
    TAR@FAR=1e-2  90.73 %
    TAR@FAR=1e-3  too few impostor pairs
    TAR@FAR=1e-4  too few impostor pairs
    pairs         302 genuine, 301 impostor
    ");
}

#[test]
fn json() {
    let (distances, same) = formula_pairs(40);
    let json = serde_json::to_string_pretty(&verify(&distances, &same, 2).unwrap()).unwrap();
    assert_snapshot!(json, @r#"
    {
      "accuracy": 0.95,
      "accuracy_std": 0.04999999999999999,
      "accuracy_grid": 0.875,
      "accuracy_grid_std": 0.025000000000000022,
      "accuracies": [
        1.0,
        0.9
      ],
      "thresholds": [
        2.18,
        1.64
      ],
      "threshold": 2.215,
      "tar_at_far": {
        "1e-1": 1.0,
        "1e-2": null,
        "1e-3": null,
        "1e-4": null
      },
      "auc": 0.9925,
      "eer": 0.05,
      "genuine": 20,
      "impostors": 20,
      "folds": "contiguous"
    }
    "#);
}
