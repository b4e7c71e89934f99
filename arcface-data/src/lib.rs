//! Sources of faces: files → aligned, normalised, shuffled batches.
//! Knows no device but the CPU, no network and no loss.

pub mod faces;
pub mod image;
pub mod source;

pub use image::Image;
pub use source::Source;
pub use source::procedural::{ProceduralConfig, ProceduralSource};
