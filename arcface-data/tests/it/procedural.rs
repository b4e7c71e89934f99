//! Procedural identities: pure functions of their numbers, distinct, drawn at any size and strength.
//! Knows nothing of how hard they are to tell apart; that is measured where baselines and networks are at hand.

use std::collections::HashSet;

use arcface_data::{ProceduralConfig, ProceduralSource, Source};
use proptest::prelude::*;

fn small() -> ProceduralConfig {
    ProceduralConfig { identities: 6, images_per_identity: 4, image_size: 48, ..ProceduralConfig::default() }
}

fn source(config: ProceduralConfig) -> ProceduralSource {
    ProceduralSource::new(config).unwrap()
}

fn pixels(source: &ProceduralSource) -> Vec<Vec<u8>> {
    (0..source.len()).map(|index| source.image(index).unwrap().rgb).collect()
}

#[test]
fn order_and_threads_change_nothing() {
    let source = source(small());
    let backwards = || (0..source.len()).rev().map(|index| source.image(index).unwrap().rgb).collect::<Vec<_>>();
    let expected = pixels(&source);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(backwards)).collect();
        for thread in threads {
            assert!(thread.join().unwrap().iter().rev().eq(&expected));
        }
    });
}

#[test]
fn every_image_is_another_one() {
    let images = pixels(&source(small()));
    assert_eq!(images.iter().collect::<HashSet<_>>().len(), images.len());
}

#[test]
fn another_seed_draws_others() {
    let other = pixels(&source(ProceduralConfig { seed: 1, ..small() }));
    assert!(pixels(&source(small())).iter().zip(&other).all(|(one, other)| one != other));
}

#[test]
fn ranges_that_do_not_overlap_share_no_identity() {
    let (first, second) = (source(small()), source(ProceduralConfig { first_identity: 6, ..small() }));
    let names = |source: &ProceduralSource| (0..6).map(|label| source.identity(label)).collect::<HashSet<_>>();
    assert!(names(&first).is_disjoint(&names(&second)));
    assert!(pixels(&first).iter().all(|image| !pixels(&second).contains(image)));
}

#[test]
fn without_nuisance_an_identity_has_one_image() {
    let images = pixels(&source(ProceduralConfig { nuisance: 0.0, ..small() }));
    assert!(images.chunks(4).all(|identity| identity.iter().all(|image| image == &identity[0])));
    assert!(images.chunks(4).map(|identity| &identity[0]).collect::<HashSet<_>>().len() == 6);
}

#[test]
fn labels_group_images_by_identity() {
    let source = source(small());
    let labels: Vec<_> = (0..source.len()).map(|index| source.label(index)).collect();
    assert_eq!(labels[..6], [0, 0, 0, 0, 1, 1]);
    assert_eq!((source.len(), source.num_identities()), (24, 6));
    assert_eq!(source.dimensions(23).unwrap(), (48, 48));
    assert_eq!(source.describe(23), "procedural identity 5 image 3 (seed 0)");
}

/// Brightness, contrast and colours of whole images say nothing about who it is: all identities share their nuisance.
#[test]
fn nuisance_is_alike_for_all_identities() {
    let config = ProceduralConfig { identities: 24, images_per_identity: 24, image_size: 24, ..small() };
    let brightness: Vec<f64> =
        pixels(&source(config)).iter().map(|rgb| mean(rgb.iter().map(|v| f64::from(*v)))).collect();
    let (all, by_identity) = (variance(&brightness), brightness.chunks(24).map(|images| mean(images.iter().copied())));
    let between = variance(&by_identity.collect::<Vec<_>>());
    // By chance alone 1/24 of the variance lies between means of 24 images.
    assert!(between < 0.15 * all, "{between} of {all}");
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

fn variance(values: &[f64]) -> f64 {
    let centre = mean(values.iter().copied());
    mean(values.iter().map(|value| (value - centre).powi(2)))
}

#[test]
fn what_is_out_of_range_is_named() {
    let message = |config| ProceduralSource::new(config).unwrap_err().to_string();
    insta::assert_snapshot!(message(ProceduralConfig { identities: 0, ..small() }), @"identities: expected 1 to 4294967295, got 0");
    insta::assert_snapshot!(message(ProceduralConfig { images_per_identity: 0, ..small() }), @"images_per_identity: expected 1 to 3074457345618258602, got 0");
    insta::assert_snapshot!(message(ProceduralConfig { image_size: 8, ..small() }), @"image_size: expected 16 to 1024 pixels, got 8");
    insta::assert_snapshot!(message(ProceduralConfig { nuisance: 1.5, ..small() }), @"nuisance: expected 0 <= nuisance <= 1, got 1.5");
    insta::assert_snapshot!(message(ProceduralConfig { nuisance: f32::NAN, ..small() }), @"nuisance: expected 0 <= nuisance <= 1, got NaN");
    insta::assert_snapshot!(message(ProceduralConfig { first_identity: u64::MAX, ..small() }), @"first_identity: expected first_identity + identities < 2⁶⁴, got 18446744073709551615");
    insta::assert_snapshot!(source(small()).image(24).unwrap_err(), @"image index: expected less than 24, got 24");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_face_can_be_drawn(seed: u64, number in 0..u64::MAX - 1, image_size in 16_usize..160, nuisance in 0.0_f32..=1.0) {
        let config = ProceduralConfig { seed, identities: 1, images_per_identity: 2, image_size, first_identity: number, nuisance };
        let image = source(config).image(1).unwrap();
        prop_assert_eq!((image.width, image.rgb.len()), (image_size, 3 * image_size * image_size));
        // A face is no plain picture.
        let (low, high) = (image.rgb.iter().min().unwrap(), image.rgb.iter().max().unwrap());
        prop_assert!(low.saturating_add(20) < *high, "{} to {}", low, high);
    }
}
