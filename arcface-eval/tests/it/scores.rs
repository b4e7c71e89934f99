//! TAR at FAR over many pairs: the same as with all scores in memory, for lists and for sets, whatever the threads.
//! Knows no private function.
//!
//! ```python
//! import numpy as np
//! from sklearn.metrics import roc_curve
//! def faces(n, size, identities):
//!     face, at = np.arange(n)[:, None], np.arange(size)[None, :]
//!     own = (face % identities * 31 + at * 17 + face % identities * at * 7) % 23
//!     noise = (face * 13 + at * at * 5 + face * at * 3) % 29
//!     values = 3.0 * own + 2.0 * noise - 61.0
//!     return (values / np.sqrt((values ** 2).sum(1, keepdims=True))).astype(np.float32), np.arange(n) % identities
//! embeddings, identities = faces(150, 24, 30)
//! a, b = np.triu_indices(150, 1)
//! same = identities[a] == identities[b]
//! scores = (embeddings[a].astype(np.float64) * embeddings[b].astype(np.float64)).sum(1)
//! fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
//! for far in (1e-1, 1e-2, 1e-3, 1e-4):
//!     print(far, repr(tpr[fpr <= far].max()))
//! ```

use std::borrow::Cow;
use std::ops::Range;

use arcface_core::Result;
use arcface_core::seed::{Purpose, rng};
use arcface_eval::scores::Faces;
use arcface_eval::{Embeddings, Pairs, Roc, Rows, TarAtFar, tar_at_far};
use insta::assert_snapshot;
use proptest::prelude::*;
use rand::Rng;

use crate::{assert_near, formula_faces};

const FARS: [f64; 6] = [1.0, 0.3, 0.1, 1e-2, 1e-3, 1e-4];

/// Faces of random identities, some of them copies of others, so that there are ties.
fn random_faces(seed: u64, number: usize, size: usize, identities: u32) -> (Embeddings, Vec<u32>) {
    let mut draws = rng(seed, Purpose::Testing, 0, 0);
    let mut values: Vec<f32> = (0..number * size).map(|_| draws.random_range(-1.0..1.0)).collect();
    for copy in (0..number).step_by(5) {
        let of = draws.random_range(0..number);
        values.copy_within(of * size..(of + 1) * size, copy * size);
    }
    let labels = (0..number).map(|_| draws.random_range(0..identities)).collect();
    (Embeddings::normalised(&values, size).unwrap(), labels)
}

fn all_pairs(number: usize) -> Vec<(u32, u32)> {
    let number = number as u32;
    (0..number).flat_map(|a| (a + 1..number).map(move |b| (a, b))).collect()
}

fn labels(pairs: &[(u32, u32)], identities: &[u32]) -> Vec<bool> {
    pairs.iter().map(|&(a, b)| identities[a as usize] == identities[b as usize]).collect()
}

fn cosines(faces: &Embeddings, pairs: &[(u32, u32)]) -> Vec<f64> {
    let pairs: Vec<(usize, usize)> = pairs.iter().map(|&(a, b)| (a as usize, b as usize)).collect();
    faces.cosines(&pairs).unwrap()
}

/// That `found` is what all scores in memory give, and that its thresholds accept what they say.
fn check(found: &TarAtFar, scores: &[f64], same: &[bool]) {
    let roc = Roc::from_scores(scores, same).unwrap();
    assert_eq!((found.genuine, found.impostors), (roc.genuine(), roc.impostors()));
    for (point, far) in found.points.iter().zip(FARS) {
        let expected = roc.point_at_far(far);
        let counts = |point: &arcface_eval::roc::OperatingPoint| (point.true_accepts, point.false_accepts);
        assert_eq!(point.as_ref().map(counts), expected.map(counts), "at a rate of {far}");
        let Some(point) = point else { continue };
        let accepted = |kind| scores.iter().zip(same).filter(|(s, k)| point.score <= **s && **k == kind).count();
        assert_eq!((accepted(true), accepted(false)), counts(point), "threshold {} at a rate of {far}", point.score);
    }
}

