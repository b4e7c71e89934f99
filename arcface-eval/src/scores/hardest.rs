//! The pairs that a network gets most wrong, of more than can be held: one person far apart, two persons close together.
//! Knows no files and no thresholds.

use arcface_core::Result;
use rayon::prelude::*;

use super::Pairs;
use super::source::{LIST_BLOCK, RUN, Sides, Unit};
use crate::rows::{Block, exact, product_error};
use crate::similarity::cosine;

/// A pair of a protocol.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredPair {
    /// The place among the protocol's parts of the one that it belongs to.
    pub part: usize,
    /// Its rows, one in each of the sets that are compared.
    pub rows: [usize; 2],
    /// Squared ℓ2 distance, 2 − 2cosθ in f64.
    pub distance: f64,
}

/// The pairs that are furthest on the wrong side, the hardest first; of equal distances that of the first part and rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HardestPairs {
    /// Genuine pairs of the greatest distances.
    pub genuine: Vec<ScoredPair>,
    /// Impostor pairs of the smallest distances.
    pub impostors: Vec<ScoredPair>,
}

/// The `most` hardest pairs of each kind among all of `parts`, in one walk over them.
///
/// ```
/// use arcface_eval::scores::{Faces, hardest_pairs};
/// use arcface_eval::{Embeddings, Pairs};
/// let faces = Embeddings::normalised(&[1.0, 0.0, 0.0, 1.0, 0.1, 1.0], 2)?;
/// let hardest = hardest_pairs(&[Pairs::Within(Faces { rows: &faces, identities: &[0, 0, 1] })], 1)?;
/// assert_eq!((hardest.genuine[0].rows, hardest.impostors[0].rows), ([0, 1], [1, 2]));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If lengths or sizes do not fit, a pair names a row that is not there, or rows cannot be read or are not unit vectors.
pub fn hardest_pairs(parts: &[Pairs<'_>], most: usize) -> Result<HardestPairs> {
    parts.iter().try_for_each(Pairs::check)?;
    let mut found = Found { pairs: HardestPairs::default(), most };
    for (part, pairs) in parts.iter().enumerate() {
        for unit in Unit::all(pairs) {
            let of_unit = of_unit(&unit, part, &found)?;
            found.merge(of_unit);
        }
    }
    Ok(found.pairs)
}

/// Those of a unit that may be among the hardest, `before` being found.
fn of_unit(unit: &Unit<'_>, part: usize, before: &Found) -> Result<Found> {
    let empty = || Found { pairs: HardestPairs::default(), most: before.most };
    let merged = |mut all: Found, others: Found| {
        all.merge(others);
        all
    };
    match unit {
        Unit::List { embeddings, pairs, same } => {
            let blocks = pairs.par_chunks(LIST_BLOCK).zip(same.par_chunks(LIST_BLOCK));
            let of_block = |(pairs, same): (&[(u32, u32)], &[bool])| {
                let mut found = empty();
                for (&(a, b), &same) in pairs.iter().zip(same) {
                    let score = cosine(embeddings.row(a as usize), embeddings.row(b as usize));
                    let rows = [a as usize, b as usize];
                    found.take(ScoredPair { part, rows, distance: 2.0 - 2.0 * score }, same);
                }
                found
            };
            Ok(blocks.map(of_block).reduce(empty, merged))
        }
        Unit::Panels(panels) => {
            let sides = panels.read()?;
            let limits = before.limits(sides.rows.width());
            let of_block = |scratch: &mut Vec<f32>, block: &Block| {
                let mut found = empty();
                found.take_block(&sides, block, (part, limits), scratch);
                found
            };
            let blocks: Vec<Block> = sides.blocks().collect();
            Ok(blocks.par_iter().map_init(Vec::new, of_block).reduce(empty, merged))
        }
    }
}

/// The hardest so far, a few more than are wanted.
struct Found {
    pairs: HardestPairs,
    most: usize,
}

/// Products that are worth a look: of genuine pairs not above the first, of impostor pairs not below the second.
#[derive(Clone, Copy)]
struct Limits {
    genuine: f32,
    impostor: f32,
}

impl Found {
    fn limits(&self, width: usize) -> Limits {
        // The rounding of the product, and that of the limit itself.
        let error = product_error(width) + 1e-6;
        let last = |pairs: &[ScoredPair]| pairs.get(self.most.wrapping_sub(1)).map(|pair| 1.0 - pair.distance / 2.0);
        Limits {
            genuine: last(&self.pairs.genuine).map_or(f32::INFINITY, |cosine| (cosine + error) as f32),
            impostor: last(&self.pairs.impostors).map_or(f32::NEG_INFINITY, |cosine| (cosine - error) as f32),
        }
    }

    /// The pairs of a block whose products are worth a look, by their exact distances.
    fn take_block(
        &mut self,
        sides: &Sides<'_>,
        block: &Block,
        (part, mut limits): (usize, Limits),
        scratch: &mut Vec<f32>,
    ) {
        let cosines = block.products(&sides.rows, &sides.cols, scratch);
        for (row, cosines) in block.rows.clone().zip(cosines.chunks_exact(block.cols.len())) {
            let first = sides.first_column(row, block);
            let places = (block.cols.start + first..).step_by(RUN);
            for (run, col) in cosines[first..].chunks(RUN).zip(places) {
                if limits.any(run, sides.row_identities[row], &sides.col_identities[col..]) {
                    self.take_run(sides, (row, col), run, (part, &mut limits));
                }
            }
        }
    }

    /// Those of a row with the columns from `first` on.
    fn take_run(
        &mut self,
        sides: &Sides<'_>,
        (row, first): (usize, usize),
        cosines: &[f32],
        (part, limits): (usize, &mut Limits),
    ) {
        for (col, &cosine) in (first..).zip(cosines) {
            let same = sides.row_identities[row] == sides.col_identities[col];
            if limits.is_within(cosine, same) {
                let distance = 2.0 - 2.0 * exact(&sides.rows, row, &sides.cols, col);
                let rows = [sides.rows.first + row, sides.cols.first + col];
                if self.take(ScoredPair { part, rows, distance }, same) {
                    *limits = limits.and(self.limits(sides.rows.width()));
                }
            }
        }
    }

    /// Takes up a pair; whether those that are too many were left out again.
    fn take(&mut self, pair: ScoredPair, same: bool) -> bool {
        let pairs = if same { &mut self.pairs.genuine } else { &mut self.pairs.impostors };
        pairs.push(pair);
        let is_full = 4 * self.most.max(16) <= pairs.len();
        if is_full {
            self.sort();
        }
        is_full
    }

    fn merge(&mut self, others: Self) {
        self.pairs.genuine.extend(others.pairs.genuine);
        self.pairs.impostors.extend(others.pairs.impostors);
        self.sort();
    }

    fn sort(&mut self) {
        let place = |a: &ScoredPair, b: &ScoredPair| (a.part, a.rows).cmp(&(b.part, b.rows));
        let near = |a: &ScoredPair, b: &ScoredPair| a.distance.total_cmp(&b.distance);
        let HardestPairs { genuine, impostors } = &mut self.pairs;
        genuine.sort_by(|a, b| near(b, a).then_with(|| place(a, b)));
        impostors.sort_by(|a, b| near(a, b).then_with(|| place(a, b)));
        genuine.truncate(self.most);
        impostors.truncate(self.most);
    }
}

impl Limits {
    fn is_within(self, cosine: f32, same: bool) -> bool {
        if same { cosine <= self.genuine } else { self.impostor <= cosine }
    }

    /// Whether a pair of a face of `identity` may be within: an impostor pair is, or one is genuine.
    fn any(self, cosines: &[f32], identity: u32, others: &[u32]) -> bool {
        // Without a branch for each, several are compared at once.
        let any = cosines
            .iter()
            .zip(others)
            .fold(0, |any, (cosine, other)| any | u32::from(self.impostor <= *cosine) | u32::from(identity == *other));
        any != 0
    }

    /// The narrower of both.
    fn and(self, other: Self) -> Self {
        Self { genuine: self.genuine.min(other.genuine), impostor: self.impostor.max(other.impostor) }
    }
}
