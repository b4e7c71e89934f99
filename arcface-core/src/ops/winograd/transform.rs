//! The transforms of F(4×4, 3×3): of an input patch, a kernel and a tile of outputs, and their transposes.
//! Knows where tiles lie in images; no products.
//!
//! One direction of a tile is a product of polynomials modulo x·(x² − a²)·(x² − b²) and a value at infinity, that is at
//! the points 0, ±a, ±b, ∞. With a = ¾ and b = 1½, both exact, the rounding is about a quarter of what the usual
//! 1 and 2 give. The formulas follow from Lagrange's interpolation; the names of the matrices are Lavin and Gray's.

#![allow(clippy::inline_always, reason = "only what is inlined is compiled for the wide vectors")]
#![allow(clippy::needless_range_loop, reason = "the innermost index runs over a vector, which is to be seen")]

use std::ops::Range;

use super::Tile;
use super::planes::{LANES, Lanes, Planes};
use crate::ops::element::Element;
use crate::ops::finish::Finish;
use crate::ops::geometry::Correlation;
use crate::ops::parallel::{Scattered, build};
use crate::ops::simd::MulAdd;

/// Output pixels of a tile in either direction.
pub(super) const TILE: usize = 4;
/// Input pixels that a tile sees in either direction.
const PATCH: usize = 6;
/// Taps in either direction.
const TAPS: usize = 3;

/// a², b².
const A2: f64 = 0.5625;
const B2: f64 = 2.25;
const A: f64 = 0.75;
const B: f64 = 1.5;

/// Rows and columns of a patch, of which a kernel or a tile fills a part; each a vector of channels.
type Patch<T> = [[Lanes<T>; PATCH]; PATCH];

/// The kernels of a correlation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels<'a, T> {
    pub(super) weight: &'a [T],
    pub(super) turn: Turn,
}

/// How kernels lie in a weight.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    /// (3, 3, channels, filters).
    None,
    /// (3, 3, filters, channels), the last tap first.
    Half,
    /// As [`arranged`] leaves them: in the order in which they are read.
    Arranged,
}

/// A weight (3, 3, Cin, Cout) as (blocks of filters, blocks of channels, taps, channels, filters), filled up with zeros.
pub(super) fn arranged<T: Element>(tiling: &Correlation, weight: &[T]) -> Vec<T> {
    let blocks = tiling.filter_blocks() * tiling.channel_blocks();
    let len = TAPS * TAPS * LANES * LANES;
    let fill = |(): &mut (), index: usize, values: &mut [T]| {
        let (block, first) = (index / tiling.channel_blocks(), index % tiling.channel_blocks() * LANES);
        let mut taps = [[[T::ZERO; LANES]; LANES]; TAPS * TAPS];
        load_kernels(tiling, weight, block, first, &mut taps);
        values.copy_from_slice(taps.as_flattened().as_flattened());
    };
    build(blocks * len, len, || (), fill)
}

/// For each tap, for a block of channels, the kernels of a block of filters.
type Taps<T> = [[Lanes<T>; LANES]; TAPS * TAPS];

