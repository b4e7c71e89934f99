//! The weight's gradient in the planes of F(4×4, 3×3): sums over tiles of products of inputs and outputs' gradients.
//! Knows slices; no tensors and no graph.

use std::ops::Range;

use rayon::prelude::*;

use super::planes::{LANES, Planes, Sum, multiply_transposed};
use super::transform::{input_planes, output_gradient_planes, weight_gradient_rows};
use crate::ops::element::Element;
use crate::ops::geometry::{Correlation, Geometry};
use crate::ops::parallel::{CHUNK, Scattered, build_scattered, piece, pieces};

/// ∂L/∂w from x and ∂L/∂y: one sum per fixed part of the tiles, added in order.
///
/// # Shapes
/// x (B, H, W, Cin), dy (B, H', W', Cout) → (3, 3, Cin, Cout)
pub(crate) fn weight_gradient<T: Element>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<T> {
    let tiling = Correlation::forward(g);
    let cut = Cut::new(&tiling);
    let len = 9 * tiling.channels * tiling.filters;
    let fill = |task: usize, dw: &Scattered<T>| {
        let (part, block) = (task / (cut.down * cut.across), task % (cut.down * cut.across));
        let block = Block {
            tiles: piece(tiling.tiles(), cut.parts, part),
            channels: piece(tiling.channel_blocks(), cut.down, block / cut.across),
            filters: piece(tiling.filter_blocks(), cut.across, block % cut.across),
        };
        sum_block(&tiling, x, dy, &block, dw, part * len);
    };
    // SAFETY: every part writes a gradient of its own, and its blocks are all channels and filters, each once.
    #[allow(unsafe_code)]
    let mut sums = unsafe { build_scattered(cut.parts * len, cut.parts * cut.down * cut.across, fill) };
    let (total, rest) = sums.split_at_mut(len);
    total.par_chunks_mut(CHUNK).enumerate().for_each(|(index, total)| {
        for part in rest.chunks_exact(len) {
            for (total, &value) in total.iter_mut().zip(&part[index * CHUNK..]) {
                *total += value;
            }
        }
    });
    sums.truncate(len);
    sums
}

/// Blocks of channels and of filters whose sums a task keeps, in either direction.
const GROUP: usize = 4;

/// How the sum is cut into tasks, by shape alone: parts of the tiles, of the channels and of the filters.
struct Cut {
    parts: usize,
    down: usize,
    across: usize,
}

impl Cut {
    fn new(tiling: &Correlation) -> Self {
        const TASKS: usize = 16;
        let (down, across) = (tiling.channel_blocks().div_ceil(GROUP), tiling.filter_blocks().div_ceil(GROUP));
        Self { parts: pieces(tiling.tiles(), 16, TASKS.div_ceil(down * across)), down, across }
    }
}

/// Tiles, blocks of channels and blocks of filters.
struct Block {
    tiles: Range<usize>,
    channels: Range<usize>,
    filters: Range<usize>,
}

/// Writes what the block's tiles contribute to the gradient of its channels and filters, at `start` of `dw`.
fn sum_block<T: Element>(tiling: &Correlation, x: &[T], dy: &[T], block: &Block, dw: &Scattered<T>, start: usize) {
    const TILES: usize = 32;
    let (channels, filters) = (&block.channels, &block.filters);
    let steps = block.tiles.len().div_ceil(TILES);
    let most = block.tiles.len().div_ceil(steps);
    let products = Planes { panels: channels.len() * filters.len(), rows: LANES };
    let lefts = |rows| Planes { panels: channels.len(), rows };
    let rights = |rows| Planes { panels: filters.len(), rows };
    T::with_scratch(products.len() + lefts(most).len() + rights(most).len(), |scratch| {
        let (sums, scratch) = scratch.split_at_mut(products.len());
        let (left, right) = scratch.split_at_mut(lefts(most).len());
        for step in 0..steps {
            let tiles = piece(block.tiles.len(), steps, step);
            let tiles = block.tiles.start + tiles.start..block.tiles.start + tiles.end;
            let (lefts, rights) = (lefts(tiles.len()), rights(tiles.len()));
            input_planes(tiling, x, tiles.clone(), channels.start, lefts, left);
            output_gradient_planes(tiling, dy, tiles, filters.start, rights, right);
            let sum = if step == 0 { Sum::Begin } else { Sum::GoOn };
            multiply_transposed(left, lefts, right, rights, sum, sums, products);
        }
        for (i, channel) in channels.clone().enumerate() {
            let rows = channel * LANES..tiling.channels.min((channel + 1) * LANES);
            for (j, filter) in filters.clone().enumerate() {
                let panel = i * filters.len() + j;
                weight_gradient_rows(tiling, sums, products, panel, rows.clone(), filter, dw, start);
            }
        }
    });
}
