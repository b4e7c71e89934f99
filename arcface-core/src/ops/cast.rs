//! Values in another type of floating point, as the border between layers in bf16 and in f32 needs it.
//! Knows no rounding but to the nearest.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};

use super::element::{Element, check_operand, has_cuda, storage, values};
use super::parallel::{CHUNK, build};
use super::tape::{self, Made, Needs, Recorded};
use crate::{Error, Result, with_element};

/// The values of `x` in `dtype`; the gradient comes back in the type of `x`. Of that type already, it is `x` itself.
///
/// On the CPU f32 and f64 become each other, on a CUDA device f32 and bf16.
///
/// # Shapes
/// Any; the result has the shape of `x`.
///
/// # Errors
/// If one of the types is not one that the device computes in, or `x` is empty.
///
/// # Example
/// ```
/// use arcface_core::candle::{DType, Device, Tensor};
/// use arcface_core::ops::cast;
/// let x = Tensor::new(&[0.5f32, -2.0], &Device::Cpu)?;
/// assert_eq!(cast(&x, DType::F64)?.to_vec1::<f64>()?, [0.5, -2.0]);
/// let error = cast(&x, DType::BF16).unwrap_err();
/// assert_eq!(error.to_string(), "cast: expected dtype f32 or f64 on the CPU, got bf16");
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    check_operand("x", x)?;
    let (fits, expected) = if has_cuda(x) {
        (matches!(dtype, DType::F32 | DType::BF16), "dtype f32 or bf16 on a CUDA device")
    } else {
        (matches!(dtype, DType::F32 | DType::F64), "dtype f32 or f64 on the CPU")
    };
    if !fits {
        return Err(Error::value("cast", expected, dtype.as_str()));
    }
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    tape::apply1(x, Cast { from: x.dtype(), to: dtype })
}

struct Cast {
    from: DType,
    to: DType,
}

impl Recorded for Cast {
    const NEEDS: Needs = Needs::Nothing;
    const RESULT: Made = Made::Again;
}

impl CustomOp1 for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = with_element!(x.dtype(), "cast", A => with_element!(self.to, "cast", B => {
            values::<A>(x, layout).map(|x| storage(changed::<A, B>(&x)))
        }));
        Ok((y?, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::elementwise::cast((x, layout), self.to)
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(dy.apply_op1_no_bwd(&Self { from: self.to, to: self.from })?))
    }
}

fn changed<A: Element, B: Element>(x: &[A]) -> Vec<B> {
    build(
        x.len(),
        CHUNK,
        || (),
        |(), index, y: &mut [B]| {
            for (y, x) in y.iter_mut().zip(&x[index * CHUNK..]) {
                *y = B::from_f64(x.to_f64());
            }
        },
    )
}
