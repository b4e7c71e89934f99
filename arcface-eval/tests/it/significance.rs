//! The paired test beside simulations, the bootstrap and numbers worked out by hand; Holm's correction by its definition.
//! Knows no private function.

use arcface_core::seed::{Purpose, rng};
use arcface_eval::roc::Bootstrap;
use arcface_eval::significance::{
    PairedTest, Prior, holm, mean_and_deviation, means_of_runs, paired, paired_among, share,
};
use proptest::prelude::*;
use rand::Rng;

use crate::assert_near;

/// Numbers spread as the sum of twelve uniform ones: mean 0, variance 1.
fn normal(draws: &mut impl Rng) -> f64 {
    (0..12).map(|_| draws.random::<f64>()).sum::<f64>() - 6.0
}

/// Gains whose runs and units have effects of their own beside noise.
fn gains(index: u64, runs: usize, units: usize, spread: [f64; 3]) -> Vec<Vec<f64>> {
    let mut draws = rng(11, Purpose::Testing, 0, index);
    let [of_runs, of_units, noise] = spread;
    let of_units: Vec<f64> = (0..units).map(|_| of_units * normal(&mut draws)).collect();
    let mut run = |_| {
        let effect = of_runs * normal(&mut draws);
        of_units.iter().map(|unit| effect + unit + noise * normal(&mut draws)).collect()
    };
    (0..runs).map(&mut run).collect()
}

/// By hand: run means 0.25 and 0.75, unit means 0.5, 0, 1, 0.5 in two strata of two.
/// Runs: s² = 0.125, /2 = 0.0625. Units: each stratum s² = 0.125, share² = 1/4, /2 each: 2·0.015625 = 0.03125.
/// With the degrees of freedom of scipy: 0.09375²/(0.0625²/1 + 0.03125²/2); p = 2·t.sf(0.5/√0.09375, df).
#[test]
fn a_small_case_by_hand() {
    let gains = [vec![0.0, 0.0, 1.0, 0.0], vec![1.0, 0.0, 1.0, 1.0]];
    let PairedTest { difference, p, standard_error, degrees, interval, runs } =
        paired(&gains, &[0, 0, 1, 1], 0.95).unwrap();
    assert_near(difference, 0.5, 1e-12);
    assert_near(standard_error, 0.09375_f64.sqrt(), 1e-12);
    assert_near(degrees, 2.0, 1e-9);
    // Student's t with 2 degrees of freedom in closed form: P(|T| ≥ t) = 1 − t/√(2 + t²).
    let t = 0.5 / standard_error;
    assert_near(p, 1.0 - t / (2.0 + t * t).sqrt(), 1e-9);
    assert_near(interval.high, 0.5 + 4.302_652_729_749_462 * standard_error, 1e-9);
    assert_eq!(runs, 2);
}

/// Where nothing differs, one test in twenty says that something does, and not more, whatever it is that varies.
#[test]
fn false_alarms_are_no_more_than_promised() {
    for (spread, runs) in
        [([1.0, 0.0, 0.0], 3), ([0.0, 1.0, 0.0], 3), ([0.0, 0.0, 1.0], 3), ([0.3, 1.0, 2.0], 3), ([0.0, 1.0, 0.0], 1)]
    {
        let trials = 600;
        let alarm = |trial: &u64| paired(&gains(*trial, runs, 40, spread), &[0; 40], 0.95).unwrap().p < 0.05;
        let share = (0..trials).filter(alarm).count() as f64 / trials as f64;
        // Three standard errors above 5 %.
        assert!(share <= 0.05 + 3.0 * (0.05 * 0.95 / trials as f64).sqrt(), "{spread:?}, {runs} runs: {share}");
    }
}

#[test]
fn what_differs_is_found() {
    let found = |trial: &u64| {
        let shifted: Vec<Vec<f64>> = gains(*trial, 3, 200, [0.05, 0.5, 0.5])
            .into_iter()
            .map(|run| run.iter().map(|gain| gain + 0.3).collect())
            .collect();
        paired(&shifted, &[0; 200], 0.95).unwrap().p < 0.05
    };
    assert!(90 <= (0..100).filter(found).count());
}