fn check_all_ways(faces: &Embeddings, identities: &[u32]) {
    let pairs = all_pairs(faces.len());
    let (scores, same) = (cosines(faces, &pairs), labels(&pairs, identities));
    let listed = Pairs::Listed { embeddings: faces, pairs: &pairs, same: &same };
    let set = Faces { rows: faces, identities };
    check(&tar_at_far(&[listed], &FARS).unwrap(), &scores, &same);
    check(&tar_at_far(&[Pairs::Within(set)], &FARS).unwrap(), &scores, &same);
    let number = faces.len() as u32;
    let crossed: Vec<(u32, u32)> = (0..number).flat_map(|a| (0..number).map(move |b| (a, b))).collect();
    let (scores, same) = (cosines(faces, &crossed), labels(&crossed, identities));
    check(&tar_at_far(&[Pairs::Between(set, set)], &FARS).unwrap(), &scores, &same);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn lists_and_sets_agree_with_all_scores_in_memory(seed in any::<u64>(), number in 20..90_usize, size in 1..40_usize) {
        let (faces, identities) = random_faces(seed, number, size, 4);
        check_all_ways(&faces, &identities);
    }

    #[test]
    fn the_order_of_the_pairs_does_not_matter_and_tar_does_not_fall(seed in any::<u64>()) {
        let (faces, identities) = random_faces(seed, 60, 8, 5);
        let mut pairs = all_pairs(60);
        let found = |pairs: &[(u32, u32)]| {
            let same = labels(pairs, &identities);
            tar_at_far(&[Pairs::Listed { embeddings: &faces, pairs, same: &same }], &FARS).unwrap()
        };
        let before = found(&pairs);
        pairs.reverse();
        for pair in &mut pairs {
            *pair = (pair.1, pair.0);
        }
        prop_assert_eq!(&before, &found(&pairs));
        let tars: Vec<Option<f64>> = before.points.iter().map(|point| point.map(|point| before.tar(&point))).collect();
        prop_assert!(tars.windows(2).all(|two| two[1] <= two[0]));
        prop_assert!(before.curve.windows(2).all(|two| two[1].score < two[0].score));
        prop_assert!(before.curve.windows(2).all(|two| two[0].true_accepts <= two[1].true_accepts));
    }

    #[test]
    fn a_rising_map_of_the_scores_changes_nothing(angles in prop::collection::vec((0.01..3.1_f32, any::<bool>()), 8..60)) {
        let (angles, mut same): (Vec<f32>, Vec<bool>) = angles.into_iter().unzip();
        (same[0], same[1]) = (true, false);
        let found = |scale: f32| {
            let mut values = vec![1.0, 0.0];
            values.extend(angles.iter().flat_map(|angle| [(scale * angle).cos(), (scale * angle).sin()]));
            let faces = Embeddings::normalised(&values, 2).unwrap();
            let pairs: Vec<(u32, u32)> = (1..=angles.len() as u32).map(|face| (0, face)).collect();
            let found = tar_at_far(&[Pairs::Listed { embeddings: &faces, pairs: &pairs, same: &same }], &FARS).unwrap();
            let counts = found.points.iter().map(|point| point.map(|point| (point.true_accepts, point.false_accepts)));
            counts.collect::<Vec<Option<(usize, usize)>>>()
        };
        // Angles nearer than the rounding of their cosines could change their order.
        let mut sorted = angles.clone();
        sorted.sort_by(f32::total_cmp);
        prop_assume!(sorted.windows(2).all(|two| 1e-3 < two[1] - two[0]));
        prop_assert_eq!(found(1.0), found(0.5));
    }
}

