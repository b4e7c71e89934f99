//! The fusion of batch norm and a shortcut against the two operators and finite differences.

use arcface_core::candle::{DType, Tensor, Var};
use arcface_core::ops::{
    add, batch_norm_add_eval, batch_norm_add_train, batch_norm_eval, batch_norm_train, channel_statistics, tape,
};
use arcface_core::testing::{bits, gradient_error, normal, with_threads};

use crate::oracle::weighted_gradients;

const EPS: f64 = 1e-5;

/// x, affine, shortcut.
fn inputs(shape: &[usize], dtype: DType) -> [Tensor; 3] {
    let channels = shape[shape.len() - 1];
    [(shape, 0), (&[2, channels], 50), (shape, 60)].map(|(shape, index)| normal(shape, dtype, index).unwrap())
}

fn fused(at: &[Tensor]) -> arcface_core::Result<Tensor> {
    Ok(batch_norm_add_train(&at[0], &at[1], &at[2], EPS)?.0)
}

fn separate(at: &[Tensor]) -> arcface_core::Result<Tensor> {
    add(&batch_norm_train(&at[0], &at[1], EPS)?.0, &at[2])
}

fn check_bits(found: &[Tensor], expected: &[Tensor]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(bits(found).unwrap(), bits(expected).unwrap());
    }
}

#[test]
fn training_equals_the_two_operators() {
    for dtype in [DType::F32, DType::F64] {
        for shape in [&[3, 4, 2, 5][..], &[7, 3], &[3, 61, 59, 7]] {
            let inputs = inputs(shape, dtype);
            let (found, expected) = (weighted_gradients(&inputs, fused), weighted_gradients(&inputs, separate));
            check_bits(&[fused(&inputs).unwrap()], &[separate(&inputs).unwrap()]);
            check_bits(&found.1, &expected.1);
        }
    }
}

#[test]
fn evaluation_equals_the_two_operators() {
    let inputs = inputs(&[3, 4, 2, 5], DType::F64);
    let statistics = channel_statistics(&normal(&[9, 5], DType::F64, 3).unwrap()).unwrap();
    let fused = |at: &[Tensor]| batch_norm_add_eval(&at[0], &at[1], &statistics, &at[2], EPS);
    let separate = add(&batch_norm_eval(&inputs[0], &inputs[1], &statistics, EPS).unwrap(), &inputs[2]).unwrap();
    check_bits(&[fused(&inputs).unwrap()], &[separate]);
    assert!(gradient_error(&inputs, fused).unwrap() < 1e-7);
}

#[test]
fn gradients_equal_finite_differences() {
    let inputs = inputs(&[3, 4, 2, 5], DType::F64);
    assert!(gradient_error(&inputs, fused).unwrap() < 1e-7);
    let transposed = |at: &[Tensor]| {
        fused(&[at[0].permute((3, 1, 2, 0))?, at[1].clone(), at[2].permute((3, 1, 2, 0))?])?.t().map_err(Into::into)
    };
    let [x, affine, shortcut] = inputs;
    let inputs = [x.permute((3, 1, 2, 0)).unwrap(), affine, shortcut.permute((3, 1, 2, 0)).unwrap()];
    assert!(gradient_error(&inputs, transposed).unwrap() < 1e-7);
}

/// Around x itself, whose gradient both ways meet in.
#[test]
fn a_shortcut_of_the_same_values_is_counted_twice() {
    let [x, affine, _] = inputs(&[3, 4, 2, 5], DType::F64);
    let around = |at: &[Tensor]| fused(&[at[0].clone(), at[1].clone(), at[0].clone()]);
    assert!(gradient_error(&[x.clone(), affine.clone()], around).unwrap() < 1e-7);
    let (var, weights) = (Var::from_tensor(&x).unwrap(), normal(x.dims(), DType::F64, 77).unwrap());
    let (_, recorded) = tape::record(|| Ok(batch_norm_add_train(&var, &affine, &var, EPS)?.0)).unwrap();
    let by_tape = recorded.backward(&weights).unwrap().remove(&var).unwrap();
    let y = around(&[var.as_tensor().clone(), affine]).unwrap();
    let by_candle = (y * weights).unwrap().sum_all().unwrap().backward().unwrap().remove(&var).unwrap();
    check_bits(&[by_tape], &[by_candle]);
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
    let [x, affine, shortcut] = inputs(&[3, 4], DType::F32);
    let text = |shortcut: &Tensor| batch_norm_add_train(&x, &affine, shortcut, EPS).unwrap_err().to_string();
    assert_eq!(text(&shortcut.t().unwrap()), "shortcut: expected shape that of x = [3, 4], got [4, 3]");
    assert_eq!(text(&shortcut.to_dtype(DType::F64).unwrap()), "shortcut: expected dtype f32 as x has, got f64");
    let one = x.narrow(0, 0, 1).unwrap();
    assert_eq!(
        batch_norm_add_train(&one, &affine, &one, EPS).unwrap_err().to_string(),
        "batch norm: expected more than 1 value per channel in training (a larger batch, or evaluation mode), \
         got x of shape [1, 4]"
    );
}
