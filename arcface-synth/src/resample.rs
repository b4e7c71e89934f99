//! Enlarging a square image bilinearly, and the way back for its gradient.
//! Knows planes of values.

use arcface_core::ops::element::Element;

/// Two neighbours and the share of each.
#[derive(Debug, Clone, Copy)]
struct Tap<T> {
    at: [usize; 2],
    shares: [T; 2],
}

/// Bilinear interpolation from one side to another; pixels are squares, so that their centers lie at halves.
///
/// # Example
/// ```
/// use arcface_synth::resample::Enlargement;
/// let larger = Enlargement::new(2, 4).enlarged(&[0.0, 1.0, 0.0, 1.0]);
/// assert_eq!(larger[..4], [0.0, 0.25, 0.75, 1.0]);
/// ```
#[derive(Debug, Clone)]
pub struct Enlargement<T> {
    from: usize,
    taps: Vec<Tap<T>>,
}

impl<T: Element> Enlargement<T> {
    /// From images of side `from` to those of side `to`.
    pub fn new(from: usize, to: usize) -> Self {
        let tap = |index: usize| {
            let center = ((index as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
            let (first, share) = (center.floor() as usize, center.fract());
            Tap { at: [first, (first + 1).min(from - 1)], shares: [1.0 - share, share].map(T::from_f64) }
        };
        Self { from, taps: (0..to).map(tap).collect() }
    }

    /// The side that it enlarges from.
    pub fn smaller_side(&self) -> usize {
        self.from
    }

    /// Whether it changes nothing.
    pub fn is_identity(&self) -> bool {
        self.from == self.taps.len()
    }

    /// The image on the larger side.
    ///
    /// # Shapes
    /// (C, from, from) → (C, to, to).
    pub fn enlarged(&self, image: &[T]) -> Vec<T> {
        if self.is_identity() {
            return image.to_vec();
        }
        let mut larger = vec![T::ZERO; image.len() / self.from.pow(2) * self.taps.len().pow(2)];
        self.walk(image.len() / self.from.pow(2), |small, large, share| larger[large] += share * image[small]);
        larger
    }

    /// The gradient of the image from that of what [`Enlargement::enlarged`] made of it.
    ///
    /// # Shapes
    /// (C, to, to) → (C, from, from).
    pub fn gradient(&self, of_larger: &[T]) -> Vec<T> {
        if self.is_identity() {
            return of_larger.to_vec();
        }
        let planes = of_larger.len() / self.taps.len().pow(2);
        let mut gradient = vec![T::ZERO; planes * self.from.pow(2)];
        self.walk(planes, |small, large, share| gradient[small] += share * of_larger[large]);
        gradient
    }

    /// Every value of the smaller image with every one of the larger that it has a share of.
    fn walk(&self, planes: usize, mut each: impl FnMut(usize, usize, T)) {
        let to = self.taps.len();
        for (line, down) in (0..planes).flat_map(|plane| self.taps.iter().map(move |down| (plane, down))).enumerate() {
            let (plane, down) = down;
            for (column, across) in self.taps.iter().enumerate() {
                for (row, by_row) in down.at.into_iter().zip(down.shares) {
                    for (at, by_column) in across.at.into_iter().zip(across.shares) {
                        let small = (plane * self.from + row) * self.from + at;
                        each(small, line * to + column, by_row * by_column);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arcface_core::candle::DType;
    use arcface_core::testing::{normal, values};
    use proptest::prelude::*;

    use super::*;

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_gradient_is_the_transpose(from in 1_usize..7, to in 1_usize..9, index in 0_u64..1000) {
            let enlargement = Enlargement::new(from, to);
            let draw = |side: usize, index| values(&normal(&[2, side, side], DType::F64, index).unwrap()).unwrap();
            let (image, of_larger) = (draw(from, index), draw(to, index + 1));
            let (forth, back) = (enlargement.enlarged(&image), enlargement.gradient(&of_larger));
            prop_assert!((dot(&forth, &of_larger) - dot(&image, &back)).abs() < 1e-9);
        }

        #[test]
        fn a_flat_image_stays_flat_and_the_range_stays(from in 1_usize..7, to in 1_usize..9, value in -1.0..1.0) {
            let larger = Enlargement::new(from, to).enlarged(&vec![value; from * from]);
            prop_assert!(larger.iter().all(|x: &f64| (x - value).abs() < 1e-12));
        }
    }

    #[test]
    fn the_same_side_changes_nothing() {
        let image: Vec<f32> = (0..27).map(|x| x as f32).collect();
        assert_eq!(Enlargement::new(3, 3).enlarged(&image), image);
    }
}
