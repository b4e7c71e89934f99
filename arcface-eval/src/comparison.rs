//! Several ways to train compared over seeds: figures, differences to one of them, and whether these are more than noise.
//! Knows no training; the distances of the same pairs come in from each.

use std::collections::BTreeMap;

use arcface_core::{Error, Result};
use serde::Serialize;

use crate::significance::{PairedTest, Prior, holm, mean_and_deviation, means_of_runs, paired_among};
use crate::verification::{Verification, contributions, verify_folds};

/// Coverage of the intervals.
const LEVEL: f64 = 0.95;
/// A difference is more than noise below this p value, after Holm's correction.
pub const ALPHA: f64 = 0.05;

/// What others report of the same variant, such as the paper: an accuracy or rate as a fraction.
pub type Published = Option<f64>;

/// The pairs of one benchmark by one network.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Squared ℓ2 distances.
    pub distances: Vec<f64>,
    /// Whether a pair shows one person.
    pub same: Vec<bool>,
    /// Number of each pair's fold.
    pub folds: Vec<usize>,
}

/// One way to train, on one benchmark.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Its networks by seed.
    pub runs: BTreeMap<u64, Scored>,
    /// Seeds that failed, and why.
    pub failures: BTreeMap<u64, String>,
    /// What others report.
    pub published: Published,
}

/// All variants on one benchmark.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Name of the benchmark.
    pub benchmark: String,
    /// The variant that the others are compared with.
    pub reference: String,
    /// In the order that they came in.
    pub rows: Vec<Row>,
}

/// One variant on one benchmark; rates are fractions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The seeds that it was trained with, those that failed left out.
    pub seeds: Vec<u64>,
    /// Its figures: `accuracy`, `accuracy_grid`, `tar_at_far_1e-2` and so on, `auc`, `eer`. None where every seed failed.
    pub figures: Vec<Figure>,
    /// Against the reference; absent for itself and where they have no seed in common.
    pub difference: Option<Difference>,
    /// What others report.
    pub published: Published,
    /// Seeds that failed, and why.
    pub failures: BTreeMap<u64, String>,
}

/// One figure over the seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Its name.
    pub key: String,
    /// The mean over seeds.
    pub mean: f64,
    /// The sample standard deviation over two or more seeds.
    pub deviation: Option<f64>,
    /// One for each seed.
    pub values: Vec<f64>,
}

/// What a variant's accuracy is above the reference's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Over the seeds that both have, and their pairs.
    #[serde(flatten)]
    pub test: PairedTest,
    /// p among all comparisons of the table (Holm).
    pub p_holm: f64,
    /// Whether that is below [`ALPHA`].
    pub beyond_noise: bool,
}

impl Row {
    /// The figure called `key`.
    pub fn figure(&self, key: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.key == key)
    }
}

/// Compares the variants of each benchmark with the one called `reference`; p values are corrected over all of them.
///
/// ```
/// use arcface_eval::comparison::{Scored, Variant, compare};
/// let scored = |distances: [f64; 4]| Scored {
///     distances: distances.to_vec(),
///     same: vec![true, false, true, false],
///     folds: vec![1, 1, 2, 2],
/// };
/// let variant = |name: &str, distances| Variant { name: name.into(), runs: [(0, scored(distances))].into(), ..Variant::default() };
/// let variants = vec![variant("arcface", [0.2, 1.9, 0.4, 1.7]), variant("softmax", [1.8, 1.9, 0.4, 0.3])];
/// let comparisons = compare("arcface", &[("pairs".to_owned(), variants)])?;
/// let softmax = &comparisons[0].rows[1];
/// assert!(softmax.difference.as_ref().is_some_and(|d| d.test.difference < 0.0));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If the pairs of a network cannot be verified, or two networks of one seed met different pairs.
pub fn compare(reference: &str, benchmarks: &[(String, Vec<Variant>)]) -> Result<Vec<Comparison>> {
    let mut comparisons = benchmarks
        .iter()
        .map(|(benchmark, variants)| on_benchmark(benchmark, reference, variants))
        .collect::<Result<Vec<_>>>()?;
    correct(&mut comparisons);
    Ok(comparisons)
}

fn on_benchmark(benchmark: &str, reference: &str, variants: &[Variant]) -> Result<Comparison> {
    let standard = variants.iter().find(|variant| variant.name == reference).map(Judged::of).transpose()?;
    let against = |variant: &Variant| match standard.as_ref().filter(|standard| standard.name != variant.name) {
        Some(standard) => gains(&Judged::of(variant)?, standard),
        None => Ok(None),
    };
    let gains = variants.iter().map(against).collect::<Result<Vec<_>>>()?;
    let of_runs = gains.iter().flatten().map(|gains| means_of_runs(&gains.each));
    let prior = Prior::of(&of_runs.collect::<Vec<_>>());
    let rows = variants.iter().zip(&gains).map(|(variant, gains)| row(variant, gains.as_ref(), prior));
    Ok(Comparison {
        benchmark: benchmark.to_owned(),
        reference: reference.to_owned(),
        rows: rows.collect::<Result<_>>()?,
    })
}

