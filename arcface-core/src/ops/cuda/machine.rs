//! A device as the operators use it: its stream, its compiled kernels, a way to launch them.
//! Knows no operator.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaModule, CudaStream, DriverError, LaunchConfig, PushKernelArg, result,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, Ptx, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaDevice, DeviceId};
use candle_core::{DType, Device, Tensor};

use super::cudnn::Cudnn;
use super::memory::{Fresh, Pointer};
use crate::{Error, Result};

/// The kernels, as one text: they share the first.
const SOURCES: [&str; 6] = [
    include_str!("kernels/common.cuh"),
    include_str!("kernels/normalise.cu"),
    include_str!("kernels/elementwise.cu"),
    include_str!("kernels/filters.cu"),
    include_str!("kernels/optimise.cu"),
    include_str!("kernels/head.cu"),
];

/// A device with its compiled kernels, of one thread.
#[derive(Debug)]
pub(super) struct Machine {
    // It goes before what it stands on.
    cudnn: OnceCell<Cudnn>,
    device: CudaDevice,
    stream: Arc<CudaStream>,
    module: Arc<CudaModule>,
    functions: RefCell<BTreeMap<String, CudaFunction>>,
}

thread_local! {
    static MACHINES: RefCell<Vec<(DeviceId, Rc<Machine>)>> = const { RefCell::new(Vec::new()) };
}

impl Machine {
    /// That of `device`; its kernels are compiled the first time.
    pub(super) fn of(device: &CudaDevice) -> Result<Rc<Self>> {
        let known = MACHINES.with_borrow(|machines| {
            machines.iter().find(|(id, _)| *id == device.id()).map(|(_, machine)| machine.clone())
        });
        if let Some(machine) = known {
            return Ok(machine);
        }
        let machine = Rc::new(Self::new(device)?);
        MACHINES.with_borrow_mut(|machines| machines.push((device.id(), machine.clone())));
        Ok(machine)
    }

    /// That of the device of `tensor`.
    pub(super) fn of_tensor(tensor: &Tensor) -> Result<Rc<Self>> {
        match tensor.device() {
            Device::Cuda(device) => Self::of(device),
            other => Err(Error::value("operator", "a tensor on a CUDA device", format!("{:?}", other.location()))),
        }
    }

    fn new(device: &CudaDevice) -> Result<Self> {
        let stream = device.cuda_stream();
        let (major, minor) = stream.context().compute_capability().map_err(driver)?;
        let module = stream.context().load_module(compiled(major, minor)?).map_err(driver)?;
        Ok(Self { cudnn: OnceCell::new(), device: device.clone(), stream, module, functions: RefCell::default() })
    }

    pub(super) fn device(&self) -> &CudaDevice {
        &self.device
    }

    pub(super) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// cuDNN on this device, begun when it is first asked for.
    pub(super) fn cudnn(&self) -> Result<&Cudnn> {
        if self.cudnn.get().is_none() {
            let cudnn = Cudnn::new(self)?;
            // Nothing was there a line before, and this is the only thread.
            let _ = self.cudnn.set(cudnn);
        }
        self.cudnn.get().ok_or_else(|| Error::Invalid("cuDNN did not begin".to_owned()))
    }

    /// Makes this thread's calls of CUDA's libraries go to this device.
    pub(super) fn bind(&self) -> Result<()> {
        self.stream.context().bind_to_thread().map_err(driver)
    }

    /// Memory that nothing was written to yet.
    pub(super) fn fresh(&self, dtype: DType, len: usize) -> Result<Fresh> {
        Fresh::new(&self.device, dtype, len)
    }

    /// Copies `bytes` on the device.
    pub(super) fn copy(&self, from: Pointer, to: Pointer, bytes: usize) -> Result<()> {
        let stream = self.stream.cu_stream();
        // SAFETY: both are memory of this device that holds as many bytes.
        #[allow(unsafe_code)]
        unsafe { result::memcpy_dtod_async(to.0, from.0, bytes, stream) }.map_err(driver)
    }

