//! A loss that is known already with its gradient, connected to what it depends on.
//! Knows no loss.

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Shape, Tensor};

use super::element::storage;
use super::tape::{self, Needs, Recorded};
use crate::{Result, shape};

/// A scalar of `value` in the type of `x`, whose gradient by `x` is `gradient`.
///
/// # Shapes
/// `x` and `gradient` are of one shape.
///
/// # Errors
/// If the shapes differ.
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor, Var};
/// let x = Var::new(&[3.0, 4.0], &Device::Cpu)?;
/// let norm = arcface_core::ops::connected(&x, 5.0, Tensor::new(&[0.6, 0.8], &Device::Cpu)?)?;
/// let store = norm.backward()?;
/// assert_eq!(store.get(&x).unwrap().to_vec1::<f64>()?, [0.6, 0.8]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn connected(x: &Tensor, value: f64, gradient: Tensor) -> Result<Tensor> {
    shape::exactly(&gradient, "gradient", "that of what it is by", x.dims())?;
    tape::apply1(x, Connected { value, gradient })
}

struct Connected {
    value: f64,
    gradient: Tensor,
}

impl Recorded for Connected {
    const NEEDS: Needs = Needs::Nothing;
}

impl CustomOp1 for Connected {
    fn name(&self) -> &'static str {
        "connected"
    }

    fn cpu_fwd(&self, x: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let value = match x {
            CpuStorage::F32(_) => storage(vec![self.value as f32]),
            _ => storage(vec![self.value]),
        };
        Ok((value, Shape::from(())))
    }

    fn cuda_fwd(&self, x: &CudaStorage, _: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        // Not brought over from the host, since candle may keep such small values for good.
        let zero = x.device().zeros_impl(&Shape::from(()), x.dtype())?;
        Ok((zero.affine(&Layout::contiguous(()), 0.0, self.value)?, Shape::from(())))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(self.gradient.broadcast_mul(gradient)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::ops::{add, tape::record};

    #[test]
    fn the_gradient_goes_through_a_tape_too() {
        let x = Var::new(&[3.0, 4.0], &Device::Cpu).unwrap();
        let gradient = Tensor::new(&[0.5, -1.0], &Device::Cpu).unwrap();
        let (loss, tape) = record(|| connected(&add(&x, &x)?, 5.0, gradient)).unwrap();
        let ones = Tensor::ones((), DType::F64, &Device::Cpu).unwrap();
        assert_eq!(loss.to_scalar::<f64>().unwrap().to_bits(), 5f64.to_bits());
        assert_eq!(tape.backward(&ones).unwrap().get(&x).unwrap().to_vec1::<f64>().unwrap(), [1.0, -2.0]);
    }

    #[test]
    fn a_gradient_of_another_shape_is_refused() {
        let x = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let error = connected(&x, 0.0, x.t().unwrap()).unwrap_err();
        insta::assert_snapshot!(error, @"gradient: expected shape that of what it is by = [2, 3], got [3, 2]");
    }
}
