//! Addition against candle's, its gradients, and its messages.

use arcface_core::candle::DType;
use arcface_core::ops::add;
use arcface_core::testing::{bits, gradient_error, normal};

#[test]
fn equals_candle() {
    for dtype in [DType::F32, DType::F64] {
        let (a, b) = (normal(&[3, 41, 43, 17], dtype, 0).unwrap(), normal(&[3, 41, 43, 17], dtype, 1).unwrap());
        assert_eq!(bits(&add(&a, &b).unwrap()).unwrap(), bits(&(a + b).unwrap()).unwrap());
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let [a, b] = [0, 1].map(|index| normal(&[2, 3, 3, 4], DType::F64, index).unwrap());
    assert!(gradient_error(&[a.clone(), b], |at| add(&at[0], &at[1])).unwrap() < 1e-7);
    // A tensor added to itself has twice the gradient.
    assert!(gradient_error(&[a], |at| add(&at[0], &at[0])).unwrap() < 1e-7);
}

#[test]
fn messages() {
    let [a, b] = [[2, 3], [3, 2]].map(|shape| normal(&shape, DType::F32, 0).unwrap());
    assert_eq!(
        add(&a, &b).unwrap_err().to_string(),
        "second summand: expected shape the first's shape = [2, 3], got [3, 2]"
    );
    assert!(add(&a, &a.to_dtype(DType::F64).unwrap()).is_err());
}
