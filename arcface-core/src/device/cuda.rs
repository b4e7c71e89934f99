//! CUDA devices: opened once a process with one stream each, and what their driver says.
//! Knows no operator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::result::{self, DriverError};
use candle_core::cuda_backend::cudarc::driver::{CudaContext, PinnedHostSlice, sys};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Device, Storage, Tensor};
use rayon::prelude::*;

use super::Capability;
use crate::{Error, Result};

/// What is open by now, by number.
static OPEN: Mutex<BTreeMap<usize, Device>> = Mutex::new(BTreeMap::new());

pub(super) fn open(number: usize) -> Result<Device> {
    // A device is whole once it is in there: a panic elsewhere does not spoil the map.
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = open.get(&number) {
        return Ok(device.clone());
    }
    let device = begin(number)?;
    open.insert(number, device.clone());
    Ok(device)
}

#[expect(clippy::unnecessary_wraps, reason = "a build without CUDA may have nothing to say")]
pub(super) fn note(error: &Error) -> Option<String> {
    Some(format!("device = \"auto\": the CPU, since there is no CUDA device to use ({error})"))
}

fn begin(number: usize) -> Result<Device> {
    result::init().map_err(|error| unusable(number, error))?;
    check_driver(number)?;
    check_number(number)?;
    let device = Device::new_cuda_with_stream(number)
        .map_err(|error| Error::Invalid(format!("device = \"cuda:{number}\": {error}")))?;
    if let Device::Cuda(cuda) = &device {
        keep_memory(cuda).map_err(|error| unusable(number, error))?;
        // SAFETY: the events keep several streams from using memory at the wrong time. All work on a device, of whatever
        // thread, goes through its one stream, since it is opened here alone, and memory is given back through it too.
        #[allow(unsafe_code)]
        unsafe {
            cuda.disable_event_tracking();
        }
    }
    Ok(device)
}

/// Kernels of a newer CUDA than the driver's are refused one by one when they are loaded, with words that do not help.
fn check_driver(number: usize) -> Result<()> {
    let mut version = 0;
    // SAFETY: it is a number that lives as long as the call.
    #[allow(unsafe_code)]
    let told = unsafe { sys::cuDriverGetVersion(&raw mut version) }.result();
    if told.is_ok() && (version as u32) < sys::CUDA_VERSION {
        let [found, expected] = [version as u32, sys::CUDA_VERSION].map(spelled);
        return Err(Error::Invalid(format!(
            "device = \"cuda:{number}\": expected a driver for CUDA {expected} or newer, found one for CUDA {found}; \
             update the driver, or build with the toolkit of CUDA {found}"
        )));
    }
    Ok(())
}

/// 13.0 of 13000.
fn spelled(version: u32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

fn check_number(number: usize) -> Result<()> {
    let count = result::device::get_count().map_err(|error| unusable(number, error))? as usize;
    if count == 0 {
        return Err(unusable(number, DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)));
    }
    if count <= number {
        let expected =
            if count == 1 { "cuda:0, the only one".to_owned() } else { format!("cuda:0 to cuda:{}", count - 1) };
        return Err(Error::value("device", expected, format!("cuda:{number}")));
    }
    Ok(())
}

/// What the driver says, and what helps.
fn unusable(number: usize, error: DriverError) -> Error {
    let advice = match error.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => "no CUDA device was found; set device = \"cpu\"",
        sys::CUresult::CUDA_ERROR_STUB_LIBRARY => {
            "libcuda.so.1 is the toolkit's stub; put the driver's own before it in LD_LIBRARY_PATH"
        }
        sys::CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH | sys::CUresult::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE => {
            "the driver's library and its kernel module are of different versions; restart after an update"
        }
        _ => return Error::Invalid(format!("device = \"cuda:{number}\": CUDA: {error}")),
    };
    Error::Invalid(format!("device = \"cuda:{number}\": {advice}"))
}

