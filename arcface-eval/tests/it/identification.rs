//! Probes in galleries and among distractors, against plain loops and numpy.
//! Knows no private function.
//!
//! ```python
//! # `faces` as in `scores`
//! embeddings, identities = faces(150, 24, 30)
//! gallery, probes = np.arange(20), np.arange(30, 150)
//! S = embeddings[probes].astype(np.float64) @ embeddings[gallery].astype(np.float64).T
//! own = identities[probes]
//! mated = own < 20
//! mate = S[np.flatnonzero(mated), own[mated]]
//! ahead = (S[mated] >= mate[:, None]).sum(1) - 1
//! print([repr((ahead < k).mean()) for k in (1, 2, 5)])
//! strangers = np.sort(S[~mated].max(1))[::-1]
//! for fpir in (0.3, 0.1, 0.025):
//!     print(fpir, repr(((ahead == 0) & (mate > strangers[int(fpir * len(strangers) + 1e-9)])).mean()))
//! # MegaFace: the faces of 5 identities among those of the others
//! is_probe = identities < 5
//! P, D = embeddings[is_probe].astype(np.float64), embeddings[~is_probe].astype(np.float64)
//! own = identities[is_probe]
//! mates = (own[:, None] == own[None, :]) & ~np.eye(len(own), dtype=bool)
//! for n in (10, 50, 125):
//!     print(n, repr(((P @ P.T) > (P @ D[:n].T).max(1)[:, None])[mates].mean()))
//! ```

use arcface_core::seed::{Purpose, rng};
use arcface_eval::Embeddings;
use arcface_eval::identification::{Identification, identify, rank_1_among};
use arcface_eval::scores::Faces;
use insta::assert_snapshot;
use proptest::prelude::*;
use rand::Rng;

use crate::{assert_near, formula_faces};

/// Some of the faces of `all`.
fn some(all: &Embeddings, rows: impl Iterator<Item = usize>) -> Embeddings {
    let values: Vec<f32> = rows.flat_map(|row| all.row(row).to_vec()).collect();
    Embeddings::normalised(&values, all.size()).unwrap()
}

/// Faces with few distinct directions, so that there are ties.
fn random_faces(seed: u64, number: usize, identities: u32) -> (Embeddings, Vec<u32>) {
    let mut draws = rng(seed, Purpose::Testing, 1, 0);
    let values: Vec<f32> = (0..number * 3).map(|at| draws.random_range(0..4) as f32 + (at % 3) as f32).collect();
    let values: Vec<f32> = values.chunks(3).flat_map(|row| [row[0] + 0.5, row[1], row[2]]).collect();
    (Embeddings::normalised(&values, 3).unwrap(), (0..number).map(|_| draws.random_range(0..identities)).collect())
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>().clamp(-1.0, 1.0)
}

/// (rank, mate's score) of each mated probe, and the highest score of each other.
fn searched(probes: &Faces<'_>, gallery: &Faces<'_>, rows: [&Embeddings; 2]) -> (Vec<(usize, f64)>, Vec<f64>) {
    let (mut mated, mut others) = (Vec::new(), Vec::new());
    for (probe, own) in probes.identities.iter().enumerate() {
        let score = |face: usize| cosine(rows[0].row(probe), rows[1].row(face));
        let (mut mate, mut highest) = (None::<f64>, f64::MIN);
        for (face, identity) in gallery.identities.iter().enumerate() {
            highest = highest.max(score(face));
            if identity == own {
                mate = Some(mate.map_or(score(face), |best| best.max(score(face))));
            }
        }
        let Some(mate) = mate else {
            others.push(highest);
            continue;
        };
        let strangers = gallery.identities.iter().enumerate().filter(|(_, identity)| *identity != own);
        mated.push((1 + strangers.filter(|(face, _)| mate <= score(*face)).count(), mate));
    }
    (mated, others)
}

