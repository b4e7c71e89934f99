//! Convolution on a device: dense and grouped by cuDNN, depthwise by kernels of our own.
//! Knows the operators' layout of weights (KH, KW, Cin/groups, Cout) and cuDNN's (Cout, KH, KW, Cin/groups).
//!
//! Weights are f32 whatever the activations are; cuDNN gets them in the type of the activations, rearranged on the way.

use candle_core::{CpuStorage, CudaStorage, CustomOp2, DType, Layout, Shape, Tensor};

use super::cudnn::{Operands, Pass};
use super::elementwise::{self, Matrices};
use super::machine::Machine;
use super::memory::{Fresh, Held};
use super::{Cpu, Cuda, check_parameter, depthwise, not_here};
use crate::Result;
use crate::ops::geometry::Geometry;
use crate::ops::tape::{self, Needs, Recorded, is_wanted};

/// y = x ∗ weight, differentiable by both.
pub(in crate::ops) fn conv2d(x: &Tensor, weight: &Tensor, geometry: Geometry) -> Result<Tensor> {
    check_parameter("conv2d weight", weight)?;
    tape::apply2(x, weight, Forward(geometry))
}

/// Whether each channel has a filter of its own.
pub(super) fn is_depthwise(g: &Geometry) -> bool {
    g.groups == g.channels && g.filters == g.channels
}

/// Weights as the kernels for activations of `dtype` read them.
pub(super) fn arranged(weight: &Held, g: &Geometry, dtype: DType) -> Result<Fresh> {
    let matrix = Matrices { count: 1, rows: g.kernel_height * g.kernel_width * g.group_channels(), columns: g.filters };
    elementwise::transposed(weight, matrix, dtype)
}

/// y from x and from weights that [`arranged`] arranged, or of a depthwise convolution as they are.
pub(super) fn forward(g: &Geometry, x: &Held, filters: &Held) -> Result<Fresh> {
    if is_depthwise(g) {
        return depthwise::forward(g, x, filters);
    }
    let machine = x.machine()?;
    let y = machine.fresh(x.dtype(), g.output_dims().iter().product())?;
    run(&machine, Pass::Forward, g, Operands { x: x.pointer, filters: filters.pointer, y: y.pointer }, x.dtype())?;
    Ok(y)
}

fn run(machine: &Machine, pass: Pass, g: &Geometry, operands: Operands, dtype: DType) -> Result<()> {
    // SAFETY: all operands are of `dtype` and have the sizes of `g`.
    #[allow(unsafe_code)]
    unsafe {
        machine.cudnn()?.run(machine, pass, (g, dtype), operands)
    }
}

fn forward_of_weight(g: &Geometry, x: &Held, weight: &Held) -> Result<Fresh> {
    if is_depthwise(g) {
        return depthwise::forward(g, x, weight);
    }
    forward(g, x, &Held::of_fresh(arranged(weight, g, x.dtype())?))
}

fn input_gradient(g: &Geometry, weight: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let (weight, dy) = (Held::new(weight)?, Held::new(dy)?);
    let dx = if is_depthwise(g) {
        depthwise::input_gradient(g, &weight, &dy)?
    } else {
        let (machine, filters) = (dy.machine()?, arranged(&weight, g, dy.dtype())?);
        let dx = machine.fresh(dy.dtype(), g.input_dims().iter().product())?;
        let operands = Operands { x: dx.pointer, filters: filters.pointer, y: dy.pointer };
        run(&machine, Pass::InputGradient, g, operands, dy.dtype())?;
        dx
    };
    Ok(dx.into_tensor(&g.input_dims()[..]))
}

fn weight_gradient(g: &Geometry, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let x = Held::new(x)?;
    let dy = Held::new(dy)?.of_type("gradient of conv2d", x.dtype())?;
    let dw = if is_depthwise(g) {
        depthwise::weight_gradient(g, &x, &dy)?
    } else {
        let machine = dy.machine()?;
        let columns = g.kernel_height * g.kernel_width * g.group_channels();
        let filters = machine.fresh(dy.dtype(), g.filters * columns)?;
        let operands = Operands { x: x.pointer, filters: filters.pointer, y: dy.pointer };
        run(&machine, Pass::FilterGradient, g, operands, dy.dtype())?;
        elementwise::transposed(&Held::of_fresh(filters), Matrices { count: 1, rows: g.filters, columns }, DType::F32)?
    };
    Ok(dw.into_tensor(&g.weight_dims()[..]))
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

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Cpu {
        not_here(self.name())
    }

    fn cuda_fwd(&self, x: &CudaStorage, x_layout: &Layout, weight: &CudaStorage, weight_layout: &Layout) -> Cuda {
        let (x, weight) = (Held::of_storage(x, x_layout)?, Held::of_storage(weight, weight_layout)?);
        Ok((forward_of_weight(&self.0, &x, &weight)?.into_storage(), Shape::from(&self.0.output_dims()[..])))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = is_wanted(x).then(|| input_gradient(&self.0, weight, dy));
        let dw = is_wanted(weight).then(|| weight_gradient(&self.0, x, dy));
        Ok((dx.transpose()?, dw.transpose()?))
    }
}
