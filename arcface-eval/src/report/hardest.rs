//! The pairs that a network gets most wrong: one person far apart, two persons close together.
//! Knows no faces, only which pair of the list it was.

use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::Embeddings;

/// Listed pairs whose distances are held at a time.
const BLOCK: usize = 1 << 18;

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

/// The `most` hardest of listed pairs of each kind by the cosines of their embeddings, which are made block by block.
///
/// ```
/// use arcface_eval::{Embeddings, report::hardest_listed};
/// let embeddings = Embeddings::normalised(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 2)?;
/// let hardest = hardest_listed(&embeddings, &[(0, 1), (1, 2), (0, 2)], &[true, false, true], 1)?;
/// assert_eq!((hardest.genuine[0].index, hardest.impostors[0].index), (0, 1));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If the lengths differ, or a pair names a row that is not there.
pub fn hardest_listed(embeddings: &Embeddings, pairs: &[(u32, u32)], same: &[bool], most: usize) -> Result<Hardest> {
    if pairs.len() != same.len() {
        return Err(Error::value("labels of pairs", format!("one per pair, {}", pairs.len()), same.len()));
    }
    let mut found = Hardest { genuine: Vec::new(), impostors: Vec::new() };
    for (block, (pairs, same)) in pairs.chunks(BLOCK).zip(same.chunks(BLOCK)).enumerate() {
        let pairs: Vec<(usize, usize)> = pairs.iter().map(|&(a, b)| (a as usize, b as usize)).collect();
        let mut of_block = hardest(&embeddings.squared_distances(&pairs)?, same, most)?;
        let numbered = of_block.genuine.iter_mut().chain(&mut of_block.impostors);
        numbered.for_each(|pair| pair.index += block * BLOCK);
        found.merge(of_block, most);
    }
    Ok(found)
}

impl Hardest {
    /// Keeps the `most` hardest of these and `others`, which come later in the list.
    fn merge(&mut self, others: Self, most: usize) {
        self.genuine.extend(others.genuine);
        self.impostors.extend(others.impostors);
        // Sorting keeps the order of equals.
        self.genuine.sort_by(|a, b| b.distance.total_cmp(&a.distance));
        self.impostors.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        self.genuine.truncate(most);
        self.impostors.truncate(most);
    }
}
