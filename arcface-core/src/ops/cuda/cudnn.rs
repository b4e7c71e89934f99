//! Convolutions by cuDNN: a handle per device and thread, and for each convolution its descriptors and its algorithm.
//! Knows only cuDNN's layouts: activations (B, H, W, C), filters (Cout, KH, KW, Cin/groups).
//!
//! The algorithm of a convolution is the first in cuDNN's own order of speed that gives the same bytes every time; it is
//! asked for once, and only where cuDNN has no guess are all of them tried. Measured times would change from process to
//! process, and with them the last bits of a run that goes on. All share one workspace.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::rc::Rc;

use candle_core::DType;
use candle_core::cuda_backend::cudarc::cudnn::{CudnnError, result, sys};

use super::cudnn_algorithm::{self as algorithm, Algorithm};
use super::machine::Machine;
use super::memory::{Fresh, Pointer};
use crate::ops::geometry::Geometry;
use crate::ops::precision::Math;
use crate::{Error, Result};

/// Bytes that an algorithm may ask for beside its operands.
pub(super) const WORKSPACE: usize = 1 << 30;

/// What is worked out from the other two operands of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Forward,
    InputGradient,
    FilterGradient,
}

/// Activations or their gradients, all of one type; that of the pass is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operands {
    pub(super) x: Pointer,
    pub(super) filters: Pointer,
    pub(super) y: Pointer,
}

/// What decides over the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    pass: Pass,
    geometry: Geometry,
    dtype: DType,
    math: Math,
}

/// cuDNN on a device, for one thread.
#[derive(Debug)]
pub(super) struct Cudnn {
    handle: sys::cudnnHandle_t,
    plans: RefCell<Vec<(Key, Rc<Plan>)>>,
    workspace: RefCell<Option<(usize, Fresh)>>,
}

impl Cudnn {
    pub(super) fn new(machine: &Machine) -> Result<Self> {
        machine.bind()?;
        let handle = result::create_handle().map_err(failed)?;
        let cudnn = Self { handle, plans: RefCell::default(), workspace: RefCell::default() };
        // SAFETY: the handle was just made; the stream lives as long as the device, which the machine holds.
        #[allow(unsafe_code)]
        unsafe { result::set_stream(handle, machine.stream().cu_stream().cast()) }.map_err(failed)?;
        Ok(cudnn)
    }

    /// Runs one pass of a convolution of values of `dtype` (f32 or bf16), with sums in f32.
    ///
    /// # Safety
    /// The operands must point to values of `dtype` in the sizes of `geometry`.
    #[allow(unsafe_code)]
    pub(super) unsafe fn run(
        &self,
        machine: &Machine,
        pass: Pass,
        (geometry, dtype): (&Geometry, DType),
        operands: Operands,
    ) -> Result<()> {
        machine.bind()?;
        let key = Key { pass, geometry: *geometry, dtype, math: Math::now() };
        // SAFETY: as the caller says.
        let plan = unsafe { self.plan(machine, key, operands) }?;
        let workspace = self.workspace(machine, plan.workspace)?;
        // SAFETY: as the caller says; the workspace is as large as the algorithm asks for.
        unsafe { plan.run(self.handle, operands, workspace) }
            .map_err(|error| Error::Invalid(format!("{pass:?} of a convolution {geometry:?}: {}", failed(error))))
    }

    #[allow(unsafe_code)]
    unsafe fn plan(&self, machine: &Machine, key: Key, operands: Operands) -> Result<Rc<Plan>> {
        // A network has some dozens of them.
        if let Some((_, plan)) = self.plans.borrow().iter().find(|(known, _)| *known == key) {
            return Ok(plan.clone());
        }
        // SAFETY: as the caller says.
        let plan = Rc::new(unsafe { self.planned(machine, key, operands) }?);
        self.plans.borrow_mut().push((key, plan.clone()));
        Ok(plan)
    }

