//! Where scores come from: parts of a list and pairs of panels, each small enough to be tallied at once.
//! Knows no thresholds; what is scored exactly is the mask's to say.

use std::collections::BTreeMap;
use std::ops::Range;

use arcface_core::Result;
use rayon::prelude::*;

use super::tally::{BINS, Mask, Tally, WIDTH, bin_of, lower_edge};
use super::{Faces, Pairs};
use crate::Embeddings;
use crate::rows::{Block, Panel, exact, product_error};
use crate::similarity::cosine;

/// Pairs of a list that are tallied at once; the counts of a tally hold 2³².
const UNIT: usize = 1 << 22;

/// Pairs of a list that one thread scores at a time.
pub(super) const LIST_BLOCK: usize = 1 << 12;

/// First rows of listed pairs that stay in a second-level cache.
const TILE: u32 = 128;

/// Rows of a panel: of 512 values, 8 MiB, and with another one 2²⁴ pairs.
const PANEL: usize = 1 << 12;

/// Cosines that are compared with a limit at once.
pub(super) const RUN: usize = 32;

/// A part of the pairs.
pub(super) enum Unit<'a> {
    List { embeddings: &'a Embeddings, pairs: &'a [(u32, u32)], same: &'a [bool] },
    Panels(Panels<'a>),
}

/// Some rows of one set with some of another, or those of one set above the diagonal.
pub(super) struct Panels<'a> {
    a: Faces<'a>,
    rows: Range<usize>,
    b: Faces<'a>,
    cols: Range<usize>,
    above_diagonal: bool,
}

impl<'a> Unit<'a> {
    /// The parts of `pairs`, which depend on their number alone.
    pub(super) fn all(pairs: &Pairs<'a>) -> Vec<Self> {
        match *pairs {
            Pairs::Listed { embeddings, pairs, same } => {
                let parts = pairs.chunks(UNIT).zip(same.chunks(UNIT));
                parts.map(|(pairs, same)| Self::List { embeddings, pairs, same }).collect()
            }
            Pairs::Within(faces) => panels(faces, faces, true),
            Pairs::Between(a, b) => panels(a, b, false),
        }
    }

    /// Bins that a first score may lie beside its exact one.
    pub(super) fn guard(&self) -> usize {
        match self {
            Self::List { .. } => 0,
            Self::Panels(panels) => (product_error(panels.a.rows.width()) / WIDTH + 0.01).floor() as usize + 1,
        }
    }

    /// Counts the scores of the first of every `step` blocks.
    pub(super) fn tally(&self, mask: &Mask, step: usize) -> Result<Tally> {
        match self {
            Self::List { embeddings, pairs, same } => {
                let sorted = by_tiles(pairs, same, step);
                let blocks: Vec<&[Listed]> = sorted.chunks(LIST_BLOCK).collect();
                Ok(gather(&blocks, |tally, listed, _| tally_list(tally, embeddings, listed, mask)))
            }
            Self::Panels(panels) => {
                let sides = panels.read()?;
                let blocks: Vec<Block> = sides.blocks().step_by(step).collect();
                let visit = |tally: &mut Tally, block: &Block, scratch: &mut Vec<f32>| {
                    sides.tally(tally, block, mask, scratch);
                };
                let mut tally = gather(&blocks, visit);
                if 0 < mask.floor() {
                    let (impostors, genuine) = sides.pairs();
                    tally.count_rest(impostors, genuine);
                }
                Ok(tally)
            }
        }
    }
}

fn panels<'a>(a: Faces<'a>, b: Faces<'a>, above_diagonal: bool) -> Vec<Unit<'a>> {
    let cut = |len: usize| (0..len).step_by(PANEL).map(move |at| at..len.min(at + PANEL));
    let pairs = cut(a.identities.len()).flat_map(|rows| cut(b.identities.len()).map(move |cols| (rows.clone(), cols)));
    let needed = pairs.filter(|(rows, cols)| !above_diagonal || rows.start <= cols.start);
    needed.map(|(rows, cols)| Unit::Panels(Panels { a, rows, b, cols, above_diagonal })).collect()
}

/// The tally of all `blocks`, by all threads.
///
/// Counts add up to the same in any order, and what is kept is sorted later.
fn gather<B: Sync>(blocks: &[B], visit: impl Fn(&mut Tally, &B, &mut Vec<f32>) + Sync) -> Tally {
    let least = blocks.len().div_ceil(4 * rayon::current_num_threads());
    let tallies = blocks.par_iter().with_min_len(least.max(1)).fold(
        || (Tally::new(), Vec::new()),
        |(mut tally, mut scratch), block| {
            visit(&mut tally, block, &mut scratch);
            (tally, scratch)
        },
    );
    tallies.map(|(tally, _)| tally).reduce(Tally::new, Tally::merged)
}

/// A pair as it is sorted: the tile of its first row, its second row, its first row, whether it is genuine.
type Listed = (u32, u32, u32, bool);

