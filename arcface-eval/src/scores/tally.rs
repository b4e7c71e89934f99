//! Counts of scores by bins, the scores of those bins that decide, and the thresholds that follow from both.
//! Knows no embeddings.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use arcface_core::{Error, Result};

use super::TarAtFar;
use crate::roc::{OperatingPoint, allowed_accepts};

/// Bins of the cosine: 2¹⁶ over [−1, 1), and one for 1.
pub(super) const BINS: usize = (1 << 16) + 1;

/// Cosines that one bin spans.
pub(super) const WIDTH: f64 = 1.0 / 32768.0;

/// Distinct scores that are held at most, 384 MiB.
const MOST_KEPT: usize = 1 << 24;

/// The lowest cosine of `bin`.
pub(super) fn lower_edge(bin: usize) -> f64 {
    bin as f64 * WIDTH - 1.0
}

/// The bin of a cosine; a higher cosine is never in a lower one.
#[inline]
pub(super) fn bin_of(cosine: f64) -> usize {
    // Within [2, 4) the digits of a number rise evenly, and the first 16 of them are the bin.
    let steps = (cosine + 3.0).to_bits().saturating_sub(2.0_f64.to_bits()) >> (f64::MANTISSA_DIGITS - 1 - 16);
    (steps as usize).min(BINS - 1)
}

/// The bins whose scores are made exactly and kept.
pub(super) struct Mask {
    covered: Box<[bool; BINS]>,
    /// The lowest of them; 0 if there are none.
    floor: usize,
}

impl Mask {
    pub(super) fn none() -> Self {
        Self { covered: zeros(), floor: 0 }
    }

    /// `windows`, and `guard` bins on either side of each.
    pub(super) fn new(windows: impl Iterator<Item = RangeInclusive<usize>>, guard: usize) -> Self {
        let mut mask = Self::none();
        for window in windows {
            mask.covered[widened(&window, guard)].fill(true);
        }
        mask.floor = mask.covered.iter().position(|covered| *covered).unwrap_or(0);
        mask
    }

    #[inline]
    pub(super) fn covers(&self, bin: usize) -> bool {
        self.covered[bin]
    }

    /// The bin below which scores need not be told apart; 0 if all are to be counted.
    pub(super) fn floor(&self) -> usize {
        self.floor
    }
}

/// A table for all bins, too large for the stack.
#[allow(clippy::unnecessary_box_returns)]
fn zeros<T: Clone + Default>() -> Box<[T; BINS]> {
    let table: Box<[T]> = vec![T::default(); BINS].into_boxed_slice();
    // The length is the type's, so that indices below it need no check.
    table.try_into().unwrap_or_else(|_| unreachable!("as long as it was made"))
}

fn widened(window: &RangeInclusive<usize>, by: usize) -> RangeInclusive<usize> {
    window.start().saturating_sub(by)..=(window.end() + by).min(BINS - 1)
}

/// Counts of impostors and genuine pairs of one unit, and its scores that may decide.
pub(super) struct Tally {
    counts: Box<[[u32; 2]; BINS]>,
    kept: Vec<(f64, bool)>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { counts: zeros(), kept: Vec::new() }
    }

    #[inline]
    pub(super) fn count(&mut self, bin: usize, same: bool) {
        self.counts[bin][usize::from(same)] += 1;
    }

    pub(super) fn keep(&mut self, score: f64, same: bool) {
        self.kept.push((score, same));
    }

    /// Puts those of `impostors` and `genuine` pairs that were not counted into the lowest bin.
    pub(super) fn count_rest(&mut self, impostors: usize, genuine: usize) {
        for (kind, all) in [impostors, genuine].into_iter().enumerate() {
            let counted: u32 = self.counts.iter().map(|counts| counts[kind]).sum();
            self.counts[0][kind] += all as u32 - counted;
        }
    }

    pub(super) fn merged(mut self, other: Self) -> Self {
        for (count, other) in self.counts.as_flattened_mut().iter_mut().zip(other.counts.as_flattened()) {
            *count += other;
        }
        self.kept.extend(other.kept);
        self
    }
}

/// Pairs of one score.
#[derive(Debug, Clone, Copy)]
struct Tied {
    score: f64,
    impostors: u64,
    genuine: u64,
}

/// Counts of all units, and their scores that may decide.
pub(super) struct Totals {
    counts: Box<[[u64; 2]; BINS]>,
    kept: Vec<Tied>,
    /// How long `kept` was when equal scores were last merged.
    merged: usize,
    /// Whether there were more distinct scores than may be held.
    overflown: bool,
}

impl Totals {
    pub(super) fn new() -> Self {
        Self { counts: zeros(), kept: Vec::new(), merged: 0, overflown: false }
    }

    pub(super) fn add(&mut self, tally: Tally) {
        for (total, count) in self.counts.as_flattened_mut().iter_mut().zip(tally.counts.as_flattened()) {
            *total += u64::from(*count);
        }
        if self.overflown {
            return;
        }
        let single = |(score, same): (f64, bool)| Tied { score, impostors: u64::from(!same), genuine: u64::from(same) };
        self.kept.extend(tally.kept.into_iter().map(single));
        if 2 * self.merged + (1 << 20) < self.kept.len() {
            self.merge_ties();
        }
    }

    /// Sorts what is kept by falling score, and makes equal scores one.
    pub(super) fn merge_ties(&mut self) {
        self.kept.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
        self.kept.dedup_by(|next, first| {
            // As numbers: −0 and +0 sort apart but are one score.
            let ties = next.score.partial_cmp(&first.score) == Some(Ordering::Equal);
            if ties {
                first.impostors += next.impostors;
                first.genuine += next.genuine;
            }
            ties
        });
        self.merged = self.kept.len();
        if MOST_KEPT < self.merged {
            self.overflown = true;
            self.kept = Vec::new();
        }
    }