    #[allow(unsafe_code)]
    unsafe fn planned(&self, machine: &Machine, key: Key, operands: Operands) -> Result<Plan> {
        let descriptors = Descriptors::new(key).map_err(failed)?;
        let fits = |candidate: &algorithm::Candidate| candidate.fits(key.dtype, key.math);
        let mut candidates = algorithm::guessed(self.handle, &descriptors, key.pass);
        if !candidates.iter().any(fits) {
            let most = algorithm::largest_workspace(self.handle, &descriptors, key.pass);
            let room = machine.fresh(DType::U8, most.max(1))?;
            let space = (room.pointer, most);
            // SAFETY: as the caller says; what is tried writes the result, which is written again afterwards.
            candidates = unsafe { algorithm::measured(self.handle, &descriptors, key.pass, operands, space) };
        }
        candidates.extend(algorithm::usual(self.handle, &descriptors, key.pass, math_of(key)));
        let Some(chosen) = candidates.iter().find(|candidate| fits(candidate)) else {
            let Key { pass, geometry, dtype, .. } = key;
            return Err(Error::Invalid(format!(
                "cuDNN has no algorithm for the {pass:?} of a convolution in {} that gives the same bytes every time \
                 and takes at most 1 GiB beside: {geometry:?} (a smaller batch?)",
                dtype.as_str()
            )));
        };
        // What was chosen for f32 as it is must not become shorter by what it was tried with.
        let asked = math_of(key);
        let math = if asked == sys::cudnnMathType_t::CUDNN_FMA_MATH { asked } else { chosen.math };
        descriptors.set_math(math).map_err(failed)?;
        let workspace = algorithm::workspace(self.handle, &descriptors, chosen.algorithm).map_err(failed)?;
        Ok(Plan { descriptors, algorithm: chosen.algorithm, workspace })
    }

