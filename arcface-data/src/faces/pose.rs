//! From pixels to the plane of the head and on to the turned surface of the face, and back.
//! Knows no shapes and no colours.
//!
//! The head's plane has its origin in the middle of the face, x to the right, y down and the chin near y = 1.
//! The face's surface is an ellipsoid over that plane; turning the head slides what is drawn on it against its
//! outline, as a real turn does.

use super::nuisance::PoseNuisance;

/// Half axes of the ellipsoid: across, along and towards the viewer.
const ACROSS: f32 = 0.98;
const ALONG: f32 = 1.3;
const DEPTH: f32 = 0.7;

/// What the ellipsoid's equation needs of them.
const INVERSE_SQUARES: [f32; 3] = [1.0 / (ACROSS * ACROSS), 1.0 / (ALONG * ALONG), 1.0 / (DEPTH * DEPTH)];

/// Where the head stands in the picture and how it is turned.
#[derive(Debug, Clone)]
pub(super) struct Pose {
    centre: (f32, f32),
    unit: f32,
    grain: f32,
    roll: (f32, f32),
    yaw: (f32, f32),
    pitch: (f32, f32),
}

impl Pose {
    /// The pose of a head in a picture of `size` × `size` pixels.
    pub(super) fn new(nuisance: &PoseNuisance, size: usize) -> Self {
        let size = size as f32;
        let unit = 0.42 * size * nuisance.zoom;
        Self {
            centre: (size * (0.5 + nuisance.shift.0), size * (0.52 + nuisance.shift.1)),
            unit,
            grain: 1.0 / unit,
            roll: nuisance.roll.sin_cos(),
            yaw: nuisance.yaw.sin_cos(),
            pitch: nuisance.pitch.sin_cos(),
        }
    }

    /// Length of a pixel's edge in the plane's units.
    pub(super) fn grain(&self) -> f32 {
        self.grain
    }

    /// Pixels to the head's plane.
    pub(super) fn to_plane(&self, px: f32, py: f32) -> (f32, f32) {
        let (dx, dy) = (px - self.centre.0, py - self.centre.1);
        let (sin, cos) = self.roll;
        ((cos * dx + sin * dy) * self.grain, (cos * dy - sin * dx) * self.grain)
    }

    /// The head's plane to pixels.
    pub(super) fn to_pixel(&self, x: f32, y: f32) -> (f32, f32) {
        let (sin, cos) = self.roll;
        (self.centre.0 + self.unit * (cos * x - sin * y), self.centre.1 + self.unit * (sin * x + cos * y))
    }

    /// The head's plane to the face's surface.
    pub(super) fn turn_in(&self, x: f32, y: f32) -> (f32, f32) {
        let z = height(x, y);
        let ahead = x * self.yaw.0 + z * self.yaw.1;
        (x * self.yaw.1 - z * self.yaw.0, y * self.pitch.1 - ahead * self.pitch.0)
    }

    /// The face's surface to the head's plane: the inverse of [`Pose::turn_in`] by iteration.
    pub(super) fn turn_out(&self, u: f32, v: f32) -> (f32, f32) {
        (0..5).fold((u, v), |(x, y), _| {
            let z = height(x, y);
            let x = (u + z * self.yaw.0) / self.yaw.1;
            let ahead = x * self.yaw.0 + z * self.yaw.1;
            (x, (v + ahead * self.pitch.0) / self.pitch.1)
        })
    }
}

/// Height of the ellipsoid over the head's plane; it flattens out where the plane leaves the head.
fn height(x: f32, y: f32) -> f32 {
    let [across, along, _] = INVERSE_SQUARES;
    DEPTH * (1.0 - x * x * across - y * y * along).max(0.03).sqrt()
}

/// The unit normal of the ellipsoid, towards the viewer.
pub(super) fn normal(x: f32, y: f32) -> [f32; 3] {
    let [across, along, towards] = INVERSE_SQUARES;
    let (nx, ny, nz) = (x * across, y * along, height(x, y) * towards);
    let shrink = 1.0 / (nx * nx + ny * ny + nz * nz).sqrt();
    [nx * shrink, ny * shrink, nz * shrink]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_back_undo_ways_forth() {
        let nuisance = PoseNuisance { shift: (0.05, -0.03), zoom: 1.1, roll: 0.3, yaw: 0.35, pitch: -0.2 };
        let pose = Pose::new(&nuisance, 112);
        for (x, y) in [(0.0, 0.0), (0.4, -0.3), (-0.4, 0.5)] {
            let (px, py) = pose.to_pixel(x, y);
            close(pose.to_plane(px, py), (x, y));
            let (u, v) = pose.turn_in(x, y);
            close(pose.turn_out(u, v), (x, y));
        }
    }

    fn close(left: (f32, f32), right: (f32, f32)) {
        assert!((left.0 - right.0).abs() < 5e-3 && (left.1 - right.1).abs() < 5e-3, "{left:?} {right:?}");
    }
}
