//! Steps of the optimisers on a device, all parameters in one launch, and sums over all gradients.
//! Knows rules and numbers; names, roles and what has a state are the optimisers' own.

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, DeviceRepr};
use candle_core::{DType, Tensor};

use super::machine::{Argument, Machine, Shape, arguments, driver};
use super::memory::{Fresh, Held, Pointer, address_of, uploaded};
use crate::ops::blend::Blend;
use crate::{Error, Result};

/// Values that a block works on, as in the kernels.
const CHUNK: usize = 8192;
const THREADS: u32 = 256;

/// A parameter about to move.
#[derive(Debug)]
pub(crate) struct Moving<'a> {
    pub(crate) weights: &'a Tensor,
    pub(crate) gradient: &'a Tensor,
    /// The rows that the gradient is of, in ascending order; none if it is of all.
    pub(crate) rows: Option<&'a [u32]>,
    /// As many as the rule has, of the shape of the weights; they are nobody else's.
    pub(crate) moments: Vec<Tensor>,
    pub(crate) numbers: [f64; 3],
}

/// How all of them move, in f32; `numbers` are those of [`Moving`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// v ← momentum·v + (g + number·w), w ← w − rate·v
    Sgd { momentum: f64, rate: f64 },
    /// m ← m + (1 − β₁)·(g − m), v ← β₂·v + (1 − β₂)·g², w ← number·w − number·m/(√v/number + ε)
    AdamW { beta1: f64, beta2: f64, eps: f64 },
}

impl Rule {
    fn kernel(self) -> &'static str {
        match self {
            Self::Sgd { .. } => "sgd_step",
            Self::AdamW { .. } => "adamw_step",
        }
    }

    fn numbers(self) -> Vec<f64> {
        match self {
            Self::Sgd { momentum, rate } => vec![momentum, rate],
            Self::AdamW { beta1, beta2, eps } => vec![beta2, 1.0 - beta1, 1.0 - beta2, eps],
        }
    }

    fn moments(self) -> usize {
        match self {
            Self::Sgd { .. } => 1,
            Self::AdamW { .. } => 2,
        }
    }
}

