//! Convolution of channels-last images: dense, grouped, depthwise, pointwise; any kernel, stride and padding.
//! Knows no bias: a batch norm follows.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};

use super::element::{check_operands, check_parameter, storage, values};
pub use super::geometry::ConvConfig;
use super::geometry::Geometry;
use super::tape::{self, Needs, Recorded, is_wanted};
use super::{dense, depthwise};
use crate::{Result, with_element};

/// y = x ∗ w, as deep learning has it (the kernel is not flipped).
///
/// A kernel (KH, KW, 1, C) with as many groups as channels is a depthwise convolution. A backward pass leaves out the
/// gradient of an argument that is not tracked and saves nothing but the arguments.
///
/// In f32 a dense 3×3 kernel of stride 1 on at least 16 channels goes by Winograd's F(4×4, 3×3): a few times 10⁻⁶ of
/// rounding, and a value that is not finite may reach up to three pixels further. In f64 everything goes the direct way.
///
/// # Shapes
/// x (B, H, W, Cin), weight (KH, KW, Cin/groups, Cout) → (B, H', W', Cout)
/// with H' = ⌊(H + 2·padding − KH) / stride⌋ + 1 and W' alike.
///
/// # Errors
/// If the shapes do not fit, the stride is zero, or the tensors are neither both f32 or both f64 on the CPU nor on one
/// CUDA device, x in f32 or bf16 and the weight in f32.
///
/// # Example
/// ```
/// use arcface_core::candle::{DType, Device, Tensor};
/// use arcface_core::ops::conv::{ConvConfig, conv2d};
/// let x = Tensor::ones((1, 4, 4, 2), DType::F32, &Device::Cpu)?;
/// let weight = Tensor::ones((3, 3, 2, 5), DType::F32, &Device::Cpu)?;
/// let y = conv2d(&x, &weight, ConvConfig { stride: 2, padding: 1, groups: 1 })?;
/// assert_eq!(y.dims(), [1, 2, 2, 5]);
/// assert_eq!(y.get(0)?.get(1)?.get(1)?.to_vec1::<f32>()?, [18.0; 5]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn conv2d(x: &Tensor, weight: &Tensor, config: ConvConfig) -> Result<Tensor> {
    check_operands(&[("conv2d input", x), ("conv2d weight", weight)])?;
    check_parameter("conv2d weight", weight)?;
    let geometry = Geometry::new(x.dims(), weight.dims(), config)?;
    tape::apply2(x, weight, Forward(geometry))
}

/// (x, weight) → y
struct Forward(Geometry);

impl Recorded for Forward {
    const NEEDS: Needs = Needs::Others;
}

impl CustomOp2 for Forward {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let g = &self.0;
        with_element!(x.dtype(), self.name(), T => {
            let (x, weight) = (values::<T>(x, x_layout)?, values::<T>(weight, weight_layout)?);
            let forward = if g.has_narrow_groups() { depthwise::forward } else { dense::forward };
            Ok((storage(forward(g, &x, &weight)), Shape::from(&g.output_dims())))
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
        super::cuda::conv::forward_of_weight(&self.0, (x, x_layout), (weight, weight_layout))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = is_wanted(x).then(|| weight.apply_op2_no_bwd(dy, &InputGradient(self.0)));
        let dw = is_wanted(weight).then(|| x.apply_op2_no_bwd(dy, &WeightGradient(self.0)));
        Ok((dx.transpose()?, dw.transpose()?))
    }
}

/// (weight, ∂L/∂y) → ∂L/∂x
struct InputGradient(Geometry);

impl CustomOp2 for InputGradient {
    fn name(&self) -> &'static str {
        "conv2d input gradient"
    }

    fn cpu_fwd(
        &self,
        weight: &CpuStorage,
        weight_layout: &Layout,
        dy: &CpuStorage,
        dy_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let g = &self.0;
        with_element!(dy.dtype(), self.name(), T => {
            let (weight, dy) = (values::<T>(weight, weight_layout)?, values::<T>(dy, dy_layout)?);
            let gradient = if g.has_narrow_groups() { depthwise::input_gradient } else { dense::input_gradient };
            Ok((storage(gradient(g, &weight, &dy)), Shape::from(&g.input_dims())))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        weight: &CudaStorage,
        weight_layout: &Layout,
        dy: &CudaStorage,
        dy_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::conv::input_gradient(&self.0, (weight, weight_layout), (dy, dy_layout))
    }
}

/// (x, ∂L/∂y) → ∂L/∂weight
struct WeightGradient(Geometry);

impl CustomOp2 for WeightGradient {
    fn name(&self) -> &'static str {
        "conv2d weight gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        dy: &CpuStorage,
        dy_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let g = &self.0;
        with_element!(dy.dtype(), self.name(), T => {
            let (x, dy) = (values::<T>(x, x_layout)?, values::<T>(dy, dy_layout)?);
            let gradient = if g.has_narrow_groups() { depthwise::weight_gradient } else { dense::weight_gradient };
            Ok((storage(gradient(g, &x, &dy)), Shape::from(&g.weight_dims())))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        dy: &CudaStorage,
        dy_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::conv::weight_gradient(&self.0, (x, x_layout), (dy, dy_layout))
    }
}
