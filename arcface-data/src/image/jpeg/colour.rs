//! From luma and chroma to red, green and blue, with the smoothing and the roundings of libjpeg.
//! Knows no files and no blocks.

use std::num::Wrapping;

use arcface_core::multiversion;

use super::baseline::Plane;

/// Red, green and blue of `width`×`height` pixels from a plane of grey, or of luma, blue and red.
///
/// `sampling`: samples of luma to one of chroma, across and down.
pub(super) fn rgb(width: usize, height: usize, sampling: (usize, usize), planes: &[Plane]) -> Vec<u8> {
    let mut rgb = vec![0; 3 * width * height];
    let (pixels, _) = rgb.as_chunks_mut();
    let rows = pixels.chunks_exact_mut(width).enumerate();
    match planes {
        [luma, chroma @ ..] if !chroma.is_empty() => {
            let (chroma_width, chroma_height) = (width.div_ceil(sampling.0), height.div_ceil(sampling.1));
            let mut wide = chroma.iter().map(|plane| Widener::new(plane, chroma_width, chroma_height, sampling));
            if let (Some(mut blue), Some(mut red)) = (wide.next(), wide.next()) {
                rows.for_each(|(y, out)| convert(&luma.row(y)[..width], blue.row(y), red.row(y), out));
            }
        }
        planes => {
            for (plane, (y, out)) in planes.iter().cycle().zip(rows) {
                out.iter_mut().zip(plane.row(y)).for_each(|(pixel, &grey)| *pixel = [grey; 3]);
            }
        }
    }
    rgb
}

impl Plane {
    fn row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.width..][..self.width]
    }
}

/// Chroma row by row, as wide as luma.
struct Widener<'a> {
    plane: &'a Plane,
    width: usize,
    height: usize,
    sampling: (usize, usize),
    /// Of the two nearest rows, with the first and the last repeated.
    sums: Vec<u16>,
    wide: Vec<[u8; 2]>,
}

/// Three parts of the near and one of the far, in each halved direction.
#[derive(Clone, Copy)]
struct Weights {
    near_row: u16,
    far_row: u16,
    /// What is added before the last bits are cut off, for the left and the right of two pixels.
    rounding: [u16; 2],
    cut: u32,
}

const HALF_ACROSS: Weights = Weights { near_row: 1, far_row: 0, rounding: [1, 2], cut: 2 };
const HALF_BOTH_WAYS: Weights = Weights { near_row: 3, far_row: 1, rounding: [8, 7], cut: 4 };

impl<'a> Widener<'a> {
    fn new(plane: &'a Plane, width: usize, height: usize, sampling: (usize, usize)) -> Self {
        Self { plane, width, height, sampling, sums: vec![0; width + 2], wide: vec![[0; 2]; width] }
    }

    fn row(&mut self, y: usize) -> &[u8] {
        match self.sampling {
            (1, _) => self.plane.row(y),
            (_, 1) => self.smooth(y, y, HALF_ACROSS),
            _ => {
                let far =
                    if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(self.height - 1) };
                self.smooth(y / 2, far, HALF_BOTH_WAYS)
            }
        }
    }

    fn smooth(&mut self, near: usize, far: usize, weights: Weights) -> &[u8] {
        let (near, far) = (&self.plane.row(near)[..self.width], &self.plane.row(far)[..self.width]);
        add(near, far, weights, &mut self.sums[1..=self.width]);
        self.sums[0] = self.sums[1];
        self.sums[self.width + 1] = self.sums[self.width];
        spread(&self.sums, weights, &mut self.wide);
        self.wide.as_flattened()
    }
}

multiversion! {
    fn add[](near: &[u8], far: &[u8], weights: Weights, sums: &mut [u16]) {
        let (near_row, far_row) = (Wrapping(weights.near_row), Wrapping(weights.far_row));
        for ((sum, &near), &far) in sums.iter_mut().zip(near).zip(far) {
            *sum = (near_row * Wrapping(u16::from(near)) + far_row * Wrapping(u16::from(far))).0;
        }
    }

    fn spread[](sums: &[u16], weights: Weights, wide: &mut [[u8; 2]]) {
        let [left_round, right_round] = weights.rounding.map(Wrapping);
        for (((out, &left), &near), &right) in wide.iter_mut().zip(sums).zip(&sums[1..]).zip(&sums[2..]) {
            let near = Wrapping(3) * Wrapping(near);
            let (left, right) = (near + Wrapping(left) + left_round, near + Wrapping(right) + right_round);
            *out = [(left.0 >> weights.cut) as u8, (right.0 >> weights.cut) as u8];
        }
    }

    /// ITU-R BT.601 with factors times 2¹⁶.
    fn convert[](luma: &[u8], blue: &[u8], red: &[u8], out: &mut [[u8; 3]]) {
        let half = Wrapping(1 << 15);
        for (((out, &luma), &blue), &red) in out.iter_mut().zip(luma).zip(blue).zip(red) {
            let luma = Wrapping(i32::from(luma));
            let (blue, red) = (Wrapping(i32::from(blue) - 128), Wrapping(i32::from(red) - 128));
            let colour = [
                luma + ((Wrapping(91_881) * red + half) >> 16),
                luma + ((half - Wrapping(22_554) * blue - Wrapping(46_802) * red) >> 16),
                luma + ((Wrapping(116_130) * blue + half) >> 16),
            ];
            *out = colour.map(|value| value.0.clamp(0, 255) as u8);
        }
    }
}
