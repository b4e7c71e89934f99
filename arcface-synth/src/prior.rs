//! What an image is before any face is in it: smooth, and not too bright.
//! Knows no network. Each term returns its value and adds its weighted gradient to one that is being summed.

use arcface_core::ops::element::Element;
use serde::{Deserialize, Serialize};

/// Kept under the root, so that the gradient at a black image is finite.
const EPS: f64 = 1e-12;

/// What total variation sums over the differences d of neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Differences {
    /// |d|, total variation as it is defined (Rudin, Osher and Fatemi 1992), along each axis: one step costs as much as many
    /// small ones, so that edges stay and what is small goes.
    Absolute,
    /// d²: what is large costs most, so that edges blur and small noise stays.
    Squared,
}

impl Differences {
    /// The term of one difference and its derivative; 0 for that of |d| at 0.
    fn of<T: Element>(self, d: T) -> (T, T) {
        match self {
            Self::Squared => (d * d, d + d),
            Self::Absolute if d < T::ZERO => (-d, -T::ONE),
            Self::Absolute if T::ZERO < d => (d, T::ONE),
            Self::Absolute => (T::ZERO, T::ZERO),
        }
    }
}

/// Total variation, Σ |xᵢ₊₁ⱼ − xᵢⱼ| + |xᵢⱼ₊₁ − xᵢⱼ| or the sum of their squares; `weight` times its gradient is added.
///
/// # Shapes
/// `image` and `gradient` (C, S, S) with S the `side`, row-major.
///
/// # Panics
/// If the lengths do not fit.
///
/// # Example
/// ```
/// use arcface_synth::prior::{Differences, total_variation};
/// let mut gradient = [0.0; 4];
/// assert_eq!(total_variation(&[0.0, 1.0, 2.0, 4.0], 2, Differences::Squared, 1.0, &mut gradient), 18.0);
/// assert_eq!(gradient, [-6.0, -4.0, 0.0, 10.0]);
/// assert_eq!(total_variation(&[0.0, 1.0, 2.0, 4.0], 2, Differences::Absolute, 1.0, &mut gradient), 8.0);
/// ```
pub fn total_variation<T: Element>(
    image: &[T],
    side: usize,
    differences: Differences,
    weight: f64,
    gradient: &mut [T],
) -> f64 {
    assert_eq!(image.len(), gradient.len(), "total variation: the gradient does not fit the image");
    let weight = T::from_f64(weight);
    let term = |d: T| {
        let (value, by_difference) = differences.of(d);
        (value, weight * by_difference)
    };
    let planes = image.chunks_exact(side * side).zip(gradient.chunks_exact_mut(side * side));
    planes.map(|(plane, gradient)| across(plane, side, &term, gradient) + down(plane, side, &term, gradient)).sum()
}

/// Differences between neighbours in a row.
fn across<T: Element>(plane: &[T], side: usize, term: &impl Fn(T) -> (T, T), gradient: &mut [T]) -> f64 {
    let rows = plane.chunks_exact(side).zip(gradient.chunks_exact_mut(side));
    rows.map(|(row, gradient)| {
        let mut sum = T::ZERO;
        for at in 1..side {
            let (value, change) = term(row[at] - row[at - 1]);
            sum += value;
            gradient[at] += change;
            gradient[at - 1] -= change;
        }
        sum.to_f64()
    })
    .sum()
}

/// Differences between neighbours in a column.
fn down<T: Element>(plane: &[T], side: usize, term: &impl Fn(T) -> (T, T), gradient: &mut [T]) -> f64 {
    let mut sum = 0.0;
    for row in 1..side {
        let (above, below) = (&plane[(row - 1) * side..][..side], &plane[row * side..][..side]);
        let (gradient_above, gradient_below) = gradient[(row - 1) * side..][..2 * side].split_at_mut(side);
        let mut of_row = T::ZERO;
        for at in 0..side {
            let (value, change) = term(below[at] - above[at]);
            of_row += value;
            gradient_below[at] += change;
            gradient_above[at] -= change;
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
