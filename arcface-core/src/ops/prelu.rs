//! `PReLU` on channels-last activations: y = x for x > 0, slope·x otherwise, one slope per channel.
//! Knows no layer; the slopes come with every call.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};

use super::element::{Element, check_operands, storage, values};
use super::parallel::build;
use super::rows::{build_and_collect, from_f64, row_chunk, total, with_values};
use super::tape::{self, Made, Recorded, is_wanted};
use crate::{Result, multiversion, shape, with_element};

/// y = max(x, 0) + slope·min(x, 0), one slope per channel; at 0 the gradient is the slope, as in torch.
///
/// # Shapes
/// `x` (B, H, W, C) or (B, C), `slope` (C); the result has the shape of `x`.
///
/// # Errors
/// If a shape or type does not fit.
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor};
/// use arcface_core::ops::prelu;
/// let x = Tensor::new(&[[-2f32, -2.], [3., 0.]], &Device::Cpu)?;
/// let slope = Tensor::new(&[0.25f32, 0.5], &Device::Cpu)?;
/// assert_eq!(prelu(&x, &slope)?.to_vec2::<f32>()?, [[-0.5, -1.], [3., 0.]]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn prelu(x: &Tensor, slope: &Tensor) -> Result<Tensor> {
    let (_, channels) = shape::rows_and_channels(x, "x")?;
    shape::exactly(slope, "slope", "(C)", &[channels])?;
    check_operands(&[("x", x), ("slope", slope)])?;
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return super::cuda::normalise::prelu(x, slope);
    }
    tape::apply2(x, slope, PRelu)
}

struct PRelu;

impl Recorded for PRelu {
    const RESULT: Made = Made::Again;
}

impl CustomOp2 for PRelu {
    fn name(&self) -> &'static str {
        "prelu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        slope: &CpuStorage,
        slope_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = with_element!(x.dtype(), "prelu", T => {
            values(x, x_layout).and_then(|x| Ok(storage(forward::<T>(&x, &values(slope, slope_layout)?))))
        });
        Ok((y?, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        slope: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Ok(with_element!(x.dtype(), "prelu", T => gradients::<T>(x, slope, dy))?)
    }
}

/// Gradients by x and by the slopes, each if it is asked for.
fn gradients<T: Element>(x: &Tensor, slope: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let run = |x: &[T]| with_values(slope, |slope| with_values(dy, |dy| Ok(backward(x, slope, dy))));
    let (dx, dslope) = with_values(x, run)?;
    let dx = is_wanted(x).then(|| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
    let dslope = is_wanted(slope).then(|| from_f64(&dslope, slope.dims(), slope)).transpose()?;
    Ok((dx, dslope))
}

fn forward<T: Element>(x: &[T], slope: &[T]) -> Vec<T> {
    let chunk_len = row_chunk(slope.len());
    build(x.len(), chunk_len, || (), |(), index, y: &mut [T]| forward_rows(&x[index * chunk_len..], slope, y))
}

/// Gradients by x and by the slopes in one pass over memory.
fn backward<T: Element>(x: &[T], slope: &[T], dy: &[T]) -> (Vec<T>, Vec<f64>) {
    let chunk_len = row_chunk(slope.len());
    let (dx, sums) = build_and_collect(x.len(), chunk_len, |index, dx: &mut [T]| {
        let (start, mut sums) = (index * chunk_len, vec![0.0; slope.len()]);
        backward_rows(&x[start..], slope, &dy[start..], dx, &mut sums);
        sums
    });
    (dx, total(sums))
}

multiversion! {
    fn forward_rows[T: Element](x: &[T], slope: &[T], y: &mut [T]) {
        for (y, x) in y.chunks_exact_mut(slope.len()).zip(x.chunks_exact(slope.len())) {
            for ((y, &x), &slope) in y.iter_mut().zip(x).zip(slope) {
                *y = if T::ZERO < x { x } else { slope * x };
            }
        }
    }

    /// Adds the gradient by the slopes to `sums`.
    fn backward_rows[T: Element](x: &[T], slope: &[T], dy: &[T], dx: &mut [T], sums: &mut [f64]) {
        let channels = slope.len();
        let rows = dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(dy.chunks_exact(channels));
        for ((dx, x), dy) in rows {
            for ((((dx, &x), &dy), &slope), sum) in dx.iter_mut().zip(x).zip(dy).zip(slope).zip(&mut *sums) {
                let positive = T::ZERO < x;
                *dx = if positive { dy } else { slope * dy };
                *sum += (if positive { T::ZERO } else { dy * x }).to_f64();
            }
        }
    }
}