/// The pairs of the first of every `step` blocks, so ordered that a few first rows meet all second rows in turn.
///
/// As a list may have them, nearly every row would come from memory.
fn by_tiles(pairs: &[(u32, u32)], same: &[bool], step: usize) -> Vec<Listed> {
    let blocks = pairs.par_chunks(LIST_BLOCK).zip(same.par_chunks(LIST_BLOCK)).step_by(step);
    let listed = |(&(a, b), &same): (&(u32, u32), &bool)| (a / TILE, b, a, same);
    let mut sorted: Vec<Listed> = blocks.flat_map_iter(|(pairs, same)| pairs.iter().zip(same).map(listed)).collect();
    sorted.par_sort_unstable();
    sorted
}

fn tally_list(tally: &mut Tally, embeddings: &Embeddings, listed: &[Listed], mask: &Mask) {
    for &(_, b, a, same) in listed {
        let score = cosine(embeddings.row(a as usize), embeddings.row(b as usize));
        let bin = bin_of(score);
        tally.count(bin, same);
        if mask.covers(bin) {
            tally.keep(score, same);
        }
    }
}

impl<'a> Panels<'a> {
    /// Both, in memory.
    pub(super) fn read(&self) -> Result<Sides<'a>> {
        Ok(Sides {
            rows: Panel::read(self.a.rows, self.rows.clone())?,
            row_identities: &self.a.identities[self.rows.clone()],
            cols: Panel::read(self.b.rows, self.cols.clone())?,
            col_identities: &self.b.identities[self.cols.clone()],
            above_diagonal: self.above_diagonal,
        })
    }
}

/// Two panels and whose faces they hold.
pub(super) struct Sides<'a> {
    pub(super) rows: Panel<'a>,
    pub(super) row_identities: &'a [u32],
    pub(super) cols: Panel<'a>,
    pub(super) col_identities: &'a [u32],
    above_diagonal: bool,
}

impl Sides<'_> {
    /// The blocks that have pairs: above the diagonal those whose last column comes after their first row.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        let has_pairs = |block: &Block| {
            !self.above_diagonal || self.rows.first + block.rows.start + 1 < self.cols.first + block.cols.end
        };
        Block::all(self.rows.len(), self.cols.len()).filter(has_pairs)
    }

    fn tally(&self, tally: &mut Tally, block: &Block, mask: &Mask, scratch: &mut Vec<f32>) {
        let cosines = block.products(&self.rows, &self.cols, scratch);
        for (row, cosines) in block.rows.clone().zip(cosines.chunks_exact(block.cols.len())) {
            let first = self.first_column(row, block);
            self.tally_row(tally, row, block.cols.start + first, &cosines[first..], mask);
        }
    }

    /// The first column of `block` that makes a pair with `row`: above the diagonal, whose face comes after its own.
    pub(super) fn first_column(&self, row: usize, block: &Block) -> usize {
        let after = (self.rows.first + row + 1).saturating_sub(self.cols.first + block.cols.start);
        if self.above_diagonal { after.min(block.cols.len()) } else { 0 }
    }

    /// Counts the cosines of `row` with the columns from `first` on, but for those below the mask's floor.
    fn tally_row(&self, tally: &mut Tally, row: usize, first: usize, cosines: &[f32], mask: &Mask) {
        // A little below the floor's edge, as the bins of products are rounded.
        let limit = if mask.floor() == 0 { f32::NEG_INFINITY } else { lower_edge(mask.floor()) as f32 - 1e-5 };
        for (index, run) in cosines.chunks(RUN).enumerate() {
            // Without a branch for each, several are compared at once.
            if run.iter().fold(0, |any, cosine| any | u32::from(limit <= *cosine)) != 0 {
                self.tally_run(tally, row, first + index * RUN, run, mask);
            }
        }
    }

    fn tally_run(&self, tally: &mut Tally, row: usize, first: usize, cosines: &[f32], mask: &Mask) {
        let identity = self.row_identities[row];
        for ((col, &cosine), &other) in (first..).zip(cosines).zip(&self.col_identities[first..]) {
            let same = identity == other;
            let mut bin = product_bin(cosine);
            if mask.covers(bin) {
                let score = exact(&self.rows, row, &self.cols, col);
                bin = bin_of(score);
                tally.keep(score, same);
            }
            if mask.floor() <= bin {
                tally.count(bin, same);
            }
        }
    }

    /// Numbers of impostor and genuine pairs.
    fn pairs(&self) -> (usize, usize) {
        let (rows, cols) = (counts_by_identity(self.row_identities), counts_by_identity(self.col_identities));
        let pairs = |rows: usize, cols: usize| {
            // The same faces on both sides: each pair once, and none with itself.
            if self.above_diagonal && self.rows.first == self.cols.first { rows * (rows - 1) / 2 } else { rows * cols }
        };
        let genuine =
            rows.iter().map(|(identity, &count)| cols.get(identity).map_or(0, |other| pairs(count, *other))).sum();
        (pairs(self.rows.len(), self.cols.len()) - genuine, genuine)
    }
}

fn counts_by_identity(identities: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for identity in identities {
        *counts.entry(*identity).or_default() += 1;
    }
    counts
}

/// The bin of a product in f32, at most one beside that of the same number in f64.
#[inline]
fn product_bin(cosine: f32) -> usize {
    // Within [2, 4) the digits of a number rise evenly, and the first 16 of them are the bin.
    let steps = (cosine + 3.0).to_bits().saturating_sub(2.0_f32.to_bits()) >> (f32::MANTISSA_DIGITS - 1 - 16);
    (steps as usize).min(BINS - 1)
}