    /// Puts a kernel of our own on the stream.
    ///
    /// # Safety
    /// The arguments must be the kernel's, and the memory that they point to hold what it reads and writes.
    #[allow(unsafe_code)]
    pub(super) unsafe fn launch(&self, kernel: &str, shape: Shape, arguments: &[Argument]) -> Result<()> {
        let function = self.function(kernel)?;
        let mut launch = self.stream.launch_builder(&function);
        for argument in arguments {
            match argument {
                Argument::U32(value) => launch.arg(value),
                Argument::I32(value) => launch.arg(value),
                Argument::Pointer(Pointer(value)) | Argument::U64(value) => launch.arg(value),
                Argument::F32(value) => launch.arg(value),
                Argument::F64(value) => launch.arg(value),
            };
        }
        // SAFETY: as the caller says.
        unsafe { launch.launch(shape.into()) }
            .map_err(|error| Error::Invalid(format!("kernel `{kernel}` on the CUDA device: {error} ({shape:?})")))?;
        Ok(())
    }

    fn function(&self, kernel: &str) -> Result<CudaFunction> {
        if let Some(function) = self.functions.borrow().get(kernel) {
            return Ok(function.clone());
        }
        let function = self.module.load_function(kernel).map_err(driver)?;
        self.functions.borrow_mut().insert(kernel.to_owned(), function.clone());
        Ok(function)
    }
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub(super) enum Argument {
    Pointer(Pointer),
    U32(u32),
    I32(i32),
    U64(u64),
    F32(f32),
    F64(f64),
}

macro_rules! argument {
    ($($type:ty => $case:ident),*) => {
        $(impl From<$type> for Argument {
            fn from(value: $type) -> Self {
                Self::$case(value)
            }
        })*
    };
}
argument!(Pointer => Pointer, u32 => U32, i32 => I32, u64 => U64, f32 => F32, f64 => F64);

/// The arguments of a kernel, one after the other.
macro_rules! arguments {
    ($($value:expr),* $(,)?) => { &[$($crate::ops::cuda::machine::Argument::from($value)),*] };
}
pub(super) use arguments;

/// How many threads run a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Blocks.
    pub(super) grid: [u32; 2],
    /// Threads of a block.
    pub(super) block: [u32; 2],
    /// Bytes of shared memory beside what the kernel names itself.
    pub(super) shared: u32,
}

impl Shape {
    /// A thread for each of `count` values, or a few values for each thread of a large grid.
    pub(super) fn over(count: usize) -> Self {
        const THREADS: usize = 256;
        const BLOCKS: usize = 132 * 32;
        Self { grid: [count.div_ceil(THREADS).clamp(1, BLOCKS) as u32, 1], block: [THREADS as u32, 1], shared: 0 }
    }

    /// 32 × 32 threads for each 32 columns.
    pub(super) fn columns(count: usize) -> Self {
        Self { grid: [count.div_ceil(32) as u32, 1], block: [32, 32], shared: 0 }
    }
}

impl From<Shape> for LaunchConfig {
    fn from(Shape { grid: [x, y], block: [width, height], shared }: Shape) -> Self {
        Self { grid_dim: (x, y, 1), block_dim: (width, height, 1), shared_mem_bytes: shared }
    }
}

/// The kernels compiled for a compute capability, once a process.
fn compiled(major: i32, minor: i32) -> Result<Ptx> {
    static COMPILED: OnceLock<Mutex<BTreeMap<(i32, i32), Ptx>>> = OnceLock::new();
    let mut known = COMPILED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ptx) = known.get(&(major, minor)) {
        return Ok(ptx.clone());
    }
    let options = CompileOptions {
        options: vec![format!("--gpu-architecture=compute_{major}{minor}"), "--std=c++17".to_owned()],
        ..CompileOptions::default()
    };
    let ptx = compile_ptx_with_opts(SOURCES.concat(), options)
        .map_err(|error| Error::Invalid(format!("the kernels for compute capability {major}.{minor}: {error}")))?;
    known.insert((major, minor), ptx.clone());
    Ok(ptx)
}

/// An error of the driver.
pub(super) fn driver(error: DriverError) -> Error {
    Error::Invalid(format!("CUDA: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs NVRTC, but no device.
    #[test]
    fn kernels_compile_for_every_generation() {
        for (major, minor) in [(7, 5), (8, 0), (8, 9), (9, 0), (10, 0)] {
            compiled(major, minor).unwrap();
        }
    }
}
