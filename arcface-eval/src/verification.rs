//! The pair protocol of LFW, CFP-FP, AgeDB-30 and their like: accuracy by folds, TAR at FAR, AUC, EER.
//! Knows no embeddings: squared ℓ2 distances come in, figures go out.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::exact::{Fold, Ranked};
use crate::grid;
use crate::roc::Roc;

/// Folds of the protocol.
pub const FOLDS: usize = 10;

/// The false accept rates that are reported, with their keys in JSON.
pub const FALSE_ACCEPT_RATES: [(&str, f64); 4] = [("1e-1", 1e-1), ("1e-2", 1e-2), ("1e-3", 1e-3), ("1e-4", 1e-4)];

/// Figures of one verification; every rate is a fraction.
// Deviates: the protocol takes the first best threshold of the grid 0, 0.01, …, 3.99. Several are often equally good on
// the other folds, and which of them a grid happens to hold and to take first moves the accuracy of a good network by a
// tenth of a per cent, more than the difference that is to be shown. The accuracy is therefore that at exact thresholds,
// as figures of cosines are mostly taken; that of the grid stands beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Mean of [`Self::accuracies`].
    pub accuracy: f64,
    /// Their population standard deviation.
    pub accuracy_std: f64,
    /// Mean over the folds at the first of 0, 0.01, …, 3.99 that is best on the others, a distance below it accepted:
    /// what insightface's verification script gives.
    pub accuracy_grid: f64,
    /// Its population standard deviation.
    pub accuracy_grid_std: f64,
    /// Accuracy on each fold at its threshold.
    pub accuracies: Vec<f64>,
    /// For each fold the largest distance of the other folds that is best on them, −1 if accepting none is: a pair is
    /// called the same person if its squared distance is not above.
    pub thresholds: Vec<f64>,
    /// For use on new pairs, which are the same person if their squared distance is not above: the middle of the widest
    /// range of thresholds that are best on all pairs. The accuracy at it is not reported, it would flatter.
    pub threshold: f64,
    /// TAR at each of [`FALSE_ACCEPT_RATES`] over all pairs; `None` where the impostor pairs are too few for the rate.
    pub tar_at_far: BTreeMap<String, Option<f64>>,
    /// Area under the ROC over all pairs.
    pub auc: f64,
    /// Equal error rate over all pairs.
    pub eer: f64,
    /// Number of genuine pairs.
    pub genuine: usize,
    /// Number of impostor pairs.
    pub impostors: usize,
    /// Where the folds came from.
    pub folds: FoldSource,
}

/// Where the folds of a verification came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoldSource {
    /// The pairs list named them.
    Given,
    /// The pairs were cut into equal runs in their order.
    Contiguous,
}

/// Verification over `folds` contiguous folds of equal size in the order of the pairs (the first few may have one more).
///
/// The threshold of a fold is the largest distance of the other folds that is best on them; a pair is called the same
/// person if its distance is not above the threshold.
///
/// ```
/// use arcface_eval::verify;
/// let verification = verify(&[0.2, 1.9, 0.4, 1.7], &[true, false, true, false], 2)?;
/// assert_eq!(verification.thresholds, [0.4, 0.2]);
/// assert_eq!(verification.accuracies, [1.0, 0.5]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If there are fewer than 2 folds or fewer pairs than folds, the lengths differ, a distance is not within [0, 4],
/// or there is no genuine or no impostor pair.
pub fn verify(distances: &[f64], same: &[bool], folds: usize) -> Result<Verification> {
    if folds < 2 || distances.len() < folds {
        let expected = format!("2 <= folds <= {} (the number of pairs)", distances.len());
        return Err(Error::value("folds", expected, folds));
    }
    verification(distances, same, &contiguous(distances.len(), folds), FoldSource::Contiguous)
}

/// Verification over the folds that the pairs list names, one number per pair; any numbers will do.
///
/// Folds 9 and 10 alone are two folds. Fewer than two cannot take their threshold elsewhere: the pairs are then cut
/// into at most [`FOLDS`] contiguous folds, and [`Verification::folds`] says so.
///
/// # Errors
/// As [`verify`], or if there is not one fold number per pair.
pub fn verify_folds(distances: &[f64], same: &[bool], fold_of: &[usize]) -> Result<Verification> {
    if fold_of.len() != distances.len() {
        return Err(Error::value("fold numbers", format!("one per pair, {}", distances.len()), fold_of.len()));
    }
    let folds = ranks(fold_of);
    if folds.iter().all(|fold| *fold == 0) {
        return verify(distances, same, FOLDS.min(distances.len()));
    }
    verification(distances, same, &folds, FoldSource::Given)
}

