//! Batch norm and channel statistics against plain loops, finite differences and their promises.

use arcface_core::candle::{DType, Device, Tensor, Var};
use arcface_core::ops::{batch_norm_eval, batch_norm_train, channel_statistics};
use arcface_core::testing::{
    activations, bits, difference, gradient_error, normal, slice_difference, tolerance, values, with_threads,
};
use proptest::prelude::*;

use crate::oracle::{all_values, channel, mean_and_variance, per_channel, weighted_gradients};

const EPS: f64 = 1e-5;
const SHAPE: [usize; 4] = [3, 4, 2, 5];

fn affine(channels: usize, dtype: DType) -> Tensor {
    (normal(&[2, channels], DType::F64, 50).unwrap() + 0.5).unwrap().to_dtype(dtype).unwrap()
}

fn statistics(channels: usize, dtype: DType) -> Tensor {
    let mean = normal(&[1, channels], DType::F64, 51).unwrap();
    let variance = (normal(&[1, channels], DType::F64, 52).unwrap().sqr().unwrap() + 0.1).unwrap();
    Tensor::cat(&[mean, variance], 0).unwrap().to_dtype(dtype).unwrap()
}

fn train(x: &Tensor, affine: &Tensor) -> Tensor {
    batch_norm_train(x, affine, EPS).unwrap().0
}

/// y, dx, dγ, dβ of training batch norm for the gradient `dy`, from the formulas of Ioffe and Szegedy (2015).
fn oracle(x: &[f64], affine: &[f64], dy: &[f64]) -> [Vec<f64>; 3] {
    let channels = affine.len() / 2;
    let normalised = |values: &[f64]| {
        let (mean, variance) = mean_and_variance(values);
        values.iter().map(|x| (x - mean) / (variance + EPS).sqrt()).collect::<Vec<_>>()
    };
    let y = per_channel(x, channels, |c, x| {
        normalised(x).into_iter().map(|x| affine[c] * x + affine[channels + c]).collect()
    });
    let dx = per_channel(x, channels, |c, x| {
        let dy = channel(dy, channels, c);
        let (count, (mean, variance)) = (x.len() as f64, mean_and_variance(x));
        let d_normal: Vec<f64> = dy.iter().map(|dy| dy * affine[c]).collect();
        let root = (variance + EPS).sqrt();
        let d_variance: f64 = d_normal.iter().zip(x).map(|(d, x)| d * (x - mean) * -0.5 / root.powi(3)).sum();
        let spread: f64 = x.iter().map(|x| -2.0 * (x - mean)).sum();
        let d_mean = -d_normal.iter().sum::<f64>() / root + d_variance * spread / count;
        let each = d_normal.iter().zip(x);
        each.map(|(d, x)| d / root + d_variance * 2.0 * (x - mean) / count + d_mean / count).collect()
    });
    let by_gamma = (0..channels)
        .map(|c| normalised(&channel(x, channels, c)).iter().zip(channel(dy, channels, c)).map(|(x, dy)| x * dy).sum());
    let by_beta = (0..channels).map(|c| channel(dy, channels, c).iter().sum());
    let by_affine = by_gamma.collect::<Vec<f64>>().into_iter().chain(by_beta).collect();
    [y, dx, by_affine]
}

fn check_against_oracle(shape: &[usize], dtype: DType) {
    let channels = shape[shape.len() - 1];
    let (x, affine) = (normal(shape, dtype, 0).unwrap(), affine(channels, dtype));
    let (dy, gradients) = weighted_gradients(&[x.clone(), affine.clone()], |at| Ok(train(&at[0], &at[1])));
    let y = train(&x, &affine);
    let [x, affine, dy] = [&x, &affine, &dy].map(|tensor| values(tensor).unwrap());
    let found = [vec![values(&y).unwrap()], all_values(&gradients)].concat();
    for (what, (found, expected)) in ["y", "dx", "d affine"].iter().zip(found.iter().zip(oracle(&x, &affine, &dy))) {
        let difference = slice_difference(found, &expected);
        assert!(difference < tolerance(dtype), "{what} in {dtype:?} at {shape:?}: {difference}");
    }
}

#[test]
fn training_equals_the_oracle() {
    for dtype in [DType::F32, DType::F64] {
        check_against_oracle(&SHAPE, dtype);
        check_against_oracle(&[7, 3], dtype);
        check_against_oracle(&[2, 1, 1, 1], dtype);
        // More than one chunk, and a number of channels that no vector width divides.
        check_against_oracle(&[3, 61, 59, 7], dtype);
    }
}

