//! Fully connected layer.
//! Knows no activation.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Shape, Tensor};

use super::element::{Element, check_operands, check_parameter, storage, values};
use super::matmul::{Accumulate, MatRef, matmul, multiply};
use super::parallel::{CHUNK, piece, sum_parts};
use super::tape::{self, Needs, Recorded, is_wanted};
use crate::{Error, Result, with_element};

/// y = x·Wᵀ + b.
///
/// # Shapes
/// x (B, I), weight (O, I), bias (O) → (B, O)
///
/// # Errors
/// If the shapes do not fit or the tensors are neither all f32 or all f64 on the CPU nor on one CUDA device, x in f32 or
/// bf16 and the others in f32.
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor};
/// use arcface_core::ops::linear::linear;
/// let x = Tensor::new(&[[1.0, 2.0]], &Device::Cpu)?;
/// let weight = Tensor::new(&[[1.0, 0.0], [1.0, 1.0], [0.0, -1.0]], &Device::Cpu)?;
/// let bias = Tensor::new(&[0.5, 0.0, 0.0], &Device::Cpu)?;
/// assert_eq!(linear(&x, &weight, Some(&bias))?.to_vec2::<f64>()?, [[1.5, 3.0, -2.0]]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let mut operands = vec![("linear input", x), ("linear weight", weight)];
    operands.extend(bias.map(|bias| ("linear bias", bias)));
    check_operands(&operands)?;
    operands[1..].iter().try_for_each(|(what, parameter)| check_parameter(what, parameter))?;
    let sizes = Sizes::new(x.dims(), weight.dims(), bias.map(Tensor::dims))?;
    match bias {
        None => tape::apply2(x, weight, Forward(sizes)),
        Some(bias) => tape::apply3(x, weight, bias, Forward(sizes)),
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl Sizes {
    fn new(x: &[usize], weight: &[usize], bias: Option<&[usize]>) -> Result<Self> {
        let &[batch, inputs] = x else { return Err(Error::shape("linear input", "(B, I)", x)) };
        let &[outputs, weight_inputs] = weight else { return Err(Error::shape("linear weight", "(O, I)", weight)) };
        if weight_inputs != inputs {
            return Err(Error::shape("linear weight", format!("(O, {inputs})"), weight));
        }
        match bias {
            Some(bias) if bias != [outputs] => Err(Error::shape("linear bias", format!("({outputs})"), bias)),
            _ => Ok(Self { batch, inputs, outputs }),
        }
    }
}

/// (x, weight) → y or (x, weight, bias) → y
struct Forward(Sizes);

impl Forward {
    fn gradients(
        &self,
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = is_wanted(x).then(|| dy.apply_op2_no_bwd(weight, &InputGradient(self.0)));
        let dw = is_wanted(weight).then(|| dy.apply_op2_no_bwd(x, &WeightGradient(self.0)));
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

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let Sizes { batch, inputs, outputs } = self.0;
        with_element!(x.dtype(), "linear", T => {
            let (x, weight) = (values::<T>(x, x_layout)?, values::<T>(weight, weight_layout)?);
            let weight = MatRef::new(&weight, outputs, inputs).transposed();
            Ok(multiplied(MatRef::new(&x, batch, inputs), weight))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::linear::forward(self.0, (x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        self.gradients(x, weight, dy)
    }
}

impl CustomOp3 for Forward {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let Sizes { batch, inputs, outputs } = self.0;
        with_element!(x.dtype(), "linear", T => {
            let (x, weight) = (values::<T>(x, x_layout)?, values::<T>(weight, weight_layout)?);
            let mut y = values::<T>(bias, bias_layout)?.repeat(batch);
            let weight = MatRef::new(&weight, outputs, inputs).transposed();
            matmul(MatRef::new(&x, batch, inputs), weight, &mut y, Accumulate::Add);
            Ok((storage(y), Shape::from((batch, outputs))))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::linear::forward(self.0, (x, x_layout), (weight, weight_layout), Some((bias, bias_layout)))
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
        let db = is_wanted(bias).then(|| dy.apply_op1_no_bwd(&BiasGradient(self.0)));
        Ok((dx, dw, db.transpose()?))
    }
}

/// (∂L/∂y, weight) → ∂L/∂x = ∂L/∂y·W
struct InputGradient(Sizes);

impl CustomOp2 for InputGradient {
    fn name(&self) -> &'static str {
        "linear input gradient"
    }

    fn cpu_fwd(
        &self,
        dy: &CpuStorage,
        dy_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let Sizes { batch, inputs, outputs } = self.0;
        with_element!(dy.dtype(), self.name(), T => {
            let (dy, weight) = (values::<T>(dy, dy_layout)?, values::<T>(weight, weight_layout)?);
            Ok(multiplied(MatRef::new(&dy, batch, outputs), MatRef::new(&weight, outputs, inputs)))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        dy: &CudaStorage,
        dy_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::linear::input_gradient(self.0, (dy, dy_layout), (weight, weight_layout))
    }
}

/// (∂L/∂y, x) → ∂L/∂W = ∂L/∂yᵀ·x
struct WeightGradient(Sizes);

impl CustomOp2 for WeightGradient {
    fn name(&self) -> &'static str {
        "linear weight gradient"
    }

    fn cpu_fwd(
        &self,
        dy: &CpuStorage,
        dy_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let Sizes { batch, inputs, outputs } = self.0;
        with_element!(dy.dtype(), self.name(), T => {
            let (dy, x) = (values::<T>(dy, dy_layout)?, values::<T>(x, x_layout)?);
            Ok(multiplied(MatRef::new(&dy, batch, outputs).transposed(), MatRef::new(&x, batch, inputs)))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        dy: &CudaStorage,
        dy_layout: &Layout,
        x: &CudaStorage,
        x_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::linear::weight_gradient(self.0, (dy, dy_layout), (x, x_layout))
    }
}

/// ∂L/∂y → ∂L/∂b, the sum over the batch
struct BiasGradient(Sizes);

impl CustomOp1 for BiasGradient {
    fn name(&self) -> &'static str {
        "linear bias gradient"
    }

    fn cpu_fwd(&self, dy: &CpuStorage, dy_layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let Sizes { batch, outputs, .. } = self.0;
        with_element!(dy.dtype(), self.name(), T => {
            let dy = values::<T>(dy, dy_layout)?;
            Ok((storage(column_sums(&dy, batch, outputs)), Shape::from(outputs)))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, dy: &CudaStorage, dy_layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::linear::bias_gradient(self.0, (dy, dy_layout))
    }
}

/// A·B in new storage.
fn multiplied<T: Element>(a: MatRef<'_, T>, b: MatRef<'_, T>) -> (CpuStorage, Shape) {
    (storage(multiply(a, b)), Shape::from((a.rows, b.cols)))
}

/// The sums of the columns of a row-major matrix.
fn column_sums<T: Element>(data: &[T], rows: usize, cols: usize) -> Vec<T> {
    let parts = (rows * cols / CHUNK).clamp(1, 16);
    sum_parts(parts, cols, |part, sums| {
        for row in piece(rows, parts, part) {
            for (sum, &value) in sums.iter_mut().zip(&data[row * cols..]) {
                *sum += value;
            }
        }
    })
}
