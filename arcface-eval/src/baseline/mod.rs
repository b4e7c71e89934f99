//! What can be had without a network: verification by pixels, by gradients' histograms, by a linear classifier.
//! Knows no files: pictures come in as values, and distances go out to [`verify`](crate::verify).
//!
//! Every distance lies within [0, 4] and is smaller for pictures that are more alike, as the squared distance of two
//! unit vectors is, so the same protocol serves them all.
//!
//! ```
//! use arcface_eval::baseline::{Picture, raw_pixel_distances};
//! let striped: Vec<u8> = (0..192).map(|index| if index % 48 < 24 { 200 } else { 0 }).collect();
//! let turned: Vec<u8> = (0..192).map(|index| if index % 6 < 3 { 200 } else { 0 }).collect();
//! let pictures = [Picture::new(8, 8, &striped)?, Picture::new(8, 8, &turned)?];
//! let distances = raw_pixel_distances(&pictures, &[(0, 0), (0, 1)])?;
//! assert!(distances[0] < distances[1]);
//! # Ok::<(), arcface_core::Error>(())
//! ```

pub mod hog;
pub mod logistic;
mod picture;
mod pixels;

pub use hog::{Hog, hog_distances};
pub use logistic::LogisticRegression;
pub use picture::{Grey, Picture};
pub use pixels::{PixelDifferences, raw_pixel_distances};

use arcface_core::{Error, Result};

/// Squared distance 2 − 2·cos of two vectors scaled to length 1; a zero vector is at right angles to everything.
fn unit_distance(a: &[f64], b: &[f64]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths <= 0.0 { 2.0 } else { (2.0 - 2.0 * dot(a, b) / lengths).clamp(0.0, 4.0) }
}

fn check_pairs(pairs: &[(usize, usize)], pictures: usize) -> Result<()> {
    match pairs.iter().find(|(a, b)| pictures <= *a.max(b)) {
        None => Ok(()),
        Some((a, b)) => Err(Error::value("pair", format!("pictures below {pictures}"), format!("({a}, {b})"))),
    }
}