    /// Memory of at least `bytes`, which holds anything; kept and grown.
    fn workspace(&self, machine: &Machine, bytes: usize) -> Result<Pointer> {
        let mut kept = self.workspace.borrow_mut();
        if kept.as_ref().is_none_or(|(size, _)| *size < bytes) {
            // The smaller one goes back first.
            *kept = None;
            let size = bytes.max(1);
            *kept = Some((size, machine.fresh(DType::U8, size)?));
        }
        Ok(kept.as_ref().map_or(Pointer::NULL, |(_, memory)| memory.pointer))
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        // SAFETY: the handle was made by `new` and goes nowhere else. At the end of a thread there is nobody to tell
        // that it cannot be given back.
        #[allow(unsafe_code)]
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// How a convolution is run.
#[derive(Debug)]
struct Plan {
    descriptors: Descriptors,
    algorithm: Algorithm,
    /// Bytes.
    workspace: usize,
}

impl Plan {
    #[allow(unsafe_code)]
    unsafe fn run(&self, handle: sys::cudnnHandle_t, at: Operands, workspace: Pointer) -> Result<(), CudnnError> {
        let Descriptors { x, filters, y, convolution } = &self.descriptors;
        let (one, zero) = (1f32, 0f32);
        let (one, zero): (*const c_void, *const c_void) = ((&raw const one).cast(), (&raw const zero).cast());
        let (space, bytes) = (workspace.as_mut_ptr(), self.workspace);
        // SAFETY: the descriptors describe the operands; scales are f32 for f32 and bf16.
        unsafe {
            match self.algorithm {
                Algorithm::Forward(algorithm) => result::convolution_forward(
                    handle,
                    one,
                    x.0,
                    at.x.as_ptr(),
                    filters.0,
                    at.filters.as_ptr(),
                    convolution.0,
                    algorithm,
                    space,
                    bytes,
                    zero,
                    y.0,
                    at.y.as_mut_ptr(),
                ),
                Algorithm::InputGradient(algorithm) => result::convolution_backward_data(
                    handle,
                    one,
                    filters.0,
                    at.filters.as_ptr(),
                    y.0,
                    at.y.as_ptr(),
                    convolution.0,
                    algorithm,
                    space,
                    bytes,
                    zero,
                    x.0,
                    at.x.as_mut_ptr(),
                ),
                Algorithm::FilterGradient(algorithm) => result::convolution_backward_filter(
                    handle,
                    one,
                    x.0,
                    at.x.as_ptr(),
                    y.0,
                    at.y.as_ptr(),
                    convolution.0,
                    algorithm,
                    space,
                    bytes,
                    zero,
                    filters.0,
                    at.filters.as_mut_ptr(),
                ),
            }
        }
    }
}

/// The sizes of a convolution as cuDNN is told of them.
#[derive(Debug)]
pub(super) struct Descriptors {
    pub(super) x: TensorDescriptor,
    pub(super) filters: FilterDescriptor,
    pub(super) y: TensorDescriptor,
    pub(super) convolution: ConvolutionDescriptor,
}

impl Descriptors {
    fn new(key: Key) -> Result<Self, CudnnError> {
        let g = &key.geometry;
        let descriptors = Self {
            x: TensorDescriptor::new()?,
            filters: FilterDescriptor::new()?,
            y: TensorDescriptor::new()?,
            convolution: ConvolutionDescriptor::new()?,
        };
        let dtype = match key.dtype {
            DType::BF16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
            _ => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
        };
        let channels_last = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
        // Sizes are told in the order of (B, C, H, W) whatever the layout is.
        let sizes = |[a, b, c, d]: [usize; 4]| [a, d, b, c].map(|size| size as c_int);
        let filters = sizes([g.filters, g.kernel_height, g.kernel_width, g.group_channels()]);
        let (padding, stride) = (g.padding as c_int, g.stride as c_int);
        // SAFETY: the descriptors were just made.
        #[allow(unsafe_code)]
        unsafe {
            result::set_tensor4d_descriptor(descriptors.x.0, channels_last, dtype, sizes(g.input_dims()))?;
            result::set_tensor4d_descriptor(descriptors.y.0, channels_last, dtype, sizes(g.output_dims()))?;
            result::set_filter4d_descriptor(descriptors.filters.0, dtype, channels_last, filters)?;
            let (mode, sums) =
                (sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION, sys::cudnnDataType_t::CUDNN_DATA_FLOAT);
            let convolution = descriptors.convolution.0;
            result::set_convolution2d_descriptor(convolution, padding, padding, stride, stride, 1, 1, mode, sums)?;
            result::set_convolution_group_count(convolution, g.groups as c_int)?;
        }
        descriptors.set_math(math_of(key))?;
        Ok(descriptors)
    }

    fn set_math(&self, math: sys::cudnnMathType_t) -> Result<(), CudnnError> {
        // SAFETY: the descriptor is alive as long as this is.
        #[allow(unsafe_code)]
        unsafe {
            result::set_convolution_math_type(self.convolution.0, math)
        }
    }
}

/// The instructions to ask for; cuDNN's default for f32 is tf32.
fn math_of(key: Key) -> sys::cudnnMathType_t {
    match (key.dtype, key.math) {
        (DType::BF16, _) => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
        (_, Math::F32) => sys::cudnnMathType_t::CUDNN_FMA_MATH,
        (_, Math::Tf32) => sys::cudnnMathType_t::CUDNN_DEFAULT_MATH,
    }
}

macro_rules! descriptors {
    ($($name:ident($type:ty): $create:ident, $destroy:ident;)*) => {
        $(
            #[derive(Debug)]
            pub(super) struct $name(pub(super) $type);

            impl $name {
                fn new() -> Result<Self, CudnnError> {
                    result::$create().map(Self)
                }
            }

            impl Drop for $name {
                fn drop(&mut self) {
                    // SAFETY: it was made by `new` and goes nowhere else.
                    #[allow(unsafe_code)]
                    let _ = unsafe { result::$destroy(self.0) };
                }
            }
        )*
    };
}
descriptors! {
    TensorDescriptor(sys::cudnnTensorDescriptor_t): create_tensor_descriptor, destroy_tensor_descriptor;
    FilterDescriptor(sys::cudnnFilterDescriptor_t): create_filter_descriptor, destroy_filter_descriptor;
    ConvolutionDescriptor(sys::cudnnConvolutionDescriptor_t): create_convolution_descriptor, destroy_convolution_descriptor;
}

/// An error of cuDNN.
fn failed(error: CudnnError) -> Error {
    Error::Invalid(format!("cuDNN: {error}"))
}
