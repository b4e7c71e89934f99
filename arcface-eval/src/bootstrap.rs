//! What repeated runs on the same material came to, as an interval: runs and material are both drawn again.
//! Knows no system and no data; a figure of one run on drawn material comes in as a function.

use arcface_core::seed::{Purpose, rng};
use arcface_core::{Error, Result};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::roc::{Bootstrap, Interval};
use crate::similarity::Embeddings;

/// A figure with the interval that resampling gives it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean over the runs on the material as it is.
    pub value: f64,
    /// Where it lies when runs and material are drawn again.
    pub interval: Interval,
}

impl Bootstrap {
    /// The mean of `figure` over `runs`, with its interval.
    ///
    /// Units of the material (pairs, identities) are drawn with replacement within their stratum, `strata` naming that
    /// of each; runs are drawn with replacement among themselves. `figure` is told the number of a run and how often
    /// each unit was drawn, and every run of a resample meets the same units. A difference of two systems is such a
    /// figure, and the interval is then that of the paired bootstrap. The same seed gives the same interval for any
    /// number of threads.
    ///
    /// ```
    /// use arcface_eval::roc::Bootstrap;
    /// // Two runs; whether each of four pairs was judged better (1), as well (0) or worse (−1) by the new system.
    /// let better = [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, -1.0, 1.0]];
    /// let mean = |run: usize, counts: &[usize]| {
    ///     Ok(better[run].iter().zip(counts).map(|(better, &count)| better * count as f64).sum::<f64>() / 4.0)
    /// };
    /// let estimate = Bootstrap::default().over_runs(2, &[0; 4], mean)?;
    /// assert!((estimate.value - 0.375).abs() < 1e-12);
    /// assert!(estimate.interval.low < 0.375 && 0.375 < estimate.interval.high);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the settings are out of range, there is no run or no unit, `figure` fails, or it is not a number.
    pub fn over_runs<F>(&self, runs: usize, strata: &[usize], figure: F) -> Result<Estimate>
    where
        F: Fn(usize, &[usize]) -> Result<f64> + Sync,
    {
        self.check()?;
        if runs < 1 || strata.is_empty() {
            let got = format!("{runs} runs, {} units", strata.len());
            return Err(Error::value("bootstrap", "at least one run and one unit to draw", got));
        }
        let strata = Strata::new(strata);
        let once = vec![1; strata.units];
        let value = mean_over(&vec![1; runs], |run| figure(run, &once))?;
        let means = (0..self.resamples).into_par_iter().map(|index| {
            let mut draws = rng(self.seed, Purpose::Bootstrap, index as u64, 1);
            let times = counts(&[(0..runs).collect()], runs, &mut draws);
            let drawn = counts(&strata.members, strata.units, &mut draws);
            mean_over(&times, |run| figure(run, &drawn))
        });
        let means = means.collect::<Result<Vec<f64>>>()?;
        Ok(Estimate { value, interval: self.central(means) })
    }
}

/// Units by stratum.
struct Strata {
    units: usize,
    members: Vec<Vec<usize>>,
}

impl Strata {
    fn new(strata: &[usize]) -> Self {
        let mut members = std::collections::BTreeMap::<usize, Vec<usize>>::new();
        for (unit, stratum) in strata.iter().enumerate() {
            members.entry(*stratum).or_default().push(unit);
        }
        Self { units: strata.len(), members: members.into_values().collect() }
    }
}

/// How often each of `units` is drawn: within each group as often as the group is large.
fn counts(groups: &[Vec<usize>], units: usize, draws: &mut impl Rng) -> Vec<usize> {
    let mut counts = vec![0; units];
    for group in groups {
        for _ in group {
            counts[group[draws.random_range(0..group.len())]] += 1;
        }
    }
    counts
}

/// The mean of `figure` over runs that count `times` each; it is asked only for those that count.
fn mean_over(times: &[usize], figure: impl Fn(usize) -> Result<f64>) -> Result<f64> {
    let mut sum = 0.0;
    for (run, &times) in times.iter().enumerate().filter(|(_, times)| 0 < **times) {
        let value = figure(run)?;
        if value.is_nan() {
            return Err(Error::value(format!("figure of run {run}"), "a number", "NaN"));
        }
        sum += times as f64 * value;
    }
    Ok(sum / times.iter().sum::<usize>() as f64)
}

