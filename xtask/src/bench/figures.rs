//! What networks of both sides can do on the same pairs, and how far the sides lie apart.
//! Knows no network: embeddings come in as values.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::bail;
use arcface_data::PairSet;
use arcface_data::pairs::folder;
use arcface_eval::roc::Bootstrap;
use arcface_eval::{AllPairs, Embeddings, Estimate, verify_folds};
use rayon::prelude::*;
use serde::Serialize;

use crate::verify::positions;

/// Ours may be worse by less than this.
const BEHIND: f64 = 0.03;

/// The pairs that everything is verified on, and who is on them.
pub(super) struct Material {
    pairs: Vec<(usize, usize)>,
    same: Vec<bool>,
    folds: Vec<usize>,
    /// Of each face.
    identities: Vec<u32>,
}

/// A network's figures.
#[derive(Debug, Clone, Copy, Serialize)]
struct Figures {
    accuracy: f64,
    auc: f64,
    /// Of all pairs of the listed faces.
    auc_all_pairs: f64,
}

/// One seed on both sides.
#[derive(Debug, Clone, Serialize)]
struct OneSeed {
    seed: usize,
    ours: Figures,
    torch: Figures,
}

/// Ours less theirs.
#[derive(Debug, Clone, Serialize)]
struct Difference {
    figure: &'static str,
    #[serde(flatten)]
    estimate: Estimate,
    /// Whether the interval leaves out three points to our disadvantage, and more.
    holds: bool,
}

/// All figures of a comparison.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pairs: usize,
    faces: usize,
    identities: usize,
    genuine_of_all_pairs: usize,
    impostors_of_all_pairs: usize,
    seeds: Vec<OneSeed>,
    differences: Vec<Difference>,
}

/// A network's distances of the listed pairs, and its ranking of all.
struct Ranked {
    distances: Vec<f64>,
    all: AllPairs,
}

impl Material {
    /// That of a list; the identity of a face is the folder in its key.
    pub(super) fn of(set: &PairSet) -> Self {
        let pairs = positions(set);
        let mut names = vec![""; set.images.len()];
        for (pair, &(a, b)) in set.list.pairs.iter().zip(&pairs) {
            (names[a], names[b]) = (identity(&pair.a), identity(&pair.b));
        }
        let mut numbers = BTreeMap::new();
        let mut number = |name| {
            let next = numbers.len() as u32;
            *numbers.entry(name).or_insert(next)
        };
        let identities = names.into_iter().map(&mut number).collect();
        Self { pairs, same: set.list.same(), folds: set.list.folds(), identities }
    }

    fn rank(&self, faces: &Embeddings) -> anyhow::Result<Ranked> {
        let distances = faces.squared_distances(&self.pairs)?;
        Ok(Ranked { distances, all: AllPairs::new(faces, &self.identities)? })
    }

    /// Accuracy and AUC of the listed pairs when each counts so often.
    fn verify(&self, distances: &[f64], counts: &[usize]) -> arcface_core::Result<[f64; 2]> {
        let drawn: Vec<usize> =
            counts.iter().enumerate().flat_map(|(pair, &count)| std::iter::repeat_n(pair, count)).collect();
        let of = |values: &[f64]| -> Vec<f64> { drawn.iter().map(|pair| values[*pair]).collect() };
        let same: Vec<bool> = drawn.iter().map(|pair| self.same[*pair]).collect();
        let folds: Vec<usize> = drawn.iter().map(|pair| self.folds[*pair]).collect();
        let verification = verify_folds(&of(distances), &same, &folds)?;
        Ok([verification.accuracy, verification.auc])
    }

    fn figures(&self, ranked: &Ranked) -> anyhow::Result<Figures> {
        let [accuracy, auc] = self.verify(&ranked.distances, &vec![1; self.pairs.len()])?;
        Ok(Figures { accuracy, auc, auc_all_pairs: ranked.all.auc(&vec![1; ranked.all.identities()]) })
    }

    /// Genuine and impostor pairs of each fold are drawn among themselves.
    fn strata(&self) -> Vec<usize> {
        self.folds.iter().zip(&self.same).map(|(fold, same)| 2 * fold + usize::from(*same)).collect()
    }
}

