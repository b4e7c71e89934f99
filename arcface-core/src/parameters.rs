//! Named parameters of a network or head and the gradients that belong to them, always in name order.
//! Knows no layer and no file format.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use rayon::prelude::*;

use crate::ops::element::Element;
use crate::ops::parallel::CHUNK;
use crate::ops::rows::with_values;
use crate::{Error, Result, multiversion, ops, shape, with_element};

/// What training does with a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Follows its gradient and decays.
    Trained,
    /// Follows its gradient, never decays.
    Undecayed,
    /// Stays as it is (a frozen γ, a frozen stage).
    Frozen,
    /// Running statistics: committed once per step, no gradient.
    Statistic,
}

impl Role {
    /// Whether an optimiser moves it.
    pub fn is_trained(self) -> bool {
        matches!(self, Self::Trained | Self::Undecayed)
    }
}

/// A variable and what training does with it.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The values, in operator layout.
    pub var: Var,
    /// What training does with it.
    pub role: Role,
}

/// Parameters by name, iterated in name order.
#[derive(Debug, Clone)]
pub struct Parameters {
    entries: BTreeMap<String, Parameter>,
    dtype: DType,
    device: Device,
}

impl Parameters {
    /// No parameters yet; all will be of `dtype` on `device`.
    pub fn new(dtype: DType, device: &Device) -> Self {
        Self { entries: BTreeMap::new(), dtype, device: device.clone() }
    }

    /// Element type of every parameter.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Device of every parameter.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Adds `values` under `name` and returns the variable.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn add(&mut self, name: impl Into<String>, values: &Tensor, role: Role) -> Result<Var> {
        let name = name.into();
        if self.entries.contains_key(&name) {
            return Err(Error::Invalid(format!("parameter `{name}` is defined twice")));
        }
        let var = Var::from_tensor(&values.to_dtype(self.dtype)?.to_device(&self.device)?)?;
        self.entries.insert(name, Parameter { var: var.clone(), role });
        Ok(var)
    }

    /// The parameter called `name`.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.entries.get(name)
    }

    /// Changes what training does with `name`; `false` if there is no such parameter.
    pub fn set_role(&mut self, name: &str, role: Role) -> bool {
        self.entries.get_mut(name).map(|parameter| parameter.role = role).is_some()
    }

    /// All of them in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.entries.iter().map(|(name, parameter)| (name.as_str(), parameter))
    }

    /// Those an optimiser moves, in name order.
    pub fn trained(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.iter().filter(|(_, parameter)| parameter.role.is_trained())
    }

    /// The parameters whose name fulfils `keep`; the variables are shared. A group for an optimiser of its own.
    #[must_use]
    pub fn select(&self, keep: impl Fn(&str) -> bool) -> Self {
        let kept = self.entries.iter().filter(|(name, _)| keep(name));
        let entries = kept.map(|(name, parameter)| (name.clone(), parameter.clone())).collect();
        Self { entries, dtype: self.dtype, device: self.device.clone() }
    }

    /// Takes in the parameters of `other`; the variables are shared.
    ///
    /// # Errors
    /// If a name stands in both.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if let Some(name) = other.entries.keys().find(|name| self.entries.contains_key(*name)) {
            return Err(Error::Invalid(format!("parameter `{name}` is defined twice")));
        }
        self.entries.extend(other.entries.iter().map(|(name, parameter)| (name.clone(), parameter.clone())));
        Ok(())
    }

    /// Number of values in all trained and frozen parameters, running statistics not counted (as in publications).
    pub fn num_values(&self) -> usize {
        let counted = self.entries.values().filter(|parameter| parameter.role != Role::Statistic);
        counted.map(|parameter| parameter.var.elem_count()).sum()
    }

    /// Number of parameters (tensors).
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Gradients by parameter name, in name order; some only of a few rows of their parameter, the others being zero.
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    tensors: BTreeMap<String, Tensor>,
    rows: BTreeMap<String, Arc<[u32]>>,
}

impl Gradients {
    /// Takes the gradients of the trained `parameters` out of candle's store; a parameter the loss does not depend on has none.
    pub fn from_store(parameters: &Parameters, store: &mut GradStore) -> Self {
        let entries = parameters
            .trained()
            .filter_map(|(name, parameter)| Some((name.to_owned(), store.remove(parameter.var.as_tensor())?)))
            .collect();
        Self { tensors: entries, rows: BTreeMap::new() }
    }

    /// Sets the gradient of `name`.
    pub fn insert(&mut self, name: impl Into<String>, gradient: Tensor) {
        let name = name.into();
        self.rows.remove(&name);
        self.tensors.insert(name, gradient);
    }

    /// Sets the gradient of the rows `rows` of `name`, ascending; an optimiser leaves all others as they are, and their
    /// moments too.
    ///
    /// # Shapes
    /// `gradient` (number of `rows`, the parameter's other dimensions).
    pub fn insert_rows(&mut self, name: impl Into<String>, rows: impl Into<Arc<[u32]>>, gradient: Tensor) {
        let name = name.into();
        self.rows.insert(name.clone(), rows.into());
        self.tensors.insert(name, gradient);
    }

