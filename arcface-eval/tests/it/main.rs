//! Tests of the public interface: golden numbers, oracles, properties, messages, pictures.
//! Knows no private function.

#![allow(clippy::unwrap_used)]

mod angles;
mod baseline;
mod bootstrap;
mod comparison;
mod golden;
mod hardest;
mod identification;
mod messages;
mod oracle;
mod page;
mod pictures;
#[cfg(feature = "png")]
mod plots;
#[cfg(feature = "png")]
mod png;
mod properties;
mod rates;
mod scores;
mod significance;
mod similarity;
mod template;

use arcface_eval::Embeddings;

/// Scored pairs made by formula: distances with two digits after the point (many ties, many on the threshold grid).
pub(crate) fn formula_pairs(pairs: usize) -> (Vec<f64>, Vec<bool>) {
    let pair = |index: usize| {
        let same = index.is_multiple_of(2);
        let u = (index as f64 * 0.618_033_988_749_894_9) % 1.0;
        let w = (index as f64 * 0.414_213_562_373_095_1) % 1.0;
        let distance = if same { 2.4 * u * w + 0.3 } else { 4.0 - 2.7 * u * (1.0 - w) };
        ((distance * 100.0).round_ties_even() / 100.0, same)
    };
    (0..pairs).map(pair).unzip()
}

/// N embeddings of small whole numbers made by formula, scaled to length 1; identity k has the faces k, k + C, ….
pub(crate) fn formula_faces(faces: usize, size: usize, identities: usize) -> (Embeddings, Vec<u32>) {
    let value = |face: usize, at: usize| {
        let own = (face % identities * 31 + at * 17 + face % identities * at * 7) % 23;
        let noise = (face * 13 + at * at * 5 + face * at * 3) % 29;
        3.0 * own as f32 + 2.0 * noise as f32 - 61.0
    };
    let values: Vec<f32> = (0..faces * size).map(|index| value(index / size, index % size)).collect();
    (Embeddings::normalised(&values, size).unwrap(), (0..faces).map(|face| (face % identities) as u32).collect())
}

pub(crate) fn assert_near(got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance, "expected {expected}, got {got}");
}
