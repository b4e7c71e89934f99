//! Shape checks that name the argument, what was expected and what was found.
//! Knows only dimensions; never looks at values.

use candle_core::Tensor;

use crate::{Error, Result};

/// The dimension of a tensor (C).
///
/// # Errors
/// If `tensor` has another rank; the message names `what`.
pub fn dims1(tensor: &Tensor, what: &str) -> Result<usize> {
    let [c] = dims(tensor, what, "(C)")?;
    Ok(c)
}

/// The dimensions of a tensor (B, D).
///
/// # Errors
/// If `tensor` has another rank; the message names `what`.
///
/// ```
/// use arcface_core::{candle::{Device, Tensor}, shape::dims2};
/// let embeddings = Tensor::new(&[1f32, 2., 3., 4.], &Device::Cpu)?;
/// let error = dims2(&embeddings, "embeddings").unwrap_err();
/// assert_eq!(error.to_string(), "embeddings: expected shape (B, D), got [4]");
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn dims2(tensor: &Tensor, what: &str) -> Result<(usize, usize)> {
    dims(tensor, what, "(B, D)").map(|[b, d]| (b, d))
}

/// The dimensions of sub-centers (C, K, D).
///
/// # Errors
/// If `tensor` has another rank; the message names `what`.
pub fn dims3(tensor: &Tensor, what: &str) -> Result<(usize, usize, usize)> {
    dims(tensor, what, "(C, K, D)").map(|[c, k, d]| (c, k, d))
}

/// The dimensions of channels-last activations (B, H, W, C).
///
/// # Errors
/// If `tensor` has another rank; the message names `what`.
pub fn dims4(tensor: &Tensor, what: &str) -> Result<(usize, usize, usize, usize)> {
    dims(tensor, what, "(B, H, W, C)").map(|[b, h, w, c]| (b, h, w, c))
}

/// Rows and channels of channels-last activations: (B·H·W, C) of (B, H, W, C), (B, C) of (B, C).
///
/// # Errors
/// If `tensor` has another rank or no element; the message names `what`.
pub fn rows_and_channels(tensor: &Tensor, what: &str) -> Result<(usize, usize)> {
    let error = || Error::shape(what, "(B, H, W, C) or (B, C), none of them 0", tensor.dims());
    match *tensor.dims() {
        [b, h, w, c] if 0 < b * h * w * c => Ok((b * h * w, c)),
        [b, c] if 0 < b * c => Ok((b, c)),
        _ => Err(error()),
    }
}

/// Checks that `tensor` has exactly the dimensions `expected`, which the message shows behind `letters`.
///
/// # Errors
/// If it has others.
pub fn exactly(tensor: &Tensor, what: &str, letters: &str, expected: &[usize]) -> Result<()> {
    if tensor.dims() == expected {
        return Ok(());
    }
    Err(Error::shape(what, format!("{letters} = {expected:?}"), tensor.dims()))
}

fn dims<const N: usize>(tensor: &Tensor, what: &str, letters: &str) -> Result<[usize; N]> {
    tensor.dims().try_into().map_err(|_| Error::shape(what, letters, tensor.dims()))
}
