//! Where a network sees an image in one step: shifted, turned, enlarged, mirrored or not, sampled bilinearly.
//! Knows no network; what is seen beyond the image repeats its border.

use arcface_core::ops::element::Element;
use arcface_core::seed::{Purpose, rng};
use rand::Rng;

use crate::config::InversionConfig;

/// How an image lies before a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// What is seen lies so many pixels further, down and across.
    pub shift: [f64; 2],
    /// It is turned by so many degrees about its middle.
    pub rotation: f64,
    /// A pixel that is seen is so many pixels of the image wide.
    pub zoom: f64,
    /// Whether it is mirrored.
    pub flip: Flip,
}

/// Whether an image is seen in a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flip {
    /// As it is.
    Plain,
    /// Left and right exchanged.
    Mirrored,
}

impl Default for Pose {
    fn default() -> Self {
        Self { shift: [0.0; 2], rotation: 0.0, zoom: 1.0, flip: Flip::Plain }
    }
}

impl Pose {
    /// That of image `index` in `step`, a pure function of its arguments, within what the configuration says.
    pub fn draw(config: &InversionConfig, (seed, step, index): (u64, u64, u64)) -> Self {
        let mut rng = rng(seed, Purpose::Augmentation, step, index);
        let mut within = |most: f64| most * (2.0 * rng.random::<f64>() - 1.0);
        let shift = [(); 2].map(|()| within(config.jitter));
        let (rotation, zoom) = (within(config.rotation), 1.0 + within(config.zoom));
        let is_mirrored = rng.random::<f64>() < config.flip;
        Self { shift, rotation, zoom, flip: if is_mirrored { Flip::Mirrored } else { Flip::Plain } }
    }
}

/// Which pixels of an image are seen at each place, and how much of each.
///
/// # Example
/// ```
/// use arcface_synth::placement::{Flip, Placement, Pose};
/// let placement = Placement::new(2, Pose { shift: [1.0, 0.0], flip: Flip::Mirrored, ..Pose::default() });
/// assert_eq!(placement.seen(&[1.0, 2.0, 3.0, 4.0]), [4.0, 3.0, 4.0, 3.0]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Placement<T> {
    side: usize,
    /// Of each place, row by row.
    taps: Vec<[(usize, T); 4]>,
}

impl<T: Element> Placement<T> {
    /// Of an image of `side`.
    pub fn new(side: usize, pose: Pose) -> Self {
        let (sine, cosine) = pose.rotation.to_radians().sin_cos();
        let (middle, mirror) = ((side as f64 - 1.0) / 2.0, if pose.flip == Flip::Mirrored { -1.0 } else { 1.0 });
        let tap = |place: usize| {
            let [down, across] = [place / side, place % side].map(|at| at as f64 - middle);
            let across = mirror * across;
            let row = middle + pose.zoom * (sine * across + cosine * down) + pose.shift[0];
            let column = middle + pose.zoom * (cosine * across - sine * down) + pose.shift[1];
            taps(side, [row, column])
        };
        Self { side, taps: (0..side * side).map(tap).collect() }
    }

    /// The image as it is seen.
    ///
    /// # Shapes
    /// (C, S, S) → (C, S, S).
    pub fn seen(&self, image: &[T]) -> Vec<T> {
        let planes = image.chunks_exact(self.side * self.side);
        let at = |plane: &[T], taps: &[(usize, T); 4]| {
            taps.iter().fold(T::ZERO, |sum, &(pixel, share)| sum + share * plane[pixel])
        };
        planes.flat_map(|plane| self.taps.iter().map(move |taps| at(plane, taps))).collect()
    }

    /// The gradient of the image from that of what is seen of it.
    ///
    /// # Shapes
    /// (C, S, S) → (C, S, S).
    pub fn gradient(&self, of_seen: &[T]) -> Vec<T> {
        let area = self.side * self.side;
        let mut gradient = vec![T::ZERO; of_seen.len()];
        for (gradient, of_seen) in gradient.chunks_exact_mut(area).zip(of_seen.chunks_exact(area)) {
            for (taps, &of_seen) in self.taps.iter().zip(of_seen) {
                for &(pixel, share) in taps {
                    gradient[pixel] += share * of_seen;
                }
            }
        }
        gradient
    }
}

