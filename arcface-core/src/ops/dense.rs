//! Kernels of the dense and the grouped convolution: tiles of im2col and a matrix product each.
//! Knows slices; no tensors and no graph.

use std::ops::Range;

use rayon::prelude::*;

use super::columns::{Images, Site, Window, gather};
use super::element::Element;
use super::finish::Finish;
use super::geometry::{Geometry, Phase};
use super::matmul::{Accumulate, MatMut, MatRef, multiply, product};
use super::parallel::{build, piece, sum_parts};
use super::rows::row_chunk;
use super::{pointwise, winograd};

/// Elements that a tile of im2col and what is made of it hold, about: half of a second-level cache.
const TILE: usize = 128 * 1024;

/// y = x ∗ w.
///
/// # Shapes
/// x (B, H, W, Cin), w (KH, KW, Cin/groups, Cout) → (B, H', W', Cout)
pub(crate) fn forward<T: Element>(g: &Geometry, x: &[T], weight: &[T]) -> Vec<T> {
    if is_product(g) && pointwise::suits::<T>(g) {
        return pointwise::forward(g, x, weight);
    }
    forward_finished(g, x, weight, Finish::none())
}

/// [`forward`], its sums finished; a weight that is to be arranged first is left to [`pointwise`].
pub(crate) fn forward_finished<T: Element>(g: &Geometry, x: &[T], weight: &[T], finish: Finish<'_, T>) -> Vec<T> {
    if winograd::suits::<T>(g) {
        return winograd::forward_finished(g, x, weight, finish);
    }
    if is_product(g) {
        let weight = MatRef::new(weight, g.channels, g.filters);
        let mut y = multiply(MatRef::new(x, g.out_pixels(), g.channels), weight);
        let chunk = row_chunk(g.filters);
        y.par_chunks_mut(chunk).enumerate().for_each(|(index, y)| finish.pixels(index * chunk, y));
        return y;
    }
    let depth = g.kernel_height * g.kernel_width * g.group_channels();
    let tile = tile_rows(g.out_pixels(), depth + g.filters);
    let weight = MatRef::new(weight, depth, g.filters);
    build(
        g.out_pixels() * g.filters,
        tile * g.filters,
        || (),
        |(), index, y| {
            let pixels = index * tile..index * tile + y.len() / g.filters;
            for group in 0..g.groups {
                with_columns(g, x, Block::whole(g, group), pixels.clone(), |columns| {
                    let filters = columns_of(group, g.group_filters());
                    product(
                        columns,
                        weight.col_range(filters.clone()),
                        part_of(y, g.filters, filters),
                        Accumulate::Replace,
                    );
                });
            }
            finish.pixels(pixels.start * g.filters, y);
        },
    )
}

/// ∂L/∂w from x and ∂L/∂y: one sum per fixed part of the output pixels, added in order.
///
/// # Shapes
/// x (B, H, W, Cin), dy (B, H', W', Cout) → (KH, KW, Cin/groups, Cout)
pub(crate) fn weight_gradient<T: Element>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<T> {
    if winograd::suits::<T>(g) {
        return winograd::weight_gradient(g, x, dy);
    }
    if is_product(g) && pointwise::suits::<T>(g) {
        return pointwise::weight_gradient(g, x, dy);
    }
    let cut = WeightCut::new(g);
    let len = g.weight_dims().iter().product();
    sum_parts(cut.parts, len, |part, dw| {
        let pixels = piece(g.out_pixels(), cut.parts, part);
        dw.par_chunks_mut(cut.depth() * g.filters).enumerate().for_each(|(index, dw)| {
            for group in 0..g.groups {
                add_weight_block(g, x, dy, cut.block(g, index, group), pixels.clone(), dw);
            }
        });
    })
}

