//! Purification beside plain loops, and what it says to wrong input.

use std::sync::Arc;

use arcface_data::Source;
use arcface_data::purify::{MostAngle, Places, SubCenters};
use arcface_data::source::Subset;
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::support::Noise;

/// N images, C classes, K sub-centers, D values.
#[derive(Debug, Clone)]
struct Case {
    embeddings: Vec<Vec<f32>>,
    labels: Vec<u32>,
    centers: Vec<Vec<Vec<f32>>>,
    noisy: Vec<bool>,
    most: f64,
}

prop_compose! {
    fn case()(c in 1_usize..5, k in 1_usize..4, d in 2_usize..6, n in 0_usize..40)(
        // Whole numbers, so that equal angles come up.
        centers in prop::collection::vec(prop::collection::vec(prop::collection::vec(-2_i8..3, d), k), c),
        embeddings in prop::collection::vec(prop::collection::vec(-2_i8..3, d), n),
        labels in prop::collection::vec(0..c as u32, n),
        noisy in prop::collection::vec(any::<bool>(), n),
        most in 10.0_f64..120.0,
    ) -> Case {
        // No vector is zero.
        let row = |row: Vec<i8>| -> Vec<f32> {
            let zero = row.iter().all(|x| *x == 0);
            row.into_iter().enumerate().map(|(at, x)| if zero && at == 0 { 1.0 } else { f32::from(x) }).collect()
        };
        Case {
            embeddings: embeddings.into_iter().map(row).collect(),
            centers: centers.into_iter().map(|class| class.into_iter().map(row).collect()).collect(),
            labels, noisy, most,
        }
    }
}

/// The angle in degrees, as a textbook has it.
fn angle(a: &[f32], b: &[f32]) -> f64 {
    let (mut dot, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        dot += f64::from(*x) * f64::from(*y);
        aa += f64::from(*x) * f64::from(*x);
        bb += f64::from(*y) * f64::from(*y);
    }
    (dot / (aa.sqrt() * bb.sqrt())).clamp(-1.0, 1.0).acos().to_degrees()
}

fn places(case: &Case) -> (SubCenters, Places, Vec<f32>) {
    let (c, k, d) = (case.centers.len(), case.centers[0].len(), case.centers[0][0].len());
    let centers = SubCenters::new(case.centers.concat().concat(), [c, k, d]).unwrap();
    let rows = case.embeddings.iter().zip(&case.labels);
    let angles: Vec<f32> = rows.flat_map(|(x, label)| centers.angles(*label, x).unwrap()).collect();
    let places = Places::new(&angles, k, case.labels.clone(), c).unwrap();
    (centers, places, angles)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn purification_agrees_with_plain_loops(case in case()) {
        let (centers, places, angles) = places(&case);
        let k = case.centers[0].len();
        for (index, (x, label)) in case.embeddings.iter().zip(&case.labels).enumerate() {
            for (at, center) in case.centers[*label as usize].iter().enumerate() {
                prop_assert!((f64::from(angles[index * k + at]) - angle(x, center)).abs() < 1e-4);
            }
        }
        // The nearest of each, the votes of each class, the dominant one; of equal ones the lowest.
        let mut dominant = Vec::new();
        let nearest = |index: usize| {
            let mut best = 0;
            for at in 1..k {
                if angles[index * k + at] < angles[index * k + best] { best = at; }
            }
            best
        };
        for class in 0..case.centers.len() {
            let mut votes = vec![0; k];
            for (index, label) in case.labels.iter().enumerate() {
                if *label as usize == class { votes[nearest(index)] += 1; }
            }
            let mut best = 0;
            for at in 0..k {
                if votes[best] < votes[at] { best = at; }
            }
            dominant.push(best);
        }
        prop_assert_eq!(places.dominant().iter().map(|k| *k as usize).collect::<Vec<_>>(), dominant.clone());
        let most = MostAngle::new(case.most).unwrap();
        let (mut kept, mut counts) = (Vec::new(), [0; 6]);
        let mut alive = vec![false; case.centers.len()];
        for (index, label) in case.labels.iter().enumerate() {
            let own = dominant[*label as usize];
            let to_own = angles[index * k + own];
            let mut other = f32::INFINITY;
            for at in 0..k {
                if at != own && angles[index * k + at] < other { other = angles[index * k + at]; }
            }
            let place = places.places()[index].unwrap();
            prop_assert_eq!((place.nearest as usize, place.angle.to_bits()), (nearest(index), to_own.to_bits()));
            let is_other = if k == 1 { place.other.is_nan() } else { place.other.to_bits() == other.to_bits() };
            prop_assert!(is_other);
            let noisy = usize::from(case.noisy[index]);
            counts[2 * usize::from(nearest(index) != own) + noisy] += 1;
            if f64::from(to_own) <= case.most {
                kept.push(index);
                alive[*label as usize] = true;
            } else {
                counts[4 + noisy] += 1;
            }
        }
        let cleaned = places.clean(most);
        prop_assert_eq!(&cleaned.kept, &kept);
        let classes = |wanted: bool| (0..alive.len() as u32).filter(|c| alive[*c as usize] == wanted).collect::<Vec<_>>();
        prop_assert_eq!((&cleaned.classes, &cleaned.emptied), (&classes(true), &classes(false)));
        let groups = places.groups(most, |index| case.noisy[index]);
        let found = [groups.dominant, groups.other, groups.dropped].map(|counts| [counts.clean, counts.noisy]);
        prop_assert_eq!(found.concat(), counts.to_vec());
        prop_assert_eq!(groups.all(), case.labels.len());
        let rate = |part: usize, of: usize| (0 < of).then(|| part as f64 / of as f64);
        prop_assert_eq!(groups.precision(), rate(counts[5], counts[4] + counts[5]));
        prop_assert_eq!(groups.recall(), rate(counts[5], counts[1] + counts[3]));
        let chosen: Vec<u32> = cleaned.classes.iter().map(|class| dominant[*class as usize] as u32).collect();
        let expected: Vec<f32> = cleaned.classes.iter().zip(&chosen)
            .flat_map(|(class, k)| case.centers[*class as usize][*k as usize].clone()).collect();
        prop_assert_eq!(centers.folded(&cleaned.classes, &chosen), expected);
    }

    /// A wider angle keeps more, and no image changes its place.
    #[test]
    fn a_wider_angle_keeps_what_a_narrower_one_does(case in case(), wider in 0.0_f64..60.0) {
        let (_, places, _) = places(&case);
        let [narrow, wide] = [case.most, case.most + wider].map(|most| places.clean(MostAngle::new(most).unwrap()).kept);
        prop_assert!(narrow.iter().all(|index| wide.contains(index)));
    }

    #[test]
    fn the_images_that_are_kept_are_renumbered_and_otherwise_the_same(
        counts in prop::collection::vec(1_usize..5, 1..6), kept in prop::collection::vec(any::<bool>(), 30)
    ) {
        let source: Arc<dyn Source> = Arc::new(Noise::new(&counts, 4));
        let indices: Vec<usize> = (0..source.len()).filter(|index| kept[*index]).collect();
        let subset = Subset::of_images(source.clone(), &indices).unwrap();
        let mut old: Vec<u32> = indices.iter().map(|index| source.label(*index)).collect();
        for (new, index) in indices.iter().enumerate() {
            prop_assert_eq!(subset.identity(subset.label(new)), source.identity(source.label(*index)));
            prop_assert_eq!(subset.label_before(subset.label(new)), source.label(*index));
            prop_assert_eq!(subset.describe(new), source.describe(*index));
        }
        old.dedup();
        prop_assert_eq!((subset.len(), subset.num_identities()), (indices.len(), old.len()));
    }
}

