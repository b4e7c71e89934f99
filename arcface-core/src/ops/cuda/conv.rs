//! Convolution on a device: dense and grouped by cuDNN, depthwise by kernels of our own.
//! Knows the operators' layout of weights (KH, KW, Cin/groups, Cout) and cuDNN's (Cout, KH, KW, Cin/groups).
//!
//! Weights are f32 whatever the activations are; cuDNN gets them in the type of the activations, rearranged on the way.

use candle_core::{DType, Shape};

use super::cudnn::{Operands, Pass};
use super::elementwise::{self, Matrices};
use super::machine::Machine;
use super::memory::{Fresh, Held};
use super::{Cuda, Seen, depthwise};
use crate::Result;
use crate::ops::geometry::Geometry;

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

/// (x, weight) → y
pub(in crate::ops) fn forward_of_weight(g: &Geometry, x: Seen<'_>, weight: Seen<'_>) -> Cuda {
    let (x, weight) = (Held::seen(x)?, Held::seen(weight)?);
    let y = if is_depthwise(g) {
        depthwise::forward(g, &x, &weight)?
    } else {
        forward(g, &x, &Held::of_fresh(arranged(&weight, g, x.dtype())?))?
    };
    Ok((y.into_storage(), Shape::from(&g.output_dims())))
}

/// (weight, ∂L/∂y) → ∂L/∂x
pub(in crate::ops) fn input_gradient(g: &Geometry, weight: Seen<'_>, dy: Seen<'_>) -> Cuda {
    let (weight, dy) = (Held::seen(weight)?, Held::seen(dy)?);
    let dx = if is_depthwise(g) {
        depthwise::input_gradient(g, &weight, &dy)?
    } else {
        let (machine, filters) = (dy.machine()?, arranged(&weight, g, dy.dtype())?);
        let dx = machine.fresh(dy.dtype(), g.input_dims().iter().product())?;
        let operands = Operands { x: dx.pointer, filters: filters.pointer, y: dy.pointer };
        run(&machine, Pass::InputGradient, g, operands, dy.dtype())?;
        dx
    };
    Ok((dx.into_storage(), Shape::from(&g.input_dims())))
}

/// (x, ∂L/∂y) → ∂L/∂weight, in f32
pub(in crate::ops) fn weight_gradient(g: &Geometry, x: Seen<'_>, dy: Seen<'_>) -> Cuda {
    let x = Held::seen(x)?;
    let dy = Held::seen(dy)?.of_type("gradient of conv2d", x.dtype())?;
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
    Ok((dw.into_storage(), Shape::from(&g.weight_dims())))
}
