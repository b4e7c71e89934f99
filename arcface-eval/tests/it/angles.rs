//! Angles between embeddings, class means and centers: numpy's numbers, plain loops, what must not change them, messages.
//! Knows no blocks and no threads of the library.

use arcface_core::Result;
use arcface_eval::angles::{ClassMeans, ClassSums, nearest_centers};
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::assert_near;

/// Labels and embeddings of a few classes, row by row.
#[derive(Debug, Clone)]
struct Images {
    classes: usize,
    size: usize,
    labels: Vec<u32>,
    values: Vec<f32>,
}

impl Images {
    fn rows(&self) -> impl Iterator<Item = (u32, &[f32])> {
        self.labels.iter().copied().zip(self.values.chunks_exact(self.size))
    }

    fn means(&self) -> ClassMeans {
        let mut sums = ClassSums::new(self.classes, self.size).unwrap();
        for (label, embedding) in self.rows() {
            sums.add(label, embedding).unwrap();
        }
        sums.means()
    }

    /// Mean angle to the class mean, and Inter.
    fn figures(&self) -> (f64, Option<f64>) {
        let means = self.means();
        let angles: f64 = self.rows().map(|(label, embedding)| means.angle(label, embedding).unwrap()).sum();
        (angles / self.labels.len() as f64, means.inter())
    }
}

fn fraction(index: usize, step: f64) -> f64 {
    (index as f64 * step) % 1.0
}

/// Five classes of three images, and a center for each, made by formula.
fn formula() -> (Images, Vec<f32>) {
    let (classes, size, per_class) = (5, 4, 3);
    let value = |k: usize| {
        let own = if k / (per_class * size) == k % size { 0.75 } else { 0.0 };
        (2.0 * fraction(k, 0.618_033_988_749_894_9) - 1.0 + own) as f32
    };
    let values = (0..classes * per_class * size).map(value).collect();
    let labels = (0..classes * per_class).map(|image| (image / per_class) as u32).collect();
    let center = |j: usize| (2.0 * fraction(j, 0.414_213_562_373_095_1) - 1.0) as f32;
    (Images { classes, size, labels, values }, (0..classes * size).map(center).collect())
}

/// ```python
/// import numpy as np
/// classes, size, per_class = 5, 4, 3
/// k = np.arange(classes * per_class * size, dtype=np.float64)
/// # fractional parts as a generator without a library; f32, as networks give them
/// own = 0.75 * ((k // (per_class * size)) == k % size)
/// images = (2 * ((k * 0.6180339887498949) % 1.0) - 1 + own).astype(np.float32)
/// images = images.reshape(classes, per_class, size).astype(np.float64)
/// j = np.arange(classes * size, dtype=np.float64)
/// centers = (2 * ((j * 0.4142135623730951) % 1.0) - 1).astype(np.float32).reshape(classes, size).astype(np.float64)
/// unit = lambda v: v / np.linalg.norm(v, axis=-1, keepdims=True)
/// degrees = lambda a, b: np.degrees(np.arccos((unit(a) * unit(b)).sum(-1)))
/// means = unit(images).sum(1)
/// def inter(rows):
///     cosines = unit(rows) @ unit(rows).T
///     np.fill_diagonal(cosines, -1)
///     return np.degrees(np.arccos(cosines.max(1))).mean()
/// print(repr(degrees(images, means[:, None]).mean()), repr(inter(means)))
/// print(repr(degrees(centers, means).mean()), repr(inter(centers)))
/// ```
#[test]
fn angles_agree_with_numpy() {
    let (images, centers) = formula();
    let (intra, inter) = images.figures();
    assert_near(intra, 53.763_762_855_130_15, 1e-4);
    assert_near(inter.unwrap(), 55.564_192_016_350_99, 1e-4);
    assert_near(images.means().to_centers(&centers).unwrap(), 121.289_704_419_478_34, 1e-4);
    assert_near(nearest_centers(&centers, images.size).unwrap().unwrap(), 59.763_138_809_320_27, 1e-4);
}

/// The angle in degrees by arccos, which is exact enough away from 0° and 180°.
fn arccos(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).clamp(-1.0, 1.0).acos().to_degrees()
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&value| f64::from(value)).collect()
}

