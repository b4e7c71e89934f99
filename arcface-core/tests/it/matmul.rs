//! Matrix products against a plain loop, with any strides and any number of threads.

use arcface_core::ops::matmul::{Accumulate, MatMut, MatRef, matmul, product};
use arcface_core::testing::{normal, slice_difference, values, with_threads};
use proptest::prelude::*;

fn random(len: usize, index: u64) -> Vec<f64> {
    values(&normal(&[len], arcface_core::candle::DType::F64, index).unwrap()).unwrap()
}

fn oracle(a: MatRef<'_, f64>, b: MatRef<'_, f64>, start: &[f64]) -> Vec<f64> {
    let element = |m: MatRef<'_, f64>, i: usize, j: usize| m.data[i * m.row_stride + j * m.col_stride];
    let sum = |i: usize, j: usize| (0..a.cols).map(|k| element(a, i, k) * element(b, k, j)).sum::<f64>();
    start.iter().enumerate().map(|(at, start)| start + sum(at / b.cols, at % b.cols)).collect()
}

/// A (rows, cols) matrix, its values transposed in memory or not.
fn matrix(data: &[f64], rows: usize, cols: usize, transposed: bool) -> MatRef<'_, f64> {
    if transposed { MatRef::new(data, cols, rows).transposed() } else { MatRef::new(data, rows, cols) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn equals_a_plain_loop(m in 1_usize..200, k in 0_usize..60, n in 1_usize..200, ta: bool, tb: bool, add: bool) {
        let (a, b, start) = (random(m * k, 1), random(k * n, 2), random(m * n, 3));
        let (a, b) = (matrix(&a, m, k, ta), matrix(&b, k, n, tb));
        let accumulate = if add { Accumulate::Add } else { Accumulate::Replace };
        let expected = oracle(a, b, &if add { start.clone() } else { vec![0.0; m * n] });
        let mut threaded = start.clone();
        matmul(a, b, &mut threaded, accumulate);
        prop_assert!(slice_difference(&threaded, &expected) < 1e-12);
        let mut sequential = start;
        product(a, b, MatMut::new(&mut sequential, m, n), accumulate);
        prop_assert!(slice_difference(&sequential, &expected) < 1e-12);
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    for (m, k, n) in [(16, 900, 300), (300, 129, 500), (1, 64, 2000), (700, 3, 5), (64, 5000, 64)] {
        let (a, b) = (random(m * k, 1), random(k * n, 2));
        let run = |threads| {
            let mut out = vec![0.0; m * n];
            with_threads(threads, || matmul(MatRef::new(&a, m, k), MatRef::new(&b, k, n), &mut out, Accumulate::Add))
                .unwrap();
            out.into_iter().map(f64::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(2));
        assert_eq!(run(1), run(3));
    }
}

#[test]
#[should_panic(expected = "the inner sizes differ")]
fn a_misfit_is_a_fault() {
    matmul(MatRef::new(&[0.0; 6], 2, 3), MatRef::new(&[0.0; 4], 2, 2), &mut [0.0; 4], Accumulate::Replace);
}

#[test]
#[should_panic(expected = "the right side is too short")]
fn a_short_slice_is_a_fault() {
    matmul(MatRef::new(&[0.0; 4], 2, 2), MatRef::new(&[0.0; 3], 2, 2), &mut [0.0; 4], Accumulate::Replace);
}
