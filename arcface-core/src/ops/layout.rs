//! Between images as frameworks exchange them (B, C, H, W) and channels-last activations (B, H, W, C).
//! Knows nothing of weights: their layouts are a matter of files.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};

use super::rows::{fresh, slice, typed, with_values};
use crate::{Error, Result, shape};

/// (B, C, H, W) → (B, H, W, C), differentiable.
///
/// # Shapes
/// `images` (B, C, H, W); the result (B, H, W, C).
///
/// # Errors
/// If the rank is not 4 or the type neither f32 nor f64.
pub fn channels_last(images: &Tensor) -> Result<Tensor> {
    let &[b, c, h, w] = images.dims() else {
        return Err(Error::shape("images", "(B, C, H, W)", images.dims()));
    };
    let op = Transpose { rows: c, columns: h * w, to: [b, h, w, c] };
    Ok(images.contiguous()?.apply_op1(op)?)
}

/// (B, H, W, C) → (B, C, H, W), differentiable.
///
/// # Shapes
/// `x` (B, H, W, C); the result (B, C, H, W).
///
/// # Errors
/// If the rank is not 4 or the type neither f32 nor f64.
pub fn channels_first(x: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = shape::dims4(x, "x")?;
    let op = Transpose { rows: h * w, columns: c, to: [b, c, h, w] };
    Ok(x.contiguous()?.apply_op1(op)?)
}

/// Each image's matrix (`rows`, `columns`) transposed; the result is seen as `to`.
struct Transpose {
    rows: usize,
    columns: usize,
    to: [usize; 4],
}

impl CustomOp1 for Transpose {
    fn name(&self) -> &'static str {
        "layout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = typed!(x.dtype(), "images", T => {
            Ok(T::to_cpu_storage_owned(transposed(slice::<T>(x, layout)?, self.rows, self.columns)))
        });
        Ok((y?, Shape::from(&self.to[..])))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let dx = typed!(x.dtype(), "images", T => with_values::<T, _>(dy, |dy| {
            Ok(Tensor::from_vec(transposed(dy, self.columns, self.rows), x.shape(), x.device())?)
        }));
        Ok(Some(dx?))
    }
}

/// Each (rows, columns) matrix in `x` transposed.
fn transposed<T: WithDType>(x: &[T], rows: usize, columns: usize) -> Vec<T> {
    let (y, _) = fresh(x.len(), (rows * columns).max(1), |start, y: &mut [T]| {
        let x = &x[start..][..rows * columns];
        // Write in order; a row of an image, or a few channels, is what is read with a stride.
        for (column, y) in y.chunks_exact_mut(rows).enumerate() {
            for (y, x) in y.iter_mut().zip(x[column..].iter().step_by(columns)) {
                *y = *x;
            }
        }
    });
    y
}
