//! Batch norm and `PReLU` on a device, alone and together, and the statistics of channels.
//! Knows no running statistics.

use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Shape, Tensor};

use super::machine::{self, Machine, arguments};
use super::memory::{Fresh, Held, address_of, held};
use super::rows::Rows;
use super::{Cpu, Cuda, Seen, not_here};
use crate::ops::batch_norm::BatchStatistics;
use crate::ops::element::check_parameter;
use crate::ops::tape::{self, Made, Needs, Recorded, is_wanted};
use crate::{Result, shape};

/// Rows of a map: center, scale, shift, 1/√(σ² + ε), and what rounding took from the center.
const MAP: usize = 5;
/// Rows of a mix: factors of dz and of x − center, and the rest.
const MIX: usize = 3;

/// What a batch norm does in the same pass over its values.
#[derive(Clone, Copy)]
pub(in crate::ops) enum Behind<'a> {
    Nothing,
    /// A `PReLU` of slopes (C).
    Prelu(&'a Tensor),
    /// The sum with values of the same shape.
    Shortcut(&'a Tensor),
}

/// Batch norm by the batch, and what is `behind` it.
pub(in crate::ops) fn train(
    x: &Tensor,
    affine: &Tensor,
    behind: Behind<'_>,
    eps: f64,
) -> Result<(Tensor, BatchStatistics)> {
    let (rows, _) = shape::rows_and_channels(x, "x")?;
    let (statistics, map) = moments(x, Some((affine, eps)))?;
    let y = bent(x, affine, behind, Bend { map, moves: true })?;
    Ok((y, BatchStatistics { mean: statistics.get(0)?, variance: statistics.get(1)?, count: rows }))
}

/// Batch norm by `statistics` (2, C), and what is `behind` it.
pub(in crate::ops) fn given(
    x: &Tensor,
    affine: &Tensor,
    statistics: &Tensor,
    behind: Behind<'_>,
    eps: f64,
) -> Result<Tensor> {
    bent(x, affine, behind, Bend { map: given_map(statistics, affine, eps)?, moves: false })
}

fn bent(x: &Tensor, affine: &Tensor, behind: Behind<'_>, bend: Bend) -> Result<Tensor> {
    match behind {
        Behind::Nothing => tape::apply2(x, affine, bend),
        Behind::Prelu(slope) => {
            check_parameter("slope", slope)?;
            tape::apply3(x, affine, slope, bend)
        }
        Behind::Shortcut(shortcut) => tape::apply3(x, affine, shortcut, Raised(bend)),
    }
}

/// `PReLU` alone.
pub(in crate::ops) fn prelu(x: &Tensor, slope: &Tensor) -> Result<Tensor> {
    check_parameter("slope", slope)?;
    tape::apply2(x, slope, PRelu)
}

/// Scale and shift (2, C) of each channel as a map.
pub(super) fn scaling(scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    let zeros = scale.zeros_like()?;
    Ok(Tensor::stack(&[&zeros, scale, shift, &zeros, &zeros], 0)?)
}

/// y = `PReLU`(x·scale + shift) of x (…, C), without a way back.
pub(super) fn scaled(x: &Held, map: &Tensor, slope: &Tensor, dims: &[usize]) -> Result<Fresh> {
    forward(x, Some(&Held::new(map)?), Some(&Held::new(slope)?), None, dims)
}

/// Mean and biased variance (2, C), differentiable.
pub(in crate::ops) fn statistics(x: &Tensor) -> Result<Tensor> {
    let (statistics, _) = moments(x, None)?;
    tape::apply1(x, Statistics(statistics))
}

/// [`given`] outside of any graph with the statistics of `x`, and what its way back needs.
pub(in crate::ops) fn observe(
    x: &Tensor,
    affine: &Tensor,
    running: &Tensor,
    slope: Option<&Tensor>,
    eps: f64,
) -> Result<(Tensor, Tensor, Observer)> {
    slope.map(|slope| check_parameter("slope", slope)).transpose()?;
    let map = given_map(running, affine, eps)?;
    let (statistics, _) = moments(x, None)?;
    let slope = slope.map(Tensor::detach);
    let y = {
        let [at_map, at_slope] = held([Some(&map), slope.as_ref()])?;
        forward(&Held::new(x)?, at_map.as_ref(), at_slope.as_ref(), None, x.dims())?.into_tensor(x.shape())
    };
    Ok((y, statistics.clone(), Observer { map, slope, statistics }))
}

/// The way back through [`observe`].
#[derive(Debug)]
pub(in crate::ops) struct Observer {
    map: Tensor,
    slope: Option<Tensor>,
    /// Of the batch.
    statistics: Tensor,
}

impl Observer {
    /// dx = scale·dz + (dμ + 2·dσ²·(x − μ))/N, with the gradient (2, C) of the statistics, if there is one.
    pub(in crate::ops) fn backward(&self, x: &Tensor, dy: &Tensor, gradient: Option<&Tensor>) -> Result<Tensor> {
        let (rows, channels) = shape::rows_and_channels(x, "x")?;
        let scale = self.map.get(1)?;
        let mix = match gradient {
            None => Tensor::stack(&[&scale, &scale.zeros_like()?, &scale.zeros_like()?], 0)?,
            Some(gradient) => {
                let gradient = gradient.to_dtype(DType::F32)?.affine(1.0 / rows as f64, 0.0)?;
                let by_value = gradient.get(1)?.affine(2.0, 0.0)?;
                let gap = (self.map.get(0)? - self.statistics.get(0)?)?;
                let rest = (gradient.get(0)? + (&by_value * gap)?)?;
                Tensor::stack(&[&scale, &by_value, &rest], 0)?
            }
        };
        debug_assert_eq!(mix.dims(), [MIX, channels]);
        backward(x, dy, Some(&self.map), self.slope.as_ref(), Some(&mix))
    }
}

/// Statistics (2, C) of `x` and, with γ, β and ε, the map by them.
fn moments(x: &Tensor, norm: Option<(&Tensor, f64)>) -> Result<(Tensor, Tensor)> {
    norm.map(|(affine, _)| check_parameter("affine", affine)).transpose()?;
    let (rows, channels) = shape::rows_and_channels(x, "x")?;
    let (machine, at) = (Machine::of_tensor(x)?, Held::new(x)?);
    let [affine] = held([norm.map(|(affine, _)| affine)])?;
    let cut = Rows::new(rows, channels, x.dtype(), &[at.pointer])?;
    let parts = machine.fresh(DType::F64, cut.blocks() as usize * 2 * channels)?;
    let statistics = machine.fresh(DType::F32, 2 * channels)?;
    let map = machine.fresh(DType::F32, MAP * channels)?;
    // SAFETY: the arguments are those of the kernels, and the memory has the sizes that they are told.
    #[allow(unsafe_code)]
    unsafe {
        let arguments = arguments![at.pointer, cut.rows, cut.channels, cut.lanes, cut.rows_per_block, parts.pointer];
        machine.launch(&cut.kernel("moments_part"), cut.summing(2), arguments)?;
        let arguments = arguments![
            parts.pointer,
            cut.blocks(),
            at.pointer,
            cut.rows,
            cut.channels,
            address_of(affine.as_ref()),
            norm.map_or(0.0, |(_, eps)| eps),
            statistics.pointer,
            map.pointer,
        ];
        let kernel = format!("moments_finish_{}", x.dtype().as_str());
        machine.launch(&kernel, machine::Shape::columns(channels), arguments)?;
    }
    Ok((statistics.into_tensor((2, channels)), map.into_tensor((MAP, channels))))
}

fn given_map(statistics: &Tensor, affine: &Tensor, eps: f64) -> Result<Tensor> {
    check_parameter("statistics", statistics)?;
    check_parameter("affine", affine)?;
    let (machine, channels) = (Machine::of_tensor(statistics)?, statistics.dim(1)?);
    let (statistics, affine) = (Held::new(statistics)?, Held::new(affine)?);
    let map = machine.fresh(DType::F32, MAP * channels)?;
    let arguments = arguments![statistics.pointer, affine.pointer, channels as u32, eps, map.pointer];
    // SAFETY: the arguments are the kernel's; statistics and affine are (2, C), the map (5, C).
    #[allow(unsafe_code)]
    unsafe {
        machine.launch("given_map", machine::Shape::over(channels), arguments)?;
    }
    Ok(map.into_tensor((MAP, channels)))
}

/// y = `PReLU`((x − center)·scale + shift) + shortcut, of which each part may be absent.
fn forward(
    x: &Held,
    map: Option<&Held>,
    slope: Option<&Held>,
    shortcut: Option<&Held>,
    dims: &[usize],
) -> Result<Fresh> {
    let channels = dims.last().copied().unwrap_or(1);
    let count: usize = dims.iter().product();
    let machine = x.machine()?;
    let y = machine.fresh(x.dtype(), count)?;
    let shortcut = address_of(shortcut);
    let cut = Rows::new(count / channels, channels, x.dtype(), &[x.pointer, shortcut, y.pointer])?;
    let arguments = arguments![
        x.pointer,
        address_of(map),
        address_of(slope),
        shortcut,
        cut.rows,
        cut.channels,
        cut.lanes,
        cut.rows_per_block,
        y.pointer,
    ];
    // SAFETY: the arguments are the kernel's; x, y and a shortcut have as many values as rows times channels.
    #[allow(unsafe_code)]
    unsafe {
        machine.launch(&cut.kernel("bend"), cut.shape(), arguments)?;
    }
    Ok(y)
}

/// dx by `mix`, or dz itself, on top of what is gathered for `x`.
fn backward(
    x: &Tensor,
    dy: &Tensor,
    map: Option<&Tensor>,
    slope: Option<&Tensor>,
    mix: Option<&Tensor>,
) -> Result<Tensor> {
    let (rows, channels) = shape::rows_and_channels(x, "x")?;
    let (machine, at) = (Machine::of_tensor(x)?, Held::new(x)?);
    let dy = Held::new(dy)?.of_type("gradient", x.dtype())?;
    let [map, slope, mix] = held([map, slope, mix])?;
    let dx = machine.fresh(x.dtype(), rows * channels)?;
    let gathered = tape::gathered(x).map(|dx| Held::new(&dx)?.of_type("gradient", x.dtype())).transpose()?;
    let onto = address_of(gathered.as_ref());
    let cut = Rows::new(rows, channels, x.dtype(), &[at.pointer, dy.pointer, onto, dx.pointer])?;
    let arguments = arguments![
        at.pointer,
        dy.pointer,
        address_of(map.as_ref()),
        address_of(slope.as_ref()),
        address_of(mix.as_ref()),
        onto,
        cut.rows,
        cut.channels,
        cut.lanes,
        cut.rows_per_block,
        dx.pointer,
    ];
    // SAFETY: the arguments are the kernel's; x, dy, dx and what dx goes on top of have as many values as rows times
    // channels.
    #[allow(unsafe_code)]
    unsafe {
        machine.launch(&cut.kernel("unbend"), cut.shape(), arguments)?;
    }
    Ok(dx.into_tensor(x.shape()))
}

/// Sums over the rows that gradients are made of.
struct Slopes {
    /// (2, C).
    affine: Tensor,
    /// (C).
    slope: Tensor,
    /// (3, C).
    mix: Tensor,
}

fn slopes(x: &Tensor, dy: &Tensor, map: Option<&Tensor>, slope: Option<&Tensor>, moves: bool) -> Result<Slopes> {
    let (rows, channels) = shape::rows_and_channels(x, "x")?;
    let (machine, at) = (Machine::of_tensor(x)?, Held::new(x)?);
    let dy = Held::new(dy)?.of_type("gradient", x.dtype())?;
    let [map, slope] = held([map, slope])?;
    let cut = Rows::new(rows, channels, x.dtype(), &[at.pointer, dy.pointer])?;
    let parts = machine.fresh(DType::F64, cut.blocks() as usize * 3 * channels)?;
    let (by_affine, by_slope) = (machine.fresh(DType::F32, 2 * channels)?, machine.fresh(DType::F32, channels)?);
    let mix = machine.fresh(DType::F32, MIX * channels)?;
    // SAFETY: the arguments are those of the kernels, and the memory has the sizes that they are told.
    #[allow(unsafe_code)]
    unsafe {
        let arguments = arguments![
            at.pointer,
            dy.pointer,
            address_of(map.as_ref()),
            address_of(slope.as_ref()),
            cut.rows,
            cut.channels,
            cut.lanes,
            cut.rows_per_block,
            parts.pointer,
        ];
        machine.launch(&cut.kernel("slopes_part"), cut.summing(3), arguments)?;
        let arguments = arguments![
            parts.pointer,
            cut.blocks(),
            cut.rows,
            cut.channels,
            address_of(map.as_ref()),
            i32::from(moves),
            by_affine.pointer,
            by_slope.pointer,
            mix.pointer,
        ];
        machine.launch("slopes_finish", machine::Shape::columns(channels), arguments)?;
    }
    Ok(Slopes {
        affine: by_affine.into_tensor((2, channels)),
        slope: by_slope.into_tensor(channels),
        mix: mix.into_tensor((MIX, channels)),
    })
}

/// One call of batch norm with what its backward pass needs.
struct Bend {
    map: Tensor,
    /// Whether the statistics are the batch's.
    moves: bool,
}

impl Bend {
    fn run(&self, x: Seen<'_>, slope: Option<Seen<'_>>) -> Result<(CudaStorage, Shape)> {
        let slope = slope.map(Held::seen).transpose()?;
        run(x, Some(&Held::new(&self.map)?), slope.as_ref(), None)
    }

    fn gradients(&self, x: &Tensor, affine: &Tensor, slope: Option<&Tensor>, dy: &Tensor) -> Result<Gradients> {
        let sums = slopes(x, dy, Some(&self.map), slope, self.moves)?;
        let dx = is_wanted(x).then(|| backward(x, dy, Some(&self.map), slope, Some(&sums.mix))).transpose()?;
        let by_slope = slope.filter(|slope| is_wanted(slope)).map(|_| sums.slope);
        Ok((dx, is_wanted(affine).then_some(sums.affine), by_slope))
    }
}

/// By x, by affine and by the slope.
type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

fn run(x: Seen<'_>, map: Option<&Held>, slope: Option<&Held>, shortcut: Option<&Held>) -> Result<(CudaStorage, Shape)> {
    let shape = x.1.shape().clone();
    let y = forward(&Held::seen(x)?, map, slope, shortcut, shape.dims())?;
    Ok((y.into_storage(), shape))
}

impl Recorded for Bend {
    const RESULT: Made = Made::Again;
}

impl CustomOp2 for Bend {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Cpu {
        not_here(CustomOp2::name(self))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout, _: &CudaStorage, _: &Layout) -> Cuda {
        Ok(self.run((x, layout), None)?)
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, by_affine, _) = self.gradients(x, affine, None, dy)?;
        Ok((dx, by_affine))
    }
}

