//! The fusion of batch norm and `PReLU` against the two operators and finite differences.

use arcface_core::candle::{DType, Tensor};
use arcface_core::ops::{
    batch_norm_eval, batch_norm_prelu_eval, batch_norm_prelu_train, batch_norm_train, channel_statistics, prelu,
};
use arcface_core::testing::{bits, difference, gradient_error, normal, tolerance, with_threads};

use crate::oracle::weighted_gradients;

const EPS: f64 = 1e-5;

/// x, affine, slope.
fn inputs(shape: &[usize], dtype: DType) -> [Tensor; 3] {
    let channels = shape[shape.len() - 1];
    [(shape, 0), (&[2, channels], 50), (&[channels], 60)].map(|(shape, index)| normal(shape, dtype, index).unwrap())
}

fn fused(at: &[Tensor]) -> arcface_core::Result<Tensor> {
    Ok(batch_norm_prelu_train(&at[0], &at[1], &at[2], EPS)?.0)
}

fn separate(at: &[Tensor]) -> arcface_core::Result<Tensor> {
    prelu(&batch_norm_train(&at[0], &at[1], EPS)?.0, &at[2])
}

#[test]
fn training_equals_the_two_operators() {
    for dtype in [DType::F32, DType::F64] {
        for shape in [&[3, 4, 2, 5][..], &[7, 3], &[3, 61, 59, 7]] {
            let inputs = inputs(shape, dtype);
            assert_eq!(bits(&fused(&inputs).unwrap()).unwrap(), bits(&separate(&inputs).unwrap()).unwrap());
            let (found, expected) = (weighted_gradients(&inputs, fused).1, weighted_gradients(&inputs, separate).1);
            for (found, expected) in found.iter().zip(&expected) {
                let difference = difference(found, expected).unwrap();
                assert!(difference < tolerance(dtype), "{dtype:?} at {shape:?}: {difference}");
            }
        }
    }
}

#[test]
fn evaluation_equals_the_two_operators() {
    let inputs = inputs(&[3, 4, 2, 5], DType::F64);
    let statistics = channel_statistics(&normal(&[9, 5], DType::F64, 3).unwrap()).unwrap();
    let fused = |at: &[Tensor]| batch_norm_prelu_eval(&at[0], &at[1], &statistics, &at[2], EPS);
    let separate = prelu(&batch_norm_eval(&inputs[0], &inputs[1], &statistics, EPS).unwrap(), &inputs[2]).unwrap();
    assert_eq!(bits(&fused(&inputs).unwrap()).unwrap(), bits(&separate).unwrap());
    assert!(gradient_error(&inputs, fused).unwrap() < 1e-7);
}

#[test]
fn gradients_equal_finite_differences() {
    let inputs = inputs(&[3, 4, 2, 5], DType::F64);
    assert!(gradient_error(&inputs, fused).unwrap() < 1e-7);
    let transposed = |at: &[Tensor]| Ok(fused(&[at[0].permute((3, 1, 2, 0))?, at[1].clone(), at[2].clone()])?.t()?);
    let [x, affine, slope] = inputs;
    assert!(gradient_error(&[x.permute((3, 1, 2, 0)).unwrap(), affine, slope], transposed).unwrap() < 1e-7);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let inputs = inputs(&[5, 37, 41, 19], DType::F32);
    let bytes = |threads| {
        let gradients = with_threads(threads, || weighted_gradients(&inputs, fused).1).unwrap();
        gradients.iter().map(|tensor| bits(tensor).unwrap()).collect::<Vec<_>>()
    };
    let one = bytes(1);
    assert!(one == bytes(2) && one == bytes(3));
}

#[test]
fn messages() {
    let [x, affine, _] = inputs(&[1, 4], DType::F32);
    let text = |slope: &Tensor| batch_norm_prelu_train(&x, &affine, slope, EPS).unwrap_err().to_string();
    assert_eq!(text(&normal(&[5], DType::F32, 0).unwrap()), "slope: expected shape (C) = [4], got [5]");
    assert_eq!(
        text(&normal(&[4], DType::F32, 0).unwrap()),
        "batch norm: expected more than 1 value per channel in training (a larger batch, or evaluation mode), \
         got x of shape [1, 4]"
    );
}
