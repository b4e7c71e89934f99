//! Where a network sees an image in one step: shifted by whole pixels, mirrored or not.
//! Knows no network; what is shifted in repeats the border.

use arcface_core::ops::element::Element;
use arcface_core::seed::{Purpose, rng};
use rand::Rng;

/// Which row and which column of an image is seen at each place.
///
/// # Example
/// ```
/// use arcface_synth::placement::{Flip, Placement};
/// let placement = Placement::new(2, [1, 0], Flip::Mirrored);
/// assert_eq!(placement.seen(&[1.0, 2.0, 3.0, 4.0]), [4.0, 3.0, 4.0, 3.0]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    rows: Vec<usize>,
    columns: Vec<usize>,
}

impl Placement {
    /// Of an image of `side`: what is seen lies `shift` (rows, columns) further, and the columns run backwards if it is
    /// mirrored.
    pub fn new(side: usize, [down, across]: [i64; 2], flip: Flip) -> Self {
        let shifted = |by: i64| (0..side as i64).map(move |at| (at + by).clamp(0, side as i64 - 1) as usize);
        let columns = match flip {
            Flip::Plain => shifted(across).collect(),
            Flip::Mirrored => shifted(across).rev().collect(),
        };
        Self { rows: shifted(down).collect(), columns }
    }

    /// That of image `index` in `step`, a pure function of its arguments: shifts within ±`jitter`, mirrored with
    /// probability `flip`.
    pub fn draw(side: usize, jitter: usize, flip: f64, (seed, step, index): (u64, u64, u64)) -> Self {
        let mut rng = rng(seed, Purpose::Augmentation, step, index);
        let shift = [(); 2].map(|()| rng.random_range(-(jitter as i64)..=jitter as i64));
        let is_mirrored = rng.random::<f64>() < flip;
        Self::new(side, shift, if is_mirrored { Flip::Mirrored } else { Flip::Plain })
    }

    /// The image as it is seen.
    ///
    /// # Shapes
    /// (C, S, S) → (C, S, S).
    pub fn seen<T: Element>(&self, image: &[T]) -> Vec<T> {
        let side = self.rows.len();
        let rows =
            image.chunks_exact(side * side).flat_map(|plane| self.rows.iter().map(|row| &plane[row * side..][..side]));
        rows.flat_map(|row| self.columns.iter().map(|&column| row[column])).collect()
    }

    /// The gradient of the image from that of what is seen of it.
    ///
    /// # Shapes
    /// (C, S, S) → (C, S, S).
    pub fn gradient<T: Element>(&self, of_seen: &[T]) -> Vec<T> {
        let side = self.rows.len();
        let mut gradient = vec![T::ZERO; of_seen.len()];
        let planes = gradient.chunks_exact_mut(side * side).zip(of_seen.chunks_exact(side * side));
        for (gradient, of_seen) in planes {
            for (row, of_seen) in self.rows.iter().zip(of_seen.chunks_exact(side)) {
                let gradient = &mut gradient[row * side..][..side];
                self.columns.iter().zip(of_seen).for_each(|(&column, &of_seen)| gradient[column] += of_seen);
            }
        }
        gradient
    }
}

/// Whether an image is seen in a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flip {
    /// As it is.
    Plain,
    /// Left and right exchanged.
    Mirrored,
}

#[cfg(test)]
mod tests {
    use arcface_core::candle::DType;
    use arcface_core::testing::{normal, values};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_gradient_is_the_transpose(side in 1_usize..7, jitter in 0_usize..9, index in 0_u64..1000) {
            let placement = Placement::draw(side, jitter, 0.5, (0, index, 0));
            let draw = |index| values(&normal(&[2, side, side], DType::F64, index).unwrap()).unwrap();
            let (image, of_seen) = (draw(index), draw(index + 1));
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let (forth, back) = (placement.seen(&image), placement.gradient(&of_seen));
            prop_assert!((dot(&forth, &of_seen) - dot(&image, &back)).abs() < 1e-9);
        }
    }

    #[test]
    fn a_shift_repeats_the_border() {
        let image: Vec<f32> = (0..9).map(|x| x as f32).collect();
        assert_eq!(Placement::new(3, [1, 0], Flip::Plain).seen(&image), [3., 4., 5., 6., 7., 8., 6., 7., 8.]);
        assert_eq!(Placement::new(3, [0, -1], Flip::Mirrored).seen(&image), [1., 0., 0., 4., 3., 3., 7., 6., 6.]);
    }

    #[test]
    fn nothing_drawn_changes_nothing_and_a_draw_repeats() {
        assert_eq!(Placement::draw(4, 0, 0.0, (1, 2, 3)), Placement::new(4, [0, 0], Flip::Plain));
        assert_eq!(Placement::draw(4, 2, 0.5, (1, 2, 3)), Placement::draw(4, 2, 0.5, (1, 2, 3)));
        let distinct = (0..40).map(|step| Placement::draw(9, 2, 0.5, (1, step, 0))).collect::<Vec<_>>();
        assert!(10 < (0..40).filter(|&i| !distinct[..i].contains(&distinct[i])).count());
    }
}