/// Memory that is given back stays with the process: to hand it to the system and ask for it again takes longer than
/// most kernels.
fn keep_memory(device: &CudaDevice) -> Result<(), DriverError> {
    if !context(device).has_async_alloc() {
        return Ok(());
    }
    let mut all = u64::MAX;
    // SAFETY: the pool is that of an open device, and the threshold a number of 64 bits.
    #[allow(unsafe_code)]
    unsafe {
        let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        result::mem_pool::set_attribute(pool(device)?, threshold, (&raw mut all).cast())
    }
}

fn pool(device: &CudaDevice) -> Result<sys::CUmemoryPool, DriverError> {
    // SAFETY: the device is open.
    #[allow(unsafe_code)]
    unsafe {
        result::device::get_default_mem_pool(context(device).cu_device())
    }
}

fn context(device: &CudaDevice) -> Arc<CudaContext> {
    device.cuda_stream().context().clone()
}

pub(super) fn capability(device: &Device) -> Result<Option<Capability>> {
    let Device::Cuda(device) = device else { return Ok(None) };
    let (major, minor) = context(device).compute_capability().map_err(failed)?;
    Ok(Some(Capability { major, minor }))
}

pub(super) fn name(device: &Device) -> String {
    let Device::Cuda(device) = device else { return format!("{:?}", device.location()) };
    let context = context(device);
    let number = context.ordinal();
    context.name().map_or_else(|_| format!("cuda:{number}"), |name| format!("cuda:{number} ({name})"))
}

pub(super) fn peak_bytes(device: &Device) -> Option<u64> {
    let Device::Cuda(device) = device else { return None };
    if !context(device).has_async_alloc() {
        return None;
    }
    let mut most = 0_u64;
    // SAFETY: the pool is that of an open device, and the attribute a number of 64 bits.
    #[allow(unsafe_code)]
    unsafe {
        let high = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
        result::mem_pool::get_attribute(pool(device).ok()?, high, (&raw mut most).cast()).ok()?;
    }
    (0 < most).then_some(most)
}

/// Candle's own, whose type has no name outside of it.
pub(super) type Guard = Box<dyn std::any::Any>;

pub(super) fn keep_shapes(device: &Device) -> Option<Guard> {
    match device {
        Device::Cuda(device) => Some(Box::new(device.enable_cuda_graph_htod_cache())),
        _ => None,
    }
}

/// Memory of the host that the device reads by itself, in two parts in turns.
#[derive(Default)]
pub(super) struct Staging {
    parts: [Option<PinnedHostSlice<f32>>; 2],
    next: usize,
}

impl Staging {
    pub(super) fn tensor(&mut self, values: Vec<f32>, dims: &[usize], device: &Device) -> Result<Tensor> {
        let Device::Cuda(cuda) = device else { return Ok(Tensor::from_vec(values, dims, device)?) };
        let Some(part) = self.part(cuda, values.len()) else { return Ok(Tensor::from_vec(values, dims, device)?) };
        // Waits until what was in there before has arrived.
        let staged = part.as_mut_slice().map_err(failed)?;
        staged.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(to, from)| to.copy_from_slice(from));
        // SAFETY: all of it is written by the copy, which the stream holds before anything that reads it.
        #[allow(unsafe_code)]
        let mut slice = unsafe { cuda.alloc::<f32>(values.len()) }?;
        cuda.cuda_stream().memcpy_htod(&*part, &mut slice).map_err(failed)?;
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(slice, cuda.clone()));
        Ok(Tensor::from_storage(storage, dims, BackpropOp::none(), false))
    }

    /// The part whose turn it is, of just this size; `None` where the system does not lend such memory.
    fn part(&mut self, device: &CudaDevice, len: usize) -> Option<&mut PinnedHostSlice<f32>> {
        self.next = 1 - self.next;
        let part = &mut self.parts[self.next];
        if part.as_ref().is_none_or(|part| part.len() != len) && 0 < len {
            // SAFETY: it is written before it is read.
            #[allow(unsafe_code)]
            let fresh = unsafe { context(device).alloc_pinned::<f32>(len) };
            *part = fresh.ok();
        }
        part.as_mut().filter(|part| part.len() == len)
    }
}

/// Values that one thread copies at a time.
const CHUNK: usize = 1 << 18;

fn failed(error: DriverError) -> Error {
    Error::Invalid(format!("CUDA: {error}"))
}
