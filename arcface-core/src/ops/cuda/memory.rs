//! Memory on a device: where the values of a tensor lie, and new memory that becomes a tensor.
//! Knows no operator.

use std::ffi::c_void;
use std::rc::Rc;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, DeviceRepr};
use candle_core::cuda_backend::{CudaDType, CudaDevice};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, DType, Layout, Shape, Storage, Tensor};
use half::bf16;

use super::Seen;
use super::machine::{Machine, driver};
use crate::{Error, Result};

/// An address on the device; null stands for what is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) struct Pointer(pub(in crate::ops) u64);

impl Pointer {
    pub(super) const NULL: Self = Self(0);

    /// Whether vectors of 16 bytes may begin here.
    pub(super) fn is_aligned(self) -> bool {
        self.0.is_multiple_of(16)
    }

    pub(super) fn as_ptr(self) -> *const c_void {
        self.0 as *const c_void
    }

    pub(super) fn as_mut_ptr(self) -> *mut c_void {
        self.0 as *mut c_void
    }

    /// `bytes` further on.
    pub(super) fn after(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

/// Where the values of a layout without gaps begin.
///
/// The address holds as long as the storage does, and for kernels that are on the stream by then.
pub(super) fn pointer(storage: &CudaStorage, layout: &Layout) -> Result<Pointer> {
    let Some((start, _)) = layout.contiguous_offsets() else {
        return Err(Error::Invalid(format!("CUDA operator: expected values without gaps, got {layout:?}")));
    };
    let first = match storage.dtype() {
        DType::F32 => address::<f32>(storage)?,
        DType::BF16 => address::<bf16>(storage)?,
        DType::F64 => address::<f64>(storage)?,
        DType::U32 => address::<u32>(storage)?,
        DType::U8 => address::<u8>(storage)?,
        other => return Err(Error::value("CUDA operator", "dtype f32, bf16, f64, u32 or u8", other.as_str())),
    };
    Ok(first.after(start * storage.dtype().size_in_bytes()))
}

fn address<T: CudaDType>(storage: &CudaStorage) -> Result<Pointer> {
    let slice = storage.as_cuda_slice::<T>()?;
    let stream = storage.device().cuda_stream();
    let (address, _) = slice.device_ptr(&stream);
    Ok(Pointer(address))
}

/// Values without gaps on a device, with the address of the first.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) pointer: Pointer,
    dtype: DType,
    device: CudaDevice,
    /// What keeps them where they are, unless the caller does.
    #[allow(dead_code, reason = "held, not read")]
    owner: Owner,
}

#[derive(Debug)]
enum Owner {
    Caller,
    Tensor(#[allow(dead_code, reason = "held, not read")] Tensor),
    Copy(#[allow(dead_code, reason = "held, not read")] CudaStorage),
}

impl Held {
    /// Those of `tensor`, copied if it has gaps.
    pub(super) fn new(tensor: &Tensor) -> Result<Self> {
        let tensor = tensor.detach().contiguous()?;
        let mut held = {
            let (storage, layout) = tensor.storage_and_layout();
            let Storage::Cuda(storage) = &*storage else {
                let device = format!("{:?}", tensor.device().location());
                return Err(Error::value("operator", "all tensors on one CUDA device", device));
            };
            Self::seen((storage, layout))?
        };
        held.owner = Owner::Tensor(tensor);
        Ok(held)
    }

    /// Those of an argument, copied if there are gaps; the caller keeps its storage.
    pub(super) fn seen((storage, layout): Seen<'_>) -> Result<Self> {
        let (dtype, device) = (storage.dtype(), storage.device().clone());
        if layout.is_contiguous() {
            return Ok(Self { pointer: pointer(storage, layout)?, dtype, device, owner: Owner::Caller });
        }
        let Fresh { storage: mut copy, pointer } = Fresh::new(&device, dtype, layout.shape().elem_count())?;
        storage.copy_strided_src(&mut copy, 0, layout)?;
        Ok(Self { pointer, dtype, device, owner: Owner::Copy(copy) })
    }

    /// Those that were written to new memory.
    pub(super) fn of_fresh(Fresh { storage, pointer }: Fresh) -> Self {
        let (dtype, device) = (storage.dtype(), storage.device().clone());
        Self { pointer, dtype, device, owner: Owner::Copy(storage) }
    }

    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    /// The same, if they are of `dtype`.
    pub(super) fn of_type(self, what: &str, dtype: DType) -> Result<Self> {
        if self.dtype == dtype {
            return Ok(self);
        }
        Err(Error::value(what, format!("dtype {} on this device", dtype.as_str()), self.dtype.as_str()))
    }

    /// A copy of `count` values.
    pub(super) fn to_storage(&self, count: usize) -> Result<CudaStorage> {
        let machine = self.machine()?;
        let fresh = machine.fresh(self.dtype, count)?;
        machine.copy(self.pointer, fresh.pointer, count * self.dtype.size_in_bytes())?;
        Ok(fresh.storage)
    }

    pub(super) fn machine(&self) -> Result<Rc<Machine>> {
        Machine::of(&self.device)
    }
}

/// The address of what may be left out.
pub(super) fn address_of(held: Option<&Held>) -> Pointer {
    held.map_or(Pointer::NULL, |held| held.pointer)
}

/// [`Held`] of each that is there.
pub(super) fn held<const N: usize>(tensors: [Option<&Tensor>; N]) -> Result<[Option<Held>; N]> {
    let mut all = [const { None }; N];
    for (held, tensor) in all.iter_mut().zip(tensors) {
        *held = tensor.map(Held::new).transpose()?;
    }
    Ok(all)
}

/// Memory on its way to be a tensor.
#[derive(Debug)]
pub(super) struct Fresh {
    storage: CudaStorage,
    pub(super) pointer: Pointer,
}

impl Fresh {
    /// Room for `len` values that must all be written.
    pub(super) fn new(device: &CudaDevice, dtype: DType, len: usize) -> Result<Self> {
        let storage = match dtype {
            DType::F32 => room::<f32>(device, len)?,
            DType::BF16 => room::<bf16>(device, len)?,
            DType::F64 => room::<f64>(device, len)?,
            DType::U32 => room::<u32>(device, len)?,
            DType::U8 => room::<u8>(device, len)?,
            other => return Err(Error::value("CUDA operator", "dtype f32, bf16, f64, u32 or u8", other.as_str())),
        };
        let pointer = pointer(&storage, &Layout::contiguous(len))?;
        Ok(Self { storage, pointer })
    }

    pub(super) fn into_storage(self) -> CudaStorage {
        self.storage
    }

    /// A tensor outside of any graph.
    pub(super) fn into_tensor(self, shape: impl Into<Shape>) -> Tensor {
        Tensor::from_storage(Storage::Cuda(self.storage), shape, BackpropOp::none(), false)
    }
}

fn room<T: CudaDType + DeviceRepr>(device: &CudaDevice, len: usize) -> Result<CudaStorage> {
    // SAFETY: every kernel writes all of what it gets as a result before anything reads it.
    #[allow(unsafe_code)]
    let slice = unsafe { device.alloc::<T>(len) }?;
    Ok(CudaStorage::wrap_cuda_slice(slice, device.clone()))
}

/// `values` on the device, not by candle's way to it, where small ones may be kept for good.
pub(super) fn uploaded<T: CudaDType + DeviceRepr>(machine: &Machine, values: &[T]) -> Result<Tensor> {
    let slice = machine.stream().clone_htod(values).map_err(driver)?;
    let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(slice, machine.device().clone()));
    Ok(Tensor::from_storage(storage, values.len(), BackpropOp::none(), false))
}
