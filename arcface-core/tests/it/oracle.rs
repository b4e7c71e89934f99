//! Plain f64 loops over channels-last values, written from the formulas; slow and obvious.
//! Know nothing of the operators that they are compared with.

use arcface_core::candle::{DType, Tensor, Var};
use arcface_core::testing::{normal, values};

/// The values of channel `c` of channels-last values.
pub(crate) fn channel(x: &[f64], channels: usize, c: usize) -> Vec<f64> {
    x.iter().skip(c).step_by(channels).copied().collect()
}

/// Mean and biased variance, in two passes.
pub(crate) fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count)
}

/// Applies `f` to each channel's values and puts the results back in their places.
pub(crate) fn per_channel(x: &[f64], channels: usize, f: impl Fn(usize, &[f64]) -> Vec<f64>) -> Vec<f64> {
    let mut result = vec![0.0; x.len()];
    for c in 0..channels {
        for (row, y) in f(c, &channel(x, channels, c)).into_iter().enumerate() {
            result[row * channels + c] = y;
        }
    }
    result
}

/// Gradients of Σ w·f(inputs) by all inputs, w being fixed random numbers, which are returned first.
pub(crate) fn weighted_gradients(
    inputs: &[Tensor],
    f: impl Fn(&[Tensor]) -> arcface_core::Result<Tensor>,
) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> = inputs.iter().map(|input| Var::from_tensor(input).unwrap()).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = f(&tracked).unwrap();
    let weights = normal(y.dims(), DType::F64, 77).unwrap().to_dtype(y.dtype()).unwrap();
    let store = (y * &weights).unwrap().sum_all().unwrap().backward().unwrap();
    (weights, tracked.iter().map(|var| store.get(var).unwrap().clone()).collect())
}

/// All values of several tensors in f64.
pub(crate) fn all_values(tensors: &[Tensor]) -> Vec<Vec<f64>> {
    tensors.iter().map(|tensor| values(tensor).unwrap()).collect()
}