/// What each pair contributes to [`Verification::accuracy`], which is the mean of these: `P/(F·n_f)` where it is judged
/// rightly at the threshold of its fold, f one of F folds with `n_f` of the P pairs; else 0.
///
/// The difference of two networks on the same pairs is then a mean over pairs, however large their folds are.
///
/// ```
/// let judged = arcface_eval::verification::contributions(&[0.2, 1.9, 0.4, 1.7], &[true, false, true, false], &[1, 1, 2, 2])?;
/// assert_eq!(judged, [1.0, 1.0, 0.0, 1.0]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// As [`verify_folds`].
pub fn contributions(distances: &[f64], same: &[bool], fold_of: &[usize]) -> Result<Vec<f64>> {
    let verification = verify_folds(distances, same, fold_of)?;
    let folds = match verification.folds {
        FoldSource::Given => ranks(fold_of),
        FoldSource::Contiguous => contiguous(distances.len(), verification.thresholds.len()),
    };
    let mut sizes = vec![0_usize; verification.thresholds.len()];
    for fold in &folds {
        sizes[*fold] += 1;
    }
    let share = |fold: usize| distances.len() as f64 / (sizes.len() * sizes[fold]) as f64;
    let judged = distances.iter().zip(same).zip(&folds).map(|((distance, same), &fold)| {
        let right = (*distance <= verification.thresholds[fold]) == *same;
        if right { share(fold) } else { 0.0 }
    });
    Ok(judged.collect())
}

/// Numbers of folds from 0, in the order of the given ones.
fn ranks(fold_of: &[usize]) -> Vec<usize> {
    let names: BTreeSet<usize> = fold_of.iter().copied().collect();
    let ranks: BTreeMap<usize, usize> = names.into_iter().zip(0..).collect();
    fold_of.iter().map(|fold| ranks[fold]).collect()
}

fn verification(distances: &[f64], same: &[bool], folds: &[usize], source: FoldSource) -> Result<Verification> {
    check_distances(distances)?;
    let roc = Roc::from_distances(distances, same)?;
    let ranked = Ranked::new(distances, same);
    let (thresholds, accuracies): (Vec<f64>, Vec<f64>) =
        ranked.folds(folds).into_iter().map(|Fold { threshold, accuracy }| (threshold, accuracy)).unzip();
    let (accuracy, accuracy_std) = mean_and_std(&accuracies);
    let (accuracy_grid, accuracy_grid_std) = mean_and_std(&grid::accuracies(distances, same, folds));
    Ok(Verification {
        accuracy,
        accuracy_std,
        accuracy_grid,
        accuracy_grid_std,
        accuracies,
        thresholds,
        threshold: ranked.middle(),
        tar_at_far: FALSE_ACCEPT_RATES.iter().map(|&(key, far)| (key.to_owned(), roc.tar_at_far(far))).collect(),
        auc: roc.auc(),
        eer: roc.eer(),
        genuine: roc.genuine(),
        impostors: roc.impostors(),
        folds: source,
    })
}

fn check_distances(distances: &[f64]) -> Result<()> {
    let wrong = distances.iter().position(|&distance| !(0.0 <= distance && distance <= 4.0));
    wrong.map_or(Ok(()), |index| {
        let what = format!("distance of pair {index}");
        Err(Error::value(what, "a squared ℓ2 distance within [0, 4]", distances[index]))
    })
}

/// The fold of each of `pairs` when they are cut in order; the first `pairs % folds` folds have one more.
fn contiguous(pairs: usize, folds: usize) -> Vec<usize> {
    let sizes = (0..folds).map(|fold| pairs / folds + usize::from(fold < pairs % folds));
    sizes.enumerate().flat_map(|(fold, size)| std::iter::repeat_n(fold, size)).collect()
}

/// Mean and population standard deviation.
fn mean_and_std(values: &[f64]) -> (f64, f64) {
    let number = values.len() as f64;
    let mean = values.iter().sum::<f64>() / number;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / number;
    (mean, variance.sqrt())
}