/// Mean unit embedding of each class that has images.
fn plain_means(images: &Images) -> Vec<Option<Vec<f64>>> {
    let mean = |class: usize| {
        let of_class: Vec<Vec<f64>> =
            images.rows().filter(|(label, _)| *label as usize == class).map(|(_, row)| wide(row)).collect();
        let mut mean = vec![0.0; images.size];
        for row in &of_class {
            let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / length / of_class.len() as f64);
        }
        (!of_class.is_empty()).then_some(mean)
    };
    (0..images.classes).map(mean).collect()
}

fn plain_nearest(rows: &[Vec<f64>]) -> Option<f64> {
    let smallest = |i: usize| {
        (0..rows.len()).filter(|&j| j != i).map(|j| arccos(&rows[i], &rows[j])).fold(f64::INFINITY, f64::min)
    };
    (1 < rows.len()).then(|| (0..rows.len()).map(smallest).sum::<f64>() / rows.len() as f64)
}

fn images() -> impl Strategy<Value = Images> {
    (1..6_usize, 2..6_usize, 1..12_usize).prop_flat_map(|(classes, size, number)| {
        let labels = prop::collection::vec(0..classes as u32, number);
        // One sign keeps the sums of a class away from zero.
        let values = prop::collection::vec(0.1_f32..9.0, number * size);
        (labels, values).prop_map(move |(labels, values)| Images { classes, size, labels, values })
    })
}

fn assert_same((intra, inter): (f64, Option<f64>), expected: (f64, Option<f64>), tolerance: f64) {
    assert_near(intra, expected.0, tolerance);
    assert_eq!(inter.is_some(), expected.1.is_some());
    assert_near(inter.unwrap_or_default(), expected.1.unwrap_or_default(), tolerance);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn figures_are_those_of_plain_loops(images in images()) {
        let plain = plain_means(&images);
        let to_mean = |(label, row): (u32, &[f32])| arccos(&wide(row), plain[label as usize].as_ref().unwrap());
        let intra = images.rows().map(to_mean).sum::<f64>() / images.labels.len() as f64;
        let known: Vec<Vec<f64>> = plain.iter().flatten().cloned().collect();
        prop_assert_eq!(images.means().classes(), known.len());
        assert_same(images.figures(), (intra, plain_nearest(&known)), 1e-4);

        let centers: Vec<f32> = (0..images.classes * images.size).map(|j| fraction(j, 0.37) as f32 - 0.45).collect();
        let rows: Vec<Vec<f64>> = centers.chunks(images.size).map(wide).collect();
        let apart: Vec<f64> =
            plain.iter().zip(&rows).filter_map(|(mean, center)| Some(arccos(mean.as_ref()?, center))).collect();
        let expected = apart.iter().sum::<f64>() / apart.len() as f64;
        assert_near(images.means().to_centers(&centers).unwrap(), expected, 1e-4);
        let nearest = nearest_centers(&centers, images.size).unwrap();
        assert_same((0.0, nearest), (0.0, plain_nearest(&rows)), 1e-4);
    }

    #[test]
    fn lengths_do_not_matter(images in images(), factors in prop::collection::vec(0.001_f32..1000.0, 12)) {
        let scaled = images.values.chunks(images.size).zip(&factors).flat_map(|(row, f)| row.iter().map(move |v| v * f));
        let scaled = Images { values: scaled.collect(), ..images.clone() };
        assert_same(scaled.figures(), images.figures(), 1e-4);
    }

    #[test]
    fn rotation_does_not_matter(images in images(), angle in 0.0..std::f64::consts::TAU) {
        let turn = |row: &[f32]| {
            let mut row = row.to_vec();
            let (x, y) = (f64::from(row[0]), f64::from(row[1]));
            row[0] = (x * angle.cos() - y * angle.sin()) as f32;
            row[1] = (x * angle.sin() + y * angle.cos()) as f32;
            row
        };
        let turned = Images { values: images.values.chunks(images.size).flat_map(turn).collect(), ..images.clone() };
        assert_same(turned.figures(), images.figures(), 1e-4);
    }

    #[test]
    fn the_order_of_classes_does_not_matter(images in images()) {
        let labels = images.labels.iter().map(|label| images.classes as u32 - 1 - label).collect();
        assert_same(Images { labels, ..images.clone() }.figures(), images.figures(), 1e-9);
    }
}

