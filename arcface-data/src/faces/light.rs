//! Lights the painted picture: direction, gain, colour, gradient, the edge of a shadow.
//! Knows no shapes.

use super::canvas::{Canvas, Rgb};
use super::nuisance::Light;
use super::pose::normal;
use super::shape::rise;

/// Every pixel under `light`.
pub(super) fn light(canvas: &mut Canvas, light: &Light) {
    let (sin, cos) = light.shadow.0.sin_cos();
    let gain = |x: f32, y: f32| {
        let facing = dot(normal(x, y), light.direction).max(0.0);
        let lit = light.ambient + (1.0 - light.ambient) * 1.25 * facing;
        let slope = 1.0 + light.slope.0 * x + light.slope.1 * y;
        let shadow = 1.0 - light.shadow.2 * rise(-0.12, 0.12, x * cos + y * sin - light.shadow.1);
        light.gain * lit * slope.max(0.2) * shadow
    };
    let bend = light.bend;
    canvas.light(gain, |colour, gain| expose(colour, gain, light.cast, bend));
}

/// Clips at white and bends the tone curve: brighter mid tones where `bend` is above 0.
fn expose(colour: Rgb, gain: f32, cast: Rgb, bend: f32) -> Rgb {
    std::array::from_fn(|channel| {
        let value = (colour[channel] * gain * cast[channel]).clamp(0.0, 1.0);
        value + bend * value * (1.0 - value)
    })
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}