fused! {
    /// The planes of the patches that some tiles see, of as many blocks of channels from `first_block` as there are
    /// panels.
    pub(super) fn input_planes[M; T: Element](
        tiling: &Correlation, x: &[T], tiles: Range<usize>, first_block: usize, layout: Planes, planes: &mut [T],
    ) {
        let size = [tiling.height, tiling.width, tiling.channels];
        let mut patch = [[[T::ZERO; LANES]; PATCH]; PATCH];
        for (row, tile) in tiles.enumerate() {
            let Tile { image, y, x: column } = tiling.tile(tile);
            let corner = [y as isize - tiling.top, column as isize - tiling.left];
            for panel in 0..layout.panels {
                load::<T, PATCH>(x, size, image, corner, first_block + panel, &mut patch);
                both_ways::<T, PATCH, PATCH>(&mut patch, input_transform::<M, T>);
                store_planes(&patch, layout, panel, row, planes);
            }
        }
    }

    /// The planes of the outputs' gradients of some tiles, of as many blocks of filters from `first_block` as there
    /// are panels: the transpose of [`output_tiles`].
    pub(super) fn output_gradient_planes[M; T: Element](
        tiling: &Correlation, dy: &[T], tiles: Range<usize>, first_block: usize, layout: Planes, planes: &mut [T],
    ) {
        let size = [tiling.out_height, tiling.out_width, tiling.filters];
        let mut patch = [[[T::ZERO; LANES]; PATCH]; PATCH];
        for (row, tile) in tiles.enumerate() {
            let Tile { image, y, x } = tiling.tile(tile);
            for panel in 0..layout.panels {
                load::<T, TILE>(dy, size, image, [y as isize, x as isize], first_block + panel, &mut patch);
                both_ways::<T, TILE, PATCH>(&mut patch, output_transform_transposed::<M, T>);
                store_planes(&patch, layout, panel, row, planes);
            }
        }
    }

    /// The planes of the kernels of one block of filters, one row per channel from `start` on; rows beyond the channels
    /// are zeros.
    pub(super) fn weight_planes[M; T: Element](
        tiling: &Correlation, kernels: Kernels<'_, T>, block: usize, start: usize, layout: Planes, planes: &mut [T],
    ) {
        let mut patch = [[[T::ZERO; LANES]; PATCH]; PATCH];
        let mut taps = [[[T::ZERO; LANES]; LANES]; TAPS * TAPS];
        for first in (0..layout.rows).step_by(LANES) {
            match kernels.turn {
                Turn::None => load_kernels(tiling, kernels.weight, block, start + first, &mut taps),
                Turn::Half => load_turned_kernels(tiling, kernels.weight, block, start + first, &mut taps),
                Turn::Arranged => load_arranged_kernels(tiling, kernels.weight, block, start + first, &mut taps),
            }
            for row in 0..LANES {
                for (tap, values) in taps.iter().enumerate() {
                    patch[tap / TAPS][tap % TAPS] = values[row];
                }
                both_ways::<T, TAPS, PATCH>(&mut patch, weight_transform::<M, T>);
                store_planes(&patch, layout, 0, first + row, planes);
            }
        }
    }

    /// Writes the outputs of some tiles from their products, of the given blocks of filters, finished.
    pub(super) fn output_tiles[M; T: Element](
        tiling: &Correlation, planes: &[T], layout: Planes, tiles: Range<usize>, blocks: Range<usize>,
        finish: Finish<'_, T>, y: &Scattered<T>,
    ) {
        let mut patch = [[[T::ZERO; LANES]; PATCH]; PATCH];
        for (row, tile) in tiles.enumerate() {
            let tile = tiling.tile(tile);
            for (panel, block) in blocks.clone().enumerate() {
                load_planes(planes, layout, panel, row, &mut patch);
                both_ways::<T, PATCH, TILE>(&mut patch, output_transform::<M, T>);
                store_tile(tiling, &mut patch, tile, block, finish, y);
            }
        }
    }

    /// Writes the kernels' gradients of some channels and of one block of filters from the sums of one panel of
    /// planes, a row per channel: the transpose of [`weight_planes`].
    pub(super) fn weight_gradient_rows[M; T: Element](
        tiling: &Correlation, planes: &[T], layout: Planes, panel: usize, channels: Range<usize>, block: usize,
        dw: &Scattered<T>, start: usize,
    ) {
        let lanes = LANES.min(tiling.filters - block * LANES);
        let mut patch = [[[T::ZERO; LANES]; PATCH]; PATCH];
        for (row, channel) in channels.enumerate() {
            load_planes(planes, layout, panel, row, &mut patch);
            both_ways::<T, PATCH, TAPS>(&mut patch, weight_transform_transposed::<M, T>);
            for down in 0..TAPS {
                for across in 0..TAPS {
                    let tap = down * TAPS + across;
                    let at = start + (tap * tiling.channels + channel) * tiling.filters + block * LANES;
                    // SAFETY: no other task writes these channels and filters.
                    #[allow(unsafe_code)]
                    unsafe {
                        write_lanes(dw, at, &patch[down][across], lanes);
                    }
                }
            }
        }
    }
}

/// The pixels of images (B, `size`) from `corner`, `N` in either direction, of one block of channels; zeros outside.
#[inline(always)]
fn load<T: Element, const N: usize>(
    images: &[T],
    [height, width, channels]: [usize; 3],
    image: usize,
    [top, left]: [isize; 2],
    block: usize,
    patch: &mut Patch<T>,
) {
    let lanes = LANES.min(channels - block * LANES);
    for (y, patch) in (top..).zip(&mut patch[..N]) {
        if y < 0 || height as isize <= y {
            patch[..N].fill([T::ZERO; LANES]);
            continue;
        }
        let line = &images[(image * height + y as usize) * width * channels..][..width * channels];
        for (x, values) in (left..).zip(&mut patch[..N]) {
            if x < 0 || width as isize <= x {
                *values = [T::ZERO; LANES];
                continue;
            }
            let from = &line[x as usize * channels + block * LANES..][..lanes];
            if lanes < LANES {
                *values = [T::ZERO; LANES];
            }
            copy_lanes(from, values);
        }
    }
}