#[test]
fn images_without_embedding_have_no_say() {
    let nan = f32::NAN;
    let places = Places::new(&[10.0, 90.0, nan, nan, 20.0, 10.0, nan, nan], 2, vec![0, 0, 0, 1], 2).unwrap();
    assert_eq!(places.dominant(), [0, 0]);
    assert_eq!((places.places()[1], places.groups(MostAngle::default(), |_| false).all()), (None, 2));
    let cleaned = places.clean(MostAngle::default());
    assert_eq!((cleaned.kept, cleaned.classes, cleaned.emptied), (vec![0, 2], vec![0], vec![1]));
}

#[test]
fn complaints() {
    let words = |result: Result<SubCenters, arcface_core::Error>| result.unwrap_err().to_string();
    assert_snapshot!(words(SubCenters::new(vec![1.0; 5], [1, 3, 2])), @"sub-centers: expected C·K·D = 6 values, and more than 0, got 5");
    assert_snapshot!(words(SubCenters::new(vec![], [usize::MAX, 3, 2])), @"sub-centers: expected C·K·D = 18446744073709551615 values, and more than 0, got 0");
    assert_snapshot!(words(SubCenters::new(vec![1.0, 1.0, 0.0, 0.0], [1, 2, 2])), @"sub-center 1 of class 0: expected a finite vector with a direction, got another one");
    let centers = SubCenters::new(vec![1.0, 0.0, 0.0, 1.0], [1, 2, 2]).unwrap();
    let angles = |label, embedding: &[f32]| centers.angles(label, embedding).unwrap_err().to_string();
    assert_snapshot!(angles(1, &[1.0, 0.0]), @"label: expected below 1 classes, got 1");
    assert_snapshot!(angles(0, &[1.0]), @"embedding: expected shape (D) with D = 2, got [1]");
    assert_snapshot!(angles(0, &[0.0, 0.0]), @"embedding: expected a finite length above 0 (a diverged network gives others), got 0");
    assert_snapshot!(angles(0, &[f32::NAN, 0.0]), @"embedding: expected a finite length above 0 (a diverged network gives others), got NaN");
    assert_snapshot!(Places::new(&[1.0; 3], 2, vec![0; 2], 1).unwrap_err(), @"angles: expected shape (N, K) with N = 2 and K = 2, at least 1, got [3]");
    assert_snapshot!(Places::new(&[1.0; 4], 2, vec![0, 7], 3).unwrap_err(), @"label of image 1: expected below 3 classes, got 7");
    assert_snapshot!(MostAngle::new(f64::NAN).unwrap_err(), @"angle: expected 0 < degrees <= 180, got NaN");
    let source: Arc<dyn Source> = Arc::new(Noise::new(&[2], 4));
    assert_snapshot!(Subset::of_images(source, &[0, 2]).unwrap_err(), @"index of an image: expected less than 2, got 2");
}
