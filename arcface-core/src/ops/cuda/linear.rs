//! Fully connected layer on a device, by cuBLAS.
//! Knows no activation.
//!
//! Weights and biases are f32; beside activations in bf16 the weight is rounded to bf16 and all sums are f32.

use candle_core::{DType, Shape};

use super::blas::{Factor, Sizes, multiply};
use super::elementwise::{changed, column_sums, shifted};
use super::memory::Held;
use super::{Cuda, Seen};
use crate::Result;
use crate::ops::linear::Sizes as Layer;

/// A factor in `dtype`: as it is, or rounded.
fn rounded(factor: Held, count: usize, dtype: DType) -> Result<Held> {
    if factor.dtype() == dtype { Ok(factor) } else { Ok(Held::of_fresh(changed(&factor, count, dtype)?)) }
}

/// (x, weight) → y or (x, weight, bias) → y
pub(in crate::ops) fn forward(layer: Layer, x: Seen<'_>, weight: Seen<'_>, bias: Option<Seen<'_>>) -> Cuda {
    let Layer { batch, inputs, outputs } = layer;
    let (x, weight, bias) = (Held::seen(x)?, Held::seen(weight)?, bias.map(Held::seen).transpose()?);
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
    let y = match bias {
        None => y,
        Some(bias) => shifted(&y, &bias, (batch, outputs), dtype)?,
    };
    Ok((y.into_storage(), Shape::from((batch, outputs))))
}

/// (∂L/∂y, weight) → ∂L/∂x = ∂L/∂y·W
pub(in crate::ops) fn input_gradient(layer: Layer, dy: Seen<'_>, weight: Seen<'_>) -> Cuda {
    let Layer { batch, inputs, outputs } = layer;
    let dy = Held::seen(dy)?;
    let (machine, dtype) = (dy.machine()?, dy.dtype());
    let weight = rounded(Held::seen(weight)?, outputs * inputs, dtype)?;
    let dx = machine.fresh(dtype, batch * inputs)?;
    let factors = (Factor::new(dy.pointer, outputs), Factor::new(weight.pointer, inputs), dtype);
    // SAFETY: dy is (batch, outputs), the weight (outputs, inputs), dx (batch, inputs).
    #[allow(unsafe_code)]
    unsafe {
        multiply(&machine, Sizes { rows: batch, inner: outputs, columns: inputs }, factors, (dx.pointer, dtype))?;
    }
    Ok((dx.into_storage(), Shape::from((batch, inputs))))
}

/// (∂L/∂y, x) → ∂L/∂W = ∂L/∂yᵀ·x, in f32
pub(in crate::ops) fn weight_gradient(layer: Layer, dy: Seen<'_>, x: Seen<'_>) -> Cuda {
    let Layer { batch, inputs, outputs } = layer;
    let dy = Held::seen(dy)?;
    let (machine, dtype) = (dy.machine()?, dy.dtype());
    let x = rounded(Held::seen(x)?, batch * inputs, dtype)?;
    let dw = machine.fresh(DType::F32, outputs * inputs)?;
    let factors = (Factor::new(dy.pointer, outputs).transposed(), Factor::new(x.pointer, inputs), dtype);
    let sizes = Sizes { rows: outputs, inner: batch, columns: inputs };
    // SAFETY: dy is (batch, outputs), x (batch, inputs), dw (outputs, inputs).
    #[allow(unsafe_code)]
    unsafe {
        multiply(&machine, sizes, factors, (dw.pointer, DType::F32))?;
    }
    Ok((dw.into_storage(), Shape::from((outputs, inputs))))
}

/// ∂L/∂y → ∂L/∂b, the sum over the batch, in f32
pub(in crate::ops) fn bias_gradient(layer: Layer, dy: Seen<'_>) -> Cuda {
    let sums = column_sums(&Held::seen(dy)?, (layer.batch, layer.outputs))?;
    Ok((sums.into_storage(), Shape::from(layer.outputs)))
}
