//! The definitions as plain loops, compared with the library on random pairs.
//! Knows no sorting: every figure is counted over all pairs, or all pairs of pairs.

use arcface_eval::{Roc, verify, verify_folds};
use proptest::prelude::*;

use crate::assert_near;

/// Distances with few distinct values, so that ties are common.
fn pairs(numbers: std::ops::Range<usize>) -> impl Strategy<Value = (Vec<f64>, Vec<bool>)> {
    prop::collection::vec((0_u32..=80, any::<bool>()), numbers)
        .prop_filter("both kinds", |pairs| pairs.iter().any(|p| p.1) && pairs.iter().any(|p| !p.1))
        .prop_map(|pairs| pairs.into_iter().map(|(step, same)| (f64::from(step) * 0.05, same)).unzip())
}

fn auc(distances: &[f64], same: &[bool]) -> f64 {
    let (mut won, mut games) = (0.0, 0.0);
    for (genuine, _) in distances.iter().zip(same).filter(|(_, same)| **same) {
        for (impostor, _) in distances.iter().zip(same).filter(|(_, same)| !**same) {
            games += 1.0;
            won += if genuine < impostor { 1.0 } else { 0.0 };
            won += if genuine <= impostor && impostor <= genuine { 0.5 } else { 0.0 };
        }
    }
    won / games
}

/// (FAR, TAR) when every distance up to `limit` is accepted.
fn rates(distances: &[f64], same: &[bool], limit: f64) -> (f64, f64) {
    let rate = |kind: bool| {
        let of_kind: Vec<f64> = distances.iter().zip(same).filter(|(_, s)| **s == kind).map(|(d, _)| *d).collect();
        of_kind.iter().filter(|distance| **distance <= limit).count() as f64 / of_kind.len() as f64
    };
    (rate(false), rate(true))
}

fn tar_at_far(distances: &[f64], same: &[bool], far: f64) -> f64 {
    let within = distances.iter().map(|&limit| rates(distances, same, limit)).filter(|rates| rates.0 <= far);
    within.map(|rates| rates.1).fold(0.0, f64::max)
}

/// Pairs of some folds that a rule judges rightly.
fn right(same: &[bool], belongs: impl Fn(usize) -> bool, accepts: impl Fn(usize) -> bool) -> usize {
    (0..same.len()).filter(|&index| belongs(index) && accepts(index) == same[index]).count()
}

/// The accuracy of each fold by the grid, pair by pair and threshold by threshold.
fn grid_accuracies(distances: &[f64], same: &[bool], fold_of: &[usize], folds: usize) -> Vec<f64> {
    let accuracy = |fold: usize| {
        let (mut best, mut best_count) = (0.0, 0);
        for step in 0..400 {
            let threshold = f64::from(step) * 0.01;
            let found = right(same, |index| fold_of[index] != fold, |index| distances[index] < threshold);
            if best_count < found {
                (best, best_count) = (threshold, found);
            }
        }
        let size = fold_of.iter().filter(|of| **of == fold).count();
        right(same, |index| fold_of[index] == fold, |index| distances[index] < best) as f64 / size as f64
    };
    (0..folds).map(accuracy).collect()
}