/// Kernels of a block of filters for the channels from `first`; zeros beyond either.
#[inline(always)]
fn load_kernels<T: Element>(tiling: &Correlation, weight: &[T], block: usize, first: usize, taps: &mut Taps<T>) {
    let Correlation { channels, filters, .. } = *tiling;
    let lanes = LANES.min(filters - block * LANES);
    for (tap, rows) in taps.iter_mut().enumerate() {
        for (row, values) in rows.iter_mut().enumerate() {
            if lanes < LANES || channels <= first + row {
                *values = [T::ZERO; LANES];
            }
            if first + row < channels {
                copy_lanes(&weight[(tap * channels + first + row) * filters + block * LANES..][..lanes], values);
            }
        }
    }
}

/// As [`load_kernels`], of an arranged weight.
#[inline(always)]
fn load_arranged_kernels<T: Element>(
    tiling: &Correlation,
    weight: &[T],
    block: usize,
    first: usize,
    taps: &mut Taps<T>,
) {
    let taps = taps.as_flattened_mut().as_flattened_mut();
    let index = block * tiling.channel_blocks() + first / LANES;
    taps.copy_from_slice(&weight[index * taps.len()..][..taps.len()]);
}

/// As [`load_kernels`], of a weight that is to be turned.
#[inline(always)]
fn load_turned_kernels<T: Element>(tiling: &Correlation, weight: &[T], block: usize, first: usize, taps: &mut Taps<T>) {
    let Correlation { channels, filters, .. } = *tiling;
    let lanes = LANES.min(filters - block * LANES);
    let rows = LANES.min(channels - first);
    if lanes < LANES || rows < LANES {
        *taps = [[[T::ZERO; LANES]; LANES]; TAPS * TAPS];
    }
    for (tap, values) in taps.iter_mut().rev().enumerate() {
        for lane in 0..lanes {
            let from = &weight[(tap * filters + block * LANES + lane) * channels + first..][..rows];
            for (values, &from) in values.iter_mut().zip(from) {
                values[lane] = from;
            }
        }
    }
}

/// Copies the first values; of a whole vector's length without a call.
#[inline(always)]
fn copy_lanes<T: Element>(from: &[T], to: &mut Lanes<T>) {
    match <&Lanes<T>>::try_from(from) {
        Ok(from) => *to = *from,
        Err(_) => to[..from.len()].copy_from_slice(from),
    }
}

/// Writes the outputs of a tile that lie inside of the image.
#[inline(always)]
fn store_tile<T: Element>(
    tiling: &Correlation,
    patch: &mut Patch<T>,
    tile: Tile,
    block: usize,
    finish: Finish<'_, T>,
    y: &Scattered<T>,
) {
    let lanes = LANES.min(tiling.filters - block * LANES);
    for (row, patch) in (tile.y..tiling.out_height).zip(&mut patch[..TILE]) {
        for (column, values) in (tile.x..tiling.out_width).zip(&mut patch[..TILE]) {
            let pixel = (tile.image * tiling.out_height + row) * tiling.out_width + column;
            let at = pixel * tiling.filters + block * LANES;
            match lanes {
                LANES => finish.some(block * LANES, at, values),
                lanes => finish.some(block * LANES, at, &mut values[..lanes]),
            }
            // SAFETY: no other task writes this tile's pixels of these filters.
            #[allow(unsafe_code)]
            unsafe {
                write_lanes(y, at, values, lanes);
            }
        }
    }
}

/// Writes the first `lanes` values; of a whole vector's length without a call.
///
/// # Safety
/// As for [`Scattered::write`].
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn write_lanes<T: Element>(to: &Scattered<T>, at: usize, values: &Lanes<T>, lanes: usize) {
    // SAFETY: the caller's.
    unsafe {
        if lanes == LANES {
            to.write(at, values);
        } else {
            to.write(at, &values[..lanes]);
        }
    }
}

#[inline(always)]
fn store_planes<T: Element>(patch: &Patch<T>, layout: Planes, panel: usize, row: usize, planes: &mut [T]) {
    for (plane, values) in patch.as_flattened().iter().enumerate() {
        planes[layout.at(plane, panel, row)..][..LANES].copy_from_slice(values);
    }
}

#[inline(always)]
fn load_planes<T: Element>(planes: &[T], layout: Planes, panel: usize, row: usize, patch: &mut Patch<T>) {
    for (plane, values) in patch.as_flattened_mut().iter_mut().enumerate() {
        values.copy_from_slice(&planes[layout.at(plane, panel, row)..][..LANES]);
    }
}

/// Transforms the first `N` values of the first `N` rows to `P`, then those of the columns.
#[inline(always)]
fn both_ways<T: Element, const N: usize, const P: usize>(
    patch: &mut Patch<T>,
    transform: impl Fn([T; PATCH]) -> [T; PATCH],
) {
    for row in &mut patch[..N] {
        for lane in 0..LANES {
            let mut values = [T::ZERO; PATCH];
            for i in 0..N {
                values[i] = row[i][lane];
            }
            let values = transform(values);
            for i in 0..P {
                row[i][lane] = values[i];
            }
        }
    }
    for column in 0..P {
        for lane in 0..LANES {
            let mut values = [T::ZERO; PATCH];
            for i in 0..N {
                values[i] = patch[i][column][lane];
            }
            let values = transform(values);
            for i in 0..P {
                patch[i][column][lane] = values[i];
            }
        }
    }
}

