//! Lights the painted picture: direction, gain, colour, gradient, the edge of a shadow.
//! Knows no shapes.

use super::canvas::{Canvas, Rgb};
use super::nuisance::Light;
use super::pose::normal;
use super::shape::rise;

/// Every pixel under `light`.
pub(super) fn light(canvas: &mut Canvas, light: &Light) {
    let (sin, cos) = light.shadow.0.sin_cos();
    let tone = Tone::new(light.gamma);
    canvas.filter(|x, y, colour| {
        let facing = dot(normal(x, y), light.direction).max(0.0);
        let lit = light.ambient + (1.0 - light.ambient) * 1.25 * facing;
        let slope = 1.0 + light.slope.0 * x + light.slope.1 * y;
        let shadow = 1.0 - light.shadow.2 * rise(-0.12, 0.12, x * cos + y * sin - light.shadow.1);
        let gain = light.gain * lit * slope.max(0.2) * shadow;
        expose(colour, gain, light.cast, &tone)
    });
}

fn expose(colour: Rgb, gain: f32, cast: Rgb, tone: &Tone) -> Rgb {
    std::array::from_fn(|channel| tone.of(colour[channel] * gain * cast[channel]))
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// A tone curve x^gamma on [0, 1], from a table.
struct Tone {
    table: [f32; Tone::STEPS + 2],
}

impl Tone {
    const STEPS: usize = 64;

    fn new(gamma: f32) -> Self {
        Self { table: std::array::from_fn(|step| (step as f32 / Self::STEPS as f32).powf(gamma)) }
    }

    fn of(&self, value: f32) -> f32 {
        let place = value.clamp(0.0, 1.0) * Self::STEPS as f32;
        let step = place as usize;
        self.table[step] + (self.table[step + 1] - self.table[step]) * (place - step as f32)
    }
}
