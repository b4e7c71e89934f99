//! The pairs that a network gets most wrong: one person far apart, two persons close together.
//! Knows no faces, only which pair of the list it was.

use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The hardest pairs of a verification, the hardest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hardest {
    /// Genuine pairs of the greatest distances.
    pub genuine: Vec<HardPair>,
    /// Impostor pairs of the smallest distances.
    pub impostors: Vec<HardPair>,
}

/// One pair of the list.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HardPair {
    /// Its place in the list, from 0.
    pub index: usize,
    /// Its distance.
    pub distance: f64,
}

/// The `most` hardest pairs of each kind; of equal distances the one that comes first in the list is harder.
///
/// ```
/// use arcface_eval::report::hardest;
/// let hardest = hardest(&[0.2, 1.9, 1.4, 0.7], &[true, false, true, false], 1)?;
/// assert_eq!((hardest.genuine[0].index, hardest.impostors[0].index), (2, 3));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If the lengths differ, or a distance is not a number.
pub fn hardest(distances: &[f64], same: &[bool], most: usize) -> Result<Hardest> {
    if distances.len() != same.len() {
        return Err(Error::value("distances", format!("one per pair, {}", same.len()), distances.len()));
    }
    if let Some(index) = distances.iter().position(|distance| distance.is_nan()) {
        return Err(Error::value(format!("distance of pair {index}"), "a number", "NaN"));
    }
    let of_kind = |kind: bool| {
        let pairs = distances.iter().zip(same).enumerate().filter(move |(_, (_, same))| **same == kind);
        pairs.map(|(index, (&distance, _))| HardPair { index, distance }).collect::<Vec<_>>()
    };
    let (mut genuine, mut impostors) = (of_kind(true), of_kind(false));
    genuine.sort_by(|a, b| b.distance.total_cmp(&a.distance));
    impostors.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    genuine.truncate(most);
    impostors.truncate(most);
    Ok(Hardest { genuine, impostors })
}