/// The four pixels around a point, and the share of each.
fn taps<T: Element>(side: usize, point: [f64; 2]) -> [(usize, T); 4] {
    let [(top, below), (left, right)] = point.map(|at| {
        let at = at.clamp(0.0, side as f64 - 1.0);
        (at.floor() as usize, at.fract())
    });
    let [bottom, last] = [top, left].map(|at| (at + 1).min(side - 1));
    [
        (top * side + left, (1.0 - below) * (1.0 - right)),
        (top * side + last, (1.0 - below) * right),
        (bottom * side + left, below * (1.0 - right)),
        (bottom * side + last, below * right),
    ]
    .map(|(pixel, share)| (pixel, T::from_f64(share)))
}

#[cfg(test)]
mod tests {
    use arcface_core::candle::DType;
    use arcface_core::testing::{normal, values};
    use proptest::prelude::*;

    use super::*;

    fn config(jitter: f64) -> InversionConfig {
        InversionConfig { jitter, rotation: 20.0, zoom: 0.3, flip: 0.5, ..InversionConfig::paper() }
    }

    fn shifted(side: usize, shift: [f64; 2], flip: Flip) -> Placement<f32> {
        Placement::new(side, Pose { shift, flip, ..Pose::default() })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_gradient_is_the_transpose(side in 1_usize..7, jitter in 0.0..9.0, index in 0_u64..1000) {
            let placement = Placement::new(side, Pose::draw(&config(jitter), (0, index, 0)));
            let draw = |index| values(&normal(&[2, side, side], DType::F64, index).unwrap()).unwrap();
            let (image, of_seen) = (draw(index), draw(index + 1));
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let (forth, back) = (placement.seen(&image), placement.gradient(&of_seen));
            prop_assert!((dot(&forth, &of_seen) - dot(&image, &back)).abs() < 1e-9);
        }

        #[test]
        fn a_flat_image_is_seen_flat(side in 1_usize..7, value in -1.0..1.0, index in 0_u64..1000) {
            let placement = Placement::new(side, Pose::draw(&config(3.0), (1, index, 0)));
            prop_assert!(placement.seen(&vec![value; side * side]).iter().all(|seen: &f64| (seen - value).abs() < 1e-12));
        }
    }

    #[test]
    fn a_shift_repeats_the_border() {
        let image: Vec<f32> = (0..9).map(|x| x as f32).collect();
        assert_eq!(shifted(3, [1.0, 0.0], Flip::Plain).seen(&image), [3., 4., 5., 6., 7., 8., 6., 7., 8.]);
        assert_eq!(shifted(3, [0.0, -1.0], Flip::Mirrored).seen(&image), [1., 0., 0., 4., 3., 3., 7., 6., 6.]);
        assert_eq!(shifted(2, [0.0, 0.5], Flip::Plain).seen(&[0.0, 1.0, 2.0, 4.0]), [0.5, 1.0, 3.0, 4.0]);
    }

    #[test]
    fn a_quarter_turn_and_half_the_size() {
        let image: Vec<f64> = (0..9).map(f64::from).collect();
        let seen = |pose| Placement::new(3, pose).seen(&image);
        assert!(near(&seen(Pose { rotation: 90.0, ..Pose::default() }), &[2., 5., 8., 1., 4., 7., 0., 3., 6.]));
        assert!(near(&seen(Pose { zoom: 0.5, ..Pose::default() })[..3], &[2.0, 2.5, 3.0]));
    }

    fn near(found: &[f64], expected: &[f64]) -> bool {
        found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-9)
    }

    #[test]
    fn nothing_drawn_changes_nothing_and_a_draw_repeats() {
        let still = InversionConfig { rotation: 0.0, zoom: 0.0, flip: 0.0, ..config(0.0) };
        assert_eq!(Pose::draw(&still, (1, 2, 3)), Pose::default());
        assert_eq!(Pose::draw(&config(2.0), (1, 2, 3)), Pose::draw(&config(2.0), (1, 2, 3)));
        let poses: Vec<Pose> = (0..40).map(|step| Pose::draw(&config(2.0), (1, step, 0))).collect();
        assert!((0..40).all(|i| !poses[..i].contains(&poses[i])));
        assert!(poses.iter().all(|pose| pose.shift[0].abs() <= 2.0 && (pose.zoom - 1.0).abs() <= 0.3));
        assert!(poses.iter().any(|pose| pose.flip == Flip::Plain) && poses.iter().any(|p| p.flip == Flip::Mirrored));
    }
}
