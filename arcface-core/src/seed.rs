//! Random numbers as pure functions of (seed, purpose, step, index).
//! Knows no generator state: resuming needs none, and prefetching changes nothing.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are drawn for; streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights of a network.
    Weights = 1,
    /// Initial class centers.
    Centers = 2,
    /// Order of the samples in an epoch.
    Sampling = 3,
    /// Flips and other augmentation.
    Augmentation = 4,
    /// Dropout masks.
    Dropout = 5,
    /// Random margins (`ElasticFace`).
    Margin = 6,
    /// Identities and nuisance of procedural faces.
    Procedural = 7,
    /// Choice of pairs for verification.
    Pairs = 8,
    /// Sampled negative class centers (Partial-FC).
    Negatives = 9,
    /// Label noise.
    Noise = 10,
    /// Images synthesised from noise.
    Synthesis = 11,
    /// Resampling for confidence intervals.
    Bootstrap = 12,
    /// Inputs of tests and benches.
    Testing = 13,
}

/// The generator for one (seed, purpose, step, index).
///
/// The four numbers fill the 256-bit key of ChaCha8, so that distinct arguments give unrelated streams.
///
/// ```
/// use arcface_core::seed::{Purpose, rng};
/// use rand::Rng;
/// let draw = |index| rng(7, Purpose::Sampling, 0, index).random::<u64>();
/// assert_eq!(draw(1), draw(1));
/// assert_ne!(draw(1), draw(2));
/// ```
pub fn rng(seed: u64, purpose: Purpose, step: u64, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, step, index]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// A stable 64-bit number for a name, to use as `index` of [`rng`] (FNV-1a).
pub fn name_index(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
