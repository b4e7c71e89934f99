//! Passes over channels-last values with a few numbers per channel: moments, sums, affine maps, alone or on top of others.
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

/// y = (x − center)·scale + shift.
pub(super) struct Map<T> {
    pub(super) center: Vec<T>,
    pub(super) scale: Vec<T>,
    pub(super) shift: Vec<T>,
}

/// dx = `by_gradient`·dy + `by_value`·(x − center) + rest.
pub(super) struct Mix<T> {
    pub(super) by_gradient: Vec<T>,
    pub(super) by_value: Vec<T>,
    pub(super) rest: Vec<T>,
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

/// (x − center)·scale + shift per channel, on top of `onto`.
pub(super) fn stretched<T: Element>(x: &[T], map: &Map<T>, onto: Option<&[T]>) -> Vec<T> {
    built(x.len(), map.center.len(), onto, |start, y| stretch(&x[start..], &map.center, &map.scale, &map.shift, y))
}

/// a·dy + b·(x − center) + rest per channel, on top of `onto`.
pub(super) fn combined<T: Element>(dy: &[T], x: &[T], center: &[T], mix: &Mix<T>, onto: Option<&[T]>) -> Vec<T> {
    let Mix { by_gradient, by_value, rest } = mix;
    built(x.len(), center.len(), onto, |start, dx| {
        combine(&dy[start..], &x[start..], center, by_gradient, by_value, rest, dx);
    })
}

/// Chunks of whole rows of `channels` values that `fill` makes from where they start, and on top of these `onto`, while
/// they are in cache.
pub(super) fn built<T: Element>(
    len: usize,
    channels: usize,
    onto: Option<&[T]>,
    fill: impl Fn(usize, &mut [T]) + Sync + Send,
) -> Vec<T> {
    let chunk_len = row_chunk(channels);
    build(
        len,
        chunk_len,
        || (),
        |(), index, chunk: &mut [T]| {
            let start = index * chunk_len;
            fill(start, chunk);
            if let Some(onto) = onto {
                raise(&onto[start..], chunk);
            }
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

    fn raise[T: Element](by: &[T], values: &mut [T]) {
        for (value, &by) in values.iter_mut().zip(by) {
            *value += by;
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