/// Adds what `pixels` contribute to the rows of the weight's gradient that `block` meets.
fn add_weight_block<T: Element>(g: &Geometry, x: &[T], dy: &[T], block: Block, pixels: Range<usize>, dw: &mut [T]) {
    let filters = columns_of(block.group, g.group_filters());
    let dy = MatRef::new(dy, g.out_pixels(), g.filters).col_range(filters.clone());
    let tile = tile_rows(pixels.len(), block.window.len() + g.filters);
    for start in pixels.clone().step_by(tile) {
        let pixels = start..pixels.end.min(start + tile);
        with_columns(g, x, block, pixels.clone(), |columns| {
            let dw = part_of(dw, g.filters, filters.clone());
            product(columns.transposed(), dy.row_range(pixels), dw, Accumulate::Add);
        });
    }
}

/// ∂L/∂x from w and ∂L/∂y: phase by phase of the stride an unstrided convolution with the flipped kernel.
///
/// # Shapes
/// w (KH, KW, Cin/groups, Cout), dy (B, H', W', Cout) → (B, H, W, Cin)
pub(crate) fn input_gradient<T: Element>(g: &Geometry, weight: &[T], dy: &[T]) -> Vec<T> {
    if winograd::suits_input_gradient::<T>(g) {
        return winograd::input_gradient(g, weight, dy);
    }
    if is_product(g) && pointwise::suits::<T>(g) {
        return pointwise::input_gradient(g, weight, dy);
    }
    if is_product(g) {
        let weight = MatRef::new(weight, g.channels, g.filters).transposed();
        return multiply(MatRef::new(dy, g.out_pixels(), g.filters), weight);
    }
    let phases = phases(g, weight);
    let line = g.width * g.channels;
    let depth = g.kernel_height * g.kernel_width * g.group_filters();
    let area = g.stride * g.stride;
    let pixels = g.batch * g.height * g.width;
    let lines = (tile_rows(pixels.div_ceil(area), depth.div_ceil(area) + g.channels) * area).div_ceil(g.width);
    build(
        g.batch * g.height * line,
        lines * line,
        || (),
        |(), index, dx| {
            for phase in &phases {
                for group in 0..g.groups {
                    fill_phase(g, phase, group, dy, index * lines, dx);
                }
            }
        },
    )
}

/// The input pixels that meet the same taps, and these taps' weights.
struct PlanePhase<T> {
    y: Phase,
    x: Phase,
    /// (groups, taps from the last to the first, Cout/groups, Cin/groups)
    weight: Vec<T>,
}

/// The phases of both directions that some tap meets.
fn phases<T: Element>(g: &Geometry, weight: &[T]) -> Vec<PlanePhase<T>> {
    let down = Phase::all(g.height, g.kernel_height, g.stride, g.padding);
    let across = Phase::all(g.width, g.kernel_width, g.stride, g.padding);
    let pairs = down.iter().flat_map(|y| across.iter().map(move |x| (y.clone(), x.clone())));
    let met = pairs.filter(|(y, x)| !y.taps.is_empty() && !x.taps.is_empty());
    met.map(|(y, x)| PlanePhase { weight: flipped(g, weight, &y.taps, &x.taps), y, x }).collect()
}

/// The weights of some taps with input and output channels exchanged: (groups, taps, Cout/groups, Cin/groups).
fn flipped<T: Element>(g: &Geometry, weight: &[T], down: &[usize], across: &[usize]) -> Vec<T> {
    let (channels, filters) = (g.group_channels(), g.group_filters());
    let taps = down.len() * across.len();
    build(
        g.groups * taps * filters * channels,
        filters * channels,
        || (),
        |(), index, flipped| {
            let (group, tap) = (index / taps, index % taps);
            let tap = down[tap / across.len()] * g.kernel_width + across[tap % across.len()];
            let start = tap * channels * g.filters + group * filters;
            transpose(&weight[start..], g.filters, channels, filters, flipped);
        },
    )
}

/// Writes the transpose of `rows` × `cols` values whose rows lie `stride` apart, in squares that stay in cache.
fn transpose<T: Element>(from: &[T], stride: usize, rows: usize, cols: usize, to: &mut [T]) {
    const SIDE: usize = 16;
    for row in (0..rows).step_by(SIDE) {
        for col in (0..cols).step_by(SIDE) {
            for j in col..cols.min(col + SIDE) {
                let to = &mut to[j * rows..][row..rows.min(row + SIDE)];
                for (i, to) in (row..).zip(to) {
                    *to = from[i * stride + j];
                }
            }
        }
    }
}

