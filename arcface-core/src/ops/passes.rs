//! Passes over channels-last values with a few numbers per channel: moments, sums, affine maps.
//! Know no operator; everything is cut into chunks of whole rows, and sums are added in the order of the chunks.

use super::element::Element;
use super::parallel::build;
use super::rows::{narrowed, row_chunk, sum_chunks};
use crate::multiversion;

/// Mean and biased variance per channel.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    pub(super) mean: Vec<f64>,
    pub(super) variance: Vec<f64>,
}

/// Means as the nearest values of the activations' type, and what rounding took away.
///
/// x − `rounded` is nearly exact where x is near the mean; `rest` goes into constants that are worked out in f64.
pub(super) struct Center<T> {
    pub(super) rounded: Vec<T>,
    pub(super) rest: Vec<f64>,
}

impl<T: Element> Center<T> {
    pub(super) fn new(mean: &[f64]) -> Self {
        let rounded: Vec<T> = narrowed(mean.iter().copied());
        let rest = mean.iter().zip(&rounded).map(|(mean, rounded)| mean - rounded.to_f64()).collect();
        Self { rounded, rest }
    }
}

/// Mean and biased variance of each channel of `x`.
pub(super) fn moments<T: Element>(x: &[T], channels: usize) -> Moments {
    let first = &x[..channels];
    let sums = sum_chunks(x.len(), row_chunk(channels), |chunk| {
        let mut sums = vec![0.0; 2 * channels];
        add_moments(&x[chunk], first, &mut sums);
        sums
    });
    Moments::from_sums(sums, first, (x.len() / channels) as f64)
}

impl Moments {
    /// Those of `count` rows, of which [`add_moments`] made the `sums`.
    pub(super) fn from_sums<T: Element>(sums: Vec<f64>, first: &[T], count: f64) -> Self {
        let mut mean = sums;
        let squares = mean.split_off(first.len());
        for sum in &mut mean {
            *sum /= count;
        }
        let variance = squares.iter().zip(&mean).map(|(square, mean)| not_negative(square / count - mean * mean));
        let variance = variance.collect();
        mean.iter_mut().zip(first).for_each(|(mean, first)| *mean += first.to_f64());
        Self { mean, variance }
    }
}

/// Rounding may take a variance below zero by a hair; NaN stays, unlike with `max`.
fn not_negative(variance: f64) -> f64 {
    if variance < 0.0 { 0.0 } else { variance }
}

/// Σ dy·(x − center) and Σ dy per channel, one after the other.
pub(super) fn gradient_sums<T: Element>(x: &[T], dy: &[T], center: &[T]) -> Vec<f64> {
    sum_chunks(x.len(), row_chunk(center.len()), |chunk| {
        let mut sums = vec![0.0; 2 * center.len()];
        add_gradient(&x[chunk.clone()], &dy[chunk], center, &mut sums);
        sums
    })
}

/// (x − center)·scale + shift per channel.
pub(super) fn stretched<T: Element>(x: &[T], center: &[T], scale: &[T], shift: &[T]) -> Vec<T> {
    let chunk_len = row_chunk(center.len());
    build(x.len(), chunk_len, || (), |(), index, y: &mut [T]| stretch(&x[index * chunk_len..], center, scale, shift, y))
}

/// a·dy + b·(x − center) + rest per channel.
pub(super) fn combined<T: Element>(dy: &[T], x: &[T], center: &[T], a: &[T], b: &[T], rest: &[T]) -> Vec<T> {
    let chunk_len = row_chunk(center.len());
    build(
        x.len(),
        chunk_len,
        || (),
        |(), index, dx: &mut [T]| {
            let start = index * chunk_len;
            combine(&dy[start..], &x[start..], center, a, b, rest, dx);
        },
    )
}

multiversion! {
    /// Adds Σ (x − first) to the first half of `sums` and Σ (x − first)² to the second.
    ///
    /// The difference is nearly exact; the squares are f64, for `first` may be an outlier.
    pub(super) fn add_moments[T: Element](x: &[T], first: &[T], sums: &mut [f64]) {
        let channels = first.len();
        let (plain, squares) = sums.split_at_mut(channels);
        for row in x.chunks_exact(channels) {
            for (((plain, square), &x), &first) in plain.iter_mut().zip(&mut *squares).zip(row).zip(first) {
                let x = (x - first).to_f64();
                *plain += x;
                *square += x * x;
            }
        }
    }

    /// Adds Σ dy·(x − center) to the first half of `sums` and Σ dy to the second.
    fn add_gradient[T: Element](x: &[T], dy: &[T], center: &[T], sums: &mut [f64]) {
        let channels = center.len();
        let (products, plain) = sums.split_at_mut(channels);
        for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
            for ((((product, plain), &x), &dy), &center) in
                products.iter_mut().zip(&mut *plain).zip(x).zip(dy).zip(center)
            {
                *product += (dy * (x - center)).to_f64();
                *plain += dy.to_f64();
            }
        }
    }

    pub(super) fn stretch[T: Element](x: &[T], center: &[T], scale: &[T], shift: &[T], y: &mut [T]) {
        let channels = center.len();
        for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            for ((((y, &x), &center), &scale), &shift) in y.iter_mut().zip(x).zip(center).zip(scale).zip(shift) {
                *y = (x - center) * scale + shift;
            }
        }
    }

    fn combine[T: Element](dy: &[T], x: &[T], center: &[T], a: &[T], b: &[T], rest: &[T], dx: &mut [T]) {
        let channels = center.len();
        let (a, b, rest) = (&a[..channels], &b[..channels], &rest[..channels]);
        let rows = dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(dy.chunks_exact(channels));
        for ((dx, x), dy) in rows {
            for c in 0..channels {
                dx[c] = a[c] * dy[c] + b[c] * (x[c] - center[c]) + rest[c];
            }
        }
    }
}