    /// The gradient of `name`, or of its [`Gradients::rows`].
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The rows of `name` that the gradient is of; none if it is of all.
    pub fn rows(&self, name: &str) -> Option<&[u32]> {
        self.rows.get(name).map(|rows| &**rows)
    }

    /// The gradient of all rows of `name`, whose shape is `dims`.
    ///
    /// # Errors
    /// If the gradient does not fit the shape.
    ///
    /// ```
    /// use arcface_core::candle::{Device, Tensor};
    /// let mut gradients = arcface_core::Gradients::default();
    /// gradients.insert_rows("centers", [2], Tensor::new(&[[5f32, 6.0]], &Device::Cpu)?);
    /// let whole = gradients.whole("centers", &[3, 2])?.unwrap();
    /// assert_eq!(whole.to_vec2::<f32>()?, [[0.0, 0.0], [0.0, 0.0], [5.0, 6.0]]);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn whole(&self, name: &str, dims: &[usize]) -> Result<Option<Tensor>> {
        match (self.get(name), self.rows(name)) {
            (Some(gradient), Some(rows)) => {
                let index = indices(rows, gradient)?;
                let zeros = Tensor::zeros(dims, gradient.dtype(), gradient.device())?;
                Ok(Some(zeros.index_add(&index, gradient, 0)?))
            }
            (gradient, _) => Ok(gradient.cloned()),
        }
    }

    /// All of them in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, gradient)| (name.as_str(), gradient))
    }

    /// Number of gradients.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Takes the gradient of `name`, or of its rows, out.
    pub fn take(&mut self, name: &str) -> Option<Tensor> {
        self.rows.remove(name);
        self.tensors.remove(name)
    }

    /// Takes in the gradients of another set of parameters.
    ///
    /// # Errors
    /// If a name stands in both.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        if let Some(name) = other.tensors.keys().find(|name| self.tensors.contains_key(*name)) {
            return Err(Error::Invalid(format!("there are two gradients of `{name}`")));
        }
        self.tensors.extend(other.tensors);
        self.rows.extend(other.rows);
        Ok(())
    }

    /// Adds the gradients of another pass over the same parameters; a gradient that only one of them has counts as it is.
    ///
    /// # Errors
    /// If two gradients of one name differ in shape or type, or one is of some rows and the other of all.
    pub fn add(&mut self, mut other: Self) -> Result<()> {
        for (name, gradient) in other.tensors {
            let rows = other.rows.remove(&name);
            let (rows, sum) = match (self.tensors.get(&name), self.rows.get(&name), rows) {
                (None, _, rows) => (rows, gradient),
                (Some(sum), Some(before), Some(rows)) => {
                    let (rows, sum) = add_rows(&name, (before, sum), (&rows, &gradient))?;
                    (Some(rows.into()), sum)
                }
                (Some(sum), None, None) => {
                    shape::exactly(&gradient, &format!("gradient of `{name}`"), "as before", sum.dims())?;
                    (None, ops::add(sum, &gradient)?)
                }
                (Some(_), ..) => {
                    let what = format!("gradient of `{name}`");
                    return Err(Error::Invalid(format!("{what}: expected of some rows or of all each time, got both")));
                }
            };
            match rows {
                Some(rows) => self.insert_rows(name, rows, sum),
                None => self.insert(name, sum),
            }
        }
        Ok(())
    }

    /// Multiplies all gradients by `factor`.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        #[cfg(feature = "cuda")]
        if let Some(gradients) = self.on_device() {
            let scaled = ops::cuda::optimise::scaled(&gradients, factor)?;
            self.tensors.values_mut().zip(scaled).for_each(|(gradient, scaled)| *gradient = scaled);
            return Ok(());
        }
        self.tensors.par_iter_mut().try_for_each(|(_, gradient)| {
            *gradient = gradient.affine(factor, 0.0)?;
            Ok(())
        })
    }

    /// ‖g‖₂ over all gradients together, summed in f64 in a fixed order.
    ///
    /// # Errors
    /// If a gradient is not f32 or f64.
    pub fn norm(&self) -> Result<f64> {
        #[cfg(feature = "cuda")]
        if let Some(gradients) = self.on_device() {
            return Ok(ops::cuda::optimise::squares(&gradients)?.iter().sum::<f64>().sqrt());
        }
        let squares = self.tensors.values().map(sum_of_squares);
        Ok(squares.sum::<Result<f64>>()?.sqrt())
    }

    /// The first name, if any, whose gradient has an infinite or undefined value.
    ///
    /// # Errors
    /// If a gradient is not f32 or f64.
    pub fn first_non_finite(&self) -> Result<Option<&str>> {
        #[cfg(feature = "cuda")]
        if let Some(gradients) = self.on_device() {
            // No square of an f32 is too large for an f64.
            let squares = ops::cuda::optimise::squares(&gradients)?;
            return Ok(self.iter().zip(squares).find(|(_, square)| !square.is_finite()).map(|((name, _), _)| name));
        }
        for (name, gradient) in self.iter() {
            if !is_finite(gradient)? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// All of them, if they are on a CUDA device.
    #[cfg(feature = "cuda")]
    fn on_device(&self) -> Option<Vec<&Tensor>> {
        let is_on_device = self.tensors.values().next().is_some_and(|gradient| gradient.device().is_cuda());
        is_on_device.then(|| self.tensors.values().collect())
    }

    /// Whether every value of every gradient is finite.
    ///
    /// # Errors
    /// If a gradient is not f32 or f64.
    pub fn all_finite(&self) -> Result<bool> {
        Ok(self.first_non_finite()?.is_none())
    }
}

/// The mean of the gradients of several micro-batches of equal size.
#[derive(Debug, Clone, Default)]
pub struct Accumulation {
    sum: Gradients,
    count: usize,
}

impl Accumulation {
    /// Takes in the gradients of one micro-batch (of its mean loss).
    ///
    /// # Errors
    /// If they do not fit those before.
    pub fn push(&mut self, gradients: Gradients) -> Result<()> {
        self.count += 1;
        self.sum.add(gradients)
    }

    /// Number of micro-batches since the last mean.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The mean, and starts anew. A parameter without a gradient in one of them counts as 0 there.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn take_mean(&mut self) -> Result<Gradients> {
        let Self { mut sum, count } = std::mem::take(self);
        // A single micro-batch is its own mean, to the last bit.
        if 1 < count {
            sum.scale(1.0 / count as f64)?;
        }
        Ok(sum)
    }
}