#[test]
fn evaluation_equals_the_formula() {
    for dtype in [DType::F32, DType::F64] {
        let (x, affine, statistics) = (normal(&SHAPE, dtype, 0).unwrap(), affine(5, dtype), statistics(5, dtype));
        let y = batch_norm_eval(&x, &affine, &statistics, EPS).unwrap();
        let (a, s) = (values(&affine).unwrap(), values(&statistics).unwrap());
        let one = |c: usize, x: &f64| a[c] * (x - s[c]) / (s[5 + c] + EPS).sqrt() + a[5 + c];
        let expected = per_channel(&values(&x).unwrap(), 5, |c, x| x.iter().map(|x| one(c, x)).collect());
        assert!(slice_difference(&values(&y).unwrap(), &expected) < tolerance(dtype));
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let inputs = [normal(&SHAPE, DType::F64, 0).unwrap(), affine(5, DType::F64)];
    assert!(gradient_error(&inputs, |at| Ok(train(&at[0], &at[1]))).unwrap() < 1e-7);
    let statistics = statistics(5, DType::F64);
    assert!(gradient_error(&inputs, |at| batch_norm_eval(&at[0], &at[1], &statistics, EPS)).unwrap() < 1e-7);
    assert!(gradient_error(&inputs[..1], |at| channel_statistics(&at[0])).unwrap() < 1e-7);
}

#[test]
fn statistics_are_those_of_the_batch() {
    let x = normal(&SHAPE, DType::F64, 0).unwrap();
    let (_, statistics) = batch_norm_train(&x, &affine(5, DType::F64), EPS).unwrap();
    let stacked = values(&channel_statistics(&x).unwrap()).unwrap();
    assert_eq!(statistics.count, 24);
    assert_eq!([values(&statistics.mean).unwrap(), values(&statistics.variance).unwrap()].concat(), stacked);
    for c in 0..5 {
        let (mean, variance) = mean_and_variance(&channel(&values(&x).unwrap(), 5, c));
        assert!((stacked[c] - mean).abs() < 1e-13 && (stacked[5 + c] - variance).abs() < 1e-13);
    }
}

// A single pass over f32 sums of x and x² would find a variance of 0 or below.
#[test]
fn a_mean_far_above_the_deviation_costs_no_digits() {
    let shifted = |dtype| (normal(&[2, 50, 50, 3], DType::F64, 0).unwrap() + 1e4).unwrap().to_dtype(dtype).unwrap();
    let x = shifted(DType::F32);
    let found = channel_statistics(&x).unwrap();
    let exact = values(&x).unwrap();
    for c in 0..3 {
        let (_, variance) = mean_and_variance(&channel(&exact, 3, c));
        assert!((values(&found).unwrap()[3 + c] - variance).abs() < 1e-5 * variance);
    }
    let ones = Tensor::cat(
        &[
            Tensor::ones((1, 3), DType::F64, &Device::Cpu).unwrap(),
            Tensor::zeros((1, 3), DType::F64, &Device::Cpu).unwrap(),
        ],
        0,
    )
    .unwrap();
    let narrow = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap();
    let (dy, gradients) = weighted_gradients(&[x, narrow(&ones)], |at| Ok(train(&at[0], &at[1])));
    let [_, dx, _] = oracle(&exact, &values(&ones).unwrap(), &values(&dy).unwrap());
    assert!(slice_difference(&values(&gradients[0]).unwrap(), &dx) < 1e-5);
}

// The first row serves as the shift of the sums: it may be the outlier.
#[test]
fn an_outlier_in_the_first_row_costs_no_digits() {
    let mut values = vec![1.0f32; 20_000];
    (values[0], values[19_999]) = (1000.0, 1.001);
    let exact: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
    let (_, variance) = mean_and_variance(&exact);
    let x = Tensor::from_vec(values, (20_000, 1), &Device::Cpu).unwrap();
    let found = arcface_core::testing::values(&channel_statistics(&x).unwrap()).unwrap()[1];
    assert!((found - variance).abs() < 1e-6 * variance, "{found} instead of {variance}");
}

#[test]
fn transposed_inputs_and_gradients_are_accepted() {
    let x = normal(&[5, 4, 3, 2], DType::F64, 0).unwrap().permute((3, 2, 1, 0)).unwrap();
    let (dy, gradients) = weighted_gradients(&[x.clone(), affine(5, DType::F64)], |at| {
        // The permutation hands a gradient to batch norm that is not contiguous.
        Ok(train(&at[0], &at[1]).permute((0, 3, 1, 2))?)
    });
    let dy = dy.permute((0, 2, 3, 1)).unwrap();
    let [_, dx, by_affine] = oracle(
        &values(&x).unwrap(),
        &values(&affine(5, DType::F64)).unwrap(),
        &values(&dy.contiguous().unwrap()).unwrap(),
    );
    assert!(slice_difference(&values(&gradients[0]).unwrap(), &dx) < 1e-10);
    assert!(slice_difference(&values(&gradients[1]).unwrap(), &by_affine) < 1e-10);
}

#[test]
fn an_input_outside_the_graph_gets_no_gradient() {
    let x = normal(&SHAPE, DType::F64, 0).unwrap();
    let var = Var::from_tensor(&affine(5, DType::F64)).unwrap();
    let store = train(&x, var.as_tensor()).sum_all().unwrap().backward().unwrap();
    assert!(store.get(&x).is_none() && store.get(&var).is_some());
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let x = normal(&[5, 37, 41, 19], DType::F32, 0).unwrap();
    let bytes = |threads| {
        let work = || {
            let (_, gradients) =
                weighted_gradients(&[x.clone(), affine(19, DType::F32)], |at| Ok(train(&at[0], &at[1])));
            [train(&x, &affine(19, DType::F32)), gradients[0].clone(), gradients[1].clone()].map(|t| bits(&t).unwrap())
        };
        with_threads(threads, work).unwrap()
    };
    let one = bytes(1);
    assert!(one == bytes(2) && one == bytes(3));
}

#[test]
fn messages() {
    let x = normal(&[1, 1, 1, 4], DType::F32, 0).unwrap();
    let text = |x: &Tensor, affine: &Tensor| batch_norm_train(x, affine, EPS).unwrap_err().to_string();
    assert_eq!(
        text(&x, &affine(4, DType::F32)),
        "batch norm: expected more than 1 value per channel in training (a larger batch, or evaluation mode), \
         got x of shape [1, 1, 1, 4]"
    );
    assert_eq!(text(&x, &affine(3, DType::F32)), "affine: expected shape (2, C) = [2, 4], got [2, 3]");
    assert!(batch_norm_train(&x, &affine(4, DType::F64), EPS).is_err());
    assert!(batch_norm_eval(&x, &affine(4, DType::F32), &statistics(4, DType::F32), f64::NAN).is_err());
    assert!(batch_norm_eval(&x, &affine(4, DType::F32), &statistics(4, DType::F32), EPS).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_result_has_mean_beta_and_deviation_gamma(x in activations()) {
        let channels = x.dims()[3];
        let affine = affine(channels, DType::F64);
        let (y, statistics) = batch_norm_train(&x, &affine, EPS).unwrap();
        let [y, affine, variance] = [&y, &affine, &statistics.variance].map(|tensor| values(tensor).unwrap());
        for c in 0..channels {
            let (mean, found) = mean_and_variance(&channel(&y, channels, c));
            let expected = affine[c] * affine[c] * variance[c] / (variance[c] + EPS);
            prop_assert!((mean - affine[channels + c]).abs() < 1e-9);
            prop_assert!((found - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn shift_and_scale_of_the_input_do_not_matter(x in activations(), shift in -3.0..3.0f64, scale in 0.5..2.0f64) {
        let affine = affine(x.dims()[3], DType::F64);
        let moved = x.affine(scale, shift).unwrap();
        // ε scales with the input for exact invariance.
        let y = batch_norm_train(&x, &affine, EPS).unwrap().0;
        let z = batch_norm_train(&moved, &affine, EPS * scale * scale).unwrap().0;
        prop_assert!(difference(&z, &y).unwrap() < 1e-8);
    }

    #[test]
    fn evaluation_with_the_statistics_of_the_batch_is_training(x in activations()) {
        let affine = affine(x.dims()[3], DType::F64);
        let statistics = channel_statistics(&x).unwrap();
        let eval = batch_norm_eval(&x, &affine, &statistics, EPS).unwrap();
        prop_assert!(difference(&eval, &train(&x, &affine)).unwrap() < 1e-10);
    }

    #[test]
    fn single_precision_follows_double(x in activations()) {
        let affine = affine(x.dims()[3], DType::F64);
        let narrow = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap();
        let (wide, _) = batch_norm_train(&narrow(&x).to_dtype(DType::F64).unwrap(), &affine, 1e-3).unwrap();
        let (found, _) = batch_norm_train(&narrow(&x), &narrow(&affine), 1e-3).unwrap();
        prop_assert!(difference(&found, &wide).unwrap() < tolerance(DType::F32));
    }
}