/// Every pair among labelled faces, by falling similarity.
///
/// ```
/// use arcface_eval::Embeddings;
/// use arcface_eval::bootstrap::AllPairs;
/// let faces = Embeddings::normalised(&[1.0, 0.0, 1.0, 0.1, 0.0, 1.0, 0.2, 1.0], 2)?;
/// let pairs = AllPairs::new(&faces, &[0, 0, 1, 1])?;
/// assert_eq!((pairs.genuine(), pairs.impostors()), (2, 4));
/// assert!((pairs.auc(&[1, 1]) - 1.0).abs() < 1e-12);
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AllPairs {
    ranked: Vec<Ranked>,
    identities: usize,
}

/// The identities of a pair's faces, and whether it scores as the pair before.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    of: [u32; 2],
    ties: bool,
}

impl AllPairs {
    /// The N·(N − 1)/2 pairs among `faces`, each face being of one of `identities`, numbered from 0.
    ///
    /// # Errors
    /// If there is not one identity per face.
    pub fn new(faces: &Embeddings, identities: &[u32]) -> Result<Self> {
        if identities.len() != faces.len() {
            return Err(Error::value("identities", format!("one per face, {}", faces.len()), identities.len()));
        }
        let pairs: Vec<(usize, usize)> =
            (0..faces.len()).flat_map(|a| (a + 1..faces.len()).map(move |b| (a, b))).collect();
        let mut scored: Vec<(f64, [u32; 2])> = faces
            .cosines(&pairs)?
            .into_iter()
            .zip(&pairs)
            .map(|(cosine, &(a, b))| (cosine, [identities[a], identities[b]]))
            .collect();
        scored.par_sort_by(|a, b| b.0.total_cmp(&a.0));
        let before = std::iter::once(f64::NAN).chain(scored.iter().map(|(score, _)| *score));
        // As numbers: −0 and +0 sort apart but are one score.
        let ties = |score: &f64, before| score.partial_cmp(&before).is_some_and(std::cmp::Ordering::is_eq);
        let ranked =
            scored.iter().zip(before).map(|((score, of), before)| Ranked { of: *of, ties: ties(score, before) });
        let identities = identities.iter().max().map_or(0, |last| *last as usize + 1);
        Ok(Self { ranked: ranked.collect(), identities })
    }

    /// Number of identities, or the highest of their numbers plus one.
    pub fn identities(&self) -> usize {
        self.identities
    }

    /// Number of genuine pairs.
    pub fn genuine(&self) -> usize {
        self.ranked.iter().filter(|pair| pair.of[0] == pair.of[1]).count()
    }

    /// Number of impostor pairs.
    pub fn impostors(&self) -> usize {
        self.ranked.len() - self.genuine()
    }

    /// Area under the ROC of all pairs when each identity counts so often; NaN without a genuine or an impostor pair.
    ///
    /// The copies of an identity are other people to each other's pairs: a genuine pair counts as often as its
    /// identity, an impostor pair as often as one has copies times as often as the other has.
    ///
    /// # Panics
    /// If there are fewer than [`Self::identities`] counts.
    pub fn auc(&self, counts: &[usize]) -> f64 {
        let (mut genuine, mut impostors, mut twice_won) = (0_u128, 0_u128, 0_u128);
        for tied in self.ranked.chunk_by(|_, next| next.ties) {
            let (mut same, mut other) = (0, 0);
            for Ranked { of: [a, b], .. } in tied {
                let (a, b) = (*a as usize, *b as usize);
                if a == b {
                    same += counts[a] as u128;
                } else {
                    other += (counts[a] * counts[b]) as u128;
                }
            }
            twice_won += other * (2 * genuine + same);
            genuine += same;
            impostors += other;
        }
        twice_won as f64 / (2 * genuine * impostors) as f64
    }
}