/// `anna` of `anna/anna_0001`.
fn identity(key: &str) -> &str {
    folder(key).unwrap_or(key)
}

impl Report {
    /// Compares both sides, seed by seed, with the paired bootstrap over pairs (for all pairs: identities) and seeds.
    ///
    /// # Errors
    /// If the embeddings do not fit the pairs.
    pub(super) fn new(material: &Material, ours: &[Embeddings], theirs: &[Embeddings]) -> anyhow::Result<Self> {
        let rank = |side: &[Embeddings]| -> anyhow::Result<Vec<Ranked>> {
            side.par_iter().map(|faces| material.rank(faces)).collect()
        };
        let (ours, theirs) = (rank(ours)?, rank(theirs)?);
        let seeds = ours.iter().zip(&theirs).enumerate().map(|(seed, (ours, torch))| {
            Ok(OneSeed { seed, ours: material.figures(ours)?, torch: material.figures(torch)? })
        });
        let all = &ours[0].all;
        Ok(Self {
            pairs: material.pairs.len(),
            faces: material.identities.len(),
            identities: all.identities(),
            genuine_of_all_pairs: all.genuine(),
            impostors_of_all_pairs: all.impostors(),
            seeds: seeds.collect::<anyhow::Result<_>>()?,
            differences: differences(material, &ours, &theirs)?,
        })
    }

    /// Figures of every seed, then the differences, in percent and points.
    pub(super) fn table(&self) -> String {
        let mut text = "seed  side   accuracy      AUC  AUC of all pairs\n".to_owned();
        for OneSeed { seed, ours, torch } in &self.seeds {
            for (side, Figures { accuracy, auc, auc_all_pairs }) in [("ours", ours), ("torch", torch)] {
                let [accuracy, auc, all] = [accuracy, auc, auc_all_pairs].map(|figure| 100.0 * figure);
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{seed:>4}  {side:<5}  {accuracy:>8.2}  {auc:>7.2}  {all:>16.2}");
            }
        }
        let Self { pairs, faces, identities, .. } = self;
        let _ =
            writeln!(text, "\n{pairs} pairs; {faces} faces of {identities} people; ours less PyTorch's, in points:");
        for Difference { figure, estimate, holds } in &self.differences {
            let [value, low, high] =
                [estimate.value, estimate.interval.low, estimate.interval.high].map(|figure| 100.0 * figure);
            let (level, verdict) = (100.0 * estimate.interval.level, if *holds { "holds" } else { "BROKEN" });
            let _ = writeln!(text, "{figure:<16}  {value:>+6.2}  {level:.0} % [{low:+.2}, {high:+.2}]  {verdict}");
        }
        text
    }

    /// # Errors
    /// If ours may be worse by three points.
    pub(super) fn conclude(&self) -> anyhow::Result<()> {
        let broken: Vec<&str> = self
            .differences
            .iter()
            .filter(|difference| !difference.holds)
            .map(|difference| difference.figure)
            .collect();
        if !broken.is_empty() {
            bail!("parity: ours may be {:.0} points worse by {}", 100.0 * BEHIND, broken.join(", "));
        }
        Ok(())
    }
}

fn differences(material: &Material, ours: &[Ranked], theirs: &[Ranked]) -> anyhow::Result<Vec<Difference>> {
    let (bootstrap, seeds, strata) = (Bootstrap::default(), ours.len(), material.strata());
    let of_pairs = |figure: usize| {
        bootstrap.over_runs(seeds, &strata, |seed, counts| {
            let both = [&ours[seed], &theirs[seed]].map(|side| material.verify(&side.distances, counts));
            let [ours, theirs] = both;
            Ok(ours?[figure] - theirs?[figure])
        })
    };
    let of_all_pairs = bootstrap.over_runs(seeds, &vec![0; ours[0].all.identities()], |seed, counts| {
        Ok(ours[seed].all.auc(counts) - theirs[seed].all.auc(counts))
    });
    let estimates = [("accuracy", of_pairs(0)?), ("AUC", of_pairs(1)?), ("AUC of all pairs", of_all_pairs?)];
    let difference = |(figure, estimate): (&'static str, Estimate)| {
        let holds = -BEHIND < estimate.interval.low;
        Difference { figure, estimate, holds }
    };
    Ok(estimates.map(difference).into())
}
