//! The exact receiver operating characteristic of scored pairs, and what is read off it: AUC, EER, TAR at FAR.
//! Knows no embeddings and no folds.
//!
//! Pairs of equal score are accepted or rejected together, so a tie between a genuine and an impostor pair
//! is one slanted step of the curve, not two steps in an order that nobody chose.

use arcface_core::seed::{Purpose, rng};
use arcface_core::{Error, Result};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Every distinct operating point of a set of scored pairs, from accepting none to accepting all.
///
/// ```
/// use arcface_eval::Roc;
/// let roc = Roc::from_scores(&[0.9, 0.8, 0.3, 0.1], &[true, false, true, false])?;
/// assert!((roc.auc() - 0.75).abs() < 1e-12);
/// assert_eq!(roc.tar_at_far(0.5), Some(1.0));
/// assert_eq!(roc.tar_at_far(0.001), None); // two impostor pairs cannot show a rate of 0.001
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Roc {
    points: Vec<OperatingPoint>,
    genuine: usize,
    impostors: usize,
}

/// What is accepted when every pair scoring at least `score` is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    /// The lowest accepted score; +∞ accepts none.
    pub score: f64,
    /// Genuine pairs among the accepted.
    pub true_accepts: usize,
    /// Impostor pairs among the accepted.
    pub false_accepts: usize,
}

impl Roc {
    /// The curve of `scores`, where a higher score means more alike.
    ///
    /// # Errors
    /// If the lengths differ, a score is NaN, or there is no genuine or no impostor pair.
    pub fn from_scores(scores: &[f64], same: &[bool]) -> Result<Self> {
        check_scores(scores, same)?;
        let genuine = same.iter().filter(|same| **same).count();
        Ok(Self { points: sweep(scores, same), genuine, impostors: same.len() - genuine })
    }

    /// The curve of `distances`, where a smaller distance means more alike; [`OperatingPoint::score`] is its negative.
    ///
    /// # Errors
    /// As [`Self::from_scores`].
    pub fn from_distances(distances: &[f64], same: &[bool]) -> Result<Self> {
        let scores: Vec<f64> = distances.iter().map(|distance| -distance).collect();
        Self::from_scores(&scores, same)
    }

    /// The operating points, by falling score; the first accepts none, the last all.
    pub fn points(&self) -> &[OperatingPoint] {
        &self.points
    }

    /// Number of genuine pairs.
    pub fn genuine(&self) -> usize {
        self.genuine
    }

    /// Number of impostor pairs.
    pub fn impostors(&self) -> usize {
        self.impostors
    }

    /// False accept rate at `point`: the accepted fraction of the impostor pairs.
    pub fn far(&self, point: &OperatingPoint) -> f64 {
        point.false_accepts as f64 / self.impostors as f64
    }

    /// True accept rate at `point`: the accepted fraction of the genuine pairs.
    pub fn tar(&self, point: &OperatingPoint) -> f64 {
        point.true_accepts as f64 / self.genuine as f64
    }

    /// The operating point with the most accepted genuine pairs among those whose FAR is at most `far`.
    ///
    /// `None` if not even one impostor pair may be accepted (`far` · impostors < 1): the pairs are then too few
    /// to tell that rate from zero.
    pub fn point_at_far(&self, far: f64) -> Option<&OperatingPoint> {
        let allowed = allowed_accepts(far, self.impostors)?;
        let within = self.points.partition_point(|point| point.false_accepts <= allowed);
        self.points[..within].last()
    }

    /// The highest TAR whose FAR is at most `far`; nothing is interpolated, see [`Self::point_at_far`] for `None`.
    pub fn tar_at_far(&self, far: f64) -> Option<f64> {
        self.point_at_far(far).map(|point| self.tar(point))
    }

    /// Area under the curve: how often a genuine pair scores above an impostor pair, ties counted half (Mann–Whitney).
    pub fn auc(&self) -> f64 {
        let twice_won: u128 = self.points.windows(2).map(|step| twice_area(&step[0], &step[1])).sum();
        twice_won as f64 / (2 * self.genuine as u128 * self.impostors as u128) as f64
    }

    /// Equal error rate: FAR where it equals 1 − TAR, on the straight line between neighbouring operating points.
    pub fn eer(&self) -> f64 {
        let excess = |point: &OperatingPoint| self.far(point) + self.tar(point) - 1.0;
        // FAR + TAR − 1 rises strictly from −1 to 1, so that the crossing is one point.
        let after = self.points.partition_point(|point| excess(point) < 0.0);
        let (Some(left), Some(right)) = (self.points.get(after.wrapping_sub(1)), self.points.get(after)) else {
            return f64::NAN;
        };
        let part = -excess(left) / (excess(right) - excess(left));
        self.far(left) + part * (self.far(right) - self.far(left))
    }
}

/// How many of `impostors` may be accepted at a rate of `far`; `None` below one.
pub(crate) fn allowed_accepts(far: f64, impostors: usize) -> Option<usize> {
    // 0.001 · 3000 may round below 3; the allowance is far below one pair.
    let allowed = (far * impostors as f64 * (1.0 + 1e-12)).floor();
    if allowed < 1.0 { None } else { Some(allowed as usize) }
}

