//! A verification as lines of text.
//! Knows no terminal: no colour, no width.

use std::fmt::Write as _;

use crate::verification::{FALSE_ACCEPT_RATES, FoldSource, Verification};

/// The figures of a verification, one per line.
///
/// ```
/// use arcface_eval::{report, verify};
/// let verification = verify(&[0.2, 1.9, 0.4, 1.7], &[true, false, true, false], 2)?;
/// assert!(report::table(&verification).starts_with("accuracy      75.00 % ± 25.00"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn table(verification: &Verification) -> String {
    let v = verification;
    let mut text = String::new();
    row(&mut text, "accuracy", &format!("{:.2} % ± {:.2} ({})", 100.0 * v.accuracy, 100.0 * v.accuracy_std, folds(v)));
    let grid = format!(
        "{:.2} % ± {:.2} (thresholds of the grid 0, 0.01, …, 3.99)",
        100.0 * v.accuracy_grid,
        100.0 * v.accuracy_grid_std
    );
    row(&mut text, "by the grid", &grid);
    row(&mut text, "threshold", &format!("{:.3} (squared ℓ2 distance, all pairs)", v.threshold));
    row(&mut text, "AUC", &format!("{:.4}", v.auc));
    row(&mut text, "EER", &format!("{:.2} %", 100.0 * v.eer));
    for (key, tar) in tar_at_far(v) {
        row(&mut text, &format!("TAR@FAR={key}"), &rate(tar));
    }
    row(&mut text, "pairs", &format!("{} genuine, {} impostor", v.genuine, v.impostors));
    text
}

fn row(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name:<13} {value}");
}

/// Where the folds came from.
pub(super) fn folds(verification: &Verification) -> String {
    let number = verification.accuracies.len();
    match verification.folds {
        FoldSource::Given => format!("{number} folds of the pairs list"),
        FoldSource::Contiguous => format!("{number} contiguous folds"),
    }
}

/// TAR at each of [`FALSE_ACCEPT_RATES`], the highest rate first.
pub(super) fn tar_at_far(verification: &Verification) -> impl Iterator<Item = (&'static str, Option<f64>)> {
    FALSE_ACCEPT_RATES.iter().map(|&(key, _)| (key, verification.tar_at_far.get(key).copied().flatten()))
}

/// A rate in percent.
pub(super) fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "too few impostor pairs".to_owned(), |rate| format!("{:.2} %", 100.0 * rate))
}
