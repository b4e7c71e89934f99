//! Kernels of the 1×1 convolution of stride 1: products of many rows with a small matrix that is arranged once.
//! Knows slices; no tensors and no graph.
//!
//! The rows of activations are read as they lie. A sum's order does not depend on how many rows the registers hold.

#![allow(clippy::inline_always, reason = "only what is inlined is compiled for the wide vectors")]

use rayon::prelude::*;

use super::element::Element;
use super::finish::Finish;
use super::geometry::Geometry;
use super::matmul::MatRef;
use super::parallel::{Scattered, build_scattered, piece, pieces, sum_parts};
use super::simd::{LANES, MulAdd};
use super::wide::{Left, accumulate};

/// Rows that are multiplied with one panel after the other: they stay in the first-level cache with it.
const BLOCK: usize = 48;
/// Pixels whose products are summed before the next ones are arranged.
const STEP: usize = 128;

/// Whether the kernels here are the fast way: in f32, for a matrix of which a panel stays in the first-level cache.
pub(crate) fn suits<T: Element>(g: &Geometry) -> bool {
    let sizes = [g.channels, g.filters];
    size_of::<T>() == 4 && sizes.iter().all(|size| (LANES..=1024).contains(size)) && BLOCK <= g.out_pixels()
}

/// Whether [`forward_arranged`] works for a 1×1 convolution, be it the faster way or not.
pub(crate) fn serves<T: Element>(g: &Geometry) -> bool {
    let is_product = (g.kernel_height, g.kernel_width, g.stride, g.padding, g.groups) == (1, 1, 1, 0, 1);
    is_product && size_of::<T>() == 4 && g.channels.max(g.filters) <= 1024
}

/// y = x·w.
///
/// # Shapes
/// x (B, H, W, Cin), w (1, 1, Cin, Cout) → (B, H, W, Cout)
pub(crate) fn forward<T: Element>(g: &Geometry, x: &[T], weight: &[T]) -> Vec<T> {
    forward_arranged(g, x, &arranged(g.channels, g.filters, weight), Finish::none())
}

/// A weight (1, 1, Cin, Cout) as [`forward_arranged`] reads it.
pub(crate) fn arranged<T: Element>(channels: usize, filters: usize, weight: &[T]) -> Vec<T> {
    panels(channels, filters, |row, col| weight[row * filters + col])
}

/// [`forward`] of an arranged weight, its sums finished.
pub(crate) fn forward_arranged<T: Element>(g: &Geometry, x: &[T], panels: &[T], finish: Finish<'_, T>) -> Vec<T> {
    multiply(x, g.channels, panels, g.filters, finish)
}

/// ∂L/∂x = ∂L/∂y·wᵀ.
///
/// # Shapes
/// w (1, 1, Cin, Cout), dy (B, H, W, Cout) → (B, H, W, Cin)
pub(crate) fn input_gradient<T: Element>(g: &Geometry, weight: &[T], dy: &[T]) -> Vec<T> {
    let panels = panels(g.filters, g.channels, |row, col| weight[col * g.filters + row]);
    multiply(dy, g.filters, &panels, g.channels, Finish::none())
}

/// ∂L/∂w = xᵀ·∂L/∂y: one sum per fixed part of the pixels, added in order.
///
/// # Shapes
/// x (B, H, W, Cin), dy (B, H, W, Cout) → (1, 1, Cin, Cout)
pub(crate) fn weight_gradient<T: Element>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<T> {
    const TASKS: usize = 16;
    let (pixels, len) = (g.out_pixels(), g.channels * g.filters);
    let parts = pieces(pixels, 1024, ((1 << 20) / len).clamp(1, TASKS));
    let rows = g.channels.div_ceil(TASKS.div_ceil(parts)).next_multiple_of(ROWS_AT_MOST);
    sum_parts(parts, len, |part, dw| {
        let range = piece(pixels, parts, part);
        dw.par_chunks_mut(rows * g.filters).enumerate().for_each(|(index, dw)| {
            let columns = index * rows..index * rows + dw.len() / g.filters;
            T::with_scratch(STEP * (ROWS_AT_MOST + g.filters.next_multiple_of(LANES)), |scratch| {
                for start in range.clone().step_by(STEP) {
                    let pixels = start..range.end.min(start + STEP);
                    let x = &x[pixels.start * g.channels..pixels.end * g.channels];
                    let dy = &dy[pixels.start * g.filters..pixels.end * g.filters];
                    add_outer_products(x, g.channels, columns.start, dy, g.filters, scratch, dw);
                }
            });
        });
    })
}

/// A matrix that many rows are multiplied with, arranged once: the rows are read as they lie, without being packed.
#[derive(Debug, Clone)]
pub struct Panels<T> {
    values: Vec<T>,
    rows: usize,
    cols: usize,
}

