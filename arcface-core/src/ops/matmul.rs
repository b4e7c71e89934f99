//! Matrix products over slices with strides: sequential for a tile, threaded for a whole matrix.
//! Knows no tensors.

use rayon::prelude::*;

use super::element::Element;
use super::parallel::{piece, pieces};

/// A matrix seen in a slice: element (i, j) lies at `i·row_stride + j·col_stride`.
#[derive(Debug, Clone, Copy)]
pub struct MatRef<'a, T> {
    /// The values.
    pub data: &'a [T],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Distance of one row from the next.
    pub row_stride: usize,
    /// Distance of one column from the next.
    pub col_stride: usize,
}

impl<'a, T> MatRef<'a, T> {
    /// A row-major matrix without gaps.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transpose, of the same values.
    #[must_use]
    pub fn transposed(self) -> Self {
        let Self { data, rows, cols, row_stride, col_stride } = self;
        Self { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }

    /// The rows of `range`.
    #[must_use]
    pub fn row_range(self, range: std::ops::Range<usize>) -> Self {
        Self { data: &self.data[range.start * self.row_stride..], rows: range.len(), ..self }
    }

    /// The columns of `range`.
    #[must_use]
    pub fn col_range(self, range: std::ops::Range<usize>) -> Self {
        Self { data: &self.data[range.start * self.col_stride..], cols: range.len(), ..self }
    }
}

/// A matrix to write: row-major rows that lie `row_stride` apart.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    /// The values.
    pub data: &'a mut [T],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Distance of one row from the next.
    pub row_stride: usize,
}

impl<'a, T> MatMut<'a, T> {
    /// A row-major matrix without gaps.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, row_stride: cols }
    }
}

/// What happens to the values that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accumulate {
    /// They are replaced and never read.
    Replace,
    /// The product is added to them.
    Add,
}

/// out ← A·B or out ← out + A·B on this thread.
///
/// # Shapes
/// A (m, k), B (k, n), out (m, n).
///
/// # Panics
/// If the shapes do not fit each other or the slices: a fault of the calling kernel.
pub fn product<T: Element>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: MatMut<'_, T>, accumulate: Accumulate) {
    let MatMut { data, rows, cols, row_stride } = out;
    assert!(reach(rows, cols, row_stride, 1) <= data.len(), "matmul: the output is too short");
    assert_eq!((rows, cols), (a.rows, b.cols), "matmul: the output does not fit");
    // SAFETY: the assertion above: every element of `out` lies within its slice, which is borrowed mutably.
    #[allow(unsafe_code)]
    unsafe {
        product_into(a, b, data.as_mut_ptr(), row_stride, accumulate);
    }
}

/// A·B, row-major in a new vector, made by all threads of the current pool.
///
/// # Shapes
/// A (m, k), B (k, n) → (m, n)
///
/// # Panics
/// If the shapes do not fit each other or the slices: a fault of the calling kernel.
pub fn multiply<T: Element>(a: MatRef<'_, T>, b: MatRef<'_, T>) -> Vec<T> {
    let len = a.rows * b.cols;
    let mut out = Vec::with_capacity(len);
    // SAFETY: the capacity is at least `len`, and every element is written before the vector contains it; a product
    // that replaces reads nothing.
    #[allow(unsafe_code)]
    unsafe {
        blockwise(a, b, out.as_mut_ptr(), Accumulate::Replace);
        out.set_len(len);
    }
    out
}

/// out ← A·B or out ← out + A·B on all threads of the current pool, cut into blocks by shape alone.
///
/// # Shapes
/// A (m, k), B (k, n), out (m, n) row-major.
///
/// ```
/// use arcface_core::ops::matmul::{Accumulate, MatRef, matmul};
/// let a = [1.0, 2.0, 3.0, 4.0];
/// let mut out = [0.0; 4];
/// matmul(MatRef::new(&a, 2, 2), MatRef::new(&a, 2, 2).transposed(), &mut out, Accumulate::Replace);
/// assert_eq!(out, [5.0, 11.0, 11.0, 25.0]);
/// ```
///
/// # Panics
/// If the shapes do not fit each other or the slices: a fault of the calling kernel.
pub fn matmul<T: Element>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: &mut [T], accumulate: Accumulate) {
    assert_eq!(out.len(), a.rows * b.cols, "matmul: the output does not fit");
    // SAFETY: the assertion above; the slice is borrowed mutably.
    #[allow(unsafe_code)]
    unsafe {
        blockwise(a, b, out.as_mut_ptr(), accumulate);
    }
}

/// The product into memory that starts at `out`, row-major without gaps, by all threads.
///
/// # Safety
/// `out` must be valid for writes of `a.rows` × `b.cols` elements, and for reads if the product is to be added, and
/// nobody else may use these meanwhile.
#[allow(unsafe_code)]
unsafe fn blockwise<T: Element>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: *mut T, accumulate: Accumulate) {
    let (m, n) = (a.rows, b.cols);
    let (down, across) = blocks(m, n, a.cols);
    let start = Start(out);
    (0..down * across).into_par_iter().for_each(|block| {
        let rows = piece(m, down, block / across);
        let cols = piece(n, across, block % across);
        let offset = rows.start * n + cols.start;
        // SAFETY: the blocks partition the m × n elements of `out`, so that no two tasks touch the same one, and all
        // are valid by the caller's promise.
        unsafe {
            product_into(a.row_range(rows), b.col_range(cols), start.get().add(offset), n, accumulate);
        }
    });
}

/// The first element of an output that several threads write disjoint blocks of.
struct Start<T>(*mut T);

impl<T> Start<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

// SAFETY: it is only an address; `blockwise` says why the writes through it do not meet.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Start<T> {}

/// Elements that a matrix reaches over: one more than the offset of its last.
fn reach(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row_stride + (cols - 1) * col_stride + 1 }
}

/// Into how many row and column blocks a product is cut: about 16 blocks where it is worth a task each.
fn blocks(m: usize, n: usize, k: usize) -> (usize, usize) {
    const WORTH_A_TASK: usize = 1 << 18;
    let tasks = pieces(m * n * k.max(1), WORTH_A_TASK, 16.max(m * n / (512 * 512)));
    // Wide blocks read each operand least often; a block narrower than 64 leaves the kernel's registers half empty.
    if m <= n {
        let across = pieces(n, 64, tasks);
        (pieces(m, 64, tasks / across), across)
    } else {
        let down = pieces(m, 64, tasks);
        (down, pieces(n, 64, tasks / down))
    }
}

/// The product into memory that starts at `out`, row-major with rows `row_stride` apart.
///
/// # Safety
/// `out` must be valid for writes of rows `0..a.rows` of `b.cols` elements, and for reads if the product is to be
/// added, and nobody else may use these meanwhile.
#[allow(unsafe_code)]
unsafe fn product_into<T: Element>(
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    out: *mut T,
    row_stride: usize,
    accumulate: Accumulate,
) {
    assert_eq!(a.cols, b.rows, "matmul: the inner sizes differ");
    assert!(reach(a.rows, a.cols, a.row_stride, a.col_stride) <= a.data.len(), "matmul: the left side is too short");
    assert!(reach(b.rows, b.cols, b.row_stride, b.col_stride) <= b.data.len(), "matmul: the right side is too short");
    // SAFETY: the assertions above keep the reads within the slices, the caller the writes; `T` is f32 or f64.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            out,
            1,
            row_stride as isize,
            accumulate == Accumulate::Add,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
