//! Weights in files: torch's names and layouts outside, the operators' layouts inside.
//! Knows no training. Readers for `.safetensors` stand here; those for torch's own files and ONNX belong beside it.

mod layout;
mod metadata;
pub(crate) mod misfit;
mod recognise;
mod safetensors;

use std::collections::BTreeMap;

use arcface_core::candle::Tensor;

pub use layout::Layout;
pub use metadata::Metadata;
pub use recognise::{Guess, recognise};
pub use safetensors::{WeightsFile, read};

/// Tensors under torch's names, in torch's layouts, on the CPU.
pub type StateDict = BTreeMap<String, Tensor>;
