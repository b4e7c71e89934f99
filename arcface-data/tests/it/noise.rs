//! Planted noise: how much, of whom, and that the truth beside it is the truth.

use std::sync::Arc;

use arcface_data::source::images_by_identity;
use arcface_data::{NoiseConfig, NoisySource, Sampler, SamplerKind, Source, Truth};
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::support::Noise;

/// A source whose identities have names of their own, and other faces than [`Noise`].
struct Strangers(Noise);

impl Source for Strangers {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn num_identities(&self) -> usize {
        self.0.num_identities()
    }
    fn label(&self, index: usize) -> u32 {
        self.0.label(index)
    }
    fn identity(&self, label: u32) -> String {
        format!("stranger{label}")
    }
    fn image(&self, index: usize) -> arcface_core::Result<arcface_data::Image> {
        self.0.image(1_000_000 + index)
    }
    fn describe(&self, index: usize) -> String {
        format!("stranger {index}")
    }
}

fn noisy(counts: &[usize], config: NoiseConfig) -> NoisySource {
    let strangers: Arc<dyn Source> = Arc::new(Strangers(Noise::new(&[3, 4], 4)));
    NoisySource::new(Arc::new(Noise::new(counts, 4)), Some(strangers), config).unwrap()
}

/// (label, truth, shown) of every image.
fn all(source: &NoisySource) -> Vec<(u32, Truth, String)> {
    (0..source.len()).map(|index| (source.label(index), source.truth(index), source.shown(index))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Labels, pixels and names tell the same as the truth, and what is not met is as it was.
    #[test]
    fn the_truth_is_what_the_images_show(
        counts in prop::collection::vec(1_usize..9, 2..9), closed in 0.0_f64..0.5, open in 0.0_f64..0.5, seed in 0_u64..99
    ) {
        let config = NoiseConfig { closed, open, seed };
        let (before, noisy) = (Noise::new(&counts, 4), noisy(&counts, config));
        prop_assert_eq!((noisy.len(), noisy.num_identities()), (before.len(), before.num_identities()));
        for index in 0..noisy.len() {
            let (label, was) = (noisy.label(index), before.label(index));
            let same_image = noisy.image(index).unwrap() == before.image(index).unwrap();
            let shown = noisy.shown(index);
            match noisy.truth(index) {
                Truth::Clean => prop_assert!(label == was && same_image && shown == noisy.identity(label)),
                Truth::Closed => prop_assert!(label != was && same_image && shown == before.identity(was)),
                Truth::Open => prop_assert!(label == was && !same_image && shown.starts_with("stranger")),
            }
            prop_assert!((label as usize) < noisy.num_identities());
            prop_assert_eq!(noisy.describe(index).starts_with("stranger"), noisy.truth(index) == Truth::Open);
        }
        prop_assert_eq!(all(&noisy), all(&self::noisy(&counts, config)));
    }

    /// What an image is met by does not depend on how many others there are.
    #[test]
    fn an_image_is_met_by_its_number_alone(seed in 0_u64..99, more in 0_usize..50) {
        let config = NoiseConfig { closed: 0.3, open: 0.3, seed };
        let (few, many) = (noisy(&[10, 10], config), noisy(&[10, 10 + more], config));
        prop_assert_eq!(all(&few), &all(&many)[..20]);
    }
}

#[test]
fn rates_are_met_and_flips_are_uniform() {
    let counts = [4000; 5];
    let noisy = noisy(&counts, NoiseConfig { closed: 0.2, open: 0.1, seed: 3 });
    let count = |truth| (0..noisy.len()).filter(|index| noisy.truth(*index) == truth).count() as f64;
    // Four standard deviations of 20,000 draws: 4·√(20000·p·(1 − p)).
    assert!((count(Truth::Closed) - 4000.0).abs() < 226.0, "{}", count(Truth::Closed));
    assert!((count(Truth::Open) - 2000.0).abs() < 170.0, "{}", count(Truth::Open));
    let mut flips = [[0_u32; 5]; 5];
    for index in (0..noisy.len()).filter(|index| noisy.truth(*index) == Truth::Closed) {
        flips[index / 4000][noisy.label(index) as usize] += 1;
    }
    for (from, row) in flips.iter().enumerate() {
        for (to, flips) in row.iter().enumerate() {
            // 4000 · 0.2 / 4 each, but none to itself.
            assert!(if from == to { *flips == 0 } else { flips.abs_diff(200) < 60 }, "{from} → {to}: {flips}");
        }
    }
}

#[test]
fn other_seeds_meet_other_images_and_no_rate_meets_none() {
    let at = |closed, open, seed| all(&noisy(&[20, 20], NoiseConfig { closed, open, seed }));
    assert_ne!(at(0.2, 0.2, 0), at(0.2, 0.2, 1));
    assert!(at(0.0, 0.0, 0).iter().all(|(_, truth, _)| *truth == Truth::Clean));
    assert!(at(0.0, 1.0, 0).iter().all(|(_, truth, _)| *truth == Truth::Open));
    assert!(NoiseConfig::default().is_off());
}

/// Noise may leave an identity without images; balanced batches are then made of the others.
#[test]
fn balanced_batches_pass_over_identities_without_images() {
    let flipped = |seed| noisy(&[1, 1, 1], NoiseConfig { closed: 1.0, open: 0.0, seed });
    let left = |noisy: &NoisySource| images_by_identity(noisy).iter().filter(|images| !images.is_empty()).count();
    let noisy = (0..99).map(flipped).find(|noisy| left(noisy) == 2).unwrap();
    let balanced = |identities| Sampler::new(SamplerKind::Balanced { identities, images: 1 }, &noisy, identities, 0);
    assert_eq!(balanced(2).unwrap().batch_indices(7).len(), 2);
    assert_snapshot!(balanced(3).unwrap_err(), @"balanced sampler: expected at most 2 identities per batch (those of the data set), got 3");
    assert_eq!(SamplerKind::Balanced { identities: 3, images: 1 }.largest_batch_size(&noisy), 2);
}

#[test]
fn complaints() {
    let set = |counts: &[usize]| -> Arc<dyn Source> { Arc::new(Noise::new(counts, 4)) };
    let words = |closed, open, counts: &[usize], strangers: Option<Arc<dyn Source>>| {
        NoisySource::new(set(counts), strangers, NoiseConfig { closed, open, seed: 0 }).unwrap_err().to_string()
    };
    assert_snapshot!(words(-0.1, 0.0, &[2, 2], None), @"noise `closed` and `open`: expected shares of the images, both 0 or more and at most 1 together, got -0.1 and 0");
    assert_snapshot!(words(0.6, 0.5, &[2, 2], None), @"noise `closed` and `open`: expected shares of the images, both 0 or more and at most 1 together, got 0.6 and 0.5");
    assert_snapshot!(words(f64::NAN, 0.5, &[2, 2], None), @"noise `closed` and `open`: expected shares of the images, both 0 or more and at most 1 together, got NaN and 0.5");
    assert_snapshot!(words(0.1, 0.0, &[2], None), @"identities: expected at least 2 identities, for noise within the set, got 1");
    assert_snapshot!(words(0.0, 0.1, &[2, 2], None), @"faces of strangers: expected at least one, for noise from outside of the set, got 0");
    assert_snapshot!(words(0.0, 0.1, &[2, 2], Some(set(&[1, 1, 1]))), @"strangers: expected faces of people who are not in the data set, got `person0`");
}
