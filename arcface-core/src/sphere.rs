//! Geometry on the unit sphere for plain slices: unit vectors, cosines, angles, and derivatives that stay finite.
//! Knows no tensors, classes or losses.

use candle_core::DType;

/// The smallest norm that is divided by, so that a zero vector has a finite direction (zero) and gradient.
pub const NORM_FLOOR: f64 = 1e-12;

/// The smallest sine that is divided by: 1e-8 in f64, 1e-4 in narrower types, whose cosine is less exact.
pub fn sine_floor(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-8 } else { 1e-4 }
}

/// ‖v‖, not below [`NORM_FLOOR`].
pub fn norm(v: &[f64]) -> f64 {
    dot(v, v).sqrt().max(NORM_FLOOR)
}

/// a·b.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// v/‖v‖; a zero vector stays zero.
///
/// ```
/// assert_eq!(arcface_core::sphere::unit(&[3.0, 4.0]), [0.6, 0.8]);
/// assert_eq!(arcface_core::sphere::unit(&[0.0, 0.0]), [0.0, 0.0]);
/// ```
pub fn unit(v: &[f64]) -> Vec<f64> {
    let norm = norm(v);
    v.iter().map(|x| x / norm).collect()
}

/// cosθ between `a` and `b`, within [−1, 1].
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    (dot(a, b) / (norm(a) * norm(b))).clamp(-1.0, 1.0)
}

/// The angle between `a` and `b` in radians, exact for nearly parallel vectors too.
///
/// ```
/// let angle = arcface_core::sphere::angle(&[1.0, 0.0], &[1.0, 1e-9]);
/// assert!((angle - 1e-9).abs() < 1e-15); // arccos of the cosine would give 0
/// ```
pub fn angle(a: &[f64], b: &[f64]) -> f64 {
    // Kahan: θ = 2·atan2(‖u − v‖, ‖u + v‖) for unit u, v; arccos loses half of the digits near 0 and π.
    let (u, v) = (unit(a), unit(b));
    let (apart, along) =
        u.iter().zip(&v).fold((0.0, 0.0), |(d, s), (u, v)| (d + (u - v) * (u - v), s + (u + v) * (u + v)));
    2.0 * apart.sqrt().atan2(along.sqrt())
}

/// sinθ = √(1 − cos²θ), not below `floor`.
pub fn sine(cosine: f64, floor: f64) -> f64 {
    // (1 − c)(1 + c) keeps the digits that 1 − c² loses near ±1; clamp so that rounding beyond ±1 gives no NaN.
    ((1.0 - cosine) * (1.0 + cosine)).max(0.0).sqrt().max(floor)
}

/// θ = arccos(cosine) with the cosine clamped to [−1, 1], and dθ/dcosθ = −1/max(sinθ, floor).
///
/// The clamp passes the gradient through, so that an embedding on its center still has one.
pub fn arccos(cosine: f64, floor: f64) -> (f64, f64) {
    (cosine.clamp(-1.0, 1.0).acos(), -1.0 / sine(cosine, floor))
}
