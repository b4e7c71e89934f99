//! The pair protocol of LFW, CFP-FP, AgeDB-30 and their like: accuracy by folds, TAR at FAR, AUC, EER.
//! Knows no embeddings: squared ℓ2 distances come in, figures go out.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::exact;
use crate::roc::Roc;

/// Folds of the protocol.
pub const FOLDS: usize = 10;

/// The false accept rates that are reported, with their keys in JSON.
pub const FALSE_ACCEPT_RATES: [(&str, f64); 4] = [("1e-1", 1e-1), ("1e-2", 1e-2), ("1e-3", 1e-3), ("1e-4", 1e-4)];

const THRESHOLDS: usize = 400;

/// Figures of one verification; every rate is a fraction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Mean of [`Self::accuracies`].
    pub accuracy: f64,
    /// Their population standard deviation.
    pub accuracy_std: f64,
    /// Mean over the folds at exact thresholds: of each fold the largest distance (the lowest cosine) that is best on the
    /// others. It tells how much the grid and its choice among equally good thresholds matter.
    pub accuracy_exact: f64,
    /// Its population standard deviation.
    pub accuracy_exact_std: f64,
    /// Accuracy on each fold at the threshold of the other folds.
    pub accuracies: Vec<f64>,
    /// That threshold for each fold: a pair is called the same person if its squared distance is below.
    pub thresholds: Vec<f64>,
    /// The first best threshold over all pairs, for use on new pairs; its accuracy is not reported, it would flatter.
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
/// The threshold of a fold is the first of 0, 0.01, …, 3.99 that is best on the other folds;
/// a pair is called the same person if its distance is below the threshold.
///
/// ```
/// use arcface_eval::verify;
/// let verification = verify(&[0.2, 1.9, 0.4, 1.7], &[true, false, true, false], 2)?;
/// assert_eq!(verification.thresholds, [0.41000000000000003, 0.21]);
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
    let names: BTreeSet<usize> = fold_of.iter().copied().collect();
    if names.len() < 2 {
        return verify(distances, same, FOLDS.min(distances.len()));
    }
    let ranks: BTreeMap<usize, usize> = names.into_iter().zip(0..).collect();
    let folds: Vec<usize> = fold_of.iter().map(|fold| ranks[fold]).collect();
    verification(distances, same, &folds, FoldSource::Given)
}

fn verification(distances: &[f64], same: &[bool], folds: &[usize], source: FoldSource) -> Result<Verification> {
    check_distances(distances)?;
    let roc = Roc::from_distances(distances, same)?;
    let tally = tally(distances, same, folds);
    let total = Tally::sum(&tally);
    let best: Vec<usize> = tally.iter().map(|fold| total.without(fold).first_best()).collect();
    let accuracies: Vec<f64> = tally.iter().zip(&best).map(|(fold, &index)| fold.accuracy(index)).collect();
    let (accuracy, accuracy_std) = mean_and_std(&accuracies);
    let (accuracy_exact, accuracy_exact_std) = mean_and_std(&exact::accuracies(distances, same, folds));
    Ok(Verification {
        accuracy,
        accuracy_std,
        accuracy_exact,
        accuracy_exact_std,
        accuracies,
        thresholds: best.into_iter().map(threshold).collect(),
        threshold: threshold(total.first_best()),
        tar_at_far: FALSE_ACCEPT_RATES.iter().map(|&(key, far)| (key.to_owned(), roc.tar_at_far(far))).collect(),
        auc: roc.auc(),
        eer: roc.eer(),
        genuine: roc.genuine(),
        impostors: roc.impostors(),
        folds: source,
    })
}

/// The `index`-th threshold of the grid.
fn threshold(index: usize) -> f64 {
    index as f64 * 0.01
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

/// Of some pairs: how many there are, and how many each threshold of the grid judges rightly.
#[derive(Debug, Clone)]
struct Tally {
    pairs: usize,
    correct: Vec<usize>,
}

/// The tally of each fold.
fn tally(distances: &[f64], same: &[bool], folds: &[usize]) -> Vec<Tally> {
    let number = folds.iter().max().map_or(0, |last| last + 1);
    let mut tallies = vec![Tally { pairs: 0, correct: vec![0; THRESHOLDS] }; number];
    for ((&distance, &same), &fold) in distances.iter().zip(same).zip(folds) {
        tallies[fold].add(distance, same);
    }
    tallies
}

impl Tally {
    fn add(&mut self, distance: f64, same: bool) {
        self.pairs += 1;
        let accepted = (0..THRESHOLDS).map(|index| distance < threshold(index));
        for (correct, accepted) in self.correct.iter_mut().zip(accepted) {
            *correct += usize::from(accepted == same);
        }
    }

    fn sum(tallies: &[Self]) -> Self {
        let correct = (0..THRESHOLDS).map(|index| tallies.iter().map(|tally| tally.correct[index]).sum()).collect();
        Self { pairs: tallies.iter().map(|tally| tally.pairs).sum(), correct }
    }

    fn without(&self, other: &Self) -> Self {
        let correct = self.correct.iter().zip(&other.correct).map(|(all, part)| all - part).collect();
        Self { pairs: self.pairs - other.pairs, correct }
    }

    fn first_best(&self) -> usize {
        let best = self.correct.iter().copied().max().unwrap_or(0);
        self.correct.iter().position(|&correct| correct == best).unwrap_or(0)
    }

    fn accuracy(&self, index: usize) -> f64 {
        self.correct[index] as f64 / self.pairs as f64
    }
}

/// Mean and population standard deviation.
fn mean_and_std(values: &[f64]) -> (f64, f64) {
    let number = values.len() as f64;
    let mean = values.iter().sum::<f64>() / number;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / number;
    (mean, variance.sqrt())
}
