//! Whether one system is better than another by more than noise: a paired test over runs and pairs, and Holm's correction.
//! Knows no system: what the one gained on the other comes in, for every run and pair.

mod moderate;
mod student;

use std::collections::BTreeMap;

use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::roc::Interval;

pub use moderate::Prior;

/// Degrees of freedom at which t is normal to the digits that anyone reads.
const MANY: f64 = 1e6;

/// A mean difference with its interval, and how easily noise alone would have given it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedTest {
    /// The mean over runs and pairs of what was gained.
    pub difference: f64,
    /// Where the true difference lies, by Student's t.
    pub interval: Interval,
    /// Probability of a difference as large or larger, in either direction, if there were none.
    pub p: f64,
    /// Standard error of the difference.
    pub standard_error: f64,
    /// Degrees of freedom of t.
    pub degrees: f64,
    /// Number of runs. With one alone the test speaks of these two networks, not of two ways to train one.
    pub runs: usize,
}

/// Tests whether the mean of `gains` differs from zero.
///
/// `gains[r][u]` is what the new system gained on the other in run r (both of one seed) on unit u (a pair of faces),
/// `strata[u]` the kind of unit that a new set would hold as many of. Two things were drawn, and both could have been
/// drawn otherwise: the variance is `s²_runs/R + s²_units/U`, with Student's t at the degrees of freedom of Satterthwaite
/// (Biometrics Bulletin 2, 1946). What a run and a unit have in common is counted in both parts, so the interval is
/// rather too wide than too narrow, at most by √2; so is that of the bootstrap that draws runs and units again (Owen,
/// arXiv 0712.1111), which for the few runs of an ablation is too narrow by √(1 − 1/R) before.
///
/// ```
/// use arcface_eval::significance::paired;
/// // Two runs; whether each of six pairs was judged better (1), as well (0) or worse (−1) by the new system.
/// let gains = [vec![1.0, 1.0, 0.0, 1.0, 1.0, 1.0], vec![1.0, 1.0, 1.0, 0.0, 1.0, 1.0]];
/// let test = paired(&gains, &[0; 6], 0.95)?;
/// assert!((test.difference - 5.0 / 6.0).abs() < 1e-12);
/// assert!(test.p < 0.05);
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If there is no run, a run has not one number per unit, a number is not finite, the units are not more than their
/// strata, or the level is not within (0, 1).
pub fn paired(gains: &[Vec<f64>], strata: &[usize], level: f64) -> Result<PairedTest> {
    paired_among(gains, strata, level, None)
}

/// The same as one of several tests, whose runs together tell what the variance of runs is like ([`Prior::of`]).
///
/// # Errors
/// As [`paired`].
pub fn paired_among(gains: &[Vec<f64>], strata: &[usize], level: f64, prior: Option<Prior>) -> Result<PairedTest> {
    check(gains, strata, level)?;
    let runs = gains.len();
    let of_runs = means_of_runs(gains);
    let of_units: Vec<f64> =
        (0..strata.len()).map(|unit| gains.iter().map(|run| run[unit]).sum::<f64>() / runs as f64).collect();
    let difference = mean(&of_runs);
    let by_units = of_stratified_mean(&of_units, strata);
    let by_runs = (1 < runs).then(|| {
        let own = Part { variance: variance(&of_runs), degrees: runs as f64 - 1.0 };
        let part = prior.map_or(own, |prior| prior.moderate(own));
        Part { variance: part.variance / runs as f64, ..part }
    });
    let total = Part::sum(&[Some(by_units), by_runs].into_iter().flatten().collect::<Vec<_>>());
    let standard_error = total.variance.sqrt();
    let reach = student::quantile(level, total.degrees) * standard_error;
    Ok(PairedTest {
        difference,
        interval: Interval { low: difference - reach, high: difference + reach, level },
        p: p_value(difference, standard_error, total.degrees),
        standard_error,
        degrees: total.degrees,
        runs,
    })
}

/// What each run gained in the mean over its units.
pub fn means_of_runs(gains: &[Vec<f64>]) -> Vec<f64> {
    gains.iter().map(|run| mean(run)).collect()
}

