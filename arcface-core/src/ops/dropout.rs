//! Inverted dropout whose mask is a pure function of (seed, step, layer, element).
//! Keeps no mask and no generator: the backward pass draws the same numbers again.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::element::{Element, check_operand, storage, values};
use super::parallel::{CHUNK, build};
use super::tape::{self, Made, Needs, Recorded};
use crate::seed::Purpose;
use crate::{Error, Result, multiversion, with_element};

/// Which mask to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropKey {
    /// The run's seed.
    pub seed: u64,
    /// The training step.
    pub step: u64,
    /// The layer; two layers with one number share their mask.
    pub layer: u64,
}

/// Sets each value to 0 with probability `rate` and divides the others by 1 − `rate`.
///
/// Element i is dropped if hash(key, i) < rate·2⁶⁴, i counted in the order of memory, where hash is `SplitMix64`'s
/// output function over a counter: far cheaper than a generator per element and the same for any number of threads.
/// A rate of 0 returns `x` itself.
///
/// # Shapes
/// Any; the result has the shape of `x`.
///
/// # Errors
/// If not 0 ≤ `rate` < 1, or the type is neither f32 nor f64 (on a CUDA device: nor bf16).
pub fn dropout(x: &Tensor, rate: f64, key: DropKey) -> Result<Tensor> {
    if !(0.0 <= rate && rate < 1.0) {
        return Err(Error::value("dropout", "0 <= rate < 1", rate));
    }
    check_operand("x", x)?;
    if rate <= 0.0 {
        return Ok(x.clone());
    }
    tape::apply1(x, Dropout::new(rate, key))
}

struct Dropout {
    start: u64,
    threshold: u64,
    scale: f64,
}

impl Dropout {
    fn new(rate: f64, key: DropKey) -> Self {
        let words = [Purpose::Dropout as u64, key.seed, key.step, key.layer];
        let start = words.iter().fold(0, |state: u64, word| mix(state.wrapping_add(GOLDEN) ^ word));
        Self { start, threshold: (rate * 2f64.powi(64)) as u64, scale: 1.0 / (1.0 - rate) }
    }

    /// Masks and scales; the same function maps values forward and gradients backward.
    fn apply<T: Element>(&self, x: &[T]) -> Vec<T> {
        build(
            x.len(),
            CHUNK,
            || (),
            |(), index, y| {
                let first = self.start.wrapping_add(((index * CHUNK) as u64).wrapping_mul(GOLDEN));
                drop_values(first, self.threshold, T::from_f64(self.scale), &x[index * CHUNK..], y);
            },
        )
    }
}

multiversion! {
    fn drop_values[T: Element](first: u64, threshold: u64, scale: T, x: &[T], y: &mut [T]) {
        let mut counter = first;
        for (y, &x) in y.iter_mut().zip(x) {
            *y = if mix(counter) < threshold { T::ZERO } else { x * scale };
            counter = counter.wrapping_add(GOLDEN);
        }
    }
}

/// 2⁶⁴/φ, the step of `SplitMix64`'s counter.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of `SplitMix64` (Steele, Lea, Flood 2014).
#[allow(clippy::inline_always, reason = "widened with the loop that calls it")]
#[inline(always)]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Recorded for Dropout {
    const NEEDS: Needs = Needs::Nothing;
    const RESULT: Made = Made::Again;
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = with_element!(x.dtype(), "dropout", T => {
            values::<T>(x, layout).map(|x| storage(self.apply(&x)))
        });
        Ok((y?, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let Self { start, threshold, scale } = *self;
        super::cuda::elementwise::Dropout { start, threshold, scale: scale as f32 }.apply((x, layout))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(dy.apply_op1_no_bwd(self)?))
    }
}
