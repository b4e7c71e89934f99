//! Differentiable operators on channels-last tensors, forward and backward, in f32 and f64.
//! Knows no layer and no parameter names. Each applies itself through [`tape`], so that a training pass can record it.

pub mod add;
pub mod batch_norm;
pub mod batch_norm_add;
pub mod batch_norm_prelu;
pub mod blend;
pub mod cast;
pub mod centers;
mod columns;
mod connected;
pub mod conv;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dense;
mod depthwise;
pub mod dropout;
pub mod element;
pub mod exponential;
mod finish;
pub mod folded_conv;
mod geometry;
pub mod layout;
pub mod linear;
pub mod matmul;
mod normaliser;
pub mod observed;
pub mod parallel;
mod passes;
mod precision;
pub mod prelu;
pub(crate) mod rows;
#[macro_use]
pub mod simd;
mod pointwise;
pub mod tape;
mod wide;
mod winograd;

pub use add::add;
pub use batch_norm::{BatchStatistics, batch_norm_eval, batch_norm_train, channel_statistics};
pub use batch_norm_add::{batch_norm_add_eval, batch_norm_add_train};
pub use batch_norm_prelu::{batch_norm_prelu_eval, batch_norm_prelu_train};
pub use blend::{Blend, blend};
pub use cast::cast;
pub use connected::connected;
pub use conv::{ConvConfig, conv2d};
pub use dropout::{DropKey, dropout};
pub use folded_conv::FoldedConv;
pub use layout::{channels_first, channels_last};
pub use linear::linear;
pub use observed::{Observed, batch_norm_observed};
pub use pointwise::Panels;
pub use precision::{set_tf32, uses_tf32};
pub use prelu::prelu;
