//! From a trained model to images: what a face looks like to a network. Its objective is a function of the embeddings.
//! Knows no data set and no loss.
//!
//! An [`Inversion`] holds a batch of images that begin as noise. Each of its steps follows the gradient of an objective
//! of their embeddings, of the distance between the batch's statistics and those of training before every batch norm
//! ([`statistics`]), and of what any image is like ([`prior`]).

pub mod config;
#[doc = include_str!("../docs/embeddings_are_personal_data.md")]
pub mod embeddings_are_personal_data {}
pub mod invert;
pub mod placement;
pub mod prior;
mod pyramid;
pub mod resample;
pub mod statistics;
pub mod target;

pub use config::{Coarse, InversionConfig, Reduction};
pub use invert::{Inversion, Losses};
pub use prior::Differences;
pub use statistics::{Compared, StatisticsConfig};
pub use target::{Distance, Targets};
