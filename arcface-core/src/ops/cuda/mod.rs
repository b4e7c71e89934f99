//! The operators on a CUDA device: kernels of our own, compiled when the device is first used, and cuDNN.
//! Knows no layer; shapes and types were checked by the operators that call it.
//!
//! Everything runs on the one stream of its device, so that memory may be given back while a kernel that reads it is
//! still under way. Activations are f32 or bf16, parameters and statistics f32; sums over rows are f64 in the end and
//! in a fixed order, so that the same input gives the same bytes.

mod blas;
pub(super) mod conv;
mod cudnn;
mod cudnn_algorithm;
mod depthwise;
pub(super) mod elementwise;
pub(super) mod folded;
pub(super) mod head;
pub(super) mod linear;
mod machine;
mod memory;
pub(super) mod normalise;
pub(crate) mod optimise;
mod rows;

use candle_core::{CpuStorage, CudaStorage, Layout, Shape};

/// What a `CustomOp` gives on either side.
type Cpu = candle_core::Result<(CpuStorage, Shape)>;
type Cuda = candle_core::Result<(CudaStorage, Shape)>;
/// An argument as a `CustomOp` gets it.
type Seen<'a> = (&'a CudaStorage, &'a Layout);

/// The answer of an operator of a device to values that are not on one.
fn not_here(operator: &str) -> Cpu {
    Err(candle_core::Error::Msg(format!("{operator}: expected all tensors on one CUDA device, got one on the CPU")))
}
