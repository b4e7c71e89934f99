//! The ground the other crates stand on: units, seeds, parameters, differentiable operators, optimisers, checkpoints.
//! Knows no losses, no models and no files of faces.
//!
//! # Map of the workspace
//!
//! Data flows one way: source → batch → embedding → head → loss; run → report.
//!
//! | crate | what it turns into what | what it does not know |
//! |---|---|---|
//! | `arcface-core` | tensors → tensors and gradients | losses, models, files of faces |
//! | `arcface-losses` | embeddings and labels → loss and gradients | data, models, files |
//! | `arcface-models` | images (B, 3, H, W) → embeddings (B, D) | labels, losses, class centers |
//! | `arcface-data` | files → aligned, normalised, shuffled batches | devices other than the CPU, losses |
//! | `arcface-eval` | embeddings and pairs → figures | models, image files |
//! | `arcface-synth` | a trained model → images | data sets, losses |
//! | `xtask` | configuration → runs and reports | nothing: it is the composition root |

pub mod checkpoint;
pub mod device;
pub mod error;
pub mod ops;
pub mod optim;
pub mod parameters;
pub mod pickle;
pub mod schedule;
pub mod seed;
pub mod shape;
pub mod sphere;
#[cfg(feature = "testing")]
pub mod testing;
pub mod units;

pub use candle_core as candle;
pub use error::{Error, Result};
pub use parameters::{Gradients, Parameter, Parameters, Role};
pub use units::{Margin, Scale};
