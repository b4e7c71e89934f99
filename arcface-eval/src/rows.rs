//! Unit vectors that are read a few thousand at a time, so that sets larger than the memory can be compared.
//! Knows no files and no scores; what keeps the vectors implements [`Rows`].

use std::borrow::Cow;
use std::ops::Range;

use arcface_core::ops::matmul::{Accumulate, MatMut, MatRef, product};
use arcface_core::{Error, Result};
use rayon::prelude::*;

use crate::similarity::{Embeddings, cosine, square};

/// Rows of a block of cosines; fewer, and the matrix product spends its time on arranging the other side.
const BLOCK_ROWS: usize = 1024;

/// Columns of a block of cosines.
const BLOCK_COLS: usize = 512;

/// What rounding to half precision may do to the length of a unit vector, and a little more.
const LENGTH_TOLERANCE: f64 = 1e-3;

/// N unit vectors of D values each that can be read in any order.
///
/// # Example
/// ```
/// use arcface_eval::{Embeddings, Rows};
/// let embeddings = Embeddings::normalised(&[3.0, 4.0, 0.0, 2.0], 2)?;
/// assert_eq!(embeddings.read(1..2)?[..], [0.0, 1.0]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub trait Rows: Sync {
    /// Number of vectors N.
    fn rows(&self) -> usize;

    /// Values per vector D.
    fn width(&self) -> usize;

    /// The vectors of `rows` one after the other, borrowed from a set that is in memory.
    ///
    /// # Shapes
    /// → (`rows.len()`, D) row by row.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read(&self, rows: Range<usize>) -> Result<Cow<'_, [f32]>>;
}

impl Rows for Embeddings {
    fn rows(&self) -> usize {
        self.len()
    }

    fn width(&self) -> usize {
        self.size()
    }

    fn read(&self, rows: Range<usize>) -> Result<Cow<'_, [f32]>> {
        Ok(Cow::Borrowed(&self.values()[rows.start * self.size()..rows.end * self.size()]))
    }
}

/// A run of vectors in memory.
#[derive(Debug, Clone)]
pub(crate) struct Panel<'a> {
    /// The number of the first one.
    pub(crate) first: usize,
    width: usize,
    values: Cow<'a, [f32]>,
}

impl<'a> Panel<'a> {
    /// The vectors of `range`, each of length 1.
    pub(crate) fn read(rows: &'a dyn Rows, range: Range<usize>) -> Result<Self> {
        let width = rows.width();
        let values = rows.read(range.clone())?;
        if values.len() != range.len() * width {
            let what = format!("rows {} to {}", range.start, range.end);
            return Err(Error::value(what, format!("{} values", range.len() * width), values.len()));
        }
        let wrong = values.par_chunks_exact(width).position_first(|row| !is_unit(row));
        wrong.map_or(Ok(()), |row| {
            let length = square(&values[row * width..(row + 1) * width]).sqrt();
            let expected = "a unit vector (normalise embeddings before they are compared)";
            Err(Error::value(format!("row {}", range.start + row), expected, format!("length {length}")))
        })?;
        Ok(Self { first: range.start, width, values })
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Values per vector.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Row `index` of this panel.
    pub(crate) fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..(index + 1) * self.width]
    }

    fn matrix(&self) -> MatRef<'_, f32> {
        MatRef::new(&self.values, self.len(), self.width)
    }
}

/// One block of the cosines between two panels, by their rows' numbers within the panels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    pub(crate) rows: Range<usize>,
    pub(crate) cols: Range<usize>,
}

impl Block {
    /// The blocks of `rows` × `cols` cosines, which depend on these numbers alone.
    pub(crate) fn all(rows: usize, cols: usize) -> impl Iterator<Item = Self> {
        runs(rows, BLOCK_ROWS).flat_map(move |rows| Self::of_rows(rows, cols))
    }

    /// Those of the given rows.
    pub(crate) fn of_rows(rows: Range<usize>, cols: usize) -> impl Iterator<Item = Self> {
        runs(cols, BLOCK_COLS).map(move |cols| Self { rows: rows.clone(), cols })
    }

    /// The block's cosines row by row as products in f32, each within [`product_error`] of [`exact`].
    pub(crate) fn products<'a>(&self, rows: &Panel<'_>, cols: &Panel<'_>, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let (height, width) = (self.rows.len(), self.cols.len());
        scratch.resize(scratch.len().max(height * width), 0.0);
        let cosines = &mut scratch[..height * width];
        let (a, b) = (rows.matrix().row_range(self.rows.clone()), cols.matrix().row_range(self.cols.clone()));
        product(a, b.transposed(), MatMut::new(cosines, height, width), Accumulate::Replace);
        cosines
    }
}

/// `0..len` in runs of `step`.
fn runs(len: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(step).map(move |at| at..len.min(at + step))
}

/// The cosine of row `a` of one panel and row `b` of another in f64.
pub(crate) fn exact(rows: &Panel<'_>, a: usize, cols: &Panel<'_>, b: usize) -> f64 {
    cosine(rows.row(a), cols.row(b))
}

/// How far a product of two unit vectors of `width` values in f32 may be from that in f64, in whatever order it is added.
pub(crate) fn product_error(width: usize) -> f64 {
    // γ = D·u bounds the sum of the roundings relative to Σ|a·b| ≤ ‖a‖·‖b‖; the lengths are 1 but for their tolerance.
    let bound = width as f64 * f64::from(f32::EPSILON) / 2.0;
    1.01 * bound / (1.0 - bound)
}

/// That two sets can be compared.
pub(crate) fn check_widths(a: &dyn Rows, b: &dyn Rows) -> Result<()> {
    if a.width() == b.width() {
        return Ok(());
    }
    Err(Error::value("embeddings of two sets", format!("the same size, {}", a.width()), b.width()))
}

fn is_unit(row: &[f32]) -> bool {
    let length = square(row).sqrt();
    1.0 - LENGTH_TOLERANCE < length && length < 1.0 + LENGTH_TOLERANCE
}
