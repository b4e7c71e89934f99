//! Values one by one on a device: sums, dropout, changes of type and of layout; sums of columns.
//! Knows no layer.

use candle_core::{DType, Shape};

use super::machine::{self, Machine, arguments};
use super::memory::{Fresh, Held, Pointer};
use super::rows::Rows;
use super::{Cuda, Seen};
use crate::{Error, Result};

/// a + b
pub(in crate::ops) fn add(a: Seen<'_>, b: Seen<'_>) -> Cuda {
    let shape = a.1.shape().clone();
    Ok((sum(&Held::seen(a)?, &Held::seen(b)?, shape.elem_count())?.into_storage(), shape))
}

fn check_summands(a: DType, b: DType) -> Result<()> {
    if a == b {
        return Ok(());
    }
    Err(Error::value("second summand", format!("dtype {} as the first has", a.as_str()), b.as_str()))
}

/// What dropout does to values: element i becomes 0 if hash(start + i·φ) < threshold, and is scaled otherwise.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Dropout {
    pub(in crate::ops) start: u64,
    pub(in crate::ops) threshold: u64,
    pub(in crate::ops) scale: f32,
}

/// The values of `x` in `to`; f32 and bf16 become each other.
pub(in crate::ops) fn cast(x: Seen<'_>, to: DType) -> Cuda {
    let shape = x.1.shape().clone();
    Ok((changed(&Held::seen(x)?, shape.elem_count(), to)?.into_storage(), shape))
}

/// Each matrix (`rows`, `columns`) transposed; the result is seen as `to`.
pub(in crate::ops) fn transpose(x: Seen<'_>, (rows, columns): (usize, usize), to: [usize; 4]) -> Cuda {
    let count = x.1.shape().elem_count() / (rows * columns);
    let x = Held::seen(x)?;
    let y = transposed(&x, Matrices { count, rows, columns }, x.dtype())?;
    Ok((y.into_storage(), Shape::from(&to)))
}

/// Vectors of values without gaps, as kernels over single values take them.
struct Vectors {
    count: usize,
    width: usize,
    dtype: DType,
}

impl Vectors {
    fn new(count: usize, dtype: DType, pointers: &[Pointer]) -> Result<Self> {
        let wide = match dtype {
            DType::F32 => 4,
            DType::BF16 => 8,
            other => return Err(Error::value("CUDA operator", "values in f32 or bf16", other.as_str())),
        };
        let is_wide = count.is_multiple_of(wide) && pointers.iter().all(|pointer| pointer.is_aligned());
        let width = if is_wide { wide } else { 1 };
        Ok(Self { count: count / width, width, dtype })
    }

    fn kernel(&self, name: &str) -> String {
        let wide = if self.width == 1 { String::new() } else { format!("x{}", self.width) };
        format!("{name}_{}{wide}", self.dtype.as_str())
    }
}

/// a + b of `count` values each.
pub(super) fn sum(a: &Held, b: &Held, count: usize) -> Result<Fresh> {
    check_summands(a.dtype(), b.dtype())?;
    let machine = a.machine()?;
    let sum = machine.fresh(a.dtype(), count)?;
    let vectors = Vectors::new(count, a.dtype(), &[a.pointer, b.pointer, sum.pointer])?;
    let arguments = arguments![a.pointer, b.pointer, vectors.count as u64, sum.pointer];
    // SAFETY: the arguments are the kernel's; all three have as many values.
    #[allow(unsafe_code)]
    unsafe {
        machine.launch(&vectors.kernel("added"), machine::Shape::over(vectors.count), arguments)?;
    }
    Ok(sum)
}

impl Dropout {
    /// Masks and scales; the same function maps values forward and gradients backward.
    pub(in crate::ops) fn apply(self, x: Seen<'_>) -> Cuda {
        let (shape, x) = (x.1.shape().clone(), Held::seen(x)?);
        let (machine, count) = (x.machine()?, shape.elem_count());
        let y = machine.fresh(x.dtype(), count)?;
        let vectors = Vectors::new(count, x.dtype(), &[x.pointer, y.pointer])?;
        let arguments = arguments![x.pointer, self.start, self.threshold, self.scale, vectors.count as u64, y.pointer];
        // SAFETY: the arguments are the kernel's; x and y have as many values.
        #[allow(unsafe_code)]
        unsafe {
            machine.launch(&vectors.kernel("dropped"), machine::Shape::over(vectors.count), arguments)?;
        }
        Ok((y.into_storage(), shape))
    }
}

