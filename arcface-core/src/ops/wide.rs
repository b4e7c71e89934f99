//! Sums of products in vectors of 512 bits, said in instructions: of plain loops over rows of sums the compiler makes
//! vectors across the rows, which it gathers and scatters, at a quarter of the speed of narrower ones.
//! Knows no operator.

use super::element::Element;
use super::simd::LANES;

/// Where the left factors of some rows of sums lie in a slice: blocks of steps of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left<'a, T> {
    pub(crate) values: &'a [T],
    /// From one row to the next.
    pub(crate) row: usize,
    /// From one step to the next within a block.
    pub(crate) step: usize,
    /// Steps of a block.
    pub(crate) steps: usize,
    /// From one block to the next.
    pub(crate) block: usize,
}

impl<T> Left<'_, T> {
    /// Whether all factors of `rows` rows in `steps` steps lie in the slice.
    #[cfg(target_arch = "x86_64")]
    fn reaches(&self, rows: usize, steps: usize) -> bool {
        let blocks = steps / self.steps;
        let last = (blocks - 1) * self.block + (self.steps - 1) * self.step + (rows - 1) * self.row;
        last < self.values.len()
    }
}

/// sums[r] ← sums[r] + Σ left(r, k)·right[k], `false` where another way has to be taken: not in f32, or the processor has
/// no AVX-512. The order of a sum is that of the steps.
///
/// # Panics
/// If the steps are not whole blocks or the left factors do not lie in their slice.
#[cfg(target_arch = "x86_64")]
pub(crate) fn accumulate<T: Element, const R: usize>(
    left: Left<'_, T>,
    right: &[[T; LANES]],
    sums: &mut [[T; LANES]; R],
) -> bool {
    use super::simd::{Width, width};
    if T::DTYPE != candle_core::DType::F32 || width() != Width::Avx512 {
        return false;
    }
    if right.is_empty() {
        return true;
    }
    assert!(right.len().is_multiple_of(left.steps) && left.reaches(R, right.len()), "factors beyond their slice");
    let (values, right_values) = (left.values.as_ptr().cast(), right.as_ptr().cast());
    let sums = sums.as_mut_ptr().cast();
    let blocks = right.len() / left.steps;
    // SAFETY: the processor has AVX-512, T is f32, and what is read and written was found to lie in the slices.
    #[allow(unsafe_code)]
    unsafe {
        match left.row {
            1 => x86::accumulate::<R, 1>(values, left.into(), blocks, right_values, sums),
            LANES => x86::accumulate::<R, LANES>(values, left.into(), blocks, right_values, sums),
            _ => x86::accumulate::<R, 0>(values, left.into(), blocks, right_values, sums),
        }
    }
    true
}

/// Another way has to be taken.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn accumulate<T: Element, const R: usize>(
    _: Left<'_, T>,
    _: &[[T; LANES]],
    _: &mut [[T; LANES]; R],
) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps};

    use super::{LANES, Left};

    /// The distances of a [`Left`].
    #[derive(Clone, Copy)]
    pub(super) struct Strides {
        row: usize,
        step: usize,
        steps: usize,
        block: usize,
    }

    impl<T> From<Left<'_, T>> for Strides {
        fn from(left: Left<'_, T>) -> Self {
            Self { row: left.row, step: left.step, steps: left.steps, block: left.block }
        }
    }

    /// `ROW` is the distance of rows where the compiler is to know it, else 0.
    ///
    /// # Safety
    /// The processor must have AVX-512F, `left` hold what the strides reach in `blocks` blocks, `right` as many rows of
    /// [`LANES`] values as there are steps, and `sums` `R` such rows.
    #[allow(unsafe_code)]
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn accumulate<const R: usize, const ROW: usize>(
        left: *const f32,
        strides: Strides,
        blocks: usize,
        right: *const f32,
        sums: *mut f32,
    ) {
        let row = if ROW == 0 { strides.row } else { ROW };
        // SAFETY: as the caller says.
        unsafe {
            let mut totals = [_mm512_setzero_ps(); R];
            for (r, total) in totals.iter_mut().enumerate() {
                *total = _mm512_loadu_ps(sums.add(r * LANES));
            }
            let mut right = right;
            for block in 0..blocks {
                let mut at = left.add(block * strides.block);
                for _ in 0..strides.steps {
                    let lanes = _mm512_loadu_ps(right);
                    for (r, total) in totals.iter_mut().enumerate() {
                        *total = _mm512_fmadd_ps(_mm512_set1_ps(*at.add(r * row)), lanes, *total);
                    }
                    right = right.add(LANES);
                    at = at.wrapping_add(strides.step);
                }
            }
            for (r, total) in totals.into_iter().enumerate() {
                _mm512_storeu_ps(sums.add(r * LANES), total);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "a skipped test says so")]
mod tests {
    use super::*;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 37 % 101) as f32 - 50.0) / 64.0).collect()
    }

    fn check<const R: usize>([row, step, steps, block]: [usize; 4], blocks: usize) {
        let all = values((blocks - 1) * block + (steps - 1) * step + (R - 1) * row + 1);
        let lanes = values(steps * blocks * LANES);
        let right = lanes.as_chunks::<LANES>().0;
        let mut sums = [[0.5; LANES]; R];
        let mut expected = sums;
        if !accumulate(Left { values: &all, row, step, steps, block }, right, &mut sums) {
            println!("skipped: this processor has no AVX-512");
            return;
        }
        for (number, right) in right.iter().enumerate() {
            let at = number / steps * block + number % steps * step;
            for (r, sums) in expected.iter_mut().enumerate() {
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = all[at + r * row].mul_add(*right, *sum);
                }
            }
        }
        assert_eq!(sums, expected, "{R} rows {row}, {step}, {steps}, {block}");
    }

    #[test]
    fn sums_are_those_of_plain_loops() {
        check::<12>([LANES, 1, 16, 500], 3);
        check::<16>([1, 16, 9, 0], 1);
        check::<5>([1, 5, 33, 0], 1);
        check::<1>([100, 1, 100, 0], 1);
        check::<7>([64, 1, 64, 0], 1);
    }

    #[test]
    fn doubles_go_another_way() {
        let right = [[0.0_f64; LANES]; 2];
        let left = Left { values: &[0.0; 8], row: 1, step: 1, steps: 2, block: 0 };
        assert!(!accumulate(left, &right, &mut [[0.0; LANES]; 2]));
    }
}
