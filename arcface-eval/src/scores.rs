//! TAR at FAR over more pairs than can be held: exact thresholds from a histogram and the few scores that decide.
//! Knows no files; the scores are cosines, made when they are needed and thrown away.
//!
//! Pairs of equal score are accepted or rejected together, as in [`crate::roc`]; on pairs that fit in memory both give
//! the same points.

mod hardest;
mod source;
mod tally;

use arcface_core::{Error, Result};

use crate::Embeddings;
use crate::roc::OperatingPoint;
use crate::rows::{Rows, check_widths};
pub use hardest::{HardestPairs, ScoredPair, hardest_pairs};
use source::Unit;
use tally::{Mask, Totals};

/// Units that the first guess of the thresholds looks at, and of each the first of so many blocks.
const SAMPLE: usize = 16;

/// Faces whose pairs are compared.
#[derive(Clone, Copy)]
pub struct Faces<'a> {
    /// The embeddings, N unit vectors.
    pub rows: &'a dyn Rows,
    /// The identity of each, N numbers; pairs of equal ones are genuine.
    pub identities: &'a [u32],
}

/// Pairs of a protocol; several kinds together make one protocol.
#[derive(Clone, Copy)]
pub enum Pairs<'a> {
    /// Pairs of rows as a list has them, P of them.
    Listed {
        /// The embeddings, or templates.
        embeddings: &'a Embeddings,
        /// Two rows each.
        pairs: &'a [(u32, u32)],
        /// Which are genuine.
        same: &'a [bool],
    },
    /// Every pair of two different rows of one set, once.
    Within(Faces<'a>),
    /// Every row of one set with every row of another.
    Between(Faces<'a>, Faces<'a>),
}

/// TAR at the wanted false accept rates.
#[derive(Debug, Clone, PartialEq)]
pub struct TarAtFar {
    /// Number of genuine pairs.
    pub genuine: usize,
    /// Number of impostor pairs.
    pub impostors: usize,
    /// For each wanted rate the point with the most accepted genuine pairs among those whose FAR is not above; exact.
    ///
    /// `None` where not even one impostor pair may be accepted: the rate is below [`Self::smallest_far`].
    pub points: Vec<Option<OperatingPoint>>,
    /// Operating points in steps of 2⁻¹⁵ of the cosine, by falling score, for a plot; the last accepts all.
    ///
    /// Those of listed pairs are exact. Those of sets reach a little beyond the highest wanted rate, and hold products in
    /// f32, so that a pair may stand at a neighbouring point.
    pub curve: Vec<OperatingPoint>,
}

impl TarAtFar {
    /// The lowest false accept rate that so many impostor pairs can show.
    pub fn smallest_far(&self) -> f64 {
        1.0 / self.impostors as f64
    }

    /// True accept rate at `point`.
    pub fn tar(&self, point: &OperatingPoint) -> f64 {
        point.true_accepts as f64 / self.genuine as f64
    }

    /// False accept rate at `point`.
    pub fn far(&self, point: &OperatingPoint) -> f64 {
        point.false_accepts as f64 / self.impostors as f64
    }
}

