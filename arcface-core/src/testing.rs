//! Tools for the tests of all crates: seeded tensors, strategies, gradient checks, tolerances.
//! Knows no operator; behind the feature `testing`.

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use rand::Rng;
use rand_distr::StandardNormal;

use crate::seed::{Purpose, rng};
use crate::{Error, Result};

/// The relative error that rounding may cause in a well-conditioned operator of `dtype`.
pub fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-10 } else { 1e-4 }
}

/// Normally distributed values, a pure function of `index` and the shape.
///
/// # Errors
/// If the type is no floating point.
pub fn normal(shape: &[usize], dtype: DType, index: u64) -> Result<Tensor> {
    let mut rng = rng(0, Purpose::Testing, 0, index);
    let values: Vec<f64> = (0..shape.iter().product::<usize>()).map(|_| rng.sample(StandardNormal)).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?)
}

/// All values of a tensor in f64, row-major.
///
/// # Errors
/// If the type cannot be converted.
pub fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// The bit patterns of all values, for tests that two results are the same to the last bit.
///
/// # Errors
/// If the type cannot be converted.
pub fn bits(tensor: &Tensor) -> Result<Vec<u64>> {
    Ok(values(tensor)?.into_iter().map(f64::to_bits).collect())
}

/// max |a − b| / max(1, max |b|); NaN if a value is.
///
/// # Errors
/// If the shapes differ.
pub fn difference(a: &Tensor, b: &Tensor) -> Result<f64> {
    if a.dims() != b.dims() {
        return Err(Error::shape("comparison", format!("{:?}", b.dims()), a.dims()));
    }
    Ok(slice_difference(&values(a)?, &values(b)?))
}

/// As [`difference`], of slices of equal length.
pub fn slice_difference(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::NAN;
    }
    let scale = b.iter().fold(1.0, |max: f64, x| max.max(x.abs()));
    a.iter().zip(b).fold(0.0, |max: f64, (a, b)| worse(max, (a - b).abs() / scale))
}

/// Runs `work` with `threads` threads for all parallel loops in it.
///
/// # Errors
/// If the threads cannot be started.
pub fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    Ok(pool.map_err(|error| Error::Invalid(format!("threads: {error}")))?.install(work))
}

/// How far the gradients of `f` are from central differences: the largest difference relative to the gradients' size.
///
/// `f` takes variables with the values of `inputs` (f64) and returns a tensor of any shape; its values are summed with
/// fixed random weights. Expect about 1e-8 for a smooth `f` of moderate values, far more for a wrong gradient.
///
/// # Errors
/// If `f` fails or an input is not f64.
///
/// # Example
/// ```
/// use arcface_core::candle::DType;
/// use arcface_core::testing::{gradient_error, normal};
/// let x = normal(&[2, 3], DType::F64, 0)?;
/// assert!(gradient_error(&[x], |x| Ok(x[0].sqr()?))? < 1e-6);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn gradient_error(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<f64> {
    let vars = inputs.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
    let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let output = f(&tracked)?;
    let weights = normal(output.dims(), DType::F64, 1)?;
    let store = output.mul(&weights)?.sum_all()?.backward()?;
    let mut worst = 0.0;
    for (index, (var, input)) in vars.iter().zip(inputs).enumerate() {
        let analytic = match store.get(var.as_tensor()) {
            Some(gradient) => values(gradient)?,
            None => vec![0.0; input.elem_count()],
        };
        let loss = |changed: &Tensor| {
            let mut all = inputs.to_vec();
            all[index] = changed.clone();
            Ok(f(&all)?.mul(&weights)?.sum_all()?.to_scalar::<f64>()?)
        };
        worst = worse(worst, slice_difference(&analytic, &central_differences(input, loss)?));
    }
    Ok(worst)
}

/// (f(x + h·eᵢ) − f(x − h·eᵢ)) / 2h for every value of `input`.
fn central_differences(input: &Tensor, f: impl Fn(&Tensor) -> Result<f64>) -> Result<Vec<f64>> {
    const STEP: f64 = 1e-5;
    let at = values(input)?;
    let moved = |index: usize, by: f64| {
        let mut changed = at.clone();
        changed[index] += by;
        f(&Tensor::from_vec(changed, input.dims(), &Device::Cpu)?)
    };
    (0..at.len()).map(|index| Ok((moved(index, STEP)? - moved(index, -STEP)?) / (2.0 * STEP))).collect()
}

/// The larger one, and NaN if any is.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// A tensor in f64 with dimensions within `dims` and values within ±`limit`.
pub fn tensor(dims: Vec<std::ops::RangeInclusive<usize>>, limit: f64) -> impl Strategy<Value = Tensor> {
    dims.prop_flat_map(move |shape| {
        let count = shape.iter().product::<usize>();
        let values = proptest::collection::vec(-limit..=limit, count);
        values.prop_filter_map("values fill the shape", move |values| {
            Tensor::from_vec(values, shape.clone(), &Device::Cpu).ok()
        })
    })
}

/// Channels-last activations (B, H, W, C) with at least two rows, up to 3×4×4×5, values within ±3.
pub fn activations() -> impl Strategy<Value = Tensor> {
    tensor(vec![1..=3, 1..=4, 2..=4, 1..=5], 3.0)
}
