//! A square of colours in f32, painted through the coordinates of a posed head.
//! Knows no faces: shapes come as functions from a point to a colour and its coverage.

use super::pose::Pose;

/// Red, green and blue, 0 dark, 1 bright.
pub(super) type Rgb = [f32; 3];

/// Colour and coverage (0 leaves the pixel as it is, 1 replaces it).
pub(super) type Ink = (Rgb, f32);

/// `from` at 0, `to` at 1.
pub(super) fn mix(from: Rgb, to: Rgb, amount: f32) -> Rgb {
    [0, 1, 2].map(|channel| lerp(from[channel], to[channel], amount))
}

/// `from` at 0, `to` at 1.
pub(super) fn lerp(from: f32, to: f32, amount: f32) -> f32 {
    from + (to - from) * amount
}

/// Every channel times `factor`.
pub(super) fn scale(colour: Rgb, factor: f32) -> Rgb {
    colour.map(|channel| channel * factor)
}

/// The picture while it is painted.
pub(super) struct Canvas<'a> {
    size: usize,
    pub(super) pixels: Vec<Rgb>,
    pose: &'a Pose,
    /// The point of the face's surface at each pixel.
    surface: Vec<(f32, f32)>,
}

/// A rectangle of pixels, the far edges excluded.
#[derive(Clone, Copy)]
struct Area {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl<'a> Canvas<'a> {
    /// A black square of `size` × `size` seen through `pose`.
    pub(super) fn new(size: usize, pose: &'a Pose) -> Self {
        Self { size, pixels: vec![[0.0; 3]; size * size], pose, surface: surface(size, pose) }
    }

    /// Length of a pixel's edge in the head's units, the width of a soft edge.
    pub(super) fn grain(&self) -> f32 {
        self.pose.grain()
    }

    /// Paints over the whole picture; `ink` takes a point with both coordinates within 0 and 1.
    pub(super) fn over_all(&mut self, ink: impl Fn(f32, f32) -> Ink) {
        let step = 1.0 / self.size as f32;
        self.over(self.whole(), |_, px, py| ink(px * step, py * step));
    }

    /// Paints within `radius` of a point, all in parts of the picture.
    pub(super) fn over_part(&mut self, centre: (f32, f32), radius: f32, ink: impl Fn(f32, f32) -> Ink) {
        let (size, step) = (self.size as f32, 1.0 / self.size as f32);
        let area = self.around((size * centre.0, size * centre.1), size * radius);
        self.over(area, |_, px, py| ink(px * step, py * step));
    }

    /// Paints in the plane of the head within `radius` of a point; `ink` takes a point of that plane.
    pub(super) fn over_plane(&mut self, centre: (f32, f32), radius: f32, ink: impl Fn(f32, f32) -> Ink) {
        self.over_both(centre, radius, |plane, _| ink(plane.0, plane.1));
    }

    /// As [`Canvas::over_plane`], and `ink` also takes the point of the face's surface.
    pub(super) fn over_both(&mut self, centre: (f32, f32), radius: f32, ink: impl Fn((f32, f32), (f32, f32)) -> Ink) {
        let pose = self.pose;
        let area = self.around(pose.to_pixel(centre.0, centre.1), radius / pose.grain());
        self.over(area, |surface, px, py| ink(pose.to_plane(px, py), surface));
    }

    /// Paints on the turned surface of the face within `radius` of a point of it.
    pub(super) fn over_face(&mut self, centre: (f32, f32), radius: f32, ink: impl Fn(f32, f32) -> Ink) {
        let (x, y) = self.pose.turn_out(centre.0, centre.1);
        // Turning stretches the near side by up to a half.
        let area = self.around(self.pose.to_pixel(x, y), 1.5 * radius / self.pose.grain());
        self.over(area, |(u, v), _, _| ink(u, v));
    }

    /// Changes every pixel by the `gain` at its point of the head's plane.
    pub(super) fn light(&mut self, gain: impl Fn(f32, f32) -> f32, change: impl Fn(Rgb, f32) -> Rgb) {
        let mut gains = vec![0.0; self.size];
        for (row, line) in self.pixels.chunks_exact_mut(self.size).enumerate() {
            // A loop of its own over the gains lets the compiler compute several at once.
            for (column, value) in gains.iter_mut().enumerate() {
                let (x, y) = self.pose.to_plane(column as f32 + 0.5, row as f32 + 0.5);
                *value = gain(x, y);
            }
            for (pixel, &gain) in line.iter_mut().zip(&gains) {
                *pixel = change(*pixel, gain);
            }
        }
    }

    fn over(&mut self, area: Area, ink: impl Fn((f32, f32), f32, f32) -> Ink) {
        for row in area.top..area.bottom {
            let (from, to) = (row * self.size + area.left, row * self.size + area.right);
            let places = self.surface[from..to].iter().zip(area.left..);
            for (pixel, (surface, column)) in self.pixels[from..to].iter_mut().zip(places) {
                let (colour, coverage) = ink(*surface, column as f32 + 0.5, row as f32 + 0.5);
                if 0.0 < coverage {
                    *pixel = mix(*pixel, colour, coverage);
                }
            }
        }
    }

    fn whole(&self) -> Area {
        Area { left: 0, right: self.size, top: 0, bottom: self.size }
    }

    /// The square around a pixel that reaches as far as `reach` pixels, within the picture.
    fn around(&self, (px, py): (f32, f32), reach: f32) -> Area {
        let clamp = |value: f32| value.clamp(0.0, self.size as f32) as usize;
        let (left, right) = (clamp(px - reach - 1.0), clamp(px + reach + 2.0));
        let (top, bottom) = (clamp(py - reach - 1.0), clamp(py + reach + 2.0));
        Area { left, right, top, bottom }
    }
}

/// The point of the face's surface at each pixel.
fn surface(size: usize, pose: &Pose) -> Vec<(f32, f32)> {
    let mut points = vec![(0.0, 0.0); size * size];
    for (row, line) in points.chunks_exact_mut(size).enumerate() {
        for (column, point) in line.iter_mut().enumerate() {
            let (x, y) = pose.to_plane(column as f32 + 0.5, row as f32 + 0.5);
            *point = pose.turn_in(x, y);
        }
    }
    points
}