fn check_scores(scores: &[f64], same: &[bool]) -> Result<()> {
    if scores.len() != same.len() {
        return Err(Error::value("scores", format!("one per pair, {}", same.len()), scores.len()));
    }
    if let Some(index) = scores.iter().position(|score| score.is_nan()) {
        return Err(Error::value(format!("score of pair {index}"), "a number", "NaN"));
    }
    let genuine = same.iter().filter(|same| **same).count();
    if genuine == 0 || genuine == same.len() {
        let got = format!("{genuine} genuine and {} impostor pairs", same.len() - genuine);
        return Err(Error::value("pairs", "at least one genuine and one impostor pair", got));
    }
    Ok(())
}

/// Operating points by falling score, one per distinct score.
fn sweep(scores: &[f64], same: &[bool]) -> Vec<OperatingPoint> {
    let mut ranked: Vec<(f64, bool)> = scores.iter().copied().zip(same.iter().copied()).collect();
    ranked.par_sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut point = OperatingPoint { score: f64::INFINITY, true_accepts: 0, false_accepts: 0 };
    let mut points = vec![point];
    // `==` on the scores: −0 and +0 sort apart but are one score.
    for tied in ranked.chunk_by(|a, b| a.0.partial_cmp(&b.0).is_some_and(std::cmp::Ordering::is_eq)) {
        let genuine = tied.iter().filter(|(_, same)| *same).count();
        point.score = tied[0].0;
        point.true_accepts += genuine;
        point.false_accepts += tied.len() - genuine;
        points.push(point);
    }
    points
}

/// Twice the area under one step of the curve, in pairs of pairs.
fn twice_area(from: &OperatingPoint, to: &OperatingPoint) -> u128 {
    let width = (to.false_accepts - from.false_accepts) as u128;
    width * (from.true_accepts + to.true_accepts) as u128
}

/// A range that holds the true figure with probability `level`, by the percentile bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Coverage, such as 0.95.
    pub level: f64,
}

/// How a bootstrap draws.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// Number of resampled sets.
    pub resamples: usize,
    /// Coverage of the interval, within (0, 1).
    pub level: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, level: 0.95, seed: 0 }
    }
}

impl Bootstrap {
    /// The interval of `figure` over resampled pairs.
    ///
    /// Genuine and impostor pairs are drawn with replacement from their own kind, so that every set keeps the
    /// numbers of both. The same seed gives the same interval for any number of threads.
    ///
    /// ```
    /// use arcface_eval::roc::{Bootstrap, Roc};
    /// let scores = [0.9, 0.8, 0.7, 0.2, 0.75, 0.3, 0.1, 0.0];
    /// let same = [true, true, true, true, false, false, false, false];
    /// let interval = Bootstrap::default().interval(&scores, &same, Roc::auc)?;
    /// assert!(interval.low <= 0.8125 && 0.8125 <= interval.high);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the settings are out of range, or as [`Roc::from_scores`].
    pub fn interval<F>(&self, scores: &[f64], same: &[bool], figure: F) -> Result<Interval>
    where
        F: Fn(&Roc) -> f64 + Sync,
    {
        self.check()?;
        check_scores(scores, same)?;
        let figures: Result<Vec<f64>> =
            (0..self.resamples).into_par_iter().map(|index| Ok(figure(&self.resample(scores, same, index)?))).collect();
        Ok(self.central(figures?))
    }

    /// The interval that leaves out as many of `figures` above it as below.
    pub(crate) fn central(&self, mut figures: Vec<f64>) -> Interval {
        figures.sort_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        Interval { low: quantile(&figures, tail), high: quantile(&figures, 1.0 - tail), level: self.level }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.resamples == 0 {
            return Err(Error::value("resamples", "at least 1", 0));
        }
        if !(0.0 < self.level && self.level < 1.0) {
            return Err(Error::value("level", "0 < level < 1", self.level));
        }
        Ok(())
    }

    fn resample(&self, scores: &[f64], same: &[bool], index: usize) -> Result<Roc> {
        let kind = |wanted| -> Vec<f64> {
            scores.iter().zip(same).filter(|(_, same)| **same == wanted).map(|(score, _)| *score).collect()
        };
        let (genuine, impostor) = (kind(true), kind(false));
        let mut draws = rng(self.seed, Purpose::Bootstrap, index as u64, 0);
        let mut drawn: Vec<f64> = genuine.iter().map(|_| genuine[draws.random_range(0..genuine.len())]).collect();
        drawn.extend(impostor.iter().map(|_| impostor[draws.random_range(0..impostor.len())]));
        let labels: Vec<bool> = (0..drawn.len()).map(|index| index < genuine.len()).collect();
        Roc::from_scores(&drawn, &labels)
    }
}

/// The `part`-quantile of sorted `figures`, on the straight line between neighbours.
fn quantile(figures: &[f64], part: f64) -> f64 {
    let position = part * (figures.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(figures.len() - 1);
    figures[below] + (position - below as f64) * (figures[above] - figures[below])
}
