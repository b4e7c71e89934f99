//! Changes of type: values, gradients on both ways back, messages.

use arcface_core::candle::{DType, Tensor, Var};
use arcface_core::ops::{add, cast, tape};
use arcface_core::testing::{bits, normal, values, with_threads};

fn drawn(dtype: DType) -> Tensor {
    normal(&[130, 517], DType::F64, 0).unwrap().to_dtype(dtype).unwrap()
}

#[test]
fn values_are_rounded_to_the_nearest() {
    for (from, to) in [(DType::F64, DType::F32), (DType::F32, DType::F64)] {
        let x = drawn(from);
        let y = cast(&x, to).unwrap();
        assert_eq!(y.dtype(), to);
        assert_eq!(bits(&y).unwrap(), bits(&x.to_dtype(to).unwrap()).unwrap());
    }
}

#[test]
fn what_has_gaps_is_cast_in_the_order_of_its_rows() {
    let x = drawn(DType::F64).t().unwrap();
    assert_eq!(values(&cast(&x, DType::F32).unwrap()).unwrap(), values(&x.to_dtype(DType::F32).unwrap()).unwrap());
}

#[test]
fn the_same_type_is_the_same_tensor() {
    let x = drawn(DType::F32);
    assert_eq!(cast(&x, DType::F32).unwrap().id(), x.id());
}

#[test]
fn the_gradient_comes_back_in_the_type_of_the_argument() {
    for (from, to) in [(DType::F64, DType::F32), (DType::F32, DType::F64)] {
        let var = Var::from_tensor(&drawn(from)).unwrap();
        let weights = drawn(to);
        let expected = bits(&weights.to_dtype(from).unwrap()).unwrap();
        let y = cast(&var, to).unwrap();
        let store = (y * &weights).unwrap().sum_all().unwrap().backward().unwrap();
        let (_, tape) = tape::record(|| cast(&var, to)).unwrap();
        for store in [store, tape.backward(&weights).unwrap()] {
            let gradient = store.get(&var).unwrap();
            assert_eq!((gradient.dtype(), bits(gradient).unwrap()), (from, expected.clone()));
        }
    }
}

#[test]
fn a_tape_goes_there_and_back() {
    let var = Var::from_tensor(&drawn(DType::F32)).unwrap();
    let there_and_back = || cast(&cast(&var, DType::F64)?, DType::F32);
    let (y, tape) = tape::record(|| add(&there_and_back()?, &var)).unwrap();
    let gradients = tape.backward(&y.ones_like().unwrap()).unwrap();
    assert!(values(gradients.get(&var).unwrap()).unwrap().iter().all(|g| (g - 2.0).abs() < 1e-12));
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let x = drawn(DType::F64);
    let bytes = |threads| with_threads(threads, || bits(&cast(&x, DType::F32).unwrap()).unwrap()).unwrap();
    assert_eq!(bytes(1), bytes(3));
}

#[test]
fn messages() {
    let error = |x: &Tensor, dtype| cast(x, dtype).unwrap_err().to_string();
    let x = drawn(DType::F32);
    insta::assert_snapshot!(error(&x, DType::U8), @"cast: expected dtype f32 or f64 on the CPU, got u8");
    let numbers = x.to_dtype(DType::U32).unwrap();
    insta::assert_snapshot!(error(&numbers, DType::F32), @"x: expected dtype f32 or f64, got u32");
}