/// The sum of two gradients of some rows: the rows of either, ascending, and their gradient.
fn add_rows(name: &str, a: (&[u32], &Tensor), b: (&[u32], &Tensor)) -> Result<(Vec<u32>, Tensor)> {
    let ([a_rows, b_rows], [a, b]) = ([a.0, b.0], [a.1, b.1]);
    if a.dims().get(1..) != b.dims().get(1..) || a.dtype() != b.dtype() {
        return Err(Error::shape(format!("gradient of `{name}`"), format!("rows as of {:?}", a.dims()), b.dims()));
    }
    let rows: Vec<u32> = a_rows.iter().chain(b_rows).copied().collect::<BTreeSet<u32>>().into_iter().collect();
    let place = |row: &u32| rows.partition_point(|before| before < row) as u32;
    let mut dims = a.dims().to_vec();
    if let Some(first) = dims.first_mut() {
        *first = rows.len();
    }
    let mut sum = Tensor::zeros(dims, a.dtype(), a.device())?;
    for (of, gradient) in [(a_rows, a), (b_rows, b)] {
        let places = indices(&of.iter().map(place).collect::<Vec<u32>>(), a)?;
        sum = sum.index_add(&places, gradient, 0)?;
    }
    Ok((rows, sum))
}

/// `rows` on the device of `like`.
fn indices(rows: &[u32], like: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if like.device().is_cuda() {
        return ops::cuda::optimise::indices(rows, like);
    }
    Ok(Tensor::from_slice(rows, rows.len(), like.device())?)
}

/// Σ x² in f64: within chunks in parallel, then chunk after chunk.
fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    with_element!(gradient.dtype(), "gradient", T => with_values(gradient, |values: &[T]| {
        Ok(values.par_chunks(CHUNK).map(squares_of).collect::<Vec<f64>>().iter().sum())
    }))
}

/// Whether no value is infinite or NaN.
fn is_finite(gradient: &Tensor) -> Result<bool> {
    with_element!(gradient.dtype(), "gradient", T => with_values(gradient, |values: &[T]| {
        Ok(values.par_chunks(CHUNK).all(finite_values))
    }))
}

multiversion! {
    /// Eight running sums side by side, so that the processor's wide registers can be used.
    fn squares_of[T: Element](values: &[T]) -> f64 {
        let (eights, rest) = values.as_chunks::<8>();
        let mut sums = [0.0; 8];
        for eight in eights {
            for (sum, x) in sums.iter_mut().zip(eight) {
                *sum += x.to_f64() * x.to_f64();
            }
        }
        sums.iter().sum::<f64>() + rest.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>()
    }

    /// Without a branch per value: 0·x is 0 for finite x and NaN otherwise, and NaN survives the sum.
    fn finite_values[T: Element](values: &[T]) -> bool {
        let (eights, rest) = values.as_chunks::<8>();
        let mut sums = [T::ZERO; 8];
        for eight in eights {
            for (sum, &x) in sums.iter_mut().zip(eight) {
                *sum += T::ZERO * x;
            }
        }
        sums.iter().chain(rest).all(|x| x.is_finite())
    }
}