impl CustomOp3 for Bend {
    fn name(&self) -> &'static str {
        "batch-norm-prelu"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Cpu {
        not_here(CustomOp3::name(self))
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        _affine: &CudaStorage,
        _: &Layout,
        slope: &CudaStorage,
        slope_layout: &Layout,
    ) -> Cuda {
        Ok(self.run((x, layout), Some((slope, slope_layout)))?)
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        slope: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<Gradients> {
        Ok(self.gradients(x, affine, Some(slope), dy)?)
    }
}

/// A batch norm on top of a shortcut.
struct Raised(Bend);

impl Recorded for Raised {
    /// The shortcut's gradient is that of the sum.
    const NEEDS: Needs = Needs::First(2);
}

impl CustomOp3 for Raised {
    fn name(&self) -> &'static str {
        "batch-norm-add"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Cpu {
        not_here(self.name())
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        _affine: &CudaStorage,
        _: &Layout,
        shortcut: &CudaStorage,
        shortcut_layout: &Layout,
    ) -> Cuda {
        let shortcut = Held::seen((shortcut, shortcut_layout))?;
        Ok(run((x, layout), Some(&Held::new(&self.0.map)?), None, Some(&shortcut))?)
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        shortcut: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<Gradients> {
        let by_shortcut = is_wanted(shortcut).then(|| dy.clone());
        let (dx, by_affine, _) = self.0.gradients(x, affine, None, dy)?;
        Ok((dx, by_affine, by_shortcut))
    }
}

struct PRelu;

impl Recorded for PRelu {
    const RESULT: Made = Made::Again;
}

impl CustomOp2 for PRelu {
    fn name(&self) -> &'static str {
        "prelu"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Cpu {
        not_here(self.name())
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout, slope: &CudaStorage, slope_layout: &Layout) -> Cuda {
        Ok(run((x, layout), None, Some(&Held::seen((slope, slope_layout))?), None)?)
    }

