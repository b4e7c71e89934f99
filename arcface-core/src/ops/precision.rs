//! How CUDA devices multiply f32 in convolutions and matrix products: as they are, or rounded to tf32 for tensor cores.
//! Knows no operator; a setting of the whole process.

use std::sync::atomic::{AtomicBool, Ordering};

static TF32: AtomicBool = AtomicBool::new(false);

/// Lets CUDA devices round the factors of products of f32 to tf32, which keeps 10 bits of each: several times as fast,
/// with a relative error of up to 10⁻³ per product. Sums stay in f32.
///
/// It holds for the whole process, for candle's own matrix products too; at first nothing is rounded. The CPU does not
/// change. Values in bf16 are multiplied by tensor cores either way.
///
/// # Example
/// ```
/// use arcface_core::ops::{set_tf32, uses_tf32};
/// assert!(!uses_tf32());
/// set_tf32(true);
/// assert!(uses_tf32());
/// # set_tf32(false);
/// ```
pub fn set_tf32(allowed: bool) {
    TF32.store(allowed, Ordering::Relaxed);
    #[cfg(feature = "cuda")]
    candle_core::cuda::set_gemm_reduced_precision_f32(allowed);
}

/// Whether [`set_tf32`] allowed it.
pub fn uses_tf32() -> bool {
    TF32.load(Ordering::Relaxed)
}

/// How factors of f32 are multiplied.
#[cfg(feature = "cuda")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Math {
    F32,
    Tf32,
}

#[cfg(feature = "cuda")]
impl Math {
    /// As [`set_tf32`] says.
    pub(super) fn now() -> Self {
        if uses_tf32() { Self::Tf32 } else { Self::F32 }
    }
}
