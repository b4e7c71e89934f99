//! Dropout: what it keeps, what it drops, and that the mask is a function of its key alone.

use arcface_core::candle::{DType, Device, Tensor, Var};
use arcface_core::ops::{DropKey, dropout};
use arcface_core::testing::{bits, gradient_error, normal, values, with_threads};
use proptest::prelude::*;

const KEY: DropKey = DropKey { seed: 1, step: 2, layer: 3 };

fn ones(count: usize) -> Tensor {
    Tensor::ones(count, DType::F64, &Device::Cpu).unwrap()
}

fn mask(rate: f64, key: DropKey) -> Vec<f64> {
    values(&dropout(&ones(100_000), rate, key).unwrap()).unwrap()
}

#[test]
fn keeps_the_expectation_and_scales_what_is_left() {
    for rate in [0.1, 0.4, 0.9] {
        let mask = mask(rate, KEY);
        assert!(mask.iter().all(|&x| x.abs() < 1e-300 || (x - 1.0 / (1.0 - rate)).abs() < 1e-12));
        let share = mask.iter().filter(|x| x.abs() < 1e-300).count() as f64 / mask.len() as f64;
        // Five standard deviations of a binomial share.
        assert!((share - rate).abs() < 5.0 * (rate * (1.0 - rate) / mask.len() as f64).sqrt(), "{share} for {rate}");
    }
}

#[test]
fn every_part_of_the_key_changes_the_mask() {
    let reference = mask(0.5, KEY);
    assert_eq!(reference, mask(0.5, KEY));
    for other in [DropKey { seed: 2, ..KEY }, DropKey { step: 3, ..KEY }, DropKey { layer: 4, ..KEY }] {
        let agreement = reference.iter().zip(mask(0.5, other)).filter(|(a, b)| (**a - b).abs() < 1e-9).count();
        // Independent masks agree in half of the places.
        assert!(49_000 < agreement && agreement < 51_000, "{agreement} for {other:?}");
    }
}

#[test]
fn neighbours_are_independent() {
    let mask = mask(0.5, KEY);
    for lag in [1, 2, 16, 512, 32_768] {
        let agreement = mask.iter().zip(&mask[lag..]).filter(|(a, b)| (*a - *b).abs() < 1e-9).count();
        let share = agreement as f64 / (mask.len() - lag) as f64;
        assert!((share - 0.5).abs() < 0.01, "lag {lag}: {share}");
    }
}

#[test]
fn the_gradient_has_the_same_mask() {
    let x = normal(&[2, 3, 3, 4], DType::F64, 0).unwrap();
    assert!(gradient_error(&[x], |at| dropout(&at[0], 0.4, KEY)).unwrap() < 1e-7);
    let var = Var::from_tensor(&ones(1000)).unwrap();
    let y = dropout(var.as_tensor(), 0.4, KEY).unwrap();
    let store = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(bits(store.get(&var).unwrap()).unwrap(), bits(&y).unwrap());
}

#[test]
fn the_number_of_threads_and_the_type_change_no_mask() {
    let x = normal(&[200, 513], DType::F64, 0).unwrap();
    let run = |threads, x: &Tensor| with_threads(threads, || dropout(x, 0.3, KEY).unwrap()).unwrap();
    let one = bits(&run(1, &x)).unwrap();
    assert!(one == bits(&run(2, &x)).unwrap() && one == bits(&run(3, &x)).unwrap());
    let zeros = |y: &Tensor| values(y).unwrap().iter().map(|y| y.abs() < 1e-300).collect::<Vec<_>>();
    assert_eq!(zeros(&run(2, &x)), zeros(&run(2, &x.to_dtype(DType::F32).unwrap())));
}

#[test]
fn messages() {
    assert_eq!(dropout(&ones(3), 1.0, KEY).unwrap_err().to_string(), "dropout: expected 0 <= rate < 1, got 1");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn rate_zero_is_the_identity(seed in any::<u64>(), step in any::<u64>(), layer in any::<u64>()) {
        let x = normal(&[3, 4], DType::F32, 0).unwrap();
        let y = dropout(&x, 0.0, DropKey { seed, step, layer }).unwrap();
        prop_assert_eq!(bits(&y).unwrap(), bits(&x).unwrap());
    }

    #[test]
    fn a_higher_rate_drops_more(low in 0.0..1.0f64, high in 0.0..1.0f64) {
        let (low, high) = (low.min(high), low.max(high));
        let dropped = |rate| values(&dropout(&ones(64), rate, KEY).unwrap()).unwrap().into_iter().map(|y| y.abs() < 1e-300);
        prop_assert!(dropped(low).zip(dropped(high)).all(|(low, high)| !low || high));
    }
}
