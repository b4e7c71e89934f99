//! Depthwise convolution by kernels of our own: several channels to a thread, filters in f32 as they are.
//! Knows no other convolution.

use candle_core::DType;

use super::machine::{Argument, Shape};
use super::memory::{Fresh, Held};
use super::rows::Rows;
use crate::ops::geometry::Geometry;
use crate::{Error, Result};

pub(super) fn forward(g: &Geometry, x: &Held, filters: &Held) -> Result<Fresh> {
    map(g, "", (x, filters), g.output_dims())
}

pub(super) fn input_gradient(g: &Geometry, filters: &Held, dy: &Held) -> Result<Fresh> {
    map(g, "_back", (dy, filters), g.input_dims())
}

/// A sum over taps for each value of `dims`.
fn map(g: &Geometry, direction: &str, (from, filters): (&Held, &Held), dims: [usize; 4]) -> Result<Fresh> {
    let (machine, window) = (from.machine()?, window(g)?);
    let to = machine.fresh(from.dtype(), dims.iter().product())?;
    let rows = dims[0] * dims[1] * dims[2];
    let cut = Rows::new(rows, g.channels, from.dtype(), &[from.pointer, to.pointer])?;
    let mut arguments: Vec<Argument> = vec![from.pointer.into(), filters.pointer.into()];
    arguments.extend(window);
    arguments.extend([cut.rows, cut.channels, cut.lanes, cut.rows_per_block].map(Argument::from));
    arguments.push(to.pointer.into());
    let kernel = cut.kernel(&format!("depthwise{}{direction}", side(g)));
    // SAFETY: the arguments are the kernel's; both images and the filters have the sizes that the window tells.
    #[allow(unsafe_code)]
    unsafe {
        machine.launch(&kernel, cut.shape(), &arguments)?;
    }
    Ok(to)
}

/// (KH, KW, 1, C), in f32.
pub(super) fn weight_gradient(g: &Geometry, x: &Held, dy: &Held) -> Result<Fresh> {
    let (machine, window, taps) = (dy.machine()?, window(g)?, g.kernel_height * g.kernel_width);
    let cut = Rows::new(g.out_pixels(), g.channels, dy.dtype(), &[x.pointer, dy.pointer])?;
    let blocks = cut.blocks();
    let parts = machine.fresh(DType::F64, taps * blocks as usize * g.channels)?;
    let dw = machine.fresh(DType::F32, taps * g.channels)?;
    let mut arguments: Vec<Argument> = vec![x.pointer.into(), dy.pointer.into()];
    arguments.extend(window);
    arguments.extend([blocks, cut.rows, cut.channels, cut.lanes, cut.rows_per_block].map(Argument::from));
    arguments.push(parts.pointer.into());
    // A thread sums all taps of a 3×3 kernel, and one of any other.
    let [across, down] = cut.shape().grid;
    let grid = if side(g) == "3" { [across, down] } else { [across * taps as u32, down] };
    let kernel = cut.kernel(&format!("depthwise{}_taps", side(g)));
    // SAFETY: the arguments are those of the kernels, and the memory has the sizes that they are told.
    #[allow(unsafe_code)]
    unsafe {
        machine.launch(&kernel, Shape { grid, ..cut.summing(1) }, &arguments)?;
        machine.finish_sums(parts.pointer, (taps, blocks, g.channels), dw.pointer)?;
    }
    Ok(dw)
}

/// What kernels for a side that is known have in their name.
fn side(g: &Geometry) -> &'static str {
    if (g.kernel_height, g.kernel_width) == (3, 3) { "3" } else { "" }
}

fn window(g: &Geometry) -> Result<[Argument; 8]> {
    let pixels = g.batch * g.height * g.width;
    if u32::try_from(pixels).is_err() {
        return Err(Error::value("depthwise convolution", "fewer than 2³² pixels (a smaller batch)", pixels));
    }
    let sizes = [g.height, g.width, g.out_height, g.out_width, g.kernel_height, g.kernel_width, g.stride, g.padding];
    Ok(sizes.map(|size| Argument::from(size as u32)))
}
