//! The hardest pairs of sets beside all pairs, scored one by one and sorted.
//! Knows no private function.

use arcface_core::candle::DType;
use arcface_core::testing::{normal, values};
use arcface_eval::scores::{Faces, HardestPairs, ScoredPair, hardest_pairs};
use arcface_eval::{Embeddings, Pairs};
use proptest::prelude::*;

/// Unit vectors of which many are the same, with the identities 0 to 6.
fn drawn(rows: usize, seed: u64) -> (Embeddings, Vec<u32>) {
    let values: Vec<f32> = values(&normal(&[rows, 3], DType::F64, seed).unwrap())
        .unwrap()
        .into_iter()
        .map(|value| (2.0 * value).round() as f32)
        .collect();
    // Nothing is zero.
    let shifted: Vec<f32> = values.chunks(3).flat_map(|row| [row[0], row[1], row[2] + 0.5]).collect();
    (Embeddings::normalised(&shifted, 3).unwrap(), (0..rows as u32).map(|row| (row * row + row / 3) % 7).collect())
}

/// A pair as a plain sum has it, and whether it is genuine.
fn scored(part: usize, a: (&Embeddings, usize), b: (&Embeddings, usize), same: bool) -> (ScoredPair, bool) {
    let cosine: f64 = a.0.row(a.1).iter().zip(b.0.row(b.1)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    (ScoredPair { part, rows: [a.1, b.1], distance: 2.0 - 2.0 * cosine.clamp(-1.0, 1.0) }, same)
}

/// That `found` are the hardest of `all`, where a greater `sign` times the distance is harder.
///
/// What is equal but for the last digit of a sum may stand in another order there.
fn check(found: &[ScoredPair], all: &[ScoredPair], sign: f64, most: usize) {
    let mut hardest: Vec<f64> = all.iter().map(|pair| sign * pair.distance).collect();
    hardest.sort_by(|a, b| b.total_cmp(a));
    assert_eq!(found.len(), most.min(all.len()));
    for (pair, expected) in found.iter().zip(&hardest) {
        assert!((sign * pair.distance - expected).abs() < 1e-12, "{pair:?}, expected {expected}");
        let own = all.iter().find(|other| (other.part, other.rows) == (pair.part, pair.rows));
        assert!(own.is_some_and(|own| (own.distance - pair.distance).abs() < 1e-12), "{pair:?}, it is {own:?}");
    }
    for two in found.windows(2) {
        let [before, after] = [0, 1].map(|place| (-sign * two[place].distance, two[place].part, two[place].rows));
        assert!(before < after, "{two:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Ties go by part and rows, whatever the blocks and however many there are.
    #[test]
    fn they_are_those_of_all_pairs(rows in 2_usize..1300, others in 1_usize..700, most in 1_usize..30, seed in 0_u64..99) {
        let ((set, of_set), (other, of_other)) = (drawn(rows, seed), drawn(others, seed + 100));
        let listed: Vec<(u32, u32)> = (1..rows as u32).map(|row| (row, row / 2)).collect();
        let same: Vec<bool> = listed.iter().map(|(a, b)| of_set[*a as usize] == of_set[*b as usize]).collect();
        let (faces, strangers) =
            (Faces { rows: &set, identities: &of_set }, Faces { rows: &other, identities: &of_other });
        let parts = [
            Pairs::Within(faces),
            Pairs::Between(faces, strangers),
            Pairs::Listed { embeddings: &set, pairs: &listed, same: &same },
        ];
        let within = (0..rows).flat_map(|b| (0..b).map(move |a| (a, b)));
        let within = within.map(|(a, b)| scored(0, (&set, a), (&set, b), of_set[a] == of_set[b]));
        let between = (0..rows).flat_map(|a| (0..others).map(move |b| (a, b)));
        let between = between.map(|(a, b)| scored(1, (&set, a), (&other, b), of_set[a] == of_other[b]));
        let of_list = listed.iter().zip(&same);
        let of_list = of_list.map(|(&(a, b), &same)| scored(2, (&set, a as usize), (&set, b as usize), same));
        let (genuine, impostors): (Vec<_>, Vec<_>) = within.chain(between).chain(of_list).partition(|(_, same)| *same);
        let [genuine, impostors] =
            [genuine, impostors].map(|pairs| pairs.into_iter().map(|(pair, _)| pair).collect::<Vec<_>>());
        let found = hardest_pairs(&parts, most).unwrap();
        check(&found.genuine, &genuine, 1.0, most);
        check(&found.impostors, &impostors, -1.0, most);
    }
}

#[test]
fn of_nothing_there_is_nothing_and_lengths_must_fit() {
    let (set, identities) = drawn(1, 0);
    let alone = [Pairs::Within(Faces { rows: &set, identities: &identities })];
    assert_eq!(hardest_pairs(&alone, 5).unwrap(), HardestPairs::default());
    let (set, identities) = drawn(9, 0);
    let faces = |identities| [Pairs::Within(Faces { rows: &set, identities })];
    assert_eq!(hardest_pairs(&faces(&identities), 0).unwrap(), HardestPairs::default());
    insta::assert_snapshot!(hardest_pairs(&faces(&identities[..3]), 5).unwrap_err(), @"identities: expected one per face, 9, got 3");
}