#[test]
fn true_accept_rates_agree_with_scikit_learn() {
    let (faces, identities) = formula_faces(150, 24, 30);
    let set = Faces { rows: &faces, identities: &identities };
    let found = tar_at_far(&[Pairs::Within(set)], &[1e-1, 1e-2, 1e-3, 1e-4]).unwrap();
    assert_eq!((found.genuine, found.impostors), (300, 10_875));
    let tars: Vec<f64> = found.points.iter().map(|point| found.tar(&point.unwrap())).collect();
    for (got, expected) in tars.iter().zip([298.0 / 300.0, 125.0 / 300.0, 16.0 / 300.0, 2.0 / 300.0]) {
        assert_near(*got, expected, 1e-12);
    }
}

#[test]
fn sets_of_several_panels_agree_with_all_scores_in_memory() {
    // 4,096 faces are a panel; the pairs within are those of the panels, and those between the two.
    let (faces, identities) = random_faces(3, 4100, 3, 900);
    let pairs = all_pairs(4100);
    let (scores, same) = (cosines(&faces, &pairs), labels(&pairs, &identities));
    let set = Faces { rows: &faces, identities: &identities };
    check(&tar_at_far(&[Pairs::Within(set)], &FARS).unwrap(), &scores, &same);
}

#[test]
fn several_parts_are_one_protocol() {
    let (faces, identities) = random_faces(5, 80, 16, 6);
    let others = vec![99; 80];
    let (set, crowd) = (Faces { rows: &faces, identities: &identities }, Faces { rows: &faces, identities: &others });
    let found = tar_at_far(&[Pairs::Within(set), Pairs::Between(set, crowd)], &FARS).unwrap();
    let mut pairs = all_pairs(80);
    let mut same = labels(&pairs, &identities);
    pairs.extend((0..80).flat_map(|a| (0..80).map(move |b| (a, b))));
    same.resize(pairs.len(), false);
    check(&found, &cosines(&faces, &pairs), &same);
}

#[test]
fn a_beginning_that_is_unlike_the_rest_costs_a_second_pass_only() {
    // The sample sees the first 4,096 pairs of these alone: impostors that are all opposite.
    let angles = |index: usize| if index < 4096 { 3.0 } else { 0.1 + index as f32 * 1e-5 };
    let mut values = vec![1.0, 0.0];
    values.extend((0..20_000).flat_map(|index| [angles(index).cos(), angles(index).sin()]));
    let faces = Embeddings::normalised(&values, 2).unwrap();
    let pairs: Vec<(u32, u32)> = (1..=20_000).map(|face| (0, face)).collect();
    let same: Vec<bool> = (0..20_000).map(|index| 4096 <= index && index % 7 == 0).collect();
    let found = tar_at_far(&[Pairs::Listed { embeddings: &faces, pairs: &pairs, same: &same }], &FARS).unwrap();
    check(&found, &cosines(&faces, &pairs), &same);
}

#[test]
fn a_set_that_begins_unlike_the_rest_is_counted_again() {
    // The sample sees the first 1,024 faces alone, which point everywhere; the others look almost alike.
    let angle = |face: usize| if face < 1100 { face as f32 * 2.4 } else { 0.3 + face as f32 * 1e-6 };
    let values: Vec<f32> = (0..2100).flat_map(|face| [angle(face).cos(), angle(face).sin()]).collect();
    let faces = Embeddings::normalised(&values, 2).unwrap();
    let identities: Vec<u32> = (0..2100).map(|face| face % 50).collect();
    let pairs = all_pairs(2100);
    let (scores, same) = (cosines(&faces, &pairs), labels(&pairs, &identities));
    let set = Faces { rows: &faces, identities: &identities };
    for far in [0.1, 1e-2, 1e-3, 1e-4] {
        let roc = Roc::from_scores(&scores, &same).unwrap();
        let found = tar_at_far(&[Pairs::Within(set)], &[far]).unwrap();
        let counts = found.points[0].map(|point| (point.true_accepts, point.false_accepts));
        assert_eq!(counts, roc.point_at_far(far).map(|point| (point.true_accepts, point.false_accepts)), "at {far}");
        let last = found.curve.last().unwrap();
        assert_eq!((last.true_accepts, last.false_accepts), (roc.genuine(), roc.impostors()));
    }
}