fn row(variant: &Variant, gains: Option<&Gains>, prior: Option<Prior>) -> Result<Row> {
    let verifications = variant.runs.values().map(Scored::verify).collect::<Result<Vec<_>>>()?;
    let test = gains.map(|gains| paired_among(&gains.each, &gains.strata, LEVEL, prior)).transpose()?;
    Ok(Row {
        name: variant.name.clone(),
        seeds: variant.runs.keys().copied().collect(),
        figures: figures(&verifications),
        difference: test.map(|test| Difference { p_holm: test.p, beyond_noise: false, test }),
        published: variant.published,
        failures: variant.failures.clone(),
    })
}

impl Scored {
    fn verify(&self) -> Result<Verification> {
        verify_folds(&self.distances, &self.same, &self.folds)
    }

    fn contributions(&self) -> Result<Vec<f64>> {
        contributions(&self.distances, &self.same, &self.folds)
    }

    fn has_the_pairs_of(&self, other: &Self) -> bool {
        self.same == other.same && self.folds == other.folds
    }
}

/// The figures that every seed has.
fn figures(verifications: &[Verification]) -> Vec<Figure> {
    let tables: Vec<Vec<(String, Option<f64>)>> = verifications.iter().map(named).collect();
    let Some(first) = tables.first() else { return Vec::new() };
    let of_key = |(index, (key, _)): (usize, &(String, Option<f64>))| {
        let values: Vec<f64> = tables.iter().map(|table| table[index].1).collect::<Option<_>>()?;
        let (mean, deviation) = mean_and_deviation(&values);
        Some(Figure { key: key.clone(), mean, deviation, values })
    };
    first.iter().enumerate().filter_map(of_key).collect()
}

fn named(v: &Verification) -> Vec<(String, Option<f64>)> {
    let mut all = vec![("accuracy".to_owned(), Some(v.accuracy)), ("accuracy_grid".to_owned(), Some(v.accuracy_grid))];
    all.extend(v.tar_at_far.iter().map(|(far, tar)| (format!("tar_at_far_{far}"), *tar)));
    all.extend([("auc".to_owned(), Some(v.auc)), ("eer".to_owned(), Some(v.eer))]);
    all
}

/// A variant, with what each of its pairs contributes to its accuracy.
struct Judged<'a> {
    name: &'a str,
    runs: BTreeMap<u64, (&'a Scored, Vec<f64>)>,
}

impl<'a> Judged<'a> {
    fn of(variant: &'a Variant) -> Result<Self> {
        let judged = variant.runs.iter().map(|(seed, run)| Ok((*seed, (run, run.contributions()?))));
        Ok(Self { name: &variant.name, runs: judged.collect::<Result<_>>()? })
    }
}

/// What a variant gained on the reference, for each run and pair.
struct Gains {
    each: Vec<Vec<f64>>,
    /// The kind of each pair.
    strata: Vec<usize>,
}

/// Over the seeds that both have; `None` if there is none.
fn gains(variant: &Judged<'_>, reference: &Judged<'_>) -> Result<Option<Gains>> {
    let (mut each, mut strata) = (Vec::new(), Vec::new());
    for (seed, (run, ours)) in &variant.runs {
        let Some((of_reference, theirs)) = reference.runs.get(seed) else { continue };
        if !run.has_the_pairs_of(of_reference) {
            let what = format!("pairs of `{}` with seed {seed}", variant.name);
            return Err(Error::value(what, format!("those of `{}`", reference.name), "others"));
        }
        each.push(ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs).collect::<Vec<f64>>());
        strata = run.same.iter().map(|same| usize::from(*same)).collect();
    }
    // Sets of different sizes have no units in common; their largest common part is not worth a special case.
    let has_units = !each.is_empty() && each.iter().all(|run| run.len() == strata.len());
    Ok(has_units.then_some(Gains { each, strata }))
}

/// Corrects the p values over all comparisons.
fn correct(comparisons: &mut [Comparison]) {
    let all = || comparisons.iter().flat_map(|comparison| &comparison.rows).filter_map(|row| row.difference.as_ref());
    let adjusted = holm(&all().map(|difference| difference.test.p).collect::<Vec<_>>());
    let rows = comparisons.iter_mut().flat_map(|comparison| &mut comparison.rows);
    for (difference, p) in rows.filter_map(|row| row.difference.as_mut()).zip(adjusted) {
        difference.p_holm = p;
        difference.beyond_noise = p < ALPHA;
    }
}
