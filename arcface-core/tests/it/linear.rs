//! The linear layer against a plain loop in f64 and finite differences; threads, layouts and messages.

use arcface_core::candle::{DType, Device, Tensor, Var};
use arcface_core::ops::linear::linear;
use arcface_core::testing::{bits, difference, gradient_error, normal, values, with_threads};
use proptest::prelude::*;

/// x·Wᵀ + b.
fn oracle(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let ((batch, inputs), outputs) = (x.dims2().unwrap(), weight.dim(0).unwrap());
    let (x, weight, bias) = (values(x).unwrap(), values(weight).unwrap(), values(bias).unwrap());
    let y = (0..batch * outputs).map(|i| {
        let (row, column) = (i / outputs, i % outputs);
        bias[column] + (0..inputs).map(|k| x[row * inputs + k] * weight[column * inputs + k]).sum::<f64>()
    });
    Tensor::from_vec(y.collect::<Vec<_>>(), (batch, outputs), &Device::Cpu).unwrap()
}

fn tensors(batch: usize, inputs: usize, outputs: usize) -> [Tensor; 3] {
    [(vec![batch, inputs], 1), (vec![outputs, inputs], 2), (vec![outputs], 3)]
        .map(|(dims, index)| normal(&dims, DType::F64, index).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn equals_a_plain_loop(batch in 1_usize..40, inputs in 1_usize..90, outputs in 1_usize..150) {
        let [x, weight, bias] = tensors(batch, inputs, outputs);
        let expected = oracle(&x, &weight, &bias);
        prop_assert!(difference(&linear(&x, &weight, Some(&bias)).unwrap(), &expected).unwrap() < 1e-12);
        let without = linear(&x, &weight, None).unwrap().broadcast_add(&bias).unwrap();
        prop_assert!(difference(&without, &expected).unwrap() < 1e-12);
    }
}

#[test]
fn finite_differences_confirm_the_gradients() {
    for (batch, inputs, outputs) in [(1, 1, 1), (3, 4, 5), (7, 2, 3)] {
        let [x, weight, bias] = tensors(batch, inputs, outputs);
        let with = gradient_error(&[x.clone(), weight.clone(), bias], |t| linear(&t[0], &t[1], Some(&t[2]))).unwrap();
        let without = gradient_error(&[x, weight], |t| linear(&t[0], &t[1], None)).unwrap();
        assert!(with < 1e-7 && without < 1e-7, "{with:e} {without:e}");
    }
}

/// y, ∂L/∂x, ∂L/∂W, ∂L/∂b for L = Σ y ⊙ dy, read through transposed tensors if `transposed`.
fn run(tensors: &[Tensor; 3], dy: &Tensor, transposed: bool) -> Vec<Vec<u64>> {
    let t = |tensor: &Tensor| if transposed { tensor.t().unwrap() } else { tensor.clone() };
    let [x, weight, bias] = tensors;
    let held = |tensor: &Tensor| Var::from_tensor(&t(tensor).contiguous().unwrap()).unwrap();
    let (x, weight, bias) = (held(x), held(weight), Var::from_tensor(bias).unwrap());
    let y = t(&linear(&t(&x), &t(&weight), Some(&bias)).unwrap());
    let store = y.mul(&t(dy).contiguous().unwrap()).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = |var: &Var| t(store.get(var).unwrap());
    let db = store.get(&bias).unwrap().clone();
    [t(&y), gradient(&x), gradient(&weight), db].iter().map(|tensor| bits(tensor).unwrap()).collect()
}

#[test]
fn neither_threads_nor_layouts_change_a_bit() {
    let tensors = tensors(70, 300, 260).map(|tensor| tensor.to_dtype(DType::F32).unwrap());
    let dy = normal(&[70, 260], DType::F32, 4).unwrap();
    let expected = with_threads(1, || run(&tensors, &dy, false)).unwrap();
    for threads in [2, 3] {
        assert_eq!(expected, with_threads(threads, || run(&tensors, &dy, false)).unwrap());
        assert_eq!(expected, with_threads(threads, || run(&tensors, &dy, true)).unwrap());
    }
}

#[test]
fn misfits_are_told_apart() {
    let x = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    let message = |a: &[usize], b: &[usize], c: &[usize]| linear(&x(a), &x(b), Some(&x(c))).unwrap_err().to_string();
    let messages = [
        message(&[2, 3, 4], &[5, 4], &[5]),
        message(&[2, 4], &[5, 4, 1], &[5]),
        message(&[2, 4], &[4, 5], &[5]),
        message(&[2, 4], &[5, 4], &[4]),
        message(&[2, 4], &[5, 4], &[0]),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    linear input: expected shape (B, I), got [2, 3, 4]
    linear weight: expected shape (O, I), got [5, 4, 1]
    linear weight: expected shape (O, 4), got [4, 5]
    linear bias: expected shape (5), got [4]
    linear bias: expected shape without a zero, got [0]
    ");
}
