//! Named parameters of a network or head and the gradients that belong to them, always in name order.
//! Knows no layer and no file format.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};

use crate::{Error, Result};

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
}
