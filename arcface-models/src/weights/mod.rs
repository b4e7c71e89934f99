//! Weights in files: torch's names and layouts outside, the operators' layouts inside.
//! Knows no training. Readers for `.safetensors` and torch's own files stand here; one for ONNX belongs beside them.

mod layout;
mod metadata;
pub(crate) mod misfit;
mod naming;
mod recognise;
mod safetensors;
mod torch;

use std::collections::BTreeMap;

use arcface_core::candle::Tensor;

pub use layout::Layout;
pub use metadata::Metadata;
pub use naming::Naming;
pub use recognise::{Guess, recognise};
pub use safetensors::{WeightsFile, read};
pub use torch::save_torch;

/// Tensors under torch's names, in torch's layouts, on the CPU.
pub type StateDict = BTreeMap<String, Tensor>;
