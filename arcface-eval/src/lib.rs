//! Faces compared, as figures: accuracy by folds, ROC, TAR at FAR, templates, identification, angles, plots and tables.
//! Runs no model and opens no image: embeddings, pairs and scores come in as values.
//!
//! ```
//! use arcface_eval::{Embeddings, verify};
//!
//! // Four embeddings of size 2; rows 0 and 1 show one person, rows 2 and 3 another.
//! let embeddings = Embeddings::normalised(&[2.0, 0.1, 1.0, 0.0, 0.1, 3.0, 0.0, 1.0], 2)?;
//! let pairs = [(0, 1), (0, 2), (2, 3), (1, 3)];
//! let same = [true, false, true, false];
//! let verification = verify(&embeddings.squared_distances(&pairs)?, &same, 2)?;
//! assert!((verification.auc - 1.0).abs() < 1e-12);
//! # Ok::<(), arcface_core::Error>(())
//! ```

pub mod angles;
pub mod baseline;
pub mod bootstrap;
pub mod comparison;
mod exact;
pub mod frechet;
mod grid;
pub mod identification;
pub mod rebuilt;
pub mod report;
pub mod roc;
pub mod rows;
pub mod scores;
pub mod significance;
pub mod similarity;
pub mod template;
pub mod verification;

pub use bootstrap::{AllPairs, Estimate};
pub use comparison::{Comparison, Published, Variant};
pub use frechet::frechet_distance;
pub use roc::{Interval, Roc};
pub use rows::Rows;
pub use scores::{Pairs, TarAtFar, tar_at_far};
pub use similarity::Embeddings;
pub use verification::{FoldSource, Verification, verify, verify_folds};
