//! Named parameters of a network or head and the gradients that belong to them, always in name order.
//! Knows no layer and no file format.

use std::collections::BTreeMap;

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

/// Gradients by parameter name, in name order.
#[derive(Debug, Clone, Default)]
pub struct Gradients(BTreeMap<String, Tensor>);

impl Gradients {
    /// Takes the gradients of the trained `parameters` out of candle's store; a parameter the loss does not depend on has none.
    pub fn from_store(parameters: &Parameters, store: &mut GradStore) -> Self {
        let entries = parameters
            .trained()
            .filter_map(|(name, parameter)| Some((name.to_owned(), store.remove(parameter.var.as_tensor())?)))
            .collect();
        Self(entries)
    }

    /// Sets the gradient of `name`.
    pub fn insert(&mut self, name: impl Into<String>, gradient: Tensor) {
        self.0.insert(name.into(), gradient);
    }

    /// The gradient of `name`.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// All of them in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, gradient)| (name.as_str(), gradient))
    }

    /// Number of gradients.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the gradient of `name` out.
    pub fn take(&mut self, name: &str) -> Option<Tensor> {
        self.0.remove(name)
    }

    /// Takes in the gradients of another set of parameters.
    ///
    /// # Errors
    /// If a name stands in both.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        if let Some(name) = other.0.keys().find(|name| self.0.contains_key(*name)) {
            return Err(Error::Invalid(format!("there are two gradients of `{name}`")));
        }
        self.0.extend(other.0);
        Ok(())
    }

    /// Adds the gradients of another pass over the same parameters; a gradient that only one of them has counts as it is.
    ///
    /// # Errors
    /// If two gradients of one name differ in shape or type.
    pub fn add(&mut self, other: Self) -> Result<()> {
        for (name, gradient) in other.0 {
            let sum = match self.0.get(&name) {
                Some(sum) => {
                    shape::exactly(&gradient, &format!("gradient of `{name}`"), "as before", sum.dims())?;
                    ops::add(sum, &gradient)?
                }
                None => gradient,
            };
            self.0.insert(name, sum);
        }
        Ok(())
    }

    /// Multiplies all gradients by `factor`.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        self.0.par_iter_mut().try_for_each(|(_, gradient)| {
            *gradient = gradient.affine(factor, 0.0)?;
            Ok(())
        })
    }

    /// ‖g‖₂ over all gradients together, summed in f64 in a fixed order.
    ///
    /// # Errors
    /// If a gradient is not f32 or f64.
    pub fn norm(&self) -> Result<f64> {
        let squares = self.0.values().map(sum_of_squares);
        Ok(squares.sum::<Result<f64>>()?.sqrt())
    }

    /// The first name, if any, whose gradient has an infinite or undefined value.
    ///
    /// # Errors
    /// If a gradient is not f32 or f64.
    pub fn first_non_finite(&self) -> Result<Option<&str>> {
        for (name, gradient) in self.iter() {
            if !is_finite(gradient)? {
                return Ok(Some(name));
            }
        }
        Ok(None)
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
