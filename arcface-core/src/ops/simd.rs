//! Loops compiled for wider vectors than the build's baseline and chosen when the program runs.
//! Knows no operator; the arithmetic is that of the source, so that every version gives the same bytes.

use super::element::Element;
use crate::{Error, Result};

/// Compiles a function once for the baseline and once for AVX2, and calls the widest that the processor has.
///
/// For AVX-512 the compiler makes worse vectors of plain loops than for AVX2; where it pays, it is said in instructions.
///
/// The body must be plain loops over slices: what it calls is only widened if it is `#[inline(always)]`, and work that
/// it hands to other threads is not widened at all, so call such a function inside of a parallel task. Multiplications
/// and additions are not fused, hence the results do not depend on the version.
///
/// The generic parameters are written in square brackets, after the name.
///
/// ```
/// use arcface_core::ops::element::Element;
/// arcface_core::multiversion! {
///     /// y ← y + a·x.
///     fn axpy[T: Element](a: T, x: &[T], y: &mut [T]) {
///         for (y, &x) in y.iter_mut().zip(x) {
///             *y += a * x;
///         }
///     }
/// }
/// let mut y = [1.0, 2.0];
/// axpy(2.0, &[10.0, 20.0], &mut y);
/// assert_eq!(y, [21.0, 42.0]);
/// ```
#[macro_export]
macro_rules! multiversion {
    ($($(#[$meta:meta])* $visibility:vis fn $name:ident[$($generics:tt)*]($($argument:ident: $type:ty),* $(,)?)
        $(-> $output:ty)? $body:block)*) => {$(
        $(#[$meta])*
        #[allow(clippy::inline_always, clippy::too_many_arguments)]
        $visibility fn $name<$($generics)*>($($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            fn baseline<$($generics)*>($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2<$($generics)*>($($argument: $type),*) $(-> $output)? {
                baseline($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            if $crate::ops::simd::Width::Avx2 <= $crate::ops::simd::width() {
                // SAFETY: `width` has found every feature that the version is compiled for.
                #[allow(unsafe_code)]
                return unsafe { avx2($($argument),*) };
            }
            baseline($($argument),*)
        }
    )*};
}

/// Values that a kernel works on side by side: one vector of 512 bits of f32, two of 256.
pub(crate) const LANES: usize = 16;

/// How a version of a function made by `fused!` multiplies and adds.
pub(crate) trait MulAdd {
    /// Rows of sixteen f32 sums that the registers hold beside what is read to make them.
    const ROWS: usize;
    /// Whether sums are to be made by [`wide::accumulate`](super::wide::accumulate).
    const IS_WIDE: bool = false;

    /// a·b + c.
    fn mul_add<T: Element>(a: T, b: T, c: T) -> T;
}

/// One instruction, one rounding: 16 registers of 256 bits or 32 of 128.
pub(crate) struct Fused;
/// As [`Fused`], beside [`wide::accumulate`](super::wide::accumulate), which has 32 registers of 512 bits.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) struct WideFused;
/// A product, rounded, and a sum.
#[cfg_attr(target_arch = "aarch64", allow(dead_code))]
pub(crate) struct Separate;

#[allow(clippy::inline_always, reason = "only what is inlined is compiled for the wide vectors")]
mod mul_add {
    use super::{Element, Fused, MulAdd, Separate, WideFused};

    impl MulAdd for Fused {
        const ROWS: usize = 6;

        #[inline(always)]
        fn mul_add<T: Element>(a: T, b: T, c: T) -> T {
            a.mul_add(b, c)
        }
    }

    impl MulAdd for WideFused {
        const ROWS: usize = 12;
        const IS_WIDE: bool = true;

        #[inline(always)]
        fn mul_add<T: Element>(a: T, b: T, c: T) -> T {
            a.mul_add(b, c)
        }
    }

    impl MulAdd for Separate {
        const ROWS: usize = 2;

        #[inline(always)]
        fn mul_add<T: Element>(a: T, b: T, c: T) -> T {
            a * b + c
        }
    }
}

/// How the version for every processor of the target multiplies and adds.
#[cfg(target_arch = "aarch64")]
pub(crate) type Baseline = Fused;
/// How the version for every processor of the target multiplies and adds.
#[cfg(not(target_arch = "aarch64"))]
pub(crate) type Baseline = Separate;

/// As [`multiversion!`](crate::multiversion), for arithmetic that may be fused: the body is compiled with the name
/// before the semicolon standing for a [`MulAdd`].
///
/// All versions that fuse give the same bytes, as long as the order of a sum does not depend on `MulAdd::ROWS`.
macro_rules! fused {
    ($($(#[$meta:meta])* $visibility:vis fn $name:ident[$fma:ident; $element:ident: $bound:path](
        $($argument:ident: $type:ty),* $(,)?
    ) $body:block)*) => {$(
        $(#[$meta])*
        #[allow(clippy::inline_always, clippy::too_many_arguments)]
        $visibility fn $name<$element: $bound>($($argument: $type),*) {
            #[inline(always)]
            fn any<$fma: $crate::ops::simd::MulAdd, $element: $bound>($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$fma: $crate::ops::simd::MulAdd, $element: $bound>($($argument: $type),*) {
                any::<$fma, $element>($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            {
                use $crate::ops::simd::{Fused, WideFused, Width, width};
                let width = width();
                // In f64 a row of sums takes two registers of 512 bits, and the rows would not find room.
                let is_wide = width == Width::Avx512 && size_of::<$element>() == 4;
                // SAFETY: `width` has found every feature that the versions are compiled for.
                #[allow(unsafe_code)]
                match width {
                    _ if is_wide => return unsafe { avx2::<WideFused, $element>($($argument),*) },
                    Width::Avx512 | Width::Avx2 => return unsafe { avx2::<Fused, $element>($($argument),*) },
                    Width::Baseline => {}
                }
            }
            any::<$crate::ops::simd::Baseline, $element>($($argument),*)
        }
    )*};
}

/// Calls with the number of rows as a constant: 1 to 12, the most of [`MulAdd::ROWS`].
macro_rules! by_rows {
    ($rows:expr, $name:ident => $call:expr) => {
        by_rows!(@match $rows, $name, $call, 1 2 3 4 5 6 7 8 9 10 11)
    };
    (@match $rows:expr, $name:ident, $call:expr, $($number:literal)*) => {
        match $rows {
            $($number => { const $name: usize = $number; $call })*
            _ => { const $name: usize = 12; $call }
        }
    };
}

/// The widest vectors that kernels are chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// What the build's target promises.
    Baseline,
    /// 256 bits, and fused multiplication and addition.
    Avx2,
    /// 512 bits.
    Avx512,
}

/// The environment variable that keeps to narrower vectors than the processor has, to try out what others run: `avx2`
/// or `baseline`. Matrix products by `gemm` do not heed it.
pub const LIMIT: &str = "ARCFACE_SIMD";

/// What [`LIMIT`] says, if it is set.
///
/// # Errors
/// If it is set to something else.
pub fn limit() -> Result<Option<Width>> {
    const NAMES: [(&str, Width); 3] = [("avx512", Width::Avx512), ("avx2", Width::Avx2), ("baseline", Width::Baseline)];
    let Some(name) = std::env::var_os(LIMIT) else { return Ok(None) };
    let name = name.to_string_lossy();
    match NAMES.iter().find(|(known, _)| *known == name) {
        Some((_, width)) => Ok(Some(*width)),
        None => Err(Error::unknown("width of vectors in ARCFACE_SIMD", &name, NAMES.map(|(known, _)| known))),
    }
}

/// The widest vectors of this processor, or narrower ones if [`LIMIT`] says so; looked up once.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn width() -> Width {
    use std::sync::OnceLock;
    static WIDTH: OnceLock<Width> = OnceLock::new();
    // Whoever runs a program checks the limit; here it cannot be reported.
    *WIDTH.get_or_init(|| limit().ok().flatten().map_or_else(detect, |limit| limit.min(detect())))
}

/// The widest vectors of this processor.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub fn width() -> Width {
    Width::Baseline
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Width {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (avx2, avx512) {
        (true, true) => Width::Avx512,
        (true, false) => Width::Avx2,
        _ => Width::Baseline,
    }
}

#[cfg(test)]
mod tests {
    multiversion! {
        fn dot[const N: usize](x: &[f32; N], y: &[f32; N]) -> f32 {
            x.iter().zip(y).map(|(x, y)| x * y).sum()
        }
    }

    #[test]
    fn a_widened_function_returns_what_the_plain_one_does() {
        let x: [f32; 37] = std::array::from_fn(|i| 1.0 / (1.0 + i as f32));
        let plain: f32 = x.iter().map(|x| x * x).sum();
        assert_eq!(dot(&x, &x).to_bits(), plain.to_bits());
    }
}
