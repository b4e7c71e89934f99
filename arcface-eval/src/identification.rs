//! Who is it: probes searched in a gallery (rank-k, CMC, TPIR at FPIR), and in a crowd of distractors (`MegaFace`).
//! Knows no files; cosines are made block by block, and those whose rounding could matter again in f64.
//!
//! A tie counts against the probe: a stranger as similar as the mate is ahead of it, and a probe as similar as the first
//! that is rejected is rejected too.

use std::collections::BTreeMap;
use std::ops::Range;

use arcface_core::{Error, Result};
use rayon::prelude::*;

use crate::roc::allowed_accepts;
use crate::rows::{Block, Panel, Rows, check_widths, exact, product_error};
use crate::scores::Faces;

/// Rows of a panel: of 512 values, 8 MiB.
const PANEL: usize = 1 << 12;

/// Probes that one thread searches at a time.
const PROBES: usize = 256;

/// What the search of every probe in a gallery found.
///
/// ```
/// use arcface_eval::identification::identify;
/// use arcface_eval::{Embeddings, scores::Faces};
/// let gallery = Embeddings::normalised(&[1.0, 0.0, 0.0, 1.0], 2)?;
/// // Two probes of persons 5 and 6, who are in the gallery, and one of person 9, who is not.
/// let probes = Embeddings::normalised(&[1.0, 0.2, 1.0, 0.9, -1.0, 0.4], 2)?;
/// let found = identify(
///     Faces { rows: &probes, identities: &[5, 6, 9] },
///     Faces { rows: &gallery, identities: &[5, 6] },
/// )?;
/// assert_eq!((found.rank(1), found.rank(2)), (0.5, 1.0));
/// assert_eq!(found.tpir_at_fpir(1.0), Some(0.5));
/// assert_eq!(found.tpir_at_fpir(0.1), None); // one stranger cannot show a rate of 0.1
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Identification {
    /// For each mated probe how similar the most similar mate is, and how many others are not less so.
    mates: Vec<Mate>,
    /// For each probe without a mate how similar the most similar face of the gallery is, falling.
    strangers: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Mate {
    score: f64,
    ahead: usize,
}

impl Identification {
    /// Number of probes whose identity is in the gallery.
    pub fn mated(&self) -> usize {
        self.mates.len()
    }

    /// Number of probes whose identity is not.
    pub fn non_mated(&self) -> usize {
        self.strangers.len()
    }

    /// Fraction of the mated probes whose mate is among the `k` most similar faces of the gallery.
    ///
    /// Faces of the probe's own identity are not counted against it.
    pub fn rank(&self, k: usize) -> f64 {
        self.mates.iter().filter(|mate| mate.ahead < k).count() as f64 / self.mated() as f64
    }

    /// The cumulative match characteristic: [`Self::rank`] of 1, 2, …, `ranks`.
    pub fn cmc(&self, ranks: usize) -> Vec<f64> {
        (1..=ranks).map(|k| self.rank(k)).collect()
    }

    /// Fraction of the mated probes that are found at rank 1 above a threshold that at most a fraction `fpir` of the
    /// probes without a mate exceed; exact.
    ///
    /// `None` if `fpir` is below [`Self::smallest_fpir`].
    pub fn tpir_at_fpir(&self, fpir: f64) -> Option<f64> {
        let allowed = allowed_accepts(fpir, self.non_mated())?;
        let limit = self.strangers.get(allowed).copied().unwrap_or(f64::NEG_INFINITY);
        let found = self.mates.iter().filter(|mate| mate.ahead == 0 && limit < mate.score).count();
        Some(found as f64 / self.mated() as f64)
    }

    /// The lowest false-positive identification rate that so many probes without a mate can show; infinite without any.
    pub fn smallest_fpir(&self) -> f64 {
        1.0 / self.non_mated() as f64
    }
}

/// Searches every probe in the gallery.
///
/// For two galleries call it twice with the same probes: those of the other gallery's persons are then without a mate.
///
/// # Errors
/// If lengths or sizes do not fit, rows cannot be read or are not unit vectors, or no probe has a mate.
pub fn identify(probes: Faces<'_>, gallery: Faces<'_>) -> Result<Identification> {
    probes.check()?;
    gallery.check()?;
    check_widths(probes.rows, gallery.rows)?;
    let mut found = Identification { mates: Vec::new(), strangers: Vec::new() };
    for range in panels(0..probes.identities.len()) {
        let own = &probes.identities[range.clone()];
        let panel = Panel::read(probes.rows, range)?;
        let mut searches = find_mates(&panel, own, &gallery)?;
        let is_own = |probe: usize, face: usize| own[probe] == gallery.identities[face];
        let all = 0..gallery.identities.len();
        search(&panel, gallery.rows, all, is_own, &mut searches)?;
        for Search { mate, ahead, highest } in searches {
            match mate {
                Some(score) => found.mates.push(Mate { score, ahead }),
                None => found.strangers.push(highest),
            }
        }
    }
    if found.mates.is_empty() {
        let expected = "at least one whose identity is in the gallery";
        return Err(Error::value("probes", expected, format!("{} without", found.strangers.len())));
    }
    found.strangers.sort_unstable_by(|a, b| b.total_cmp(a));
    Ok(found)
}

/// Rank-1 of `MegaFace` against the first n of the distractors, for each n of `crowds`.
///
/// Each pair of two probes of one identity is searched twice: one face looks for the other among the distractors, which
/// it finds if it is more similar to it than to all of them.
///
/// ```
/// use arcface_eval::identification::rank_1_among;
/// use arcface_eval::{Embeddings, scores::Faces};
/// let probes = Embeddings::normalised(&[1.0, 0.0, 1.0, 0.5], 2)?;
/// let distractors = Embeddings::normalised(&[0.0, 1.0, 1.0, 0.8], 2)?;
/// let rates = rank_1_among(Faces { rows: &probes, identities: &[3, 3] }, &distractors, &[1, 2])?;
/// assert_eq!(rates, [1.0, 0.5]); // the second is more similar to the last distractor
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If lengths or sizes do not fit, a crowd is empty or larger than the distractors, rows cannot be read or are not unit
/// vectors, or no two probes are of one identity.
pub fn rank_1_among(probes: Faces<'_>, distractors: &dyn Rows, crowds: &[usize]) -> Result<Vec<f64>> {
    probes.check()?;
    check_widths(probes.rows, distractors)?;
    check_crowds(crowds, distractors.rows())?;
    let all = Panel::read(probes.rows, 0..probes.identities.len())?;
    let mates = pairs_of_mates(probes.identities);
    if mates.is_empty() {
        return Err(Error::value("probes", "at least two of one identity", "none"));
    }
    let scores: Vec<f64> = mates.par_iter().map(|&(a, b)| exact(&all, a, &all, b)).collect();
    let mut order: Vec<usize> = (0..crowds.len()).collect();
    order.sort_by_key(|index| crowds[*index]);
    let (mut rates, mut searches, mut seen) = (vec![0.0; crowds.len()], vec![Search::of_stranger(); all.len()], 0);
    for index in order {
        search(&all, distractors, seen..crowds[index], |_, _| false, &mut searches)?;
        seen = crowds[index];
        let found = mates.iter().zip(&scores).filter(|((a, _), score)| searches[*a].highest < **score).count();
        rates[index] = found as f64 / mates.len() as f64;
    }
    Ok(rates)
}

/// How far the search of one probe has come.
#[derive(Debug, Clone, Copy)]
struct Search {
    /// The cosine to the most similar mate, if there is a mate.
    mate: Option<f64>,
    /// Faces of others that are at least as similar.
    ahead: usize,
    /// The highest cosine so far, for a probe without a mate.
    highest: f64,
}

impl Search {
    fn of_stranger() -> Self {
        Self { mate: None, ahead: 0, highest: f64::NEG_INFINITY }
    }

    /// Takes note of another's face, `product` being within `error` of what `exact` gives.
    #[inline]
    fn meet(&mut self, product: f32, error: f64, exact: impl FnOnce() -> f64) {
        let product = f64::from(product);
        match self.mate {
            Some(mate) => {
                let is_ahead = mate + error < product || (mate - error <= product && mate <= exact());
                self.ahead += usize::from(is_ahead);
            }
            None if self.highest < product + error => self.highest = self.highest.max(exact()),
            None => {}
        }
    }
}

/// The probes of `panel` with the most similar faces of their own identities in the gallery.
fn find_mates(panel: &Panel<'_>, own: &[u32], gallery: &Faces<'_>) -> Result<Vec<Search>> {
    let mut searches = vec![Search::of_stranger(); panel.len()];
    for range in panels(0..gallery.identities.len()) {
        let faces = Panel::read(gallery.rows, range.clone())?;
        let rows_of = rows_by_identity(&gallery.identities[range]);
        searches.par_iter_mut().enumerate().for_each(|(probe, search)| {
            for &face in rows_of.get(&own[probe]).into_iter().flatten() {
                let score = exact(panel, probe, &faces, face);
                search.mate = Some(search.mate.map_or(score, |best| best.max(score)));
            }
        });
    }
    Ok(searches)
}

/// Shows the faces of `range` to every probe, but for those that are of its own identity.
fn search(
    probes: &Panel<'_>,
    gallery: &dyn Rows,
    range: Range<usize>,
    is_own: impl Fn(usize, usize) -> bool + Sync,
    searches: &mut [Search],
) -> Result<()> {
    let error = product_error(gallery.width());
    for range in panels(range) {
        let faces = Panel::read(gallery, range)?;
        searches.par_chunks_mut(PROBES).enumerate().for_each_init(Vec::new, |scratch, (index, searches)| {
            let first = index * PROBES;
            for block in Block::of_rows(first..first + searches.len(), faces.len()) {
                let cosines = block.products(probes, &faces, scratch).chunks_exact(block.cols.len());
                for ((search, probe), cosines) in searches.iter_mut().zip(first..).zip(cosines) {
                    for (face, &cosine) in block.cols.clone().zip(cosines) {
                        if !is_own(probe, faces.first + face) {
                            search.meet(cosine, error, || exact(probes, probe, &faces, face));
                        }
                    }
                }
            }
        });
    }
    Ok(())
}

/// Runs of rows that are read at once.
fn panels(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(PANEL).map(move |at| at..range.end.min(at + PANEL))
}

fn rows_by_identity(identities: &[u32]) -> BTreeMap<u32, Vec<usize>> {
    let mut rows = BTreeMap::<u32, Vec<usize>>::new();
    for (row, &identity) in identities.iter().enumerate() {
        rows.entry(identity).or_default().push(row);
    }
    rows
}

/// Every two different rows of one identity, in both orders.
fn pairs_of_mates(identities: &[u32]) -> Vec<(usize, usize)> {
    let groups = rows_by_identity(identities).into_values();
    let pairs = |rows: Vec<usize>| {
        let pairs = rows.iter().flat_map(|&a| rows.iter().map(move |&b| (a, b)));
        pairs.filter(|(a, b)| a != b).collect::<Vec<(usize, usize)>>()
    };
    groups.flat_map(pairs).collect()
}

fn check_crowds(crowds: &[usize], distractors: usize) -> Result<()> {
    let wrong = crowds.iter().find(|&&crowd| crowd == 0 || distractors < crowd);
    wrong.map_or(Ok(()), |crowd| {
        let expected = format!("1 <= number <= {distractors} (those that there are)");
        Err(Error::value("number of distractors", expected, crowd))
    })
}
