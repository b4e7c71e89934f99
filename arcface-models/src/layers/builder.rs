//! Makes tensors from state-dict entries and records them under torch's names.
//! Knows no layer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arcface_core::candle::{DType, Device, Tensor, Var};
use arcface_core::{Error, Parameters, Result, Role};

use crate::freeze::lies_under;
use crate::init::Init;
use crate::layers::Mode;
use crate::plan::{Entry, Kind};

/// How a network's weights begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// As each entry says, random numbers from this seed.
    Seeded(u64),
    /// All zero, to be overwritten by weights from a file.
    Blank,
}

/// Records what is built.
#[derive(Debug)]
pub(crate) struct Builder {
    begin: Begin,
    freeze: Vec<String>,
    parameters: Parameters,
    counters: BTreeMap<String, Arc<AtomicI64>>,
}

/// A tensor of a layer: part of the graph in training unless it is frozen, detached otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Weight {
    pub(crate) var: Var,
    role: Role,
}

impl Weight {
    /// The tensor for a pass in `mode`.
    pub(crate) fn tensor(&self, mode: Mode) -> Tensor {
        let is_tracked = mode != Mode::Eval && self.role.is_trained();
        if is_tracked { self.var.as_tensor().clone() } else { self.var.as_detached_tensor() }
    }
}

impl Builder {
    /// Builds for `dtype` on `device`; modules under `freeze` get the role [`Role::Frozen`].
    pub(crate) fn new(begin: Begin, freeze: &[String], dtype: DType, device: &Device) -> Self {
        let parameters = Parameters::new(dtype, device);
        Self { begin, freeze: freeze.to_vec(), parameters, counters: BTreeMap::new() }
    }

    /// Whether the module `name` is frozen.
    pub(crate) fn is_frozen(&self, name: &str) -> bool {
        self.freeze.iter().any(|prefix| lies_under(name, prefix))
    }

    /// The tensor of `entry`, in operator layout.
    pub(crate) fn weight(&mut self, entry: &Entry) -> Result<Weight> {
        let Kind::Values { role, init } = entry.kind else {
            return Err(Error::Invalid(format!("entry `{}` is a counter, not a tensor", entry.name)));
        };
        let role = if role.is_trained() && self.is_frozen(&entry.name) { Role::Frozen } else { role };
        let values = self.values(entry, init)?;
        let var = self.parameters.add(&entry.name, &entry.layout.to_operator(&values)?, role)?;
        Ok(Weight { var, role })
    }

    /// The count of `entry`.
    pub(crate) fn counter(&mut self, entry: &Entry) -> Arc<AtomicI64> {
        self.counters.entry(entry.name.clone()).or_default().clone()
    }

    /// What was built: parameters and counts by name.
    pub(crate) fn finish(self) -> (Parameters, BTreeMap<String, Arc<AtomicI64>>) {
        (self.parameters, self.counters)
    }

    fn values(&self, entry: &Entry, init: Init) -> Result<Tensor> {
        let dtype = self.parameters.dtype();
        match self.begin {
            Begin::Seeded(seed) => init.draw(seed, &entry.name, &entry.shape, dtype),
            Begin::Blank => Ok(Tensor::zeros(entry.shape.as_slice(), dtype, &Device::Cpu)?),
        }
    }
}
