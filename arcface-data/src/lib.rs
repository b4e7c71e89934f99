//! Sources of faces: files → aligned, normalised, shuffled batches.
//! Knows no device but the CPU, no network and no loss.

pub mod augment;
pub mod faces;
pub mod image;
pub mod loader;
pub mod sampler;
pub mod source;

pub use augment::{Augmentation, Normalisation};
pub use image::Image;
pub use loader::{Batch, Batches, Loader, LoaderConfig, OnCorrupt};
pub use sampler::{Sampler, SamplerKind};
pub use source::procedural::{ProceduralConfig, ProceduralSource};
pub use source::{FolderOptions, FolderSource, Source};