/// `count` values in `to`, rounded to the nearest.
pub(super) fn changed(x: &Held, count: usize, to: DType) -> Result<Fresh> {
    let machine = x.machine()?;
    let y = machine.fresh(to, count)?;
    if x.dtype() == to {
        machine.copy(x.pointer, y.pointer, count * to.size_in_bytes())?;
        return Ok(y);
    }
    let (from, to) = (narrow_name(x.dtype())?, narrow_name(to)?);
    let is_wide = count.is_multiple_of(4) && x.pointer.is_aligned() && y.pointer.is_aligned();
    let (count, wide) = if is_wide { (count / 4, "x4") } else { (count, "") };
    // SAFETY: the arguments are the kernel's; x and y have as many values.
    #[allow(unsafe_code)]
    unsafe {
        let arguments = arguments![x.pointer, count as u64, y.pointer];
        machine.launch(&format!("changed_{from}_{to}{wide}"), machine::Shape::over(count), arguments)?;
    }
    Ok(y)
}

fn narrow_name(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 | DType::BF16 => Ok(dtype.as_str()),
        other => Err(Error::value("CUDA operator", "values in f32 or bf16", other.as_str())),
    }
}

/// Matrices without gaps, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrices {
    pub(super) count: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Matrices {
    fn len(self) -> usize {
        self.count * self.rows * self.columns
    }
}

/// Each matrix transposed, its values in `to`.
pub(super) fn transposed(x: &Held, matrices: Matrices, to: DType) -> Result<Fresh> {
    let Matrices { count, rows, columns } = matrices;
    let machine = x.machine()?;
    let y = machine.fresh(to, matrices.len())?;
    let blocks = count * rows.div_ceil(32) * columns.div_ceil(32);
    if i32::try_from(blocks).is_err() {
        return Err(Error::value("CUDA layout", "fewer than 2³¹ tiles of 32 × 32 values (a smaller batch)", blocks));
    }
    let shape = machine::Shape { grid: [blocks as u32, 1], block: [32, 8], shared: 0 };
    let kernel = format!("transposed_{}_{}", narrow_name(x.dtype())?, narrow_name(to)?);
    let arguments = arguments![x.pointer, rows as u32, columns as u32, y.pointer];
    // SAFETY: the arguments are the kernel's; x and y have as many values, and there is a block for each tile.
    #[allow(unsafe_code)]
    unsafe {
        machine.launch(&kernel, shape, arguments)?;
    }
    Ok(y)
}

/// x + bias per column in `to`, x being f32 (`rows`, columns).
pub(super) fn shifted(x: &Fresh, bias: &Held, (rows, columns): (usize, usize), to: DType) -> Result<Fresh> {
    let machine = bias.machine()?;
    let y = machine.fresh(to, rows * columns)?;
    let cut = Rows::new(rows, columns, to, &[x.pointer, y.pointer])?;
    let arguments =
        arguments![x.pointer, bias.pointer, cut.rows, cut.channels, cut.lanes, cut.rows_per_block, y.pointer,];
    // SAFETY: the arguments are the kernel's; x and y have as many values as rows times columns.
    #[allow(unsafe_code)]
    unsafe {
        machine.launch(&cut.kernel("shifted"), cut.shape(), arguments)?;
    }
    Ok(y)
}

/// The sums of the columns of `x` (`rows`, `columns`), in f32.
pub(super) fn column_sums(x: &Held, (rows, columns): (usize, usize)) -> Result<Fresh> {
    let machine = x.machine()?;
    let cut = Rows::new(rows, columns, x.dtype(), &[x.pointer])?;
    let parts = machine.fresh(DType::F64, cut.blocks() as usize * columns)?;
    let sums = machine.fresh(DType::F32, columns)?;
    let arguments = arguments![x.pointer, cut.rows, cut.channels, cut.lanes, cut.rows_per_block, parts.pointer];
    // SAFETY: the arguments are those of the kernels, and the memory has the sizes that they are told.
    #[allow(unsafe_code)]
    unsafe {
        machine.launch(&cut.kernel("sums_part"), cut.summing(1), arguments)?;
        machine.finish_sums(parts.pointer, (1, cut.blocks(), columns), sums.pointer)?;
    }
    Ok(sums)
}

impl Machine {
    /// Adds parts (quantities, blocks, channels) over the blocks, to `sums` (quantities, channels) in f32.
    ///
    /// # Safety
    /// The memory must have these sizes.
    #[allow(unsafe_code)]
    pub(super) unsafe fn finish_sums(
        &self,
        parts: Pointer,
        (quantities, blocks, channels): (usize, u32, usize),
        sums: Pointer,
    ) -> Result<()> {
        let columns = machine::Shape::columns(channels);
        let shape = machine::Shape { grid: [columns.grid[0], quantities as u32], ..columns };
        // SAFETY: as the caller says.
        unsafe { self.launch("sums_finish", shape, arguments![parts, blocks, channels as u32, sums]) }
    }
}
