//! Short words for drawing numbers and colours.
//! Knows no faces.

use rand::Rng;

use super::canvas::Rgb;

/// Uniform between two bounds.
pub(super) fn between(rng: &mut impl Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// Uniform within ±`reach`.
pub(super) fn around(rng: &mut impl Rng, reach: f32) -> f32 {
    between(rng, -reach, reach)
}

/// True with a probability; always takes one number from the generator.
pub(super) fn chance(rng: &mut impl Rng, probability: f32) -> bool {
    rng.random::<f32>() < probability
}

/// Any colour between dark and bright.
pub(super) fn colour(rng: &mut impl Rng) -> Rgb {
    std::array::from_fn(|_| between(rng, 0.05, 0.95))
}
