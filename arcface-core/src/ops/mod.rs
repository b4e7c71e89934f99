//! Differentiable operators on channels-last tensors, forward and backward, in f32 and f64.
//! Knows no layer and no parameter names.

pub mod element;
pub mod matmul;
pub mod parallel;
pub mod simd;
