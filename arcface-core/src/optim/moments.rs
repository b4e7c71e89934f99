//! The state of optimisers: one or more tensors per parameter, where the parameter is.
//! Knows no rule.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{CpuStorage, DType, Tensor, Var};

use crate::{Error, Parameters, Result};

/// One tensor of state per parameter, beginning with zeros, on the device of its parameter.
#[derive(Debug)]
pub(super) struct Moments {
    kind: &'static str,
    entries: BTreeMap<String, Moment>,
    /// Whether [`Moments::tensors`] gave away what lies on a device: a step must not change that.
    is_shared: AtomicBool,
}

impl Moments {
    pub(super) fn zero(kind: &'static str, parameters: &Parameters) -> Result<Self> {
        let entries =
            parameters.trained().map(|(name, parameter)| Ok((name.to_owned(), Moment::zero(&parameter.var)?)));
        Ok(Self { kind, entries: entries.collect::<Result<_>>()?, is_shared: AtomicBool::new(false) })
    }

    /// The values of a parameter's moment; zeros if it became trained only now.
    fn values(&mut self, name: &str, var: &Var) -> Result<&mut Values> {
        if !self.entries.contains_key(name) {
            self.entries.insert(name.to_owned(), Moment::zero(var)?);
        }
        let moment = self.entries.get_mut(name).filter(|moment| moment.shape == var.dims());
        moment
            .map(|moment| &mut moment.values)
            .ok_or_else(|| Error::Invalid(format!("parameter `{name}` changed its shape since the optimizer was made")))
    }

    pub(super) fn of(&mut self, name: &str, var: &Var) -> Result<&mut CpuStorage> {
        match self.values(name, var)? {
            Values::Host(values) => Ok(values),
            #[cfg(feature = "cuda")]
            Values::Device(_) => Err(unsupported().into()),
        }
    }

    /// As [`Moments::of`], of a parameter on a CUDA device.
    #[cfg(feature = "cuda")]
    pub(super) fn on_device(&mut self, name: &str, var: &Var) -> Result<Tensor> {
        match self.values(name, var)? {
            Values::Device(tensor) => Ok(tensor.clone()),
            Values::Host(_) => Err(unsupported().into()),
        }
    }

    /// Copies what was given away, so that it may change.
    #[cfg(feature = "cuda")]
    pub(super) fn own(&mut self) -> Result<()> {
        if !*self.is_shared.get_mut() {
            return Ok(());
        }
        for moment in self.entries.values_mut() {
            if let Values::Device(tensor) = &mut moment.values {
                *tensor = tensor.copy()?;
            }
        }
        *self.is_shared.get_mut() = false;
        Ok(())
    }

    pub(super) fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.is_shared.store(true, Ordering::Relaxed);
        self.entries.iter().map(|(name, moment)| (format!("{}.{name}", self.kind), moment.tensor())).collect()
    }

    /// The same parameters' moments out of `state`, from whatever device.
    pub(super) fn read(&self, state: &mut BTreeMap<String, Tensor>) -> Result<Self> {
        let entries = self.entries.iter().map(|(name, now)| {
            let key = format!("{}.{name}", self.kind);
            let tensor = state.remove(&key).ok_or_else(|| missing(&key))?;
            if tensor.dims() != now.shape {
                let what = format!("optimizer state `{key}`");
                return Err(Error::shape(what, format!("{:?}", now.shape), tensor.dims()));
            }
            if tensor.dtype() != now.dtype() {
                let expected = format!("{:?}", now.dtype());
                return Err(Error::value(
                    format!("optimizer state `{key}`"),
                    expected,
                    format!("{:?}", tensor.dtype()),
                ));
            }
            Ok((name.clone(), now.read(&tensor)?))
        });
        Ok(Self { kind: self.kind, entries: entries.collect::<Result<_>>()?, is_shared: AtomicBool::new(false) })
    }
}

#[derive(Debug)]
struct Moment {
    shape: Vec<usize>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Host(CpuStorage),
    /// On a CUDA device, changed in place.
    #[cfg(feature = "cuda")]
    Device(Tensor),
}

impl Moment {
    fn zero(var: &Var) -> Result<Self> {
        let values = match var.dtype() {
            #[cfg(feature = "cuda")]
            DType::F32 if var.device().is_cuda() => {
                Values::Device(Tensor::zeros(var.shape(), DType::F32, var.device())?)
            }
            _ if !var.device().is_cpu() => return Err(unsupported().into()),
            DType::F32 => Values::Host(CpuStorage::F32(vec![0.0; var.elem_count()])),
            DType::F64 => Values::Host(CpuStorage::F64(vec![0.0; var.elem_count()])),
            _ => return Err(unsupported().into()),
        };
        Ok(Self { shape: var.dims().to_vec(), values })
    }

    /// A copy of `tensor` where the values of `self` are.
    fn read(&self, tensor: &Tensor) -> Result<Self> {
        let values = match &self.values {
            #[cfg(feature = "cuda")]
            Values::Device(now) => Values::Device(tensor.to_device(now.device())?.contiguous()?.copy()?),
            Values::Host(_) => {
                let flat = tensor.flatten_all()?;
                Values::Host(match tensor.dtype() {
                    DType::F32 => CpuStorage::F32(flat.to_vec1()?),
                    DType::F64 => CpuStorage::F64(flat.to_vec1()?),
                    _ => return Err(unsupported().into()),
                })
            }
        };
        Ok(Self { shape: tensor.dims().to_vec(), values })
    }

    fn dtype(&self) -> DType {
        if matches!(self.values, Values::Host(CpuStorage::F64(_))) { DType::F64 } else { DType::F32 }
    }

    fn tensor(&self) -> Tensor {
        match &self.values {
            Values::Host(values) => host_tensor(values.clone(), &self.shape),
            #[cfg(feature = "cuda")]
            Values::Device(tensor) => tensor.clone(),
        }
    }
}

pub(super) fn host_tensor(storage: CpuStorage, shape: &[usize]) -> Tensor {
    Tensor::from_storage(candle_core::Storage::Cpu(storage), shape, candle_core::op::BackpropOp::none(), false)
}

pub(super) fn missing(key: &str) -> Error {
    Error::Invalid(format!("optimizer state `{key}` is missing; it belongs to another network or optimizer"))
}

pub(super) fn unsupported() -> candle_core::Error {
    let expected = "optimizer: expected contiguous parameters in f32 or f64 on the CPU, or in f32 on a CUDA device";
    Error::Invalid(expected.to_owned()).into()
}