/// The comparisons of a table with what they tell of each other; `spread` says how far the runs of each differ.
fn table(index: u64, spreads: &[f64]) -> (Vec<Vec<Vec<f64>>>, Option<Prior>) {
    let of_row = |(row, spread): (usize, &f64)| gains(1000 * index + row as u64, 3, 40, [*spread, 0.2, 0.2]);
    let rows: Vec<Vec<Vec<f64>>> = spreads.iter().enumerate().map(of_row).collect();
    let prior = Prior::of(&rows.iter().map(|row| means_of_runs(row)).collect::<Vec<_>>());
    (rows, prior)
}

/// Runs that spread alike, or some ten times as far as others: what the others tell gives no more false alarms.
#[test]
fn what_comparisons_tell_of_each_other_gives_no_false_alarms() {
    for spreads in
        [vec![0.5; 15], [vec![0.2; 8], vec![1.0; 7]].concat(), (1..=15).map(|k| 0.1 * f64::from(k)).collect()]
    {
        let trials = 60;
        let alarms: usize = (0..trials)
            .map(|trial| {
                let (rows, prior) = table(trial, &spreads);
                let test = |row: &Vec<Vec<f64>>| paired_among(row, &[0; 40], 0.95, prior).unwrap();
                rows.iter().filter(|row| test(row).p < 0.05).count()
            })
            .sum();
        let share = alarms as f64 / (trials as usize * spreads.len()) as f64;
        assert!(share <= 0.05 + 3.0 * (0.05 * 0.95 / 900.0_f64).sqrt(), "{spreads:?}: {share}");
    }
}

/// A difference of three times the spread of the runs, among fifteen comparisons: three runs alone cannot show it.
#[test]
fn comparisons_together_show_what_three_runs_alone_cannot() {
    let found = |with_prior: bool| {
        (0..40_u64)
            .filter(|trial| {
                let (mut rows, prior) = table(50 + trial, &[0.3; 15]);
                rows[0].iter_mut().flatten().for_each(|gain| *gain -= 1.0);
                let test =
                    |row: &Vec<Vec<f64>>| paired_among(row, &[0; 40], 0.95, prior.filter(|_| with_prior)).unwrap().p;
                holm(&rows.iter().map(test).collect::<Vec<_>>())[0] < 0.05
            })
            .count()
    };
    assert!(36 <= found(true) && found(false) <= 20, "{} and {}", found(true), found(false));
}

// import numpy as np
// from scipy.special import digamma, polygamma
// from scipy.optimize import brentq
// def prior(v, d):  # SciPy 1.17
//     v, d = np.array(v), np.array(d, float)
//     e = np.log(v) - digamma(d / 2) + np.log(d / 2)
//     x = e.var(ddof=1) - polygamma(1, d / 2).mean()
//     if x <= 0: return np.exp(e.mean()), np.inf
//     h = brentq(lambda h: polygamma(1, h) - x, 1e-6, 1e9, xtol=1e-14)
//     return np.exp(e.mean() + digamma(h) - np.log(h)), 2 * h
#[test]
fn the_prior_is_that_of_numpy() {
    let few = [vec![0.01, 0.03, 0.02], vec![-0.10, -0.13, -0.11], vec![0.0, 0.01, -0.01]];
    let alike = Prior::of(&few).unwrap();
    assert_near(alike.variance, 0.000_236_232_968_086_312_22, 1e-12);
    assert!(alike.degrees.is_infinite());
    let more = [&few[..], &[vec![0.2, 0.1, -0.3], vec![0.05, 0.09, 0.02, 0.04], vec![0.7], vec![0.1, 0.1]]].concat();
    let different = Prior::of(&more).unwrap();
    assert_near(different.variance, 0.000_272_031_779_961_696_03, 1e-12);
    assert_near(different.degrees, 0.893_894_998_188_030_6, 1e-8);
    assert!(Prior::of(&few[..2]).is_none());
}

/// Wilson's formula with the quantiles of `scipy.stats.norm` 1.17.
#[test]
fn shares_have_wilsons_intervals() {
    let check = |count, of, level, low, high| {
        let interval = share(count, of, level).unwrap();
        assert_near(interval.low, low, 1e-6);
        assert_near(interval.high, high, 1e-6);
    };
    check(95, 100, 0.95, 0.888_249_530_768_080_8, 0.978_456_320_845_631_9);
    check(0, 7, 0.95, 0.0, 0.354_330_435_066_687_43);
    check(4763, 5012, 0.95, 0.943_951_275_466_897, 0.955_997_424_478_917_1);
    check(3, 10, 0.8, 0.153_799_178_075_967_27, 0.502_628_294_760_249);
    assert!(share(0, 0, 0.95).is_none() && share(3, 2, 0.95).is_none() && share(1, 2, 1.0).is_none());
}

