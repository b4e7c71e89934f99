//! Fully connected layer on a device, by cuBLAS.
//! Knows no activation.
//!
//! Weights and biases are f32; beside activations in bf16 the weight is rounded to bf16 and all sums are f32.

use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, DType, Layout, Tensor};

use super::blas::{Factor, Sizes, multiply};
use super::elementwise::{changed, column_sums, shifted};
use super::memory::{Fresh, Held};
use super::{Cpu, Cuda, check_parameter, not_here};
use crate::ops::tape::{self, Needs, Recorded, is_wanted};
use crate::{Error, Result};

/// y = x·Wᵀ + b of x (B, I), weight (O, I), bias (O).
pub(in crate::ops) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let ((batch, inputs), outputs) = (x.dims2()?, weight.dim(0)?);
    check_parameter("linear weight", weight)?;
    bias.map(|bias| check_parameter("linear bias", bias)).transpose()?;
    let forward = Forward { batch, inputs, outputs };
    match bias {
        None => tape::apply2(x, weight, forward),
        Some(bias) => tape::apply3(x, weight, bias, forward),
    }
}

/// (x, weight) → y or (x, weight, bias) → y
#[derive(Debug, Clone, Copy)]
struct Forward {
    batch: usize,
    inputs: usize,
    outputs: usize,
}

/// A factor in `dtype`: as it is, or rounded.
fn rounded(factor: Held, count: usize, dtype: DType) -> Result<Held> {
    if factor.dtype() == dtype { Ok(factor) } else { Ok(Held::of_fresh(changed(&factor, count, dtype)?)) }
}

impl Forward {
    fn forward(self, x: &Held, weight: Held, bias: Option<Held>) -> Result<Fresh> {
        let Self { batch, inputs, outputs } = self;
        let (machine, dtype) = (x.machine()?, x.dtype());
        let weight = rounded(weight, outputs * inputs, dtype)?;
        // A sum that a bias is added to is rounded only afterwards.
        let to = if bias.is_some() { DType::F32 } else { dtype };
        let y = machine.fresh(to, batch * outputs)?;
        let factors = (Factor::new(x.pointer, inputs), Factor::new(weight.pointer, inputs).transposed(), dtype);
        let sizes = Sizes { rows: batch, inner: inputs, columns: outputs };
        // SAFETY: x is (batch, inputs), the weight (outputs, inputs), y (batch, outputs).
        #[allow(unsafe_code)]
        unsafe {
            multiply(&machine, sizes, factors, (y.pointer, to))?;
        }
        match bias {
            None => Ok(y),
            Some(bias) => shifted(&y, &bias, (batch, outputs), dtype),
        }
    }

    /// ∂L/∂x = ∂L/∂y·W
    fn input_gradient(self, weight: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let Self { batch, inputs, outputs } = self;
        let dy = Held::new(dy)?;
        let (machine, dtype) = (dy.machine()?, dy.dtype());
        let weight = rounded(Held::new(weight)?, outputs * inputs, dtype)?;
        let dx = machine.fresh(dtype, batch * inputs)?;
        let factors = (Factor::new(dy.pointer, outputs), Factor::new(weight.pointer, inputs), dtype);
        // SAFETY: dy is (batch, outputs), the weight (outputs, inputs), dx (batch, inputs).
        #[allow(unsafe_code)]
        unsafe {
            multiply(&machine, Sizes { rows: batch, inner: outputs, columns: inputs }, factors, (dx.pointer, dtype))?;
        }
        Ok(dx.into_tensor((batch, inputs)))
    }

    /// ∂L/∂W = ∂L/∂yᵀ·x, in f32
    fn weight_gradient(self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let Self { batch, inputs, outputs } = self;
        let dy = Held::new(dy)?;
        let (machine, dtype) = (dy.machine()?, dy.dtype());
        let x = rounded(Held::new(x)?, batch * inputs, dtype)?;
        let dw = machine.fresh(DType::F32, outputs * inputs)?;
        let factors = (Factor::new(dy.pointer, outputs).transposed(), Factor::new(x.pointer, inputs), dtype);
        // SAFETY: dy is (batch, outputs), x (batch, inputs), dw (outputs, inputs).
        #[allow(unsafe_code)]
        unsafe {
            let sizes = Sizes { rows: outputs, inner: batch, columns: inputs };
            multiply(&machine, sizes, factors, (dw.pointer, DType::F32))?;
        }
        Ok(dw.into_tensor((outputs, inputs)))
    }

    fn gradients(self, x: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = is_wanted(x).then(|| self.input_gradient(weight, dy));
        let dw = is_wanted(weight).then(|| self.weight_gradient(x, dy));
        Ok((dx.transpose()?, dw.transpose()?))
    }
}

impl Recorded for Forward {
    const NEEDS: Needs = Needs::Others;
}

impl CustomOp2 for Forward {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Cpu {
        not_here(CustomOp2::name(self))
    }

    fn cuda_fwd(&self, x: &CudaStorage, x_layout: &Layout, weight: &CudaStorage, weight_layout: &Layout) -> Cuda {
        let (x, weight) = (Held::of_storage(x, x_layout)?, Held::of_storage(weight, weight_layout)?);
        Ok((self.forward(&x, weight, None)?.into_storage(), (self.batch, self.outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Ok(self.gradients(x, weight, dy)?)
    }
}

impl CustomOp3 for Forward {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Cpu {
        not_here(CustomOp3::name(self))
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Cuda {
        let (x, weight) = (Held::of_storage(x, x_layout)?, Held::of_storage(weight, weight_layout)?);
        let bias = Held::of_storage(bias, bias_layout)?;
        Ok((self.forward(&x, weight, Some(bias))?.into_storage(), (self.batch, self.outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = self.gradients(x, weight, dy)?;
        let sums =
            || Ok::<_, Error>(column_sums(&Held::new(dy)?, (self.batch, self.outputs))?.into_tensor(self.outputs));
        Ok((dx, dw, is_wanted(bias).then(sums).transpose()?))
    }
}