/// Where a share lies of which `count` of `of` were seen (Wilson, Journal of the American Statistical Association 22, 1927);
/// `None` if nothing was seen, more were than there are, or the level is not within (0, 1).
///
/// ```
/// let interval = arcface_eval::significance::share(95, 100, 0.95).unwrap();
/// assert!((interval.low - 0.8882).abs() < 1e-4 && (interval.high - 0.9785).abs() < 1e-4);
/// ```
pub fn share(count: usize, of: usize, level: f64) -> Option<Interval> {
    if of == 0 || of < count || !(0.0 < level && level < 1.0) {
        return None;
    }
    let (number, share) = (of as f64, count as f64 / of as f64);
    let z2 = student::quantile(level, MANY).powi(2) / number;
    let (middle, reach) = (share + 0.5 * z2, (z2 * (share * (1.0 - share) + 0.25 * z2)).sqrt());
    let whole = 1.0 + z2;
    Some(Interval { low: (middle - reach) / whole, high: (middle + reach) / whole, level })
}

/// The p values of several tests, raised so that the chance of *any* false alarm among them stays that of one.
///
/// Holm, Scandinavian Journal of Statistics 6, 1979: the smallest times the number of tests, the next times one less, and
/// none below one before it.
///
/// ```
/// let adjusted = arcface_eval::significance::holm(&[0.01, 0.04, 0.03, 0.005]);
/// let expected = [0.03, 0.06, 0.06, 0.02];
/// assert!(adjusted.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-12));
/// ```
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut least: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max(((p.len() - rank) as f64 * p[index]).min(1.0));
        adjusted[index] = least;
    }
    adjusted
}

/// The mean of some values and, of two or more, their sample standard deviation; NaN of none.
///
/// ```
/// use arcface_eval::significance::mean_and_deviation;
/// assert_eq!(mean_and_deviation(&[0.5]), (0.5, None));
/// assert_eq!(mean_and_deviation(&[1.0, 3.0]), (2.0, Some(2_f64.sqrt())));
/// ```
pub fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    (mean(values), (1 < values.len()).then(|| variance(values).sqrt()))
}

fn check(gains: &[Vec<f64>], strata: &[usize], level: f64) -> Result<()> {
    if gains.is_empty() {
        return Err(Error::value("runs to test", "at least one", 0));
    }
    let kinds = strata.iter().collect::<std::collections::BTreeSet<_>>().len();
    if strata.len() <= kinds {
        return Err(Error::value("units to test", format!("more than their strata, {kinds}"), strata.len()));
    }
    if let Some(run) = gains.iter().position(|run| run.len() != strata.len()) {
        let what = format!("gains of run {run}");
        return Err(Error::value(what, format!("one per unit, {}", strata.len()), gains[run].len()));
    }
    if let Some(gain) = gains.iter().flatten().find(|gain| !gain.is_finite()) {
        return Err(Error::value("gain", "a finite number", gain));
    }
    if !(0.0 < level && level < 1.0) {
        return Err(Error::value("level", "0 < level < 1", level));
    }
    Ok(())
}

/// A part of a variance, and how well it is known.
#[derive(Debug, Clone, Copy)]
struct Part {
    variance: f64,
    degrees: f64,
}

impl Part {
    fn sum(parts: &[Self]) -> Self {
        let variance: f64 = parts.iter().map(|part| part.variance).sum();
        let uncertainty: f64 = parts.iter().map(|part| part.variance.powi(2) / part.degrees.min(MANY)).sum();
        // Without any variance every part is as good.
        let least = parts.iter().map(|part| part.degrees).fold(f64::INFINITY, f64::min);
        Self { variance, degrees: if 0.0 < uncertainty { variance.powi(2) / uncertainty } else { least } }
    }
}

/// The variance of the mean of `units` when each stratum keeps its size.
fn of_stratified_mean(units: &[f64], strata: &[usize]) -> Part {
    let mut groups = BTreeMap::<usize, Vec<f64>>::new();
    for (unit, stratum) in units.iter().zip(strata) {
        groups.entry(*stratum).or_default().push(*unit);
    }
    let number = units.len() as f64;
    // A stratum of one says nothing of its variance.
    let known = groups.values().filter(|group| 1 < group.len());
    let parts: Vec<Part> = known
        .map(|group| {
            let share = group.len() as f64 / number;
            let variance = share.powi(2) * variance(group) / group.len() as f64;
            Part { variance, degrees: group.len() as f64 - 1.0 }
        })
        .collect();
    Part::sum(&parts)
}

fn p_value(difference: f64, standard_error: f64, degrees: f64) -> f64 {
    let t = difference.abs() / standard_error;
    // Two systems that never differ: 0/0.
    if t.is_nan() { 1.0 } else { student::two_sided(t, degrees) }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The unbiased one.
fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}