/// The accuracy of each fold at the lowest of the best cosines: every cosine of the others and one above all are tried.
fn accuracies(distances: &[f64], same: &[bool], fold_of: &[usize], folds: usize) -> Vec<f64> {
    let cosines: Vec<f64> = distances.iter().map(|distance| 1.0 - distance / 2.0).collect();
    let accuracy = |fold: usize| {
        let others = (0..same.len()).filter(|&index| fold_of[index] != fold).map(|index| cosines[index]);
        let tried = others.chain([2.0]).map(|threshold| {
            let found = right(same, |index| fold_of[index] != fold, |index| threshold <= cosines[index]);
            (found, -threshold)
        });
        let best = tried.reduce(|a, b| if a < b { b } else { a }).unwrap();
        let size = fold_of.iter().filter(|of| **of == fold).count();
        right(same, |index| fold_of[index] == fold, |index| -best.1 <= cosines[index]) as f64 / size as f64
    };
    (0..folds).map(accuracy).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn auc_is_the_share_of_games_won((distances, same) in pairs(2..60)) {
        assert_near(Roc::from_distances(&distances, &same).unwrap().auc(), auc(&distances, &same), 1e-12);
    }

    #[test]
    fn tar_is_the_best_among_all_limits((distances, same) in pairs(2..60), far in 0.0..1.0) {
        let expected = tar_at_far(&distances, &same, far);
        let roc = Roc::from_distances(&distances, &same).unwrap();
        match roc.tar_at_far(far) {
            Some(tar) => assert_near(tar, expected, 1e-12),
            None => assert!(far * (roc.impostors() as f64) < 1.0),
        }
    }

    #[test]
    fn eer_lies_between_the_two_nearest_limits((distances, same) in pairs(2..60)) {
        let eer = Roc::from_distances(&distances, &same).unwrap().eer();
        let mut points: Vec<(f64, f64)> = distances.iter().map(|&limit| rates(&distances, &same, limit)).collect();
        points.push((0.0, 0.0));
        let below = points.iter().filter(|(far, tar)| *far <= 1.0 - tar).map(|point| point.0).fold(0.0, f64::max);
        let above = points.iter().filter(|(far, tar)| 1.0 - tar <= *far).map(|point| point.0).fold(1.0, f64::min);
        prop_assert!(below - 1e-12 <= eer && eer <= above + 1e-12, "{below} <= {eer} <= {above}");
    }

    #[test]
    fn accuracies_follow_the_protocol((distances, same) in pairs(10..40), folds in 2..5_usize) {
        // numpy's KFold: the first `pairs % folds` folds have one more.
        let (size, longer) = (same.len() / folds, same.len() % folds);
        let in_longer = (size + 1) * longer;
        let fold = |index: usize| if index < in_longer { index / (size + 1) } else { longer + (index - in_longer) / size };
        let edges: Vec<usize> = (0..same.len()).map(fold).collect();
        let verification = verify(&distances, &same, folds).unwrap();
        prop_assert_eq!(&verification.accuracies, &accuracies(&distances, &same, &edges, folds));
        assert_near(verification.accuracy, mean(&verification.accuracies), 1e-12);
        assert_near(verification.accuracy_grid, mean(&grid_accuracies(&distances, &same, &edges, folds)), 1e-12);
    }

    #[test]
    fn given_folds_follow_the_protocol((distances, same) in pairs(10..40), draws in prop::collection::vec(0..3_usize, 40)) {
        let fold_of: Vec<usize> = (0..same.len()).map(|index| if index < 3 { index } else { draws[index] }).collect();
        let named: Vec<usize> = fold_of.iter().map(|fold| 7 + 2 * fold).collect();
        let verification = verify_folds(&distances, &same, &named).unwrap();
        prop_assert_eq!(&verification.accuracies, &accuracies(&distances, &same, &fold_of, 3));
        assert_near(verification.accuracy_grid, mean(&grid_accuracies(&distances, &same, &fold_of, 3)), 1e-12);
        // Each threshold is what its accuracy was measured at.
        for (fold, (threshold, accuracy)) in verification.thresholds.iter().zip(&verification.accuracies).enumerate() {
            let size = fold_of.iter().filter(|of| **of == fold).count();
            let found = right(&same, |index| fold_of[index] == fold, |index| distances[index] <= *threshold);
            assert_near(found as f64 / size as f64, *accuracy, 0.0);
        }
    }

    #[test]
    fn no_threshold_is_better_on_all_pairs((distances, same) in pairs(2..40)) {
        let threshold = verify(&distances, &same, 2).unwrap().threshold;
        let correct = |threshold: f64| right(&same, |_| true, |index| distances[index] <= threshold);
        let most = distances.iter().map(|distance| correct(*distance)).chain([correct(-1.0)]).max().unwrap();
        prop_assert_eq!(correct(threshold), most);
        // It lies as far from the distance at which its range begins as from the one at which it ends.
        let edges: Vec<f64> = distances.iter().copied().filter(|edge| correct(*edge) != correct(edge - 1e-9)).collect();
        let below = edges.iter().copied().filter(|edge| *edge <= threshold).fold(0.0, f64::max);
        let above = edges.iter().copied().filter(|edge| threshold < *edge).fold(4.0, f64::min);
        if 0.0 <= threshold && !edges.is_empty() && edges[0] <= threshold {
            assert_near(threshold - below, above - threshold, 1e-9);
        }
    }
}
