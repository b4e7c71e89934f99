//! `PReLU` against a plain loop, finite differences and its promises.

use arcface_core::candle::{DType, Tensor};
use arcface_core::ops::prelu;
use arcface_core::testing::{
    activations, bits, gradient_error, normal, slice_difference, tolerance, values, with_threads,
};
use proptest::prelude::*;

use crate::oracle::{all_values, channel, per_channel, weighted_gradients};

fn slope(channels: usize, dtype: DType) -> Tensor {
    normal(&[channels], dtype, 60).unwrap()
}

fn check_against_oracle(shape: &[usize], dtype: DType) {
    let channels = shape[shape.len() - 1];
    let (x, slope) = (normal(shape, dtype, 0).unwrap(), slope(channels, dtype));
    let (dy, gradients) = weighted_gradients(&[x.clone(), slope.clone()], |at| prelu(&at[0], &at[1]));
    let y = values(&prelu(&x, &slope).unwrap()).unwrap();
    let [x, a, dy] = [&x, &slope, &dy].map(|tensor| values(tensor).unwrap());
    let expected_y = per_channel(&x, channels, |c, x| x.iter().map(|x| x.max(0.0) + a[c] * x.min(0.0)).collect());
    let expected_dx = per_channel(&x, channels, |c, x| {
        let slope_at = |x: f64| if 0.0 < x { 1.0 } else { a[c] };
        x.iter().zip(channel(&dy, channels, c)).map(|(x, dy)| slope_at(*x) * dy).collect()
    });
    let expected_slope: Vec<f64> = (0..channels)
        .map(|c| channel(&x, channels, c).iter().zip(channel(&dy, channels, c)).map(|(x, dy)| x.min(0.0) * dy).sum())
        .collect();
    let found = [vec![y], all_values(&gradients)].concat();
    for (found, expected) in found.iter().zip([expected_y, expected_dx, expected_slope]) {
        assert!(slice_difference(found, &expected) < tolerance(dtype), "{dtype:?} at {shape:?}");
    }
}

#[test]
fn equals_the_oracle() {
    for dtype in [DType::F32, DType::F64] {
        check_against_oracle(&[3, 4, 2, 5], dtype);
        check_against_oracle(&[7, 3], dtype);
        check_against_oracle(&[3, 61, 59, 7], dtype);
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let inputs = [normal(&[2, 3, 3, 4], DType::F64, 0).unwrap(), slope(4, DType::F64)];
    assert!(gradient_error(&inputs, |at| prelu(&at[0], &at[1])).unwrap() < 1e-7);
}

#[test]
fn transposed_inputs_and_gradients_are_accepted() {
    let inputs = [normal(&[3, 4], DType::F64, 0).unwrap().t().unwrap(), slope(3, DType::F64)];
    assert!(gradient_error(&inputs, |at| Ok(prelu(&at[0], &at[1])?.t()?)).unwrap() < 1e-7);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let inputs = [normal(&[5, 37, 41, 19], DType::F32, 0).unwrap(), slope(19, DType::F32)];
    let bytes = |threads| {
        let work = || weighted_gradients(&inputs, |at| prelu(&at[0], &at[1])).1;
        with_threads(threads, work).unwrap().iter().map(|tensor| bits(tensor).unwrap()).collect::<Vec<_>>()
    };
    let one = bytes(1);
    assert!(one == bytes(2) && one == bytes(3));
}

#[test]
fn messages() {
    let x = normal(&[2, 3], DType::F32, 0).unwrap();
    assert_eq!(prelu(&x, &slope(4, DType::F32)).unwrap_err().to_string(), "slope: expected shape (C) = [3], got [4]");
    assert!(prelu(&x, &slope(3, DType::F64)).is_err());
    assert!(prelu(&x.to_dtype(DType::U8).unwrap(), &slope(3, DType::F32).to_dtype(DType::U8).unwrap()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn slope_one_is_the_identity(x in activations()) {
        let ones = Tensor::ones(x.dims()[3], DType::F64, x.device()).unwrap();
        prop_assert_eq!(bits(&prelu(&x, &ones).unwrap()).unwrap(), bits(&x).unwrap());
    }

    #[test]
    fn slope_zero_is_never_negative(x in activations()) {
        let zeros = Tensor::zeros(x.dims()[3], DType::F64, x.device()).unwrap();
        prop_assert!(values(&prelu(&x, &zeros).unwrap()).unwrap().iter().all(|y| 0.0 <= *y));
    }
}
