//! `PReLU` on channels-last activations: y = x for x > 0, slope·x otherwise, one slope per channel.
//! Knows no layer; the slopes come with every call.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};

use super::rows::{fresh, from_f64, row_chunk, same_type, slice, to_f64, total, typed, with_values};
use crate::{Result, shape};

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
    same_type(x, slope, "slope")?;
    Ok(x.contiguous()?.apply_op2(&slope.contiguous()?, PRelu)?)
}

struct PRelu;

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
        let y = typed!(x.dtype(), "x", T => {
            slice::<T>(x, x_layout).and_then(|x| Ok(T::to_cpu_storage_owned(forward(x, slice(slope, slope_layout)?))))
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
        typed!(x.dtype(), "x", T => gradients::<T>(x, slope, dy)).map_err(Into::into)
    }
}

/// Gradients by x and by the slopes, each if it is asked for.
fn gradients<T: WithDType>(x: &Tensor, slope: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let slopes: Vec<T> = to_f64(slope)?.into_iter().map(T::from_f64).collect();
    let (dx, dslope) = with_values(x, |x| with_values(dy, |dy| Ok(backward(x, &slopes, dy))))?;
    let dx = x.track_op().then(|| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
    let dslope = slope.track_op().then(|| from_f64(&dslope, slope.dims(), slope)).transpose()?;
    Ok((dx, dslope))
}

fn forward<T: WithDType>(x: &[T], slope: &[T]) -> Vec<T> {
    let channels = slope.len();
    let (y, _) = fresh(x.len(), row_chunk(channels), |start, y: &mut [T]| {
        for (y, x) in y.chunks_exact_mut(channels).zip(x[start..].chunks_exact(channels)) {
            for ((y, &x), &slope) in y.iter_mut().zip(x).zip(slope) {
                *y = if T::zero() < x { x } else { slope * x };
            }
        }
    });
    y
}

/// Gradients by x and by the slopes in one pass over memory.
fn backward<T: WithDType>(x: &[T], slope: &[T], dy: &[T]) -> (Vec<T>, Vec<f64>) {
    let channels = slope.len();
    let (dx, sums) = fresh(x.len(), row_chunk(channels), |start, dx: &mut [T]| {
        let mut sums = vec![0.0; channels];
        let rows = dx.chunks_exact_mut(channels).zip(x[start..].chunks_exact(channels));
        for ((dx, x), dy) in rows.zip(dy[start..].chunks_exact(channels)) {
            for ((((dx, &x), &dy), &slope), sum) in dx.iter_mut().zip(x).zip(dy).zip(slope).zip(&mut sums) {
                let positive = T::zero() < x;
                *dx = if positive { dy } else { slope * dy };
                *sum += (if positive { T::zero() } else { dy * x }).to_f64();
            }
        }
        sums
    });
    (dx, total(sums))
}
