//! Work cut by shape alone: the same pieces, in the same order, for any number of threads.
//! Knows no operator.

use rayon::prelude::*;

use super::element::Element;

/// Elements of a chunk that stays in a core's second-level cache beside what is read to make it.
pub const CHUNK: usize = 32 * 1024;

/// A new vector of `len` elements, made chunk by chunk in parallel.
///
/// `fill(scratch, index, chunk)` gets chunks of `chunk_len` elements (the last may be shorter) that hold zeros, still
/// in cache: there is no pass over the whole vector before. `scratch()` is called once per piece of work that a thread
/// takes.
///
/// ```
/// use arcface_core::ops::parallel::build;
/// let squares = build(5, 2, || (), |(), index, chunk: &mut [f64]| {
///     for (i, value) in chunk.iter_mut().enumerate() {
///         *value = ((2 * index + i) as f64).powi(2);
///     }
/// });
/// assert_eq!(squares, [0.0, 1.0, 4.0, 9.0, 16.0]);
/// ```
pub fn build<T: Element, S>(
    len: usize,
    chunk_len: usize,
    scratch: impl Fn() -> S + Sync + Send,
    fill: impl Fn(&mut S, usize, &mut [T]) + Sync + Send,
) -> Vec<T> {
    let mut values = Vec::with_capacity(len);
    values.spare_capacity_mut()[..len].par_chunks_mut(chunk_len.max(1)).enumerate().for_each_init(
        scratch,
        |scratch, (index, chunk)| {
            for value in &mut *chunk {
                value.write(T::ZERO);
            }
            // SAFETY: every element of the chunk was written just above.
            #[allow(unsafe_code)]
            let chunk = unsafe { chunk.assume_init_mut() };
            fill(scratch, index, chunk);
        },
    );
    // SAFETY: the capacity is at least `len`, and the chunks, all of them written, cover the first `len` elements.
    #[allow(unsafe_code)]
    unsafe {
        values.set_len(len);
    }
    values
}

/// A vector that tasks fill in pieces which do not meet, wherever these lie.
pub(crate) struct Scattered<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: it is only an address; whoever writes through it promises that the writes do not meet.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Scattered<T> {}

impl<T: Copy> Scattered<T> {
    /// All of `values`, for as long as they are borrowed.
    pub(crate) fn of(values: &mut [T]) -> Self {
        Self { start: values.as_mut_ptr(), len: values.len() }
    }

    /// Writes `values` from element `at` on.
    ///
    /// # Safety
    /// No other task may write one of these elements.
    ///
    /// # Panics
    /// If they do not lie within the vector: a fault of the calling kernel.
    #[inline(always)]
    #[allow(unsafe_code, clippy::inline_always, reason = "compiled for the caller's vectors")]
    pub(crate) unsafe fn write(&self, at: usize, values: &[T]) {
        assert!(at <= self.len && values.len() <= self.len - at, "scattered: the values do not fit");
        // SAFETY: the assertion above; the values cannot lie in the vector, which nobody can borrow yet.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), self.start.add(at), values.len());
        }
    }
}

/// A new vector of `len` elements, filled by `tasks` tasks in parallel: `fill(task, vector)`.
///
/// # Safety
/// The tasks together must write every element, and no two of them the same one.
#[allow(unsafe_code)]
pub(crate) unsafe fn build_scattered<T: Element>(
    len: usize,
    tasks: usize,
    fill: impl Fn(usize, &Scattered<T>) + Sync + Send,
) -> Vec<T> {
    let mut values = Vec::with_capacity(len);
    let scattered = Scattered { start: values.as_mut_ptr(), len };
    (0..tasks).into_par_iter().for_each(|task| fill(task, &scattered));
    // SAFETY: the capacity is at least `len`, and the caller promises that all elements were written.
    unsafe {
        values.set_len(len);
    }
    values
}

/// The sum of `parts` vectors of `len` elements: each part is made by one task and the parts are added in order.
///
/// `accumulate(part, sum)` adds to a vector of zeros. With the number of parts a function of the shape, the rounding is
/// too.
///
/// ```
/// use arcface_core::ops::parallel::sum_parts;
/// let sum: Vec<f64> = sum_parts(3, 2, |part, sum| sum[part % 2] += 1.0);
/// assert_eq!(sum, [2.0, 1.0]);
/// ```
pub fn sum_parts<T: Element>(parts: usize, len: usize, accumulate: impl Fn(usize, &mut [T]) + Sync + Send) -> Vec<T> {
    let make = |part| {
        let mut sum = vec![T::ZERO; len];
        accumulate(part, &mut sum);
        sum
    };
    let sums: Vec<Vec<T>> = (0..parts).into_par_iter().map(make).collect();
    let mut sums = sums.into_iter();
    let Some(mut total) = sums.next() else { return vec![T::ZERO; len] };
    let rest: Vec<Vec<T>> = sums.collect();
    total.par_chunks_mut(CHUNK).enumerate().for_each(|(index, total)| {
        for part in &rest {
            for (total, &value) in total.iter_mut().zip(&part[index * CHUNK..]) {
                *total += value;
            }
        }
    });
    total
}

/// Runs `work` on a thread of the current pool: operators there need not wake one each time that they share out work.
pub fn inside<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

/// How many pieces to cut `len` into so that each has at least `at_least`, and no more than `at_most` pieces.
pub fn pieces(len: usize, at_least: usize, at_most: usize) -> usize {
    (len / at_least.max(1)).clamp(1, at_most.max(1))
}

/// The range of piece `index` of `count` nearly equal pieces of `0..len`.
pub fn piece(len: usize, count: usize, index: usize) -> std::ops::Range<usize> {
    index * len / count..(index + 1) * len / count
}