impl<T: Element> Panels<T> {
    /// Those of `matrix` (k, n).
    ///
    /// ```
    /// use arcface_core::ops::{Panels, matmul::MatRef};
    /// let panels = Panels::new(MatRef::new(&[1.0, 2.0, 3.0, 4.0], 2, 2));
    /// let mut product = [0.0; 2];
    /// panels.multiply(&[1.0, 10.0], &mut product);
    /// assert_eq!(product, [31.0, 42.0]);
    /// ```
    pub fn new(matrix: MatRef<'_, T>) -> Self {
        let value = |row, col| matrix.data[row * matrix.row_stride + col * matrix.col_stride];
        Self { values: panels(matrix.rows, matrix.cols, value), rows: matrix.rows, cols: matrix.cols }
    }

    /// out ← x·matrix on this thread.
    ///
    /// # Shapes
    /// x (m, k), out (m, n), both row-major without gaps.
    ///
    /// # Panics
    /// If the lengths do not fit: a fault of the calling kernel.
    pub fn multiply(&self, x: &[T], out: &mut [T]) {
        let count = x.len() / self.rows;
        assert_eq!((x.len(), out.len()), (count * self.rows, count * self.cols), "panels: the rows do not fit");
        let y = Scattered::of(out);
        for first in (0..count).step_by(BLOCK) {
            let rows = &x[first * self.rows..count.min(first + BLOCK) * self.rows];
            let to = Target { y: &y, first, cols: self.cols, finish: Finish::none() };
            multiply_block(rows, self.rows, &self.values, &to);
        }
    }
}

/// Rows that the registers of any processor hold; a multiple of those that fewer registers do.
const ROWS_AT_MOST: usize = 12;

/// A matrix of `rows` × `cols` in panels of [`LANES`] columns, the last filled up with zeros.
fn panels<T: Element>(rows: usize, cols: usize, value: impl Fn(usize, usize) -> T) -> Vec<T> {
    let mut panels = vec![T::ZERO; cols.div_ceil(LANES) * rows * LANES];
    for (panel, values) in panels.chunks_exact_mut(rows * LANES).enumerate() {
        let cols = panel * LANES..cols.min((panel + 1) * LANES);
        for (row, values) in values.chunks_exact_mut(LANES).enumerate() {
            for (to, col) in values.iter_mut().zip(cols.clone()) {
                *to = value(row, col);
            }
        }
    }
    panels
}

/// Rows of `depth` values times the matrix of `panels`, which has `cols` columns, finished.
fn multiply<T: Element>(x: &[T], depth: usize, panels: &[T], cols: usize, finish: Finish<'_, T>) -> Vec<T> {
    const TASKS: usize = 32;
    let rows = x.len() / depth;
    let tasks = pieces(rows, BLOCK / 2, TASKS);
    let fill = |task: usize, y: &Scattered<T>| {
        let rows = piece(rows, tasks, task);
        let blocks = rows.len().div_ceil(BLOCK);
        for block in 0..blocks {
            let part = piece(rows.len(), blocks, block);
            let (start, end) = (rows.start + part.start, rows.start + part.end);
            let to = Target { y, first: start, cols, finish };
            multiply_block(&x[start * depth..end * depth], depth, panels, &to);
        }
    };
    // SAFETY: the tasks' rows are all rows, each once, and a block writes every column of its rows.
    #[allow(unsafe_code)]
    unsafe {
        build_scattered(rows * cols, tasks, fill)
    }
}

fused! {
    /// Writes a few rows of the product.
    fn multiply_block[M; T: Element](x: &[T], depth: usize, panels: &[T], to: &Target<'_, T>) {
        let rows = x.len() / depth;
        let groups = rows.div_ceil(M::ROWS);
        for (panel, weight) in panels.chunks_exact(depth * LANES).enumerate() {
            for group in 0..groups {
                let rows = piece(rows, groups, group);
                let x = &x[rows.start * depth..rows.end * depth];
                let to = Target { first: to.first + rows.start, ..*to };
                by_rows!(rows.len(), R => multiply_rows::<M, T, R>(x, depth, weight, &to, panel * LANES));
            }
        }
    }

    /// Adds Σ over pixels of x ⊗ dy to `dw`, the rows of the gradient from channel `first` on.
    fn add_outer_products[M; T: Element](
        x: &[T], channels: usize, first: usize, dy: &[T], filters: usize, scratch: &mut [T], dw: &mut [T],
    ) {
        let pixels = dy.len() / filters;
        let (left, right) = scratch.split_at_mut(STEP * ROWS_AT_MOST);
        let right = &mut right[..filters.next_multiple_of(LANES) * pixels];
        for (panel, right) in right.chunks_exact_mut(pixels * LANES).enumerate() {
            let (start, width) = (panel * LANES, LANES.min(filters - panel * LANES));
            for (to, from) in right.as_chunks_mut::<LANES>().0.iter_mut().zip(dy.chunks_exact(filters)) {
                *to = lanes(&from[start..start + width]);
            }
        }
        for (group, dw) in dw.chunks_mut(M::ROWS * filters).enumerate() {
            let (start, rows) = (first + group * M::ROWS, dw.len() / filters);
            let columns = Columns { x, channels, start };
            by_rows!(rows, R => add_rows::<M, T, R>(columns, left, right, filters, dw));
        }
    }
}