/// The points of `parts` at each false accept rate of `fars`, whatever the number of pairs.
///
/// The score of a pair is the cosine in f64 of [`Embeddings::cosines`]; sets are compared by matrix products in f32, and
/// those pairs whose rounding could matter are scored again. Usually every pair is scored once, and one of 16 twice.
/// The result is the same for any number of threads. It takes some 10 MiB for the counts, 16 MiB for rows that were
/// read, and 24 bytes for each distinct score that may decide, of which there may be 2²⁴.
///
/// ```
/// use arcface_eval::scores::Faces;
/// use arcface_eval::{Embeddings, Pairs, tar_at_far};
/// let faces = Embeddings::normalised(&[1.0, 0.0, 1.0, 0.1, 0.0, 1.0, 0.2, 1.0], 2)?;
/// let pairs = Pairs::Within(Faces { rows: &faces, identities: &[0, 0, 1, 1] });
/// let found = tar_at_far(&[pairs], &[0.25, 0.1])?;
/// assert_eq!((found.genuine, found.impostors), (2, 4));
/// assert_eq!(found.points[0].map(|point| found.tar(&point)), Some(1.0));
/// assert_eq!(found.points[1], None); // four impostor pairs show no rate below
/// assert_eq!(found.smallest_far(), 0.25);
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If a rate is not within (0, 1], lengths or sizes do not fit, a pair names a row that is not there, rows cannot be read
/// or are not unit vectors, there is no genuine or no impostor pair, or too many distinct scores lie about a threshold.
pub fn tar_at_far(parts: &[Pairs<'_>], fars: &[f64]) -> Result<TarAtFar> {
    check_rates(fars)?;
    parts.iter().try_for_each(Pairs::check)?;
    let units: Vec<Unit<'_>> = parts.iter().flat_map(Unit::all).collect();
    let guard = units.iter().map(Unit::guard).max().unwrap_or(0);

    let step = units.len().div_ceil(SAMPLE).max(1);
    let sample = sweep(units.iter().step_by(step), &Mask::none(), SAMPLE)?;
    let mask = Mask::new(fars.iter().filter_map(|far| sample.guess(*far)), guard);
    let mut totals = sweep(units.iter(), &mask, 1)?;
    totals.check_kinds()?;

    let mut windows = totals.windows(fars, guard);
    if !totals.holds(&mask, &windows, guard) {
        // The guess was wrong: the beginnings of the units are unlike the rest.
        windows = sweep(units.iter(), &Mask::none(), 1)?.windows(fars, guard);
        totals = sweep(units.iter(), &Mask::new(windows.iter().flatten().cloned(), guard), 1)?;
        totals.check_memory()?;
    }
    Ok(totals.finish(fars, &windows))
}

/// What `units` score, of each the first of every `step` blocks.
fn sweep<'a>(units: impl Iterator<Item = &'a Unit<'a>>, mask: &Mask, step: usize) -> Result<Totals> {
    let mut totals = Totals::new();
    for unit in units {
        totals.add(unit.tally(mask, step)?);
    }
    totals.merge_ties();
    Ok(totals)
}

fn check_rates(fars: &[f64]) -> Result<()> {
    let wrong = fars.iter().find(|&&far| !(0.0 < far && far <= 1.0));
    wrong.map_or(Ok(()), |far| Err(Error::value("false accept rate", "0 < rate <= 1", far)))
}

impl Pairs<'_> {
    fn check(&self) -> Result<()> {
        match self {
            Self::Listed { embeddings, pairs, same } => check_list(embeddings, pairs, same),
            Self::Within(faces) => faces.check(),
            Self::Between(a, b) => {
                a.check()?;
                b.check()?;
                check_widths(a.rows, b.rows)
            }
        }
    }
}

impl Faces<'_> {
    pub(crate) fn check(&self) -> Result<()> {
        if self.identities.len() != self.rows.rows() {
            let expected = format!("one per face, {}", self.rows.rows());
            return Err(Error::value("identities", expected, self.identities.len()));
        }
        if self.rows.width() == 0 {
            return Err(Error::value("embeddings", "at least one value each", 0));
        }
        Ok(())
    }
}

fn check_list(embeddings: &Embeddings, pairs: &[(u32, u32)], same: &[bool]) -> Result<()> {
    if pairs.len() != same.len() {
        return Err(Error::value("labels of pairs", format!("one per pair, {}", pairs.len()), same.len()));
    }
    let missing = pairs.iter().position(|(a, b)| embeddings.len() <= *a.max(b) as usize);
    missing.map_or(Ok(()), |index| {
        let expected = format!("rows below {}", embeddings.len());
        Err(Error::value(format!("pair {index}"), expected, format!("{:?}", pairs[index])))
    })
}
