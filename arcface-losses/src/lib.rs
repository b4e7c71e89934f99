//! Margin losses for metric learning: embeddings and labels in, loss and gradients out.
//! Knows no data, no models and no files.
//!
//! A *margin* knows one row at a time, a *head* owns the class centers, a *term* is added to both; every margin works
//! with every head. All of them register under a name at link time, and [`Objective`] is what a training loop holds.

// Formulas read as on paper, cosθ_y or Σ_k, and are no code.
#![allow(clippy::doc_markdown)]

pub mod adaface;
pub mod angular;
pub mod arcface;
pub mod combined;
pub mod cosface;
pub mod curricular;
mod curve;
pub mod elastic;
mod head;
pub mod inter;
pub mod intra;
pub mod magface;
pub mod margin;
pub mod normface;
mod objective;
mod options;
pub mod registry;
pub mod softmax;
pub mod sphereface;
pub mod subcenter_arcface;
pub mod term;
#[cfg(feature = "testing")]
pub mod testing;
pub mod triplet;
pub mod units;
mod warmup;

pub use arcface_core::{Error, Margin as Radians, Result};
pub use curve::{TargetCurve, target_curve};
pub use objective::{Evaluation, HeadShape, Objective, Output};
pub use options::{Chunk, HeadOptions, Pooling, defaults, resolve};
pub use registry::{LossEntry, find, losses};
pub use serde;
pub use toml;
