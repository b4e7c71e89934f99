//! Batch norm that tells the batch's statistics against evaluation, statistics and finite differences.

use arcface_core::candle::{DType, Tensor, Var};
use arcface_core::ops::{
    Observed, batch_norm_eval, batch_norm_observed, batch_norm_prelu_eval, channel_statistics, tape,
};
use arcface_core::testing::{bits, difference, normal, tolerance, values, with_threads};
use arcface_core::{Error, Result};

use crate::oracle::weighted_gradients;

const EPS: f64 = 1e-5;

/// γ, β and running statistics that are not the batch's, and slopes.
struct Constants {
    affine: Tensor,
    running: Tensor,
    slope: Tensor,
}

fn constants(channels: usize, dtype: DType) -> Constants {
    let [affine, slope] =
        [(vec![2, channels], 50), (vec![channels], 60)].map(|(shape, i)| normal(&shape, dtype, i).unwrap());
    let running = channel_statistics(&normal(&[9, channels], dtype, 3).unwrap()).unwrap();
    Constants { affine, running, slope }
}

impl Constants {
    fn observed(&self, x: &Tensor, with_slope: bool) -> Result<(Tensor, Observed)> {
        batch_norm_observed(x, &self.affine, &self.running, with_slope.then_some(&self.slope), EPS)
    }

    fn separate(&self, x: &Tensor, with_slope: bool) -> Result<Tensor> {
        if with_slope {
            batch_norm_prelu_eval(x, &self.affine, &self.running, &self.slope, EPS)
        } else {
            batch_norm_eval(x, &self.affine, &self.running, EPS)
        }
    }

    /// The result, the statistics and the gradient by `x` for fixed gradients of both.
    fn pass(&self, x: &Tensor, with_slope: bool) -> [Tensor; 3] {
        let var = Var::from_tensor(x).unwrap();
        let mut observed = None;
        let (y, tape) = tape::record(|| {
            let (y, statistics) = self.observed(&var, with_slope)?;
            observed = Some(statistics);
            Ok(y)
        })
        .unwrap();
        let observed = observed.unwrap();
        let weights = |like: &Tensor| normal(like.dims(), DType::F64, 77).unwrap().to_dtype(x.dtype()).unwrap();
        observed.give(&weights(observed.statistics())).unwrap();
        let gradient = tape.backward(&weights(&y)).unwrap().get(&var).unwrap().clone();
        [y, observed.statistics().clone(), gradient]
    }
}

#[test]
fn it_is_evaluation_beside_statistics() {
    for (dtype, with_slope) in [(DType::F32, false), (DType::F32, true), (DType::F64, false), (DType::F64, true)] {
        for shape in [&[3, 4, 2, 5][..], &[7, 3], &[3, 61, 59, 7], &[1, 6]] {
            let (x, constants) = (normal(shape, dtype, 0).unwrap(), constants(shape[shape.len() - 1], dtype));
            let [y, statistics, gradient] = constants.pass(&x, with_slope);
            assert_eq!(bits(&y).unwrap(), bits(&constants.separate(&x, with_slope).unwrap()).unwrap());
            assert_eq!(bits(&statistics).unwrap(), bits(&channel_statistics(&x).unwrap()).unwrap());
            let inputs = [x];
            let (_, by_value) = weighted_gradients(&inputs, |x| constants.separate(&x[0], with_slope));
            let (_, by_statistics) = weighted_gradients(&inputs, |x| channel_statistics(&x[0]));
            let expected = (&by_value[0] + &by_statistics[0]).unwrap();
            assert!(difference(&gradient, &expected).unwrap() < tolerance(dtype), "{dtype:?} at {shape:?}");
        }
    }
}

#[test]
fn its_gradient_equals_finite_differences() {
    let shape = [2, 3, 2, 4];
    let (x, constants) = (normal(&shape, DType::F64, 0).unwrap(), constants(4, DType::F64));
    let sum = |tensor: &Tensor| {
        let weights = normal(tensor.dims(), DType::F64, 77).unwrap();
        (tensor * weights).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
    };
    let loss = |x: &Tensor| {
        let (y, observed) = constants.observed(x, true).unwrap();
        sum(&y) + sum(observed.statistics())
    };
    let (at, gradient) = (values(&x).unwrap(), values(&constants.pass(&x, true)[2]).unwrap());
    for index in 0..at.len() {
        let moved = |by: f64| {
            let mut at = at.clone();
            at[index] += by;
            loss(&Tensor::from_vec(at, &shape[..], x.device()).unwrap())
        };
        let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((numeric - gradient[index]).abs() < 1e-7, "{index}: {numeric}, got {}", gradient[index]);
    }
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let (x, constants) = (normal(&[5, 37, 41, 19], DType::F32, 0).unwrap(), constants(19, DType::F32));
    let bytes =
        |threads| with_threads(threads, || constants.pass(&x, true).map(|tensor| bits(&tensor).unwrap())).unwrap();
    let one = bytes(1);
    assert!(one == bytes(2) && one == bytes(3));
}

#[test]
fn messages() {
    let (x, constants) = (normal(&[3, 4], DType::F32, 0).unwrap(), constants(4, DType::F32));
    let text = |result: Result<()>| result.as_ref().map_err(Error::to_string).unwrap_err();
    let other = normal(&[5], DType::F32, 0).unwrap();
    let wrong = batch_norm_observed(&x, &constants.affine, &constants.running, Some(&other), EPS).map(drop);
    insta::assert_snapshot!(text(wrong), @"slope: expected shape (C) = [4], got [5]");
    let (_, observed) = constants.observed(&x, false).unwrap();
    insta::assert_snapshot!(text(observed.give(&other)), @"gradient of batch statistics: expected shape (2, C) = [2, 4], got [5]");
    observed.give(&constants.affine).unwrap();
    insta::assert_snapshot!(text(observed.give(&constants.affine)), @"gradient of batch statistics: expected one, got a second one");
}