    fn bwd(
        &self,
        x: &Tensor,
        slope: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = is_wanted(x).then(|| backward(x, dy, None, Some(slope), None)).transpose()?;
        let by_slope = is_wanted(slope).then(|| slopes(x, dy, None, Some(slope), false)).transpose()?;
        Ok((dx, by_slope.map(|sums| sums.slope)))
    }
}

/// Statistics (2, C), worked out already.
struct Statistics(Tensor);

impl Recorded for Statistics {}

impl CustomOp1 for Statistics {
    fn name(&self) -> &'static str {
        "channel-statistics"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Cpu {
        not_here(self.name())
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Cuda {
        let shape = self.0.shape().clone();
        Ok((Held::new(&self.0)?.to_storage(shape.elem_count())?, shape))
    }

    /// dx = (dμ + 2·dσ²·(x − μ))/N.
    fn bwd(&self, x: &Tensor, _statistics: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (rows, channels) = shape::rows_and_channels(x, "x")?;
        let gradient = dy.to_dtype(DType::F32)?.affine(1.0 / rows as f64, 0.0)?;
        let zeros = Tensor::zeros(channels, DType::F32, x.device())?;
        let map = Tensor::stack(
            &[&self.0.get(0)?, &gradient.get(1)?.affine(2.0, 0.0)?, &gradient.get(0)?, &zeros, &zeros],
            0,
        )?;
        let (map, x_held) = (Held::new(&map)?, Held::new(x)?);
        Ok(Some(forward(&x_held, Some(&map), None, None, x.dims())?.into_tensor(x.shape())))
    }
}