fn check(found: &Identification, mated: &[(usize, f64)], others: &[f64]) {
    assert_eq!((found.mated(), found.non_mated()), (mated.len(), others.len()));
    let share = |is: &dyn Fn(&(usize, f64)) -> bool| mated.iter().filter(|m| is(m)).count() as f64 / mated.len() as f64;
    for (index, rate) in found.cmc(12).into_iter().enumerate() {
        assert_near(rate, share(&|(rank, _)| *rank <= index + 1), 0.0);
    }
    for fpir in [1.0, 0.5, 0.1, 0.05] {
        // The best of all thresholds that do not exceed the rate, tried one by one.
        let alarms = |limit: f64| others.iter().filter(|score| limit <= **score).count() as f64;
        let limits =
            mated.iter().map(|(_, score)| *score).filter(|limit| alarms(*limit) <= fpir * others.len() as f64 + 1e-9);
        let best = limits.map(|limit| share(&|(rank, score)| *rank == 1 && limit <= *score)).fold(0.0, f64::max);
        let expected = (1.0 <= fpir * others.len() as f64 + 1e-9).then_some(best);
        assert_eq!(found.tpir_at_fpir(fpir), expected, "at a rate of {fpir}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn identification_is_what_plain_loops_count(seed in any::<u64>(), number in 6..60_usize) {
        let (faces, identities) = random_faces(seed, number, 12);
        let half = number / 2;
        let (gallery, probes) = (some(&faces, 0..half), some(&faces, half..number));
        let (g, p) = (
            Faces { rows: &gallery, identities: &identities[..half] },
            Faces { rows: &probes, identities: &identities[half..] },
        );
        let (mated, others) = searched(&p, &g, [&probes, &gallery]);
        prop_assume!(!mated.is_empty());
        check(&identify(p, g).unwrap(), &mated, &others);
    }

    #[test]
    fn rank_1_falls_with_the_crowd(seed in any::<u64>()) {
        let (faces, identities) = random_faces(seed, 30, 5);
        let (crowd, _) = random_faces(seed ^ 1, 100, 5);
        let probes = Faces { rows: &faces, identities: &identities };
        let rates = rank_1_among(probes, &crowd, &[1, 10, 50, 100]).unwrap();
        prop_assert!(rates.windows(2).all(|two| two[1] <= two[0]));
        let mut backwards = rank_1_among(probes, &crowd, &[100, 50, 10, 1]).unwrap();
        backwards.reverse();
        prop_assert_eq!(rates, backwards);
    }
}

#[test]
fn identification_agrees_with_numpy() {
    let (faces, identities) = formula_faces(150, 24, 30);
    let (gallery, probes) = (some(&faces, 0..20), some(&faces, 30..150));
    let found = identify(
        Faces { rows: &probes, identities: &identities[30..] },
        Faces { rows: &gallery, identities: &identities[..20] },
    );
    let found = found.unwrap();
    assert_eq!((found.mated(), found.non_mated()), (80, 40));
    assert_eq!((found.rank(1), found.rank(2), found.rank(5)), (0.85, 0.9625, 1.0));
    assert_eq!([0.3, 0.1, 0.025, 0.01].map(|f| found.tpir_at_fpir(f)), [Some(0.325), Some(0.05), Some(0.025), None]);
    assert_near(found.smallest_fpir(), 0.025, 0.0);
}

#[test]
fn rank_1_among_distractors_agrees_with_numpy() {
    let (faces, identities) = formula_faces(150, 24, 30);
    let is_probe = |row: &usize| identities[*row] < 5;
    let probes = some(&faces, (0..150).filter(is_probe));
    let own: Vec<u32> = identities.iter().copied().filter(|identity| *identity < 5).collect();
    let crowd = some(&faces, (0..150).filter(|row| !is_probe(row)));
    let rates = rank_1_among(Faces { rows: &probes, identities: &own }, &crowd, &[10, 50, 125]).unwrap();
    assert_eq!(rates, [0.95, 0.33, 0.13]);
}

#[test]
fn a_gallery_of_several_panels_is_one_gallery() {
    // 4,096 faces are a panel.
    let (faces, identities) = random_faces(2, 4200, 3000);
    let (gallery, probes) = (some(&faces, 0..4150), some(&faces, 4150..4200));
    let (g, p) = (
        Faces { rows: &gallery, identities: &identities[..4150] },
        Faces { rows: &probes, identities: &identities[4150..] },
    );
    let (mated, others) = searched(&p, &g, [&probes, &gallery]);
    check(&identify(p, g).unwrap(), &mated, &others);
}

#[test]
fn a_stranger_as_similar_as_the_mate_is_ahead() {
    let gallery = Embeddings::normalised(&[1.0, 0.0, 1.0, 0.0], 2).unwrap();
    let probe = Embeddings::normalised(&[1.0, 0.5], 2).unwrap();
    let found = identify(Faces { rows: &probe, identities: &[1] }, Faces { rows: &gallery, identities: &[1, 2] });
    assert_eq!(found.unwrap().cmc(2), [0.0, 1.0]);
}

#[test]
fn messages() {
    let faces = Embeddings::normalised(&[1.0, 0.0, 0.0, 1.0], 2).unwrap();
    let wide = Embeddings::normalised(&[1.0, 0.0, 0.0], 3).unwrap();
    let set = |identities| Faces { rows: &faces, identities };
    let message = |probes, gallery| identify(probes, gallery).unwrap_err().to_string();
    assert_snapshot!(message(set(&[1, 2]), set(&[3, 4])), @"probes: expected at least one whose identity is in the gallery, got 2 without");
    assert_snapshot!(message(set(&[1, 2]), set(&[3])), @"identities: expected one per face, 2, got 1");
    assert_snapshot!(message(set(&[1, 2]), Faces { rows: &wide, identities: &[1] }), @"embeddings of two sets: expected the same size, 2, got 3");
    let crowded = |identities, crowds: &[usize]| rank_1_among(set(identities), &faces, crowds).unwrap_err().to_string();
    assert_snapshot!(crowded(&[1, 1], &[3]), @"number of distractors: expected 1 <= number <= 2 (those that there are), got 3");
    assert_snapshot!(crowded(&[1, 1], &[0]), @"number of distractors: expected 1 <= number <= 2 (those that there are), got 0");
    assert_snapshot!(crowded(&[1, 2], &[1]), @"probes: expected at least two of one identity, got none");
}
