//! Embeddings and the distances of their pairs.
//! Knows no labels.

use arcface_eval::Embeddings;
use proptest::prelude::*;

use crate::assert_near;

fn rows(number: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(prop_oneof![-9.0_f32..-0.1, 0.1_f32..9.0], number * 8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn distance_is_two_less_twice_the_cosine(values in rows(2)) {
        let embeddings = Embeddings::normalised(&values, 8).unwrap();
        let distance = embeddings.squared_distances(&[(0, 1)]).unwrap()[0];
        let cosine = embeddings.cosines(&[(0, 1)]).unwrap()[0];
        assert_near(distance, 2.0 - 2.0 * cosine, 1e-6);
    }

    #[test]
    fn length_does_not_matter(values in rows(2), factor in 0.01_f32..100.0) {
        let scaled: Vec<f32> = values.iter().map(|value| value * factor).collect();
        let distance = |values: &[f32]| {
            Embeddings::normalised(values, 8).unwrap().squared_distances(&[(0, 1)]).unwrap()[0]
        };
        assert_near(distance(&values), distance(&scaled), 1e-5);
    }

    #[test]
    fn mirror_images_are_added_before_normalising(values in rows(3), mirrored in rows(3)) {
        let sums: Vec<f32> = values.iter().zip(&mirrored).map(|(a, b)| a + b).collect();
        // Opposite rows may cancel; that is an error elsewhere.
        prop_assume!(sums.chunks(8).all(|row| row.iter().any(|value| 0.1 < value.abs())));
        let with_mirrors = Embeddings::with_mirrors(&values, &mirrored, 8).unwrap();
        let of_sums = Embeddings::normalised(&sums, 8).unwrap();
        for row in 0..3 {
            for (&a, &b) in with_mirrors.row(row).iter().zip(of_sums.row(row)) {
                assert_near(f64::from(a), f64::from(b), 1e-5);
            }
        }
    }
}

#[test]
fn equal_rows_have_distance_zero_and_opposite_rows_four() {
    let embeddings = Embeddings::normalised(&[0.3, 0.7, 0.3, 0.7, -0.3, -0.7], 2).unwrap();
    let distances = embeddings.squared_distances(&[(0, 1), (0, 2)]).unwrap();
    assert_near(distances[0], 0.0, 0.0);
    assert_near(distances[1], 4.0, 1e-6);
    assert!(distances[1] <= 4.0);
}

#[test]
fn tiny_and_huge_rows_are_normalised() {
    let embeddings = Embeddings::normalised(&[1e-38, 0.0, 3e38, 3e38], 2).unwrap();
    assert_near(embeddings.cosines(&[(0, 1)]).unwrap()[0], 0.5_f64.sqrt(), 1e-6);
}