/// Moves all of them by one step, in place.
pub(crate) fn step(moving: &[Moving<'_>], rule: Rule) -> Result<()> {
    let Some(first) = moving.first() else { return Ok(()) };
    let machine = Machine::of_tensor(first.weights)?;
    let rows = Uploaded::new(&machine, &moving.iter().filter_map(|m| m.rows).flatten().copied().collect::<Vec<_>>())?;
    let (mut table, mut row) = (Table::default(), rows.pointer);
    for moving in moving {
        if moving.moments.len() != rule.moments() {
            return Err(Error::Invalid(format!("{}: {} moments of a parameter", rule.kernel(), moving.moments.len())));
        }
        table.add(Entry::moving(moving, row)?);
        row = row.after(size_of_val(moving.rows.unwrap_or_default()));
    }
    let numbers = rule.numbers().into_iter().map(|number| number as f32);
    table.launch(&machine, rule.kernel(), &numbers.map(Argument::from).collect::<Vec<_>>())
}

/// Σ g² of each gradient, in f64 and in a fixed order; it is finite only if all of its values are.
pub(crate) fn squares(gradients: &[&Tensor]) -> Result<Vec<f64>> {
    let Some(first) = gradients.first() else { return Ok(Vec::new()) };
    let machine = Machine::of_tensor(first)?;
    let held = gradients.iter().map(|gradient| of_f32("gradient", gradient)).collect::<Result<Vec<_>>>()?;
    let mut table = Table::default();
    let starts = held
        .iter()
        .zip(gradients)
        .map(|(held, gradient)| table.add(Entry::of_gradient(held.pointer, Pointer::NULL, gradient.elem_count())));
    // What is empty has no block, and is no part of the table.
    let is_there: Vec<bool> = starts.collect();
    let entries = table.entries();
    let sums = machine.fresh(DType::F64, entries.max(1))?;
    table.sum_squares(&machine, &sums)?;
    let sums = if entries == 0 { Vec::new() } else { sums.into_tensor(entries).to_vec1::<f64>()? };
    let mut sums = sums.into_iter();
    Ok(is_there.into_iter().map(|is_there| if is_there { sums.next().unwrap_or(f64::NAN) } else { 0.0 }).collect())
}

/// Each gradient times `factor`.
pub(crate) fn scaled(gradients: &[&Tensor], factor: f64) -> Result<Vec<Tensor>> {
    let Some(first) = gradients.first() else { return Ok(Vec::new()) };
    let machine = Machine::of_tensor(first)?;
    let held = gradients.iter().map(|gradient| of_f32("gradient", gradient)).collect::<Result<Vec<_>>>()?;
    let mut table = Table::default();
    let scaled = held.iter().zip(gradients).map(|(held, gradient)| {
        let count = gradient.elem_count();
        let scaled = machine.fresh(DType::F32, count.max(1))?;
        table.add(Entry::of_gradient(held.pointer, scaled.pointer, count));
        Ok((scaled, gradient.shape()))
    });
    let scaled = scaled.collect::<Result<Vec<_>>>()?;
    table.launch(&machine, "scaled_gradients", &[Argument::from(factor as f32)])?;
    Ok(scaled.into_iter().map(|(scaled, shape)| scaled.into_tensor(shape)).collect())
}

/// Each variable blended with its values, in place.
pub(crate) fn blend(blends: &[Blend<'_>]) -> Result<()> {
    let Some(first) = blends.first() else { return Ok(()) };
    let machine = Machine::of_tensor(first.var)?;
    let mut table = Table::default();
    for Blend { var, with, kept, share } in blends {
        let (to, from) = (of_f32("variable", var)?, of_f32("what a variable is blended with", with)?);
        let numbers = [*kept as f32, *share as f32, 0.0, 0.0];
        let entry = Entry::of_gradient(from.pointer, to.pointer, var.elem_count());
        table.add(Entry { numbers, held: vec![to, from], ..entry });
    }
    table.launch(&machine, "blend", &[])
}

/// `rows` on the device of `like`.
pub(crate) fn indices(rows: &[u32], like: &Tensor) -> Result<Tensor> {
    let machine = Machine::of_tensor(like)?;
    uploaded(&machine, rows)
}

/// Values in f32; those of a variable lie without gaps and so are the variable's own.
fn of_f32(what: &str, tensor: &Tensor) -> Result<Held> {
    if tensor.dtype() != DType::F32 {
        return Err(Error::value(what, "dtype f32 on a CUDA device", tensor.dtype().as_str()));
    }
    Held::new(tensor)
}

/// What kernels know of one parameter.
struct Entry {
    weights: Pointer,
    gradient: Pointer,
    moments: [Pointer; 2],
    rows: Pointer,
    width: usize,
    count: usize,
    numbers: [f32; 4],
    /// What lies there.
    held: Vec<Held>,
}

impl Entry {
    fn moving(moving: &Moving<'_>, rows: Pointer) -> Result<Self> {
        let (weights, gradient) = (of_f32("parameter", moving.weights)?, of_f32("gradient", moving.gradient)?);
        if !moving.weights.is_contiguous() {
            return Err(Error::Invalid("optimizer: expected parameters without gaps on a CUDA device".to_owned()));
        }
        let moments = moving.moments.iter().map(|moment| of_f32("moment", moment)).collect::<Result<Vec<_>>>()?;
        let [a, b, c] = moving.numbers.map(|number| number as f32);
        let count = moving.gradient.elem_count();
        Ok(Self {
            weights: weights.pointer,
            gradient: gradient.pointer,
            moments: [address_of(moments.first()), address_of(moments.get(1))],
            rows: if moving.rows.is_some() { rows } else { Pointer::NULL },
            width: moving.rows.map_or(count, |rows| count / rows.len().max(1)),
            count,
            numbers: [a, b, c, 0.0],
            held: moments.into_iter().chain([weights, gradient]).collect(),
        })
    }

    fn of_gradient(gradient: Pointer, to: Pointer, count: usize) -> Self {
        let (moments, rows) = ([Pointer::NULL; 2], Pointer::NULL);
        Self { weights: to, gradient, moments, rows, width: count, count, numbers: [0.0; 4], held: Vec::new() }
    }

    fn is_wide(&self) -> bool {
        let [first, second] = self.moments;
        let whole = self.width.is_multiple_of(4) && self.count.is_multiple_of(4);
        whole && [self.weights, self.gradient, first, second].into_iter().all(Pointer::is_aligned)
    }

    /// As the kernels' structure lies in memory.
    fn words(&self, start: u32) -> [u64; 10] {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let [a, b, c, d] = self.numbers.map(f32::to_bits);
        let [first, second] = self.moments;
        [
            self.weights.0,
            self.gradient.0,
            first.0,
            second.0,
            self.rows.0,
            self.width as u64,
            self.count as u64,
            pair(start, u32::from(self.is_wide())),
            pair(a, b),
            pair(c, d),
        ]
    }
}

/// All parameters of a launch; blocks find theirs by the number of its first.
#[derive(Default)]
struct Table {
    words: Vec<[u64; 10]>,
    chunks: u32,
    /// What is read until the launch.
    held: Vec<Held>,
}

impl Table {
    /// Whether there is something to do for `entry`.
    fn add(&mut self, entry: Entry) -> bool {
        if entry.count == 0 {
            return false;
        }
        self.words.push(entry.words(self.chunks));
        self.chunks += entry.count.div_ceil(CHUNK) as u32;
        self.held.extend(entry.held);
        true
    }

    fn entries(&self) -> usize {
        self.words.len()
    }

    /// A block for each chunk; arguments are the table, its length and `more`.
    fn launch(&self, machine: &Machine, kernel: &str, more: &[Argument]) -> Result<()> {
        if self.words.is_empty() {
            return Ok(());
        }
        let table = Uploaded::new(machine, self.words.as_flattened())?;
        self.launch_over(machine, kernel, self.chunks, &table, more)
    }

    fn launch_over(
        &self,
        machine: &Machine,
        kernel: &str,
        blocks: u32,
        table: &Uploaded<u64>,
        more: &[Argument],
    ) -> Result<()> {
        let shape = Shape { grid: [blocks, 1], block: [THREADS, 1], shared: 0 };
        let arguments = [arguments![table.pointer, self.words.len() as u32], more].concat();
        // SAFETY: the table tells the addresses and the sizes of what it and its caller hold.
        #[allow(unsafe_code)]
        unsafe {
            machine.launch(kernel, shape, &arguments)
        }
    }

    fn sum_squares(&self, machine: &Machine, sums: &Fresh) -> Result<()> {
        if self.words.is_empty() {
            return Ok(());
        }
        let table = Uploaded::new(machine, self.words.as_flattened())?;
        let parts = machine.fresh(DType::F64, self.chunks as usize)?;
        self.launch_over(machine, "squares_part", self.chunks, &table, &[parts.pointer.into()])?;
        let more = arguments![parts.pointer, self.chunks, sums.pointer];
        self.launch_over(machine, "squares_finish", self.words.len() as u32, &table, more)
    }
}

/// Numbers brought to the device.
struct Uploaded<T> {
    pointer: Pointer,
    _values: Option<CudaSlice<T>>,
}

impl<T: DeviceRepr> Uploaded<T> {
    fn new(machine: &Machine, values: &[T]) -> Result<Self> {
        if values.is_empty() {
            return Ok(Self { pointer: Pointer::NULL, _values: None });
        }
        let values = machine.stream().clone_htod(values).map_err(driver)?;
        let pointer = Pointer(values.device_ptr(machine.stream()).0);
        Ok(Self { pointer, _values: Some(values) })
    }
}
