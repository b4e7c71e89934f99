//! Sub-centers: K cosines per class pooled to one, and the gradient spread over the K again.
//! Knows one class of one row at a time.

use arcface_core::ops::element::Element;

/// How K cosines become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pool {
    /// max_k c_k; of equal ones the lowest k wins and alone gets the gradient.
    Max,
    /// Σ_k softmax_k(γ·c_k)·c_k.
    Soft {
        /// γ.
        gamma: f64,
    },
}

impl Pool {
    /// The pooled cosine of `cosines` (K).
    pub(crate) fn pool<T: Element>(self, cosines: &[T]) -> f64 {
        match (self, cosines) {
            (_, [cosine]) => cosine.to_f64(),
            (Self::Max, _) => cosines[winner(cosines)].to_f64(),
            (Self::Soft { gamma }, _) => soft(cosines, gamma),
        }
    }

    /// Replaces `cosines` by `gradient`·∂pooled/∂c_k.
    pub(crate) fn spread<T: Element>(self, gradient: f64, cosines: &mut [T]) {
        match (self, &mut *cosines) {
            (_, [only]) => *only = T::from_f64(gradient),
            (Self::Max, _) => spread_to_winner(gradient, cosines),
            (Self::Soft { gamma }, _) => spread_softly(gradient, gamma, cosines),
        }
    }
}

fn spread_to_winner<T: Element>(gradient: f64, cosines: &mut [T]) {
    let winner = winner(cosines);
    cosines.fill(T::ZERO);
    cosines[winner] = T::from_f64(gradient);
}

/// ∂/∂c_k Σ p·c = p_k·(1 + γ·(c_k − Σ p·c)).
fn spread_softly<T: Element>(gradient: f64, gamma: f64, cosines: &mut [T]) {
    let pooled = soft(cosines, gamma);
    let slopes: Vec<f64> = soft_weights(cosines, gamma)
        .zip(&*cosines)
        .map(|(weight, c)| gradient * weight * (1.0 + gamma * (c.to_f64() - pooled)))
        .collect();
    cosines.iter_mut().zip(slopes).for_each(|(c, slope)| *c = T::from_f64(slope));
}

/// The index of the largest, the lowest of equal ones.
pub(crate) fn winner<T: PartialOrd>(values: &[T]) -> usize {
    (1..values.len()).fold(0, |best, k| if values[best] < values[k] { k } else { best })
}

fn soft<T: Element>(cosines: &[T], gamma: f64) -> f64 {
    soft_weights(cosines, gamma).zip(cosines).map(|(weight, c)| weight * c.to_f64()).sum()
}

/// softmax_k(γ·c_k).
fn soft_weights<T: Element>(cosines: &[T], gamma: f64) -> impl Iterator<Item = f64> {
    let top = cosines[winner(cosines)].to_f64();
    let exponential = move |c: &T| (gamma * (c.to_f64() - top)).exp();
    let sum: f64 = cosines.iter().map(exponential).sum();
    cosines.iter().map(move |c| exponential(c) / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_sub_centers_the_lowest_wins() {
        let mut gradient = [0.1, 0.7, 0.7, 0.3];
        Pool::Max.spread(2.0, &mut gradient);
        assert_eq!(gradient.map(|g: f64| g as i64), [0, 2, 0, 0]);
    }

    #[test]
    fn soft_pooling_with_a_large_gamma_is_the_maximum() {
        assert!((Pool::Soft { gamma: 1e4 }.pool(&[0.1, 0.7, 0.3]) - 0.7).abs() < 1e-12);
    }
}