/// Fills the pixels of one phase, one group, in the input lines that begin with `first_line` of the batch.
fn fill_phase<T: Element>(
    g: &Geometry,
    phase: &PlanePhase<T>,
    group: usize,
    dy: &[T],
    first_line: usize,
    dx: &mut [T],
) {
    let (channels, filters) = (g.group_channels(), g.group_filters());
    let (y, x) = (&phase.y, &phase.x);
    let window = Window { rows: y.taps.len(), cols: x.taps.len(), first_channel: group * filters, channels: filters };
    let last_line = first_line + dx.len() / (g.width * g.channels);
    let lines = (first_line..last_line).filter(|line| line % g.height % g.stride == y.first);
    let pixels = lines.clone().count() * x.count;
    let weight = &phase.weight[group * window.len() * channels..][..window.len() * channels];
    let weight = MatRef::new(weight, window.len(), channels);
    let target = columns_of(group, channels);
    if is_pointwise(g) {
        let dy = MatRef::new(&dy[first_line * g.width * g.filters..], pixels, g.filters);
        let dy = dy.col_range(columns_of(group, filters));
        return product(dy, weight, part_of(dx, g.channels, target), Accumulate::Replace);
    }
    T::with_scratch(pixels * (window.len() + channels), |scratch| {
        let (columns, result) = scratch.split_at_mut(pixels * window.len());
        let images = Images { data: dy, height: g.out_height, width: g.out_width, channels: g.filters };
        let sites = lines.clone().flat_map(|line| {
            let (image, row) = (line / g.height, (line % g.height / g.stride) as isize);
            (0..x.count as isize).map(move |col| Site { image, y: y.start + row, x: x.start + col })
        });
        gather(images, window, sites, columns);
        let columns = MatRef::new(columns, pixels, window.len());
        if g.stride == 1 {
            return product(columns, weight, part_of(dx, g.channels, target), Accumulate::Replace);
        }
        product(columns, weight, MatMut::new(result, pixels, channels), Accumulate::Replace);
        let starts = lines.flat_map(|line| {
            (0..x.count).map(move |col| ((line - first_line) * g.width + x.first + col * g.stride) * g.channels)
        });
        for (start, result) in starts.zip(result.chunks_exact(channels)) {
            dx[start + target.start..][..channels].copy_from_slice(result);
        }
    });
}

/// How the weight's gradient is cut into tasks, by shape alone.
struct WeightCut {
    /// Parts of the output pixels, each with a sum of its own.
    parts: usize,
    /// Taps and input channels of a group in one block of rows of the gradient.
    rows: usize,
    cols: usize,
    channels: usize,
}

impl WeightCut {
    /// Parts of the pixels while the weight is small; then blocks of taps; then blocks of channels.
    fn new(g: &Geometry) -> Self {
        const TASKS: usize = 16;
        let weights: usize = g.weight_dims().iter().product();
        let parts = (g.out_pixels() / 1024).min((1 << 20) / weights).clamp(1, TASKS);
        let mut cut = Self { parts, rows: g.kernel_height, cols: g.kernel_width, channels: g.group_channels() };
        if cut.parts < TASKS / 2 {
            cut.rows = 1;
        }
        if cut.parts * g.kernel_height < TASKS {
            cut.cols = 1;
        }
        let taps = g.kernel_height * g.kernel_width;
        while cut.cols == 1
            && cut.rows == 1
            && cut.can_halve()
            && cut.parts * taps * g.group_channels() / cut.channels < TASKS
        {
            cut.channels /= 2;
        }
        cut
    }

    fn can_halve(&self) -> bool {
        128 <= self.channels && self.channels.is_multiple_of(2)
    }