    fn of_kind(&self, kind: usize) -> usize {
        self.counts.iter().map(|counts| counts[kind] as usize).sum()
    }

    fn impostors(&self) -> usize {
        self.of_kind(0)
    }

    fn genuine(&self) -> usize {
        self.of_kind(1)
    }

    pub(super) fn check_kinds(&self) -> Result<()> {
        let (genuine, impostors) = (self.genuine(), self.impostors());
        if 0 < genuine && 0 < impostors {
            return Ok(());
        }
        let got = format!("{genuine} genuine and {impostors} impostor pairs");
        Err(Error::value("pairs", "at least one genuine and one impostor pair", got))
    }

    pub(super) fn check_memory(&self) -> Result<()> {
        if !self.overflown {
            return Ok(());
        }
        let expected =
            format!("at most {MOST_KEPT} distinct ones (ask for smaller false accept rates, or use fewer pairs)");
        Err(Error::value("scores about the thresholds", expected, "more"))
    }

    /// Where the threshold for `far` may lie when these are a sample.
    ///
    /// `None` if all may be accepted.
    pub(super) fn guess(&self, far: f64) -> Option<RangeInclusive<usize>> {
        let rank = far * self.impostors() as f64;
        // A wrong guess costs a second pass and nothing else; neighbouring pairs have faces in common, hence the width.
        let slack = 16.0 * rank.sqrt() + 16.0;
        let highest = if slack < rank { self.bin_of_rank((rank - slack) as usize) } else { BINS - 1 };
        (far < 1.0).then(|| self.bin_of_rank((rank + slack) as usize)..=highest)
    }

    /// [`Self::window`] of every rate.
    pub(super) fn windows(&self, fars: &[f64], guard: usize) -> Vec<Option<RangeInclusive<usize>>> {
        fars.iter().map(|far| self.window(*far, guard)).collect()
    }

    /// Where the highest impostor score that may not be accepted lies; `None` if none or all may be accepted.
    ///
    /// Scores that are `guard` bins from their exact one at most put the one of a rank no farther away.
    fn window(&self, far: f64, guard: usize) -> Option<RangeInclusive<usize>> {
        let allowed = allowed_accepts(far, self.impostors())?;
        let bin = (allowed < self.impostors()).then(|| self.bin_of_rank(allowed))?;
        Some(widened(&(bin..=bin), guard))
    }

    /// The bin of the impostor score that has `rank` others above it, 0 if there are fewer.
    fn bin_of_rank(&self, rank: usize) -> usize {
        let mut above = 0;
        let found = self.counts.iter().rposition(|counts| {
            above += counts[0] as usize;
            rank < above
        });
        found.unwrap_or(0)
    }

    /// Whether all scores of `windows` were kept.
    pub(super) fn holds(&self, mask: &Mask, windows: &[Option<RangeInclusive<usize>>], guard: usize) -> bool {
        let held = |window| mask.covered[widened(window, guard)].iter().all(|covered| *covered);
        !self.overflown && windows.iter().flatten().all(held)
    }

    /// The figures, where the scores of all `windows` were kept.
    pub(super) fn finish(&self, fars: &[f64], windows: &[Option<RangeInclusive<usize>>]) -> TarAtFar {
        let points = fars.iter().zip(windows).map(|(far, window)| {
            let allowed = allowed_accepts(*far, self.impostors())?;
            Some(window.as_ref().map_or_else(|| self.all_accepted(), |window| self.point(allowed, window)))
        });
        let (genuine, impostors) = (self.genuine(), self.impostors());
        TarAtFar { genuine, impostors, points: points.collect(), curve: self.curve() }
    }

    fn all_accepted(&self) -> OperatingPoint {
        OperatingPoint { score: -1.0, true_accepts: self.genuine(), false_accepts: self.impostors() }
    }

    /// What is accepted above the highest impostor score that may not be.
    fn point(&self, allowed: usize, window: &RangeInclusive<usize>) -> OperatingPoint {
        let mut point = self.above(window.end() + 1);
        for tied in self.kept.iter().filter(|tied| window.contains(&bin_of(tied.score))) {
            let false_accepts = point.false_accepts + tied.impostors as usize;
            if allowed < false_accepts {
                // The lowest number that is above the first rejected score.
                point.score = tied.score.next_up();
                break;
            }
            point.false_accepts = false_accepts;
            point.true_accepts += tied.genuine as usize;
        }
        point
    }

    /// What is accepted when all of `bin` and above is.
    fn above(&self, bin: usize) -> OperatingPoint {
        let sum = |kind: usize| self.counts[bin.min(BINS)..].iter().map(|counts| counts[kind] as usize).sum();
        OperatingPoint { score: lower_edge(bin), true_accepts: sum(1), false_accepts: sum(0) }
    }

    /// A point at the lower edge of every bin that holds something.
    fn curve(&self) -> Vec<OperatingPoint> {
        let mut point = OperatingPoint { score: f64::INFINITY, true_accepts: 0, false_accepts: 0 };
        let mut points = vec![point];
        for (bin, counts) in self.counts.iter().enumerate().rev().filter(|(_, counts)| **counts != [0; 2]) {
            point.score = lower_edge(bin);
            point.false_accepts += counts[0] as usize;
            point.true_accepts += counts[1] as usize;
            points.push(point);
        }
        points
    }
}
