//! Schedules against torch's numbers and their promises for any setting.

use arcface_core::schedule::{Curve, Schedule};
use proptest::prelude::*;

fn rates(curve: Curve, warmup: u64, total: u64) -> Vec<f64> {
    let schedule = Schedule::new(0.1, curve, warmup).unwrap();
    (0..total).map(|step| schedule.learning_rate(step, total)).collect()
}

fn check(curve: Curve, warmup: u64, expected: &[f64]) {
    let found = rates(curve, warmup, expected.len() as u64);
    for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < 1e-12, "step {step}: {found} instead of {expected}");
    }
}

#[test]
fn constant() {
    check(Curve::Constant, 0, &[0.1; 4]);
}

// MultiStepLR(optimizer, milestones=[2, 4], gamma=0.1) at lr 0.1: 0.1 * 0.1 ** bisect_right([2, 4], t)
#[test]
fn step_as_torch() {
    check(Curve::Step { milestones: vec![2, 4], factor: 0.1 }, 0, &[0.1, 0.1, 0.01, 0.01, 0.001, 0.001]);
}

// PolynomialLR(optimizer, total_iters=5, power=2): 0.1 * (1 - t / 5) ** 2
#[test]
fn polynomial_as_torch() {
    check(Curve::Polynomial { power: 2.0 }, 0, &[0.1, 0.064, 0.036, 0.016, 0.004]);
}

// CosineAnnealingLR(optimizer, T_max=4, eta_min=0.01): 0.01 + 0.09 * (1 + math.cos(math.pi * t / 4)) / 2
#[test]
fn cosine_as_torch() {
    let expected = [0.1, 0.086_819_805_153_394_64, 0.055, 0.023_180_194_846_605_36];
    check(Curve::Cosine { floor: 0.1 }, 0, &expected);
}

#[test]
fn warmup_rises_to_the_full_rate() {
    check(Curve::Constant, 4, &[0.02, 0.04, 0.06, 0.08, 0.1, 0.1]);
}

#[test]
fn milestones_count_from_the_first_step_of_all() {
    check(Curve::Step { milestones: vec![3], factor: 0.5 }, 1, &[0.05, 0.1, 0.1, 0.05]);
}

#[test]
fn a_warmup_as_long_as_the_run_only_rises() {
    let rates = rates(Curve::Cosine { floor: 0.0 }, 10, 5);
    assert!(rates.is_sorted() && rates[4] < 0.1);
}

#[test]
fn refuses_numbers_out_of_range() {
    let error = |full, curve| Schedule::new(full, curve, 0).unwrap_err().to_string();
    let step = |milestones: &[u64], factor| Curve::Step { milestones: milestones.to_vec(), factor };
    assert_eq!(error(f64::NAN, Curve::Constant), "learning_rate: expected 0 <= learning_rate < ∞, got NaN");
    assert_eq!(error(0.1, Curve::Polynomial { power: 0.0 }), "power: expected 0 < power < ∞, got 0");
    assert_eq!(error(0.1, Curve::Cosine { floor: 1.5 }), "floor: expected 0 <= floor <= 1, got 1.5");
    assert_eq!(error(0.1, step(&[1], 10.0)), "factor: expected 0 < factor <= 1, got 10");
    assert_eq!(error(0.1, step(&[4, 2], 0.1)), "milestones: expected rising steps, got [4, 2]");
}

fn curve() -> impl Strategy<Value = Curve> {
    prop_oneof![
        Just(Curve::Constant),
        (0u64..50, 1u64..50, 0.01..1.0)
            .prop_map(|(first, gap, factor)| Curve::Step { milestones: vec![first, first + gap], factor }),
        (0.1..4.0).prop_map(|power| Curve::Polynomial { power }),
        (0.0..1.0).prop_map(|floor| Curve::Cosine { floor }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn stays_between_zero_and_the_full_rate(curve in curve(), warmup in 0u64..30, total in 1u64..100, step in 0u64..200) {
        let rate = Schedule::new(0.3, curve, warmup).unwrap().learning_rate(step, total);
        prop_assert!(0.0 <= rate && rate <= 0.3);
    }

    #[test]
    fn falls_after_the_warmup(curve in curve(), warmup in 0u64..30, total in 31u64..100) {
        let rates = rates(curve, warmup, total);
        prop_assert!(rates[warmup as usize..].is_sorted_by(|a, b| b <= a));
    }

    #[test]
    fn the_warmup_meets_the_curve(power in 0.1..4.0, warmup in 1u64..30, total in 31u64..100) {
        let schedule = Schedule::new(1.0, Curve::Polynomial { power }, warmup).unwrap();
        let rate = |step| schedule.learning_rate(step, total);
        prop_assert!((rate(0) - 1.0 / (warmup + 1) as f64).abs() < 1e-12);
        prop_assert!((rate(warmup) - 1.0).abs() < 1e-12);
        prop_assert!((0..warmup).all(|step| rate(step) < rate(step + 1)));
    }
}