    /// Rows of the gradient in a block.
    fn depth(&self) -> usize {
        self.rows * self.cols * self.channels
    }

    fn block(&self, g: &Geometry, index: usize, group: usize) -> Block {
        let pieces = g.group_channels() / self.channels;
        let across = g.kernel_width / self.cols;
        let (tap, piece) = (index / pieces, index % pieces);
        Block {
            group,
            down: (tap / across * self.rows) as isize,
            across: (tap % across * self.cols) as isize,
            window: Window {
                rows: self.rows,
                cols: self.cols,
                first_channel: group * g.group_channels() + piece * self.channels,
                channels: self.channels,
            },
        }
    }
}

/// Neighbouring taps and channels of a group: columns of im2col.
#[derive(Clone, Copy)]
struct Block {
    group: usize,
    /// The first tap.
    down: isize,
    across: isize,
    window: Window,
}

impl Block {
    /// All taps and channels of `group`.
    fn whole(g: &Geometry, group: usize) -> Self {
        let (rows, cols, channels) = (g.kernel_height, g.kernel_width, g.group_channels());
        Self { group, down: 0, across: 0, window: Window { rows, cols, first_channel: group * channels, channels } }
    }
}

/// Calls `work` with the columns of im2col that belong to `block` for these output pixels of the batch.
fn with_columns<T: Element>(
    g: &Geometry,
    x: &[T],
    block: Block,
    pixels: Range<usize>,
    work: impl FnOnce(MatRef<'_, T>),
) {
    let Block { window, .. } = block;
    if is_pointwise(g) {
        let x = MatRef::new(x, g.out_pixels(), g.channels).row_range(pixels);
        return work(x.col_range(window.first_channel..window.first_channel + window.channels));
    }
    T::with_scratch(pixels.len() * window.len(), |columns| {
        let images = Images { data: x, height: g.height, width: g.width, channels: g.channels };
        gather(images, window, sites(g, block, pixels.clone()), columns);
        work(MatRef::new(columns, pixels.len(), window.len()));
    });
}

/// Where the block's taps begin for each of these output pixels.
fn sites(g: &Geometry, block: Block, pixels: Range<usize>) -> impl Iterator<Item = Site> {
    let (stride, padding) = (g.stride as isize, g.padding as isize);
    let (first_line, last_line) = (pixels.start / g.out_width, pixels.end.div_ceil(g.out_width));
    let before = pixels.start - first_line * g.out_width;
    let lines = (first_line..last_line).flat_map(move |line| {
        let (image, row) = (line / g.out_height, (line % g.out_height) as isize);
        let y = row * stride - padding + block.down;
        (0..g.out_width as isize).map(move |col| Site { image, y, x: col * stride - padding + block.across })
    });
    lines.skip(before).take(pixels.len())
}

/// Whether an output pixel is a product of one input pixel, at the same place.
fn is_pointwise(g: &Geometry) -> bool {
    (g.kernel_height, g.kernel_width, g.stride, g.padding) == (1, 1, 1, 0)
}

/// Whether the whole convolution is one matrix product.
fn is_product(g: &Geometry) -> bool {
    is_pointwise(g) && g.groups == 1
}

/// The columns of a group of `size` channels.
fn columns_of(group: usize, size: usize) -> Range<usize> {
    group * size..(group + 1) * size
}

/// Some columns of a row-major matrix of `width` columns.
fn part_of<T>(data: &mut [T], width: usize, columns: Range<usize>) -> MatMut<'_, T> {
    let rows = data.len() / width;
    MatMut { data: &mut data[columns.start..], rows, cols: columns.len(), row_stride: width }
}

/// Rows of a tile that holds `width` elements per row: about [`TILE`] elements, and enough rows that the product pays
/// for arranging its right side; nearly equal tiles, at least eight of them where the whole is large enough.
fn tile_rows(rows: usize, width: usize) -> usize {
    let fitting = (TILE / width).clamp(128, 1024);
    let tiles = rows.div_ceil(fitting).max((rows / 32).min(8)).max(1);
    rows.div_ceil(tiles)
}
