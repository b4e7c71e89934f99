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

/// The accuracy of each fold, pair by pair and threshold by threshold.
fn accuracies(distances: &[f64], same: &[bool], fold_of: &[usize], folds: usize) -> Vec<f64> {
    let right = |index: usize, threshold: f64| (distances[index] < threshold) == same[index];
    let count = |threshold: f64, of: &dyn Fn(usize) -> bool| {
        (0..same.len()).filter(|&index| of(index) && right(index, threshold)).count()
    };
    let accuracy = |fold: usize| {
        let (mut best, mut best_count) = (0.0, 0);
        for step in 0..400 {
            let threshold = f64::from(step) * 0.01;
            let found = count(threshold, &|index| fold_of[index] != fold);
            if best_count < found {
                (best, best_count) = (threshold, found);
            }
        }
        let size = fold_of.iter().filter(|of| **of == fold).count();
        count(best, &|index| fold_of[index] == fold) as f64 / size as f64
    };
    (0..folds).map(accuracy).collect()
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
        let expected = accuracies(&distances, &same, &edges, folds);
        let verification = verify(&distances, &same, folds).unwrap();
        prop_assert_eq!(&verification.accuracies, &expected);
        assert_near(verification.accuracy, expected.iter().sum::<f64>() / folds as f64, 1e-12);
    }

    #[test]
    fn given_folds_follow_the_protocol((distances, same) in pairs(10..40), draws in prop::collection::vec(0..3_usize, 40)) {
        let fold_of: Vec<usize> = (0..same.len()).map(|index| if index < 3 { index } else { draws[index] }).collect();
        let named: Vec<usize> = fold_of.iter().map(|fold| 7 + 2 * fold).collect();
        let verification = verify_folds(&distances, &same, &named).unwrap();
        prop_assert_eq!(verification.accuracies, accuracies(&distances, &same, &fold_of, 3));
    }
}
