//! Adam on an image that is a sum of images, each half as wide as the one before: what is large moves as one.
//! Knows no network; gradients of the whole image come in.

use crate::resample::Enlargement;

/// Adam's, so that a pixel without a gradient stays.
const EPS: f32 = 1e-8;
/// The smallest image of a sum.
const SMALLEST: usize = 2;

/// The sizes of a sum of images.
#[derive(Debug, Clone)]
pub(crate) struct Pyramid {
    /// From each image to the one before it.
    doublings: Vec<Enlargement<f32>>,
    side: usize,
}

/// Adam's moments of one image of the sum, (3, S, S) each.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    pub(crate) mean: Vec<f32>,
    pub(crate) square: Vec<f32>,
}

/// Adam in one step: v̂ = v·root², and the rate is that of m̂.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) betas: [f32; 2],
    pub(crate) rate: f32,
    pub(crate) root: f32,
}

impl Pyramid {
    /// Of at most `levels` images, the first of `side`.
    pub(crate) fn new(side: usize, levels: usize) -> Self {
        let halves = std::iter::successors(Some(side), |side| Some(side / 2).filter(|half| SMALLEST <= *half));
        let sides: Vec<usize> = halves.take(levels).collect();
        Self { doublings: sides.windows(2).map(|pair| Enlargement::new(pair[1], pair[0])).collect(), side }
    }

    /// The side of every image of the sum.
    pub(crate) fn sides(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::once(self.side).chain(self.doublings.iter().map(Enlargement::smaller_side))
    }

    /// How far the sum moves against `gradient`.
    pub(crate) fn change(&self, gradient: &[f32], moments: &mut [Moments], rule: Rule) -> Vec<f32> {
        let mut gradients = vec![gradient.to_vec()];
        for (level, doubling) in self.doublings.iter().enumerate() {
            gradients.push(doubling.gradient(&gradients[level]));
        }
        let mut changes =
            moments.iter_mut().zip(&gradients).map(|(moments, gradient)| moments.follow(gradient, rule)).rev();
        let coarsest = changes.next().unwrap_or_default();
        self.doublings.iter().rev().zip(changes).fold(coarsest, |coarse, (doubling, mut change)| {
            change.iter_mut().zip(doubling.enlarged(&coarse)).for_each(|(change, coarse)| *change += coarse);
            change
        })
    }
}

impl Moments {
    /// Of an image of `values` values that Adam has not moved yet.
    pub(crate) fn none(values: usize) -> Self {
        Self { mean: vec![0.0; values], square: vec![0.0; values] }
    }

    /// Takes up the gradient, and says how far the image moves against it.
    fn follow(&mut self, gradient: &[f32], rule: Rule) -> Vec<f32> {
        let [keep, keep_square] = rule.betas;
        let moments = self.mean.iter_mut().zip(&mut self.square);
        let moved = moments.zip(gradient).map(|((mean, square), &gradient)| {
            *mean = keep * *mean + (1.0 - keep) * gradient;
            *square = keep_square * *square + (1.0 - keep_square) * gradient * gradient;
            rule.rate * *mean / (square.sqrt() * rule.root + EPS)
        });
        moved.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { betas: [0.0; 2], rate: 0.5, root: 1.0 };

    fn change(levels: usize, gradient: &[f32], side: usize) -> Vec<f32> {
        let pyramid = Pyramid::new(side, levels);
        let mut moments: Vec<Moments> = pyramid.sides().map(|side| Moments::none(side * side)).collect();
        pyramid.change(gradient, &mut moments, RULE)
    }

    fn check(found: &[f32], expected: f32) {
        assert!(found.iter().all(|found| (found - expected).abs() < 1e-5), "{found:?}, expected {expected}");
    }

    #[test]
    fn sides_halve_down_to_two() {
        let sides = |side, levels| Pyramid::new(side, levels).sides().collect::<Vec<_>>();
        assert_eq!(sides(112, 5), [112, 56, 28, 14, 7]);
        assert_eq!(sides(14, 5), [14, 7, 3]);
        assert_eq!(sides(14, 1), [14]);
        assert_eq!(sides(1, 3), [1]);
    }

    /// Without memory Adam moves every image by its rate against the sign of its gradient.
    #[test]
    fn where_all_pixels_agree_each_image_moves_the_sum() {
        check(&change(1, &[-3.0; 64], 8), -0.5);
        check(&change(3, &[-3.0; 64], 8), -1.5);
        // Neighbours that disagree cancel in the smaller images.
        let checkerboard: Vec<f32> = (0..64).map(|at| if (at / 8 + at) % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let found = change(2, &checkerboard, 8);
        let interior = (3..5).flat_map(|row| (3..5).map(move |column| 8 * row + column));
        assert!(
            interior.clone().all(|at| (found[at].abs() - 0.5).abs() < 1e-5 && 0.0 < found[at] * checkerboard[at]),
            "{found:?}"
        );
    }
}