/// Bᵀ: the coefficients of (x² − a²)(x² − b²), x(x ± a)(x² − b²), x(x² − a²)(x ± b) and x(x² − a²)(x² − b²).
#[inline(always)]
fn input_transform<M: MulAdd, T: Element>([d0, d1, d2, d3, d4, d5]: [T; 6]) -> [T; 6] {
    let [a, b, a2, b2] = [A, B, A2, B2].map(T::from_f64);
    let (product, sum) = (T::from_f64(A2 * B2), T::from_f64(A2 + B2));
    let (even_a, odd_a) = (M::mul_add(-b2, d2, d4), a * M::mul_add(-b2, d1, d3));
    let (even_b, odd_b) = (M::mul_add(-a2, d2, d4), b * M::mul_add(-a2, d1, d3));
    [
        M::mul_add(product, d0, M::mul_add(-sum, d2, d4)),
        even_a + odd_a,
        even_a - odd_a,
        even_b + odd_b,
        even_b - odd_b,
        M::mul_add(product, d1, M::mul_add(-sum, d3, d5)),
    ]
}

/// G: the kernel's polynomial at each point, over the product of the point's distances from the other ones.
#[inline(always)]
fn weight_transform<M: MulAdd, T: Element>([g0, g1, g2, ..]: [T; 6]) -> [T; 6] {
    let [at_zero, at_a, at_b] = WEIGHTS.map(T::from_f64);
    let [a, b, a2, b2] = [A, B, A2, B2].map(T::from_f64);
    let (even_a, odd_a) = (at_a * M::mul_add(a2, g2, g0), at_a * a * g1);
    let (even_b, odd_b) = (at_b * M::mul_add(b2, g2, g0), at_b * b * g1);
    [at_zero * g0, even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, g2]
}

/// One over the product of a point's distances from the other points, for 0, ±a and ±b.
const WEIGHTS: [f64; 3] = [1.0 / (A2 * B2), 0.5 / (A2 * (A2 - B2)), 0.5 / (B2 * (B2 - A2))];

/// Aᵀ: Σ pⁱ·m over the points p, for the i-th output.
#[inline(always)]
fn output_transform<M: MulAdd, T: Element>([m0, plus_a, minus_a, plus_b, minus_b, last]: [T; 6]) -> [T; 6] {
    let [a, b, a2, b2] = [A, B, A2, B2].map(T::from_f64);
    let (even_a, odd_a) = (plus_a + minus_a, a * (plus_a - minus_a));
    let (even_b, odd_b) = (plus_b + minus_b, b * (plus_b - minus_b));
    [
        m0 + even_a + even_b,
        odd_a + odd_b,
        M::mul_add(a2, even_a, b2 * even_b),
        M::mul_add(a2, odd_a, M::mul_add(b2, odd_b, last)),
        T::ZERO,
        T::ZERO,
    ]
}

/// A: the outputs' gradients as a polynomial at each point.
#[inline(always)]
fn output_transform_transposed<M: MulAdd, T: Element>([y0, y1, y2, y3, ..]: [T; 6]) -> [T; 6] {
    let [a, b, a2, b2] = [A, B, A2, B2].map(T::from_f64);
    let (even_a, odd_a) = (M::mul_add(a2, y2, y0), a * M::mul_add(a2, y3, y1));
    let (even_b, odd_b) = (M::mul_add(b2, y2, y0), b * M::mul_add(b2, y3, y1));
    [y0, even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, y3]
}

/// Gᵀ.
#[inline(always)]
fn weight_transform_transposed<M: MulAdd, T: Element>([u0, plus_a, minus_a, plus_b, minus_b, last]: [T; 6]) -> [T; 6] {
    let [at_zero, at_a, at_b] = WEIGHTS.map(T::from_f64);
    let [a, b, a2, b2] = [A, B, A2, B2].map(T::from_f64);
    let (even_a, odd_a) = (at_a * (plus_a + minus_a), at_a * a * (plus_a - minus_a));
    let (even_b, odd_b) = (at_b * (plus_b + minus_b), at_b * b * (plus_b - minus_b));
    [
        M::mul_add(at_zero, u0, even_a + even_b),
        odd_a + odd_b,
        M::mul_add(a2, even_a, M::mul_add(b2, even_b, last)),
        T::ZERO,
        T::ZERO,
        T::ZERO,
    ]
}
