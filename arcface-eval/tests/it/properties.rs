//! What must hold for any pairs.
//! Knows no expected numbers.

use arcface_eval::roc::{Bootstrap, Roc};
use arcface_eval::{FoldSource, verify, verify_folds};
use proptest::prelude::*;

use crate::{assert_near, formula_pairs};

fn pairs() -> impl Strategy<Value = (Vec<f64>, Vec<bool>)> {
    prop::collection::vec((0.0..=4.0_f64, any::<bool>()), 4..80)
        .prop_filter("both kinds", |pairs| pairs.iter().any(|p| p.1) && pairs.iter().any(|p| !p.1))
        .prop_map(|pairs| pairs.into_iter().unzip())
}

fn reversed<T: Clone>(values: &[T], fold: usize) -> Vec<T> {
    values.chunks(fold).flat_map(|values| values.iter().rev().cloned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tar_does_not_fall_as_far_rises((scores, same) in pairs(), a in 0.0..1.0, b in 0.0..1.0) {
        let roc = Roc::from_scores(&scores, &same).unwrap();
        prop_assert!(roc.tar_at_far(f64::min(a, b)) <= roc.tar_at_far(f64::max(a, b)));
    }

    #[test]
    fn a_rising_map_of_the_scores_changes_nothing((scores, same) in pairs()) {
        let mapped: Vec<f64> = scores.iter().map(|score| 8.0 * score - 3.0).collect();
        let (roc, after) = (Roc::from_scores(&scores, &same).unwrap(), Roc::from_scores(&mapped, &same).unwrap());
        let steps = |roc: &Roc| -> Vec<(usize, usize)> {
            roc.points().iter().map(|point| (point.false_accepts, point.true_accepts)).collect()
        };
        prop_assert_eq!(steps(&roc), steps(&after));
        assert_near(after.auc(), roc.auc(), 0.0);
        assert_near(after.eer(), roc.eer(), 0.0);
        prop_assert_eq!(after.tar_at_far(0.1), roc.tar_at_far(0.1));
    }

    #[test]
    fn swapped_labels_mirror_the_auc((scores, same) in pairs()) {
        let swapped: Vec<bool> = same.iter().map(|same| !same).collect();
        let auc = |same: &[bool]| Roc::from_scores(&scores, same).unwrap().auc();
        assert_near(auc(&same) + auc(&swapped), 1.0, 1e-12);
    }

    #[test]
    fn the_order_within_folds_does_not_matter(folds in 2..8_usize, per_fold in 2..20_usize) {
        let (distances, same) = formula_pairs(folds * per_fold);
        let before = verify(&distances, &same, folds).unwrap();
        let after = verify(&reversed(&distances, per_fold), &reversed(&same, per_fold), folds).unwrap();
        prop_assert_eq!(before, after);
    }

    #[test]
    fn rates_are_fractions((distances, same) in pairs()) {
        let verification = verify(&distances, &same, 2).unwrap();
        let rates = [verification.accuracy, verification.accuracy_grid, verification.auc, verification.eer];
        for rate in rates.into_iter().chain([verification.accuracy_std, verification.accuracy_grid_std]) {
            prop_assert!(0.0 <= rate && rate <= 1.0);
        }
    }

    #[test]
    fn a_rising_map_of_the_distances_changes_no_accuracy_but_that_of_the_grid((distances, same) in pairs()) {
        let mapped: Vec<f64> = distances.iter().map(|distance| distance * distance / 4.0).collect();
        let (before, after) = (verify(&distances, &same, 3).unwrap(), verify(&mapped, &same, 3).unwrap());
        prop_assert_eq!(before.accuracies, after.accuracies);
    }

    #[test]
    fn the_interval_is_ordered_and_repeatable((scores, same) in pairs(), seed in any::<u64>()) {
        let bootstrap = Bootstrap { resamples: 20, seed, ..Bootstrap::default() };
        let interval = bootstrap.interval(&scores, &same, Roc::auc).unwrap();
        prop_assert!(0.0 <= interval.low && interval.low <= interval.high && interval.high <= 1.0);
        prop_assert_eq!(interval, bootstrap.interval(&scores, &same, Roc::auc).unwrap());
    }
}

#[test]
fn two_named_folds_are_two_folds() {
    let (distances, same) = formula_pairs(40);
    let fold_of: Vec<usize> = (0..40).map(|index| 9 + index / 20).collect();
    let verification = verify_folds(&distances, &same, &fold_of).unwrap();
    assert_eq!((verification.accuracies.len(), verification.folds), (2, FoldSource::Given));
}

#[test]
fn one_named_fold_is_cut_and_says_so() {
    let (distances, same) = formula_pairs(40);
    let verification = verify_folds(&distances, &same, &[1; 40]).unwrap();
    assert_eq!(verification, verify(&distances, &same, 10).unwrap());
    assert_eq!(verification.folds, FoldSource::Contiguous);
}

#[test]
fn separated_pairs_are_all_right() {
    let distances = [0.1, 3.0, 0.1, 3.1, 0.1, 3.2];
    let same = [true, false, true, false, true, false];
    let verification = verify(&distances, &same, 3).unwrap();
    assert_near(verification.accuracy, 1.0, 0.0);
    assert_near(verification.accuracy_std, 0.0, 0.0);
    assert_near(verification.auc, 1.0, 0.0);
    assert_near(verification.eer, 0.0, 0.0);
}

#[test]
fn equal_distances_are_guessing() {
    let same: Vec<bool> = (0..20).map(|index| index % 2 == 0).collect();
    let verification = verify(&[1.0; 20], &same, 2).unwrap();
    assert_near(verification.accuracy, 0.5, 0.0);
    assert_near(verification.auc, 0.5, 0.0);
    assert_near(verification.eer, 0.5, 0.0);
    assert_eq!(verification.tar_at_far["1e-1"], Some(0.0));
}

#[test]
fn distance_on_the_threshold_is_the_same_person_but_not_by_the_grid() {
    // Both folds have 0.5 as their threshold, which is a genuine pair's distance in each.
    let verification = verify(&[0.5, 2.0, 0.5, 2.0], &[true, false, true, false], 2).unwrap();
    assert_eq!((&verification.thresholds, &verification.accuracies), (&vec![0.5; 2], &vec![1.0; 2]));
    // Half-way to the nearest impostor pair.
    assert_near(verification.threshold, 1.25, 0.0);
    // 0.51 is the first of the grid that accepts 0.5; at 0.5 the pair of 0.5 is rejected.
    let verification = verify(&[0.495, 2.0, 0.5, 2.0], &[true, false, true, false], 2).unwrap();
    assert_eq!((verification.accuracy_grid, verification.thresholds), (0.75, vec![0.5, 0.495]));
}

#[test]
fn accepting_none_is_a_threshold_too() {
    let verification = verify(&[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], &[true, false, false, true, false, false], 2).unwrap();
    assert_eq!((verification.thresholds, verification.threshold), (vec![-1.0; 2], -1.0));
    assert_near(verification.accuracy, 2.0 / 3.0, 1e-12);
}

#[test]
fn the_worst_distances_give_guessing() {
    let verification = verify(&[4.0, 0.0, 4.0, 0.0], &[true, false, true, false], 2).unwrap();
    assert_eq!((verification.accuracies, verification.threshold), (vec![0.5, 0.5], 4.0));
    assert_near(verification.accuracy_grid, 0.5, 0.0);
    assert_near(verification.auc, 0.0, 0.0);
    assert_near(verification.eer, 1.0, 0.0);
}

#[test]
fn interval_of_separated_pairs_is_a_point() {
    let interval = Bootstrap::default().interval(&[3.0, 2.0, 1.0, 0.0], &[true, true, false, false], Roc::auc).unwrap();
    assert_near(interval.low, 1.0, 0.0);
    assert_near(interval.high, 1.0, 0.0);
}