#[test]
fn nearly_equal_directions_have_a_small_angle_and_not_none() {
    let angle = nearest_centers(&[1.0, 0.0, 1.0, 1e-6], 2).unwrap().unwrap();
    assert_near(angle, 1e-6_f64.to_degrees(), 1e-9);
    let opposite = nearest_centers(&[1.0, 1.0, -2.0, -2.0], 2).unwrap().unwrap();
    assert_near(opposite, 180.0, 1e-9);
}

#[test]
fn more_classes_than_a_block_have_the_same_neighbours() {
    let size = 5;
    let centers: Vec<f32> = (0..300 * size).map(|j| fraction(j, 0.618_033_988_749_894_9) as f32 - 0.4).collect();
    let rows: Vec<Vec<f64>> = centers.chunks(size).map(wide).collect();
    let angle = nearest_centers(&centers, size).unwrap().unwrap();
    assert_near(angle, plain_nearest(&rows).unwrap(), 1e-4);
    let on_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| nearest_centers(&centers, size).unwrap())
    };
    for threads in [1, 2, 5] {
        assert_eq!(on_threads(threads), Some(angle), "{threads} threads");
    }
}

#[test]
fn classes_without_a_direction_have_no_mean() {
    let mut sums = ClassSums::new(4, 2).unwrap();
    // Class 1 cancels, class 2 has no image.
    for (label, embedding) in [(0, [1.0, 0.0]), (1, [3.0, 0.0]), (1, [-1.0, 0.0]), (3, [0.0, 1.0])] {
        sums.add(label, &embedding).unwrap();
    }
    let means = sums.means();
    assert_eq!(means.classes(), 2);
    assert_near(means.inter().unwrap(), 90.0, 1e-9);
    // The centers that have no mean to stand beside may be anything.
    assert_near(means.to_centers(&[0.0, 1.0, 0.0, 0.0, f32::NAN, 0.0, 0.0, 1.0]).unwrap(), 45.0, 1e-9);
}

#[test]
fn tiny_and_huge_embeddings_have_directions() {
    let mut sums = ClassSums::new(1, 2).unwrap();
    for embedding in [[1e-38, 0.0], [0.0, 3e38]] {
        sums.add(0, &embedding).unwrap();
    }
    assert_near(sums.means().angle(0, &[1e-40, 0.0]).unwrap(), 45.0, 1e-9);
}

#[test]
fn messages() {
    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }
    assert_snapshot!(message(ClassSums::new(0, 2)), @"sums of embeddings: expected at least one class and one value, got 0 classes of 2 values");
    let mut sums = ClassSums::new(3, 2).unwrap();
    assert_snapshot!(message(sums.add(3, &[1.0, 0.0])), @"label: expected a class below 3, got 3");
    assert_snapshot!(message(sums.add(0, &[1.0])), @"embedding of an image of class 0: expected 2 values, got 1");
    assert_snapshot!(message(sums.add(2, &[0.0, 0.0])), @"embedding of an image of class 2: expected a finite vector that is not zero (an untrained or diverged network gives others), got length 0");
    assert_snapshot!(message(sums.add(2, &[f32::NAN, 0.0])), @"embedding of an image of class 2: expected a finite vector that is not zero (an untrained or diverged network gives others), got length NaN");
    assert_snapshot!(message(sums.clone().means().to_centers(&[1.0; 6])), @"classes with a mean embedding: expected at least one, got 0");
    sums.add(1, &[1.0, 0.0]).unwrap();
    let means = sums.means();
    assert_snapshot!(message(means.angle(0, &[1.0, 0.0])), @"class 0: expected a mean embedding (its images may be missing, or cancel each other), got none");
    assert_snapshot!(message(means.angle(7, &[1.0, 0.0])), @"label: expected a class below 3, got 7");
    assert_snapshot!(message(means.to_centers(&[1.0; 4])), @"class centers: expected 3 rows of 2 values, got 4 values");
    assert_snapshot!(message(means.to_centers(&[1.0, 1.0, 0.0, 0.0, 1.0, 1.0])), @"center of class 1: expected a finite vector that is not zero (an untrained or diverged network gives others), got length 0");
    assert_snapshot!(message(nearest_centers(&[1.0, 2.0, 3.0], 2)), @"class centers: expected whole rows of 2 values, got 3 values");
    assert_snapshot!(message(nearest_centers(&[1.0, 2.0, f32::INFINITY, 3.0], 2)), @"center of class 1: expected a finite vector that is not zero (an untrained or diverged network gives others), got length inf");
}
