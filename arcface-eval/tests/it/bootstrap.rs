//! Intervals over runs, and the area over all pairs.

use arcface_core::seed::{Purpose, rng};
use arcface_eval::roc::{Bootstrap, Roc};
use arcface_eval::{AllPairs, Embeddings};
use proptest::prelude::*;
use rand::Rng;

use crate::assert_near;

/// Numbers spread as the sum of twelve uniform ones: mean 0, variance 1.
fn normal(index: u64, count: usize) -> Vec<f64> {
    let mut draws = rng(5, Purpose::Testing, 0, index);
    (0..count).map(|_| (0..12).map(|_| draws.random::<f64>()).sum::<f64>() - 6.0).collect()
}

fn mean_of(values: &[f64], counts: &[usize]) -> f64 {
    values.iter().zip(counts).map(|(value, count)| value * *count as f64).sum::<f64>() / values.len() as f64
}

#[test]
fn an_interval_is_as_wide_as_the_standard_error_says() {
    let values = normal(0, 400);
    let estimate = Bootstrap::default().over_runs(1, &[0; 400], |_, counts| Ok(mean_of(&values, counts))).unwrap();
    let expected = 2.0 * 1.96 / 400_f64.sqrt();
    assert_near((estimate.interval.high - estimate.interval.low) / expected, 1.0, 0.15);
    assert_near(estimate.value, mean_of(&values, &[1; 400]), 1e-12);
}

#[test]
fn runs_are_drawn_again_too() {
    let runs = normal(1, 50);
    let estimate = Bootstrap::default().over_runs(50, &[0; 3], |run, _| Ok(runs[run])).unwrap();
    assert_near((estimate.interval.high - estimate.interval.low) / (2.0 * 1.96 / 50_f64.sqrt()), 1.0, 0.25);
}

#[test]
fn strata_keep_their_sizes() {
    let strata: Vec<usize> = (0..60).map(|unit| unit % 3).collect();
    let sizes = |_, counts: &[usize]| {
        let of = |stratum| counts.iter().skip(stratum).step_by(3).sum::<usize>();
        assert_eq!([of(0), of(1), of(2)], [20; 3]);
        Ok(1.0)
    };
    let estimate = Bootstrap::default().over_runs(2, &strata, sizes).unwrap();
    assert_near(estimate.interval.low, 1.0, 1e-12);
    assert_near(estimate.interval.high, 1.0, 1e-12);
}

#[test]
fn a_pairing_takes_away_what_both_have_in_common() {
    let common = normal(2, 300);
    let difference = |_, counts: &[usize]| Ok(mean_of(&common, counts) + 0.01 - mean_of(&common, counts));
    let estimate = Bootstrap::default().over_runs(3, &[0; 300], difference).unwrap();
    assert_near(estimate.interval.low, 0.01, 1e-9);
    assert_near(estimate.interval.high, 0.01, 1e-9);
}

#[test]
fn the_same_seed_gives_the_same_interval_and_another_one_another() {
    let values = normal(3, 40);
    let interval = |seed| {
        let bootstrap = Bootstrap { seed, resamples: 200, ..Bootstrap::default() };
        bootstrap.over_runs(2, &[0; 40], |run, counts| Ok(mean_of(&values, counts) + run as f64)).unwrap()
    };
    assert_eq!(interval(1), interval(1));
    assert_ne!(interval(1), interval(2));
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let error = |runs, strata: &[usize], figure: f64| {
        Bootstrap::default().over_runs(runs, strata, |_, _| Ok(figure)).unwrap_err().to_string()
    };
    insta::assert_snapshot!(error(0, &[0], 1.0), @"bootstrap: expected at least one run and one unit to draw, got 0 runs, 1 units");
    insta::assert_snapshot!(error(1, &[], 1.0), @"bootstrap: expected at least one run and one unit to draw, got 1 runs, 0 units");
    insta::assert_snapshot!(error(2, &[0], f64::NAN), @"figure of run 0: expected a number, got NaN");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against the ROC of pairs that are written out, as often as they count.
    #[test]
    fn the_area_is_that_of_pairs_written_out(
        faces in prop::collection::vec((0..4_u32, 0..6_i32, 1..6_i32), 4..14),
        counts in prop::collection::vec(0..3_usize, 4),
    ) {
        let identities: Vec<u32> = faces.iter().map(|face| face.0).collect();
        let values: Vec<f32> = faces.iter().flat_map(|face| [face.1 as f32, face.2 as f32]).collect();
        let embeddings = Embeddings::normalised(&values, 2).unwrap();
        let (mut scores, mut same) = (Vec::new(), Vec::new());
        for a in 0..faces.len() {
            for b in a + 1..faces.len() {
                let [of_a, of_b] = [identities[a], identities[b]].map(|of| counts[of as usize]);
                let times = if identities[a] == identities[b] { of_a } else { of_a * of_b };
                let cosine = embeddings.cosines(&[(a, b)]).unwrap()[0];
                scores.extend(std::iter::repeat_n(cosine, times));
                same.extend(std::iter::repeat_n(identities[a] == identities[b], times));
            }
        }
        let area = AllPairs::new(&embeddings, &identities).unwrap().auc(&counts);
        match Roc::from_scores(&scores, &same) {
            Ok(roc) => assert_near(area, roc.auc(), 1e-12),
            Err(_) => prop_assert!(area.is_nan()),
        }
    }
}