/// Some columns of x, from `start` on.
#[derive(Clone, Copy)]
struct Columns<'a, T> {
    x: &'a [T],
    channels: usize,
    start: usize,
}

/// At most [`LANES`] values, filled up with zeros.
#[inline(always)]
fn lanes<T: Element>(values: &[T]) -> [T; LANES] {
    values.as_array().copied().unwrap_or_else(|| {
        let mut lanes = [T::ZERO; LANES];
        lanes[..values.len()].copy_from_slice(values);
        lanes
    })
}

/// Where some rows go, and what becomes of their sums before.
struct Target<'a, T> {
    y: &'a Scattered<T>,
    /// Number of the first row.
    first: usize,
    cols: usize,
    finish: Finish<'a, T>,
}

/// `R` rows times one panel, the columns from `column` on, summed in registers.
#[inline(always)]
fn multiply_rows<M: MulAdd, T: Element, const R: usize>(
    x: &[T],
    depth: usize,
    weight: &[T],
    to: &Target<'_, T>,
    column: usize,
) {
    let rows: [&[T]; R] = std::array::from_fn(|row| &x[row * depth..][..depth]);
    let mut sums = [[T::ZERO; LANES]; R];
    let (weight, _) = weight[..depth * LANES].as_chunks::<LANES>();
    let left = Left { values: x, row: depth, step: 1, steps: depth, block: 0 };
    if !(M::IS_WIDE && accumulate(left, weight, &mut sums)) {
        for (k, weight) in weight.iter().enumerate() {
            for (row, sums) in rows.iter().zip(&mut sums) {
                // SAFETY: there are `depth` rows of weights, and every row of `x` was cut to `depth` values.
                #[allow(unsafe_code)]
                let value = unsafe { *row.get_unchecked(k) };
                for (sum, &weight) in sums.iter_mut().zip(weight) {
                    *sum = M::mul_add(value, weight, *sum);
                }
            }
        }
    }
    for (row, sums) in (to.first..).zip(sums) {
        let at = row * to.cols + column;
        // A copy: what is cut to a width that the compiler does not know cannot be in registers before.
        let mut values = sums;
        // SAFETY: these columns of this row belong to this call alone, as `multiply` says.
        #[allow(unsafe_code)]
        unsafe {
            match LANES.min(to.cols - column) {
                // A length that the compiler knows is a move of registers.
                LANES => {
                    to.finish.some(column, at, &mut values);
                    to.y.write(at, &values);
                }
                width => {
                    to.finish.some(column, at, &mut values[..width]);
                    to.y.write(at, &values[..width]);
                }
            }
        }
    }
}

/// Adds the products of `R` columns of x with all panels of dy.
#[inline(always)]
fn add_rows<M: MulAdd, T: Element, const R: usize>(
    columns: Columns<'_, T>,
    left: &mut [T],
    right: &[T],
    filters: usize,
    dw: &mut [T],
) {
    let Columns { x, channels, start } = columns;
    let left = &mut left.as_chunks_mut::<R>().0[..x.len() / channels];
    for (left, from) in left.iter_mut().zip(x.chunks_exact(channels)) {
        left.copy_from_slice(&from[start..start + R]);
    }
    for (panel, right) in right.chunks_exact(left.len() * LANES).enumerate() {
        let (first, width) = (panel * LANES, LANES.min(filters - panel * LANES));
        let mut sums = [[T::ZERO; LANES]; R];
        for (sums, dw) in sums.iter_mut().zip(dw.chunks_exact(filters)) {
            *sums = lanes(&dw[first..first + width]);
        }
        let right = right.as_chunks::<LANES>().0;
        let factors = Left { values: left.as_flattened(), row: 1, step: R, steps: right.len().max(1), block: 0 };
        if !(M::IS_WIDE && accumulate(factors, right, &mut sums)) {
            for (left, right) in left.iter().zip(right) {
                for (sums, &left) in sums.iter_mut().zip(left) {
                    for (sum, &right) in sums.iter_mut().zip(right) {
                        *sum = M::mul_add(left, right, *sum);
                    }
                }
            }
        }
        for (sums, dw) in sums.into_iter().zip(dw.chunks_exact_mut(filters)) {
            let values = sums;
            match width {
                LANES => dw[first..first + LANES].copy_from_slice(&values),
                width => dw[first..first + width].copy_from_slice(&values[..width]),
            }
        }
    }
}
