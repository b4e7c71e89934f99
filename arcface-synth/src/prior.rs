//! What an image is before any face is in it: smooth, and not too bright.
//! Knows no network; both priors are differentiable in the images.

use arcface_core::candle::{D, Tensor};
use arcface_core::{Error, Result};

/// Kept under the root, so that the gradient at a black image is finite.
const EPS: f64 = 1e-12;

/// Total variation with squared differences, the mean over images of Σ (xᵢ₊₁ⱼ − xᵢⱼ)² + (xᵢⱼ₊₁ − xᵢⱼ)².
///
/// # Shapes
/// `images` (B, C, H, W) → scalar.
///
/// # Errors
/// If the images have another shape or are smaller than 2×2.
///
/// # Example
/// ```
/// use arcface_core::candle::{DType, Device, Tensor};
/// use arcface_synth::prior::total_variation;
/// let flat = Tensor::ones((1, 3, 4, 4), DType::F64, &Device::Cpu)?;
/// assert!(total_variation(&flat)?.to_scalar::<f64>()? <= 0.0);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn total_variation(images: &Tensor) -> Result<Tensor> {
    check(images)?;
    let squares = |dim| Ok::<_, Error>(difference(images, dim)?.sqr()?.sum_all()?);
    Ok(((squares(2)? + squares(3)?)? / images.dim(0)? as f64)?)
}

/// The mean over images of ‖x‖₂.
///
/// # Shapes
/// `images` (B, C, H, W) → scalar.
///
/// # Errors
/// If the images have another shape or are smaller than 2×2.
pub fn l2(images: &Tensor) -> Result<Tensor> {
    check(images)?;
    let squares = images.flatten_from(1)?.sqr()?.sum(D::Minus1)?;
    Ok((squares + EPS)?.sqrt()?.mean_all()?)
}

fn check(images: &Tensor) -> Result<()> {
    match images.dims() {
        &[_, _, height, width] if 1 < height && 1 < width => Ok(()),
        dims => Err(Error::shape("images", "(B, C, H, W) of at least 2×2", dims)),
    }
}

/// Each value's successor along `dim` less itself.
fn difference(images: &Tensor, dim: usize) -> Result<Tensor> {
    let last = images.dim(dim)? - 1;
    Ok((images.narrow(dim, 1, last)? - images.narrow(dim, 0, last)?)?)
}

#[cfg(test)]
mod tests {
    use arcface_core::candle::{DType, Device};
    use arcface_core::testing::{gradient_error, normal};

    use super::*;

    fn scalar(tensor: &Tensor) -> f64 {
        tensor.to_scalar().unwrap()
    }

    #[test]
    fn both_are_those_of_a_worked_example() {
        // Two images of one channel: (0 1 / 2 4) with differences 1, 2 across and 2, 3 down; and a flat one of 3.
        let values = vec![0.0, 1.0, 2.0, 4.0, 3.0, 3.0, 3.0, 3.0];
        let images = Tensor::from_vec(values, (2, 1, 2, 2), &Device::Cpu).unwrap();
        assert!((scalar(&total_variation(&images).unwrap()) - (1.0 + 4.0 + 4.0 + 9.0) / 2.0).abs() < 1e-12);
        assert!((scalar(&l2(&images).unwrap()) - f64::midpoint(21f64.sqrt(), 6.0)).abs() < 1e-6);
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let images = normal(&[2, 3, 3, 4], DType::F64, 0).unwrap();
        assert!(gradient_error(std::slice::from_ref(&images), |x| total_variation(&x[0])).unwrap() < 1e-6);
        assert!(gradient_error(&[images], |x| l2(&x[0])).unwrap() < 1e-6);
    }

    #[test]
    fn a_black_image_has_a_finite_gradient() {
        let black = arcface_core::candle::Var::zeros((1, 1, 2, 2), DType::F64, &Device::Cpu).unwrap();
        let store = l2(&black).unwrap().backward().unwrap();
        let gradient = store.get(&black).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert!(gradient.iter().all(|x| x.is_finite()));
    }

    #[test]
    fn a_single_pixel_is_refused() {
        let pixel = Tensor::zeros((1, 3, 1, 1), DType::F64, &Device::Cpu).unwrap();
        let error = total_variation(&pixel).unwrap_err().to_string();
        assert_eq!(error, "images: expected shape (B, C, H, W) of at least 2×2, got [1, 3, 1, 1]");
    }
}
