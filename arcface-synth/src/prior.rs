//! What an image is before any face is in it: smooth, and not too bright.
//! Knows no network. Each term returns its value and adds its weighted gradient to one that is being summed.

use arcface_core::ops::element::Element;

/// Kept under the root, so that the gradient at a black image is finite.
const EPS: f64 = 1e-12;

/// Total variation with squared differences, Σ (xᵢ₊₁ⱼ − xᵢⱼ)² + (xᵢⱼ₊₁ − xᵢⱼ)²; `weight` times its gradient is added.
///
/// # Shapes
/// `image` and `gradient` (C, S, S) with S the `side`, row-major.
///
/// # Panics
/// If the lengths do not fit.
///
/// # Example
/// ```
/// use arcface_synth::prior::total_variation;
/// let mut gradient = [0.0; 4];
/// assert_eq!(total_variation(&[0.0, 1.0, 2.0, 4.0], 2, 1.0, &mut gradient), 18.0);
/// assert_eq!(gradient, [-6.0, -4.0, 0.0, 10.0]);
/// ```
pub fn total_variation<T: Element>(image: &[T], side: usize, weight: f64, gradient: &mut [T]) -> f64 {
    assert_eq!(image.len(), gradient.len(), "total variation: the gradient does not fit the image");
    let twice = T::from_f64(2.0 * weight);
    let planes = image.chunks_exact(side * side).zip(gradient.chunks_exact_mut(side * side));
    planes.map(|(plane, gradient)| across(plane, side, twice, gradient) + down(plane, side, twice, gradient)).sum()
}

/// Differences between neighbours in a row.
fn across<T: Element>(plane: &[T], side: usize, twice: T, gradient: &mut [T]) -> f64 {
    let rows = plane.chunks_exact(side).zip(gradient.chunks_exact_mut(side));
    rows.map(|(row, gradient)| {
        let mut sum = T::ZERO;
        for at in 1..side {
            let difference = row[at] - row[at - 1];
            sum += difference * difference;
            gradient[at] += twice * difference;
            gradient[at - 1] -= twice * difference;
        }
        sum.to_f64()
    })
    .sum()
}

/// Differences between neighbours in a column.
fn down<T: Element>(plane: &[T], side: usize, twice: T, gradient: &mut [T]) -> f64 {
    let mut sum = 0.0;
    for row in 1..side {
        let (above, below) = (&plane[(row - 1) * side..][..side], &plane[row * side..][..side]);
        let (gradient_above, gradient_below) = gradient[(row - 1) * side..][..2 * side].split_at_mut(side);
        let mut of_row = T::ZERO;
        for at in 0..side {
            let difference = below[at] - above[at];
            of_row += difference * difference;
            gradient_below[at] += twice * difference;
            gradient_above[at] -= twice * difference;
        }
        sum += of_row.to_f64();
    }
    sum
}

/// ‖x‖₂; `weight` times its gradient is added.
///
/// # Panics
/// If the lengths do not fit.
///
/// # Example
/// ```
/// use arcface_synth::prior::l2;
/// let mut gradient = [0.0; 2];
/// assert!((l2(&[3.0, 4.0], 1.0, &mut gradient) - 5.0).abs() < 1e-12);
/// assert!((gradient[0] - 0.6f64).abs() < 1e-12);
/// ```
pub fn l2<T: Element>(image: &[T], weight: f64, gradient: &mut [T]) -> f64 {
    assert_eq!(image.len(), gradient.len(), "ℓ2: the gradient does not fit the image");
    let norm = (image.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>() + EPS).sqrt();
    let scale = T::from_f64(weight / norm);
    gradient.iter_mut().zip(image).for_each(|(gradient, &x)| *gradient += scale * x);
    norm
}