/// With many runs both ways to draw again come to the same interval.
#[test]
fn the_interval_is_that_of_the_paired_bootstrap() {
    let gains = gains(900, 60, 300, [0.2, 1.0, 0.5]);
    let strata: Vec<usize> = (0..300).map(|unit| unit % 2).collect();
    let test = paired(&gains, &strata, 0.95).unwrap();
    let mean = |run: usize, counts: &[usize]| {
        Ok(gains[run].iter().zip(counts).map(|(gain, count)| gain * *count as f64).sum::<f64>() / 300.0)
    };
    let drawn = Bootstrap::default().over_runs(60, &strata, mean).unwrap();
    assert_near(test.difference, drawn.value, 1e-12);
    let width = |interval: arcface_eval::Interval| interval.high - interval.low;
    assert_near(width(test.interval) / width(drawn.interval), 1.0, 0.15);
}

#[test]
fn systems_that_never_differ_are_not_told_apart() {
    let test = paired(&[vec![0.0; 10], vec![0.0; 10]], &[0; 10], 0.95).unwrap();
    assert_near(test.p, 1.0, 0.0);
    assert_near(test.interval.low, 0.0, 0.0);
}

#[test]
fn what_cannot_be_tested_is_refused() {
    let refused = |gains: &[Vec<f64>], strata: &[usize], level| paired(gains, strata, level).unwrap_err().to_string();
    insta::assert_snapshot!(refused(&[], &[0, 0], 0.95), @"runs to test: expected at least one, got 0");
    insta::assert_snapshot!(refused(&[vec![1.0, 2.0]], &[0, 1], 0.95), @"units to test: expected more than their strata, 2, got 2");
    insta::assert_snapshot!(refused(&[vec![1.0], vec![1.0, 2.0]], &[0, 0], 0.95), @"gains of run 0: expected one per unit, 2, got 1");
    insta::assert_snapshot!(refused(&[vec![1.0, f64::NAN]], &[0, 0], 0.95), @"gain: expected a finite number, got NaN");
    insta::assert_snapshot!(refused(&[vec![1.0, 2.0]], &[0, 0], 1.0), @"level: expected 0 < level < 1, got 1");
}

#[test]
fn deviations_are_those_of_a_sample() {
    let (mean, deviation) = mean_and_deviation(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
    assert_near(mean, 5.0, 1e-12);
    assert_near(deviation.unwrap(), (32.0_f64 / 7.0).sqrt(), 1e-12);
    assert_eq!(mean_and_deviation(&[1.0]).1, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Holm is the closed test of Bonferroni's: a hypothesis is rejected if every set of them that holds it is, and a
    /// set's p value is its smallest times its size.
    #[test]
    fn holm_is_the_closed_test(p in prop::collection::vec(0.0..1.0_f64, 1..7)) {
        let adjusted = holm(&p);
        for (index, got) in adjusted.iter().enumerate() {
            let sets = (1_u32..1 << p.len()).filter(|set| set & (1 << index) != 0);
            let of_set = |set: u32| {
                let members = (0..p.len()).filter(|member| set & (1 << member) != 0).map(|member| p[member]);
                (f64::from(set.count_ones()) * members.fold(f64::INFINITY, f64::min)).min(1.0)
            };
            assert_near(*got, sets.map(of_set).fold(0.0, f64::max), 1e-12);
        }
    }

    /// Gains turned round turn the difference and leave the p value; a gain for all moves the difference alone.
    #[test]
    fn signs_and_shifts(index in 0..1000_u64, shift in -2.0..2.0_f64) {
        let gains = gains(index, 3, 12, [0.5, 1.0, 1.0]);
        let map = |f: &dyn Fn(f64) -> f64| -> Vec<Vec<f64>> {
            gains.iter().map(|run| run.iter().map(|gain| f(*gain)).collect()).collect()
        };
        let test = |gains: &[Vec<f64>]| paired(gains, &[0; 12], 0.95).unwrap();
        let (plain, turned, shifted) = (test(&gains), test(&map(&|gain| -gain)), test(&map(&|gain| gain + shift)));
        assert_near(plain.p, turned.p, 1e-9);
        assert_near(plain.difference, -turned.difference, 1e-12);
        assert_near(shifted.difference, plain.difference + shift, 1e-9);
        assert_near(shifted.standard_error, plain.standard_error, 1e-9);
    }
}
