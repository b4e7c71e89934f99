//! Sources of faces: files → aligned, normalised, shuffled batches.
//! Knows no device but the CPU, no network and no loss.

pub mod align;
pub mod augment;
pub mod convert;
pub mod faces;
pub mod generate;
pub mod image;
pub mod inspect;
pub mod loader;
pub mod noise;
pub mod pairs;
pub mod purify;
pub mod record;
pub mod sampler;
pub mod source;

pub use align::{LandmarkList, Landmarks, Sides, Similarity};
pub use augment::{Augmentation, Normalisation};
pub use generate::{FileFormat, generate};
pub use image::Image;
pub use inspect::{Depth, Inspection};
pub use loader::{Batch, Batches, Loader, LoaderConfig, OnCorrupt};
pub use noise::{NoiseConfig, NoisySource, Truth};
pub use pairs::{DrawPairs, Folds, Pair, PairList, PairSet, draw_pairs, read_bin, write_bin};
pub use sampler::{Sampler, SamplerKind};
#[cfg(feature = "parquet")]
pub use source::ParquetSource;
pub use source::procedural::{ProceduralConfig, ProceduralSource};
pub use source::{FolderOptions, FolderSource, IdxSource, RecordSource, Source};
