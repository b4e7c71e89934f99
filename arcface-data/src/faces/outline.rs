//! The outline of a head: its radius by direction, from five measures.
//! Knows no canvas and no colours.

use std::f32::consts::FRAC_PI_2;

/// Steps of the table over a half turn.
const STEPS: usize = 64;

/// Radius of a head from its middle, alike on both sides.
#[derive(Debug, Clone)]
pub(super) struct Outline {
    radii: [f32; STEPS + 2],
}

/// The radii that make an outline, from top to bottom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measures {
    /// Straight up.
    pub(super) crown: f32,
    /// Half-way between up and sideways.
    pub(super) temple: f32,
    /// Sideways.
    pub(super) cheek: f32,
    /// Half-way between sideways and down.
    pub(super) jaw: f32,
    /// A sixth of a half turn from straight down.
    pub(super) chin_corner: f32,
    /// Straight down.
    pub(super) chin: f32,
}

impl Outline {
    /// The smooth outline through `measures`.
    pub(super) fn new(measures: &Measures) -> Self {
        let radii = std::array::from_fn(|step| {
            let rank = (2.0 * step as f32 / STEPS as f32 - 1.0).min(1.0);
            radius_at(measures, angle_of(rank))
        });
        Self { radii }
    }

    /// Radius in the direction of (x, y).
    pub(super) fn radius(&self, x: f32, y: f32) -> f32 {
        let rank = y / (x.abs() + y.abs()).max(1e-6);
        let place = (rank + 1.0) * (0.5 * STEPS as f32);
        let step = place as usize;
        let rest = place - step as f32;
        self.radii[step] + (self.radii[step + 1] - self.radii[step]) * rest
    }

    /// Distance of (x, y) to the outline, negative inside.
    pub(super) fn distance(&self, x: f32, y: f32) -> f32 {
        (x * x + y * y).sqrt() - self.radius(x, y)
    }
}

/// The angle below the x axis of a point with y / (|x| + |y|) = `rank`.
fn angle_of(rank: f32) -> f32 {
    rank.atan2(1.0 - rank.abs())
}

/// A cubic (Catmull–Rom) curve through the measures, mirrored beyond both ends.
fn radius_at(measures: &Measures, angle: f32) -> f32 {
    let Measures { crown, temple, cheek, jaw, chin_corner, chin } = *measures;
    let knots = [(-1.0, crown), (-0.5, temple), (0.0, cheek), (0.5, jaw), (0.72, chin_corner), (1.0, chin)];
    let at = angle / FRAC_PI_2;
    let next = (1..knots.len() - 1).find(|&index| at < knots[index].0).unwrap_or(knots.len() - 1);
    let before = if 1 < next { knots[next - 2] } else { (-1.5, temple) };
    let after = *knots.get(next + 1).unwrap_or(&(1.28, chin_corner));
    hermite([before, knots[next - 1], knots[next], after], at)
}

fn hermite(points: [(f32, f32); 4], at: f32) -> f32 {
    let slope = |from: usize, to: usize| (points[to].1 - points[from].1) / (points[to].0 - points[from].0);
    let length = points[2].0 - points[1].0;
    let t = (at - points[1].0) / length;
    let (start, end) = (slope(0, 2) * length, slope(1, 3) * length);
    let (t2, t3) = (t * t, t * t * t);
    (2.0 * t3 - 3.0 * t2 + 1.0) * points[1].1
        + (t3 - 2.0 * t2 + t) * start
        + (3.0 * t2 - 2.0 * t3) * points[2].1
        + (t3 - t2) * end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_goes_through_its_measures() {
        let measures = Measures { crown: 1.0, temple: 0.9, cheek: 0.75, jaw: 0.85, chin_corner: 0.93, chin: 1.1 };
        let outline = Outline::new(&measures);
        for ((x, y), radius) in [((0.0, -1.0), 1.0), ((1.0, 0.0), 0.75), ((-1.0, 1.0), 0.85), ((0.0, 1.0), 1.1)] {
            assert!((outline.radius(x, y) - radius).abs() < 0.01, "({x}, {y}): {}", outline.radius(x, y));
        }
    }
}
