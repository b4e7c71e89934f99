//! Panels of a few columns, each of 36 planes, and their products plane by plane.
//! Knows no image.

#![allow(clippy::inline_always, reason = "only what is inlined is compiled for the wide vectors")]

use crate::ops::element::Element;
use crate::ops::parallel::piece;
use crate::ops::simd::MulAdd;
use crate::ops::wide::{Left, accumulate};

pub(super) use crate::ops::simd::LANES;

/// Products of a tile.
pub(super) const PLANES: usize = 36;

/// The values of a panel's row.
pub(super) type Lanes<T> = [T; LANES];

/// The order of panels in a slice, each 36 planes of `rows` rows of [`LANES`] values.
///
/// One row lies between two planes, so that the same place in each does not fall on the same lines of the cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes {
    pub(super) panels: usize,
    pub(super) rows: usize,
}

impl Planes {
    /// Values of one plane of a panel.
    #[inline(always)]
    fn plane(&self) -> usize {
        self.rows * LANES
    }

    /// Values from one panel to the next.
    #[inline(always)]
    pub(super) fn panel(&self) -> usize {
        PLANES * (self.plane() + LANES)
    }

    /// Values of all panels.
    pub(super) fn len(&self) -> usize {
        self.panels * self.panel()
    }

    /// Where a row of a plane of a panel begins.
    #[inline(always)]
    pub(super) fn at(&self, plane: usize, panel: usize, row: usize) -> usize {
        panel * self.panel() + plane * (self.plane() + LANES) + row * LANES
    }
}

/// What happens to the values that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    Begin,
    GoOn,
}

fused! {
    /// `inputs` times a panel of kernels for every panel of outputs, plane by plane, summed over as many panels of inputs
    /// as the kernels have rows for.
    pub(super) fn multiply[M; T: Element](
        from: &[T], inputs: Planes, weight: &[T], kernels: Planes, sum: Sum, to: &mut [T], outputs: Planes,
    ) {
        for plane in 0..PLANES {
            let from = &from[inputs.at(plane, 0, 0)..];
            for panel in 0..outputs.panels {
                let weight = &weight[kernels.at(plane, panel, 0)..][..kernels.plane()];
                let to = &mut to[outputs.at(plane, panel, 0)..][..outputs.plane()];
                multiply_panel::<M, T>(from, inputs.panel(), weight, sum, to);
            }
        }
    }

    /// The transposed panels of `left` times those of `right`, plane by plane; panel i of `left` and j of `right` make
    /// panel (i, j) of `sums`.
    pub(super) fn multiply_transposed[M; T: Element](
        left: &[T], lefts: Planes, right: &[T], rights: Planes, sum: Sum, sums: &mut [T], products: Planes,
    ) {
        for plane in 0..PLANES {
            for i in 0..lefts.panels {
                let left = &left[lefts.at(plane, i, 0)..][..lefts.plane()];
                for j in 0..rights.panels {
                    let right = &right[rights.at(plane, j, 0)..][..rights.plane()];
                    let sums = &mut sums[products.at(plane, i * rights.panels + j, 0)..][..products.plane()];
                    multiply_transposed_panel::<M, T>(left, right, sum, sums);
                }
            }
        }
    }
}

/// One block of output columns: as many rows at a time as the registers hold.
#[inline(always)]
fn multiply_panel<M: MulAdd, T: Element>(from: &[T], panel: usize, weight: &[T], sum: Sum, to: &mut [T]) {
    let rows = to.len() / LANES;
    let pieces = rows.div_ceil(M::ROWS);
    for index in 0..pieces {
        let rows = piece(rows, pieces, index);
        let (from, to) = (&from[rows.start * LANES..], &mut to[rows.start * LANES..rows.end * LANES]);
        by_rows!(rows.len(), R => multiply_rows::<M, T, R>(from, panel, weight, sum, to));
    }
}

/// `R` rows of `LANES` columns, summed in registers over all panels of `from`.
#[inline(always)]
fn multiply_rows<M: MulAdd, T: Element, const R: usize>(
    from: &[T],
    panel: usize,
    weight: &[T],
    sum: Sum,
    to: &mut [T],
) {
    let mut sums = [[T::ZERO; LANES]; R];
    if sum == Sum::GoOn {
        sums.as_flattened_mut().copy_from_slice(to);
    }
    let weight = weight.as_chunks::<LANES>().0;
    let left = Left { values: from, row: LANES, step: 1, steps: LANES, block: panel };
    if !(M::IS_WIDE && accumulate(left, weight, &mut sums)) {
        for (from, weight) in from.chunks(panel).zip(weight.chunks_exact(LANES)) {
            let from = &from[..R * LANES];
            for (column, weight) in weight.iter().enumerate() {
                for (row, sums) in sums.iter_mut().enumerate() {
                    let value = from[row * LANES + column];
                    for (sum, &weight) in sums.iter_mut().zip(weight) {
                        *sum = M::mul_add(value, weight, *sum);
                    }
                }
            }
        }
    }
    to.copy_from_slice(sums.as_flattened());
}

/// The columns of `left`, a few at a time, times all of `right`.
#[inline(always)]
fn multiply_transposed_panel<M: MulAdd, T: Element>(left: &[T], right: &[T], sum: Sum, sums: &mut [T]) {
    if M::ROWS < 12 {
        multiply_columns::<M, T, 6>(left, 0, right, sum, sums);
        multiply_columns::<M, T, 5>(left, 6, right, sum, sums);
        multiply_columns::<M, T, 5>(left, 11, right, sum, sums);
    } else {
        multiply_columns::<M, T, 16>(left, 0, right, sum, sums);
    }
}

/// `R` columns of `left` from `first`, transposed, times all of `right`.
#[inline(always)]
fn multiply_columns<M: MulAdd, T: Element, const R: usize>(
    left: &[T],
    first: usize,
    right: &[T],
    sum: Sum,
    sums: &mut [T],
) {
    let to = &mut sums[first * LANES..][..R * LANES];
    let mut sums = [[T::ZERO; LANES]; R];
    if sum == Sum::GoOn {
        sums.as_flattened_mut().copy_from_slice(to);
    }
    let right = right.as_chunks::<LANES>().0;
    let factors = Left { values: &left[first..], row: 1, step: LANES, steps: right.len().max(1), block: 0 };
    if !(M::IS_WIDE && accumulate(factors, right, &mut sums)) {
        for (left, right) in left.chunks_exact(LANES).zip(right) {
            let left = &left[first..first + R];
            for (sums, &left) in sums.iter_mut().zip(left) {
                for (sum, &right) in sums.iter_mut().zip(right) {
                    *sum = M::mul_add(left, right, *sum);
                }
            }
        }
    }
    to.copy_from_slice(sums.as_flattened());
}