#[test]
fn equal_scores_are_accepted_together() {
    let faces = Embeddings::normalised(&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0], 2).unwrap();
    let set = Faces { rows: &faces, identities: &[0, 0, 1, 1] };
    let found = tar_at_far(&[Pairs::Within(set)], &[1.0, 0.75]).unwrap();
    let counts: Vec<(usize, usize)> =
        found.points.iter().flatten().map(|point| (point.true_accepts, point.false_accepts)).collect();
    assert_eq!(counts, [(2, 4), (0, 0)]);
}

#[test]
fn any_number_of_threads_gives_the_same() {
    let (faces, identities) = random_faces(8, 700, 33, 40);
    let set = Faces { rows: &faces, identities: &identities };
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| tar_at_far(&[Pairs::Within(set)], &FARS).unwrap())
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(5));
}

/// A set that was cut off.
struct Truncated;

impl Rows for Truncated {
    fn rows(&self) -> usize {
        3
    }

    fn width(&self) -> usize {
        2
    }

    fn read(&self, _: Range<usize>) -> Result<Cow<'_, [f32]>> {
        Ok(Cow::Borrowed(&[1.0, 0.0]))
    }
}

/// Rows that are not of length 1.
struct Unnormalised;

impl Rows for Unnormalised {
    fn rows(&self) -> usize {
        3
    }

    fn width(&self) -> usize {
        2
    }

    fn read(&self, rows: Range<usize>) -> Result<Cow<'_, [f32]>> {
        Ok(rows.flat_map(|row| [1.0, if row == 2 { f32::NAN } else { 0.0 }]).collect())
    }
}

#[test]
fn messages() {
    let faces = Embeddings::normalised(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 2).unwrap();
    let wide = Embeddings::normalised(&[1.0, 0.0, 0.0], 3).unwrap();
    let listed = |pairs: &[(u32, u32)], same: &[bool], far: f64| {
        tar_at_far(&[Pairs::Listed { embeddings: &faces, pairs, same }], &[far]).unwrap_err().to_string()
    };
    let set = |rows, identities| Faces { rows, identities };
    let message = |pairs: Pairs<'_>| tar_at_far(&[pairs], &[0.5]).unwrap_err().to_string();
    assert_snapshot!(listed(&[(0, 1)], &[true], 0.0), @"false accept rate: expected 0 < rate <= 1, got 0");
    assert_snapshot!(listed(&[(0, 1)], &[true, false], 0.1), @"labels of pairs: expected one per pair, 1, got 2");
    assert_snapshot!(listed(&[(0, 1), (3, 0)], &[true, false], 0.1), @"pair 1: expected rows below 3, got (3, 0)");
    assert_snapshot!(listed(&[(0, 1)], &[true], 0.1), @"pairs: expected at least one genuine and one impostor pair, got 1 genuine and 0 impostor pairs");
    assert_snapshot!(listed(&[], &[], 0.1), @"pairs: expected at least one genuine and one impostor pair, got 0 genuine and 0 impostor pairs");
    assert_snapshot!(message(Pairs::Within(set(&faces, &[1, 2]))), @"identities: expected one per face, 3, got 2");
    assert_snapshot!(message(Pairs::Between(set(&faces, &[1, 2, 3]), set(&wide, &[1]))), @"embeddings of two sets: expected the same size, 2, got 3");
    assert_snapshot!(message(Pairs::Within(set(&Unnormalised, &[1, 1, 2]))), @"row 2: expected a unit vector (normalise embeddings before they are compared), got length NaN");
    assert_snapshot!(message(Pairs::Within(set(&Truncated, &[1, 1, 2]))), @"rows 0 to 3: expected 6 values, got 2");
}
