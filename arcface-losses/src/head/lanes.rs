//! The loops over a row of cosines or over a center that take a head's time, compiled for wide vectors.
//! Knows one row at a time; no batch, no classes and no margin.

use arcface_core::multiversion;
use arcface_core::ops::element::Element;

/// Sums and maxima that run side by side.
const LANES: usize = 16;
/// Values that are summed in their own type before the sum goes on in f64.
const BLOCK: usize = 1024;

/// The treatment of hard negatives: a cosine c above `above` counts as c·(t + c).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hardness<T> {
    /// The target's value; ∞ leaves every cosine as it is.
    pub(crate) above: T,
    /// t.
    pub(crate) t: T,
}

/// What an exponential e^{scale·(v − top)} is made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exponent<T> {
    /// s.
    pub(crate) scale: T,
    /// The largest v, so that nothing overflows.
    pub(crate) top: T,
}

multiversion! {
    /// values ← values·factors, value by value.
    pub(crate) fn multiply[T: Element](values: &mut [T], factors: &[T]) {
        for (value, &factor) in values.iter_mut().zip(factors) {
            *value *= factor;
        }
    }

    /// The largest of all, −∞ of none; NaN is passed over.
    pub(crate) fn largest[T: Element](values: &[T], lowest: T) -> T {
        let (lanes, rest) = values.as_chunks::<LANES>();
        let mut tops = [lowest; LANES];
        for lane in lanes {
            for (top, &value) in tops.iter_mut().zip(lane) {
                *top = if *top < value { value } else { *top };
            }
        }
        tops.iter().chain(rest).fold(lowest, |top, &value| if top < value { value } else { top })
    }

    /// Cosines become logits before the scale.
    pub(crate) fn harden[T: Element](cosines: &mut [T], hardness: Hardness<T>) {
        for cosine in cosines {
            let hard = *cosine * (hardness.t + *cosine);
            *cosine = if hardness.above < *cosine { hard } else { *cosine };
        }
    }

    /// Σ e^{scale·(v − top)}.
    pub(crate) fn exponential_sum[T: Element](values: &[T], exponent: Exponent<T>) -> f64 {
        let mut total = 0.0;
        for block in values.chunks(BLOCK) {
            let (lanes, rest) = block.as_chunks::<LANES>();
            let mut sums = [T::ZERO; LANES];
            for lane in lanes {
                for (sum, &value) in sums.iter_mut().zip(lane) {
                    *sum += (exponent.scale * (value - exponent.top)).exp_in_lanes();
                }
            }
            for &value in rest {
                sums[0] += (exponent.scale * (value - exponent.top)).exp_in_lanes();
            }
            total += sums.iter().map(|sum| sum.to_f64()).sum::<f64>();
        }
        total
    }

    /// Cosines c become factor·e^{scale·(v − top)}·dv/dc, where v is the logit before the scale.
    pub(crate) fn exponential_gradient[T: Element](
        cosines: &mut [T],
        hardness: Hardness<T>,
        exponent: Exponent<T>,
        factor: T,
    ) {
        for cosine in cosines {
            let c = *cosine;
            let hard = hardness.above < c;
            let value = if hard { c * (hardness.t + c) } else { c };
            let slope = if hard { hardness.t + c + c } else { T::ONE };
            *cosine = factor * slope * (exponent.scale * (value - exponent.top)).exp_in_lanes();
        }
    }

    /// a·b in f64.
    pub(crate) fn dot[T: Element](a: &[T], b: &[T]) -> f64 {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        let mut sums = [0.0; LANES];
        for (a, b) in a.iter().zip(b) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum += a.to_f64() * b.to_f64();
            }
        }
        sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a.to_f64() * b.to_f64()).sum::<f64>()
    }

    /// gradient ← gradient − factor·center.
    pub(crate) fn take_away[T: Element](gradient: &mut [T], factor: T, center: &[T]) {
        for (gradient, &center) in gradient.iter_mut().zip(center) {
            *gradient -= factor * center;
        }
    }
}
