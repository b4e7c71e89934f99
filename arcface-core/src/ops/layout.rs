//! Between images as frameworks exchange them (B, C, H, W) and channels-last activations (B, H, W, C).
//! Knows nothing of weights: their layouts are a matter of files.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::element::{Element, check_operand, storage, values};
use super::parallel::build;
use super::tape::{self, Recorded};
use crate::{Error, Result, shape, with_element};

/// (B, C, H, W) → (B, H, W, C), differentiable.
///
/// # Shapes
/// `images` (B, C, H, W); the result (B, H, W, C).
///
/// # Errors
/// If the rank is not 4 or the type neither f32 nor f64 (on a CUDA device: nor bf16).
pub fn channels_last(images: &Tensor) -> Result<Tensor> {
    let &[b, c, h, w] = images.dims() else {
        return Err(Error::shape("images", "(B, C, H, W)", images.dims()));
    };
    check_operand("images", images)?;
    tape::apply1(images, Transpose { rows: c, columns: h * w, to: [b, h, w, c] })
}

/// (B, H, W, C) → (B, C, H, W), differentiable.
///
/// # Shapes
/// `x` (B, H, W, C); the result (B, C, H, W).
///
/// # Errors
/// If the rank is not 4 or the type neither f32 nor f64 (on a CUDA device: nor bf16).
pub fn channels_first(x: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = shape::dims4(x, "x")?;
    check_operand("x", x)?;
    tape::apply1(x, Transpose { rows: h * w, columns: c, to: [b, c, h, w] })
}

/// Each image's matrix (`rows`, `columns`) transposed; the result is seen as `to`.
struct Transpose {
    rows: usize,
    columns: usize,
    to: [usize; 4],
}

impl Recorded for Transpose {}

impl CustomOp1 for Transpose {
    fn name(&self) -> &'static str {
        "layout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = with_element!(x.dtype(), "layout", T => {
            values::<T>(x, layout).map(|x| storage(transposed(&x, self.rows, self.columns)))
        });
        Ok((y?, Shape::from(&self.to[..])))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::elementwise::transpose((x, layout), (self.rows, self.columns), self.to)
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let [a, b, c, d] = x.dims() else { return Err(Error::shape("layout", "four sides", x.dims()).into()) };
        let back = Self { rows: self.columns, columns: self.rows, to: [*a, *b, *c, *d] };
        Ok(Some(dy.apply_op1_no_bwd(&back)?))
    }
}

/// Each (rows, columns) matrix in `x` transposed.
fn transposed<T: Element>(x: &[T], rows: usize, columns: usize) -> Vec<T> {
    let size = rows * columns;
    build(x.len(), size, || (), |(), index, y| transpose(&x[index * size..][..size], rows, columns, y))
}

/// Writes in order; a row of an image, or a few channels, is what is read with a stride.
fn transpose<T: Element>(x: &[T], rows: usize, columns: usize, y: &mut [T]) {
    for (column, y) in y.chunks_exact_mut(rows).enumerate() {
        for (y, x) in y.iter_mut().zip(x[column..].iter().step_by(columns)) {
            *y = *x;
        }
    }
}
