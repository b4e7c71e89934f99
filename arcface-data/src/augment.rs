//! What is done to an image before the network sees it: a coin for the mirror image, optional changes of place, light
//! and detail, normalisation. Knows no files and no labels; every draw is a function of (seed, step, place in the batch).

use std::fmt;
use std::str::FromStr;

use arcface_core::seed::{Purpose, rng};
use arcface_core::{Error, Result};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::image::Image;

/// How bytes 0..=255 become the numbers that a network takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Normalisation {
    /// (x − 127.5) / 127.5
    #[default]
    #[serde(rename = "127.5")]
    By127_5,
    /// (x − 127.5) / 128
    #[serde(rename = "128")]
    By128,
    /// (x / 255 − mean) / deviation with mean (0.485, 0.456, 0.406) and deviation (0.229, 0.224, 0.225).
    #[serde(rename = "imagenet")]
    ImageNet,
}

const NORMALISATIONS: [(&str, Normalisation); 3] =
    [("127.5", Normalisation::By127_5), ("128", Normalisation::By128), ("imagenet", Normalisation::ImageNet)];

impl Normalisation {
    /// The value of each byte, per channel.
    pub fn table(self) -> [[f32; 256]; 3] {
        std::array::from_fn(|channel| std::array::from_fn(|byte| self.value(channel, byte as f64) as f32))
    }

    fn value(self, channel: usize, byte: f64) -> f64 {
        const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
        const DEVIATION: [f64; 3] = [0.229, 0.224, 0.225];
        match self {
            Self::By127_5 => (byte - 127.5) / 127.5,
            Self::By128 => (byte - 127.5) / 128.0,
            Self::ImageNet => (byte / 255.0 - MEAN[channel]) / DEVIATION[channel],
        }
    }
}

impl fmt::Display for Normalisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NORMALISATIONS.iter().filter(|(_, known)| known == self).try_for_each(|(name, _)| f.write_str(name))
    }
}

impl FromStr for Normalisation {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        let found = NORMALISATIONS.iter().find(|(known, _)| *known == name);
        let unknown = || Error::unknown("normalisation", name, NORMALISATIONS.map(|(known, _)| known));
        found.map(|(_, normalisation)| *normalisation).ok_or_else(unknown)
    }
}

/// Changes beyond the mirror image, for small data sets; all off by default.
///
/// Amounts are drawn uniformly within ± the strength, places uniformly within the image.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Largest shift in pixels along each axis; what moves in repeats the edge. 0..=32
    pub shift: f64,
    /// Largest rotation in degrees. 0..=45
    pub rotation: f64,
    /// Largest change of size: a factor within 1 ± this. 0..=0.5
    pub zoom: f64,
    /// Largest change of brightness as a fraction of white. 0..=1
    pub brightness: f64,
    /// Largest change of the distance from the mean grey: a factor within 1 ± this. 0..=1
    pub contrast: f64,
    /// Largest change of the distance of colours from grey: a factor within 1 ± this. 0..=1
    pub saturation: f64,
    /// Probability of a grey image. 0..=1
    pub grey: f64,
    /// Probability of an image that was reduced to between a quarter and all of its size and enlarged again. 0..=1
    pub low_resolution: f64,
    /// Probability that a rectangle of 2 to 20 % of the area is replaced by one random colour. 0..=1
    pub erasing: f64,
}

impl Augmentation {
    /// Whether every strength lies within its range.
    ///
    /// # Errors
    /// If one does not; the error names it.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("shift", self.shift, 32.0),
            ("rotation", self.rotation, 45.0),
            ("zoom", self.zoom, 0.5),
            ("brightness", self.brightness, 1.0),
            ("contrast", self.contrast, 1.0),
            ("saturation", self.saturation, 1.0),
            ("grey", self.grey, 1.0),
            ("low_resolution", self.low_resolution, 1.0),
            ("erasing", self.erasing, 1.0),
        ];
        match ranges.iter().find(|(_, strength, largest)| !(0.0 <= *strength && strength <= largest)) {
            Some((name, strength, largest)) => {
                Err(Error::value(format!("augmentation `{name}`"), format!("0 <= {name} <= {largest}"), strength))
            }
            None => Ok(()),
        }
    }

    /// Whether nothing is changed.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// The image with changes drawn from `rng`; the same numbers are drawn whatever the image.
    pub fn apply(&self, image: Image, rng: &mut impl Rng) -> Image {
        let mut image = self.moved(image, rng);
        self.relight(&mut image, rng);
        if chance(self.low_resolution, rng) {
            image = coarse(&image, rng.random_range(0.25..1.0));
        }
        if chance(self.erasing, rng) {
            erase(&mut image, rng);
        }
        image
    }

    fn moved(&self, image: Image, rng: &mut impl Rng) -> Image {
        let shift = [symmetric(self.shift, rng), symmetric(self.shift, rng)];
        let angle = symmetric(self.rotation, rng).to_radians();
        let zoom = 1.0 + symmetric(self.zoom, rng);
        if self.rotation <= 0.0 && self.zoom <= 0.0 {
            // Whole pixels keep the image as sharp as it was.
            let shift = shift.map(f64::round);
            return if self.shift <= 0.0 { image } else { warp(&image, 0.0, 1.0, shift) };
        }
        warp(&image, angle, zoom, shift)
    }

    fn relight(&self, image: &mut Image, rng: &mut impl Rng) {
        let brightness = (255.0 * symmetric(self.brightness, rng)) as f32;
        let contrast = (1.0 + symmetric(self.contrast, rng)) as f32;
        let drawn = (1.0 + symmetric(self.saturation, rng)) as f32;
        let saturation = if chance(self.grey, rng) { 0.0 } else { drawn };
        if self.brightness <= 0.0 && self.contrast <= 0.0 && self.saturation <= 0.0 && self.grey <= 0.0 {
            return;
        }
        let mean = image.rgb.chunks_exact(3).map(|pixel| f64::from(grey(pixel))).sum::<f64>();
        let mean = (mean / (image.width * image.height) as f64) as f32;
        for pixel in image.rgb.chunks_exact_mut(3) {
            let grey = grey(pixel);
            for value in pixel {
                let coloured = grey + saturation * (f32::from(*value) - grey);
                *value = (mean + contrast * (coloured - mean) + brightness).round().clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// Whether the image at place `index` of the batch is mirrored: a fair coin.
pub fn flips(seed: u64, step: u64, index: u64) -> bool {
    rng(seed, Purpose::Augmentation, step, 2 * index).random()
}

/// The generator of the other changes of that image; the coin does not depend on which of them are on.
pub(crate) fn changes(seed: u64, step: u64, index: u64) -> impl Rng {
    rng(seed, Purpose::Augmentation, step, 2 * index + 1)
}

/// Which way round an image is laid into a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Facing {
    /// As it is.
    AsIs,
    /// Left and right exchanged.
    Mirrored,
}

/// Lays an image into `out` as normalised planes.
///
/// # Shapes
/// `out`: (3, H, W) with the sides of the image.
///
/// # Panics
/// If `out` has another length than height · width · 3.
pub fn lay(image: &Image, table: &[[f32; 256]; 3], facing: Facing, out: &mut [f32]) {
    assert_eq!(out.len(), image.rgb.len(), "a plane per channel of the image");
    for (channel, (plane, table)) in out.chunks_exact_mut(image.width * image.height).zip(table).enumerate() {
        let rows = plane.chunks_exact_mut(image.width).zip(image.rgb.chunks_exact(3 * image.width));
        for (row, pixels) in rows {
            let values = pixels.chunks_exact(3).map(|pixel| table[usize::from(pixel[channel])]);
            match facing {
                Facing::AsIs => row.iter_mut().zip(values).for_each(|(out, value)| *out = value),
                Facing::Mirrored => row.iter_mut().rev().zip(values).for_each(|(out, value)| *out = value),
            }
        }
    }
}

/// The mirror images of a batch.
///
/// # Shapes
/// `images`: (…, W) → the same.
pub fn mirrored(images: &[f32], width: usize) -> Vec<f32> {
    images.chunks(width).flat_map(|row| row.iter().rev().copied()).collect()
}

fn symmetric(strength: f64, rng: &mut impl Rng) -> f64 {
    strength * rng.random_range(-1.0..=1.0)
}

fn chance(probability: f64, rng: &mut impl Rng) -> bool {
    rng.random::<f64>() < probability
}

/// ITU-R BT.601 luma.
fn grey(pixel: &[u8]) -> f32 {
    0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2])
}

/// The image turned by `angle` and enlarged by `zoom` about its middle, then shifted, sampled bilinearly.
fn warp(image: &Image, angle: f64, zoom: f64, shift: [f64; 2]) -> Image {
    let (sin, cos) = angle.sin_cos();
    let middle = [(image.width - 1) as f64 / 2.0, (image.height - 1) as f64 / 2.0];
    let mut rgb = Vec::with_capacity(image.rgb.len());
    for y in 0..image.height {
        for x in 0..image.width {
            let (dx, dy) = (x as f64 - middle[0] - shift[0], y as f64 - middle[1] - shift[1]);
            let source = [middle[0] + (cos * dx + sin * dy) / zoom, middle[1] + (cos * dy - sin * dx) / zoom];
            rgb.extend(bilinear(image, source[0] as f32, source[1] as f32));
        }
    }
    Image { width: image.width, height: image.height, rgb }
}

/// The colour at (x, y); outside of the image that of the nearest edge.
fn bilinear(image: &Image, x: f32, y: f32) -> [u8; 3] {
    let x = x.clamp(0.0, (image.width - 1) as f32);
    let y = y.clamp(0.0, (image.height - 1) as f32);
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(image.width - 1), (top + 1).min(image.height - 1));
    let (fx, fy) = (x - left as f32, y - top as f32);
    let corners = [(left, top), (right, top), (left, bottom), (right, bottom)].map(|(x, y)| image.pixel(x, y));
    let weights = [(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy];
    std::array::from_fn(|channel| {
        let terms = corners.iter().zip(weights).map(|(corner, weight)| weight * f32::from(corner[channel]));
        terms.sum::<f32>().round() as u8
    })
}

/// The image reduced to `fraction` of its size by area means and enlarged again.
fn coarse(image: &Image, fraction: f64) -> Image {
    let reduced = |side: usize| ((side as f64 * fraction).round() as usize).clamp(1, side);
    let small = reduce(image, reduced(image.width), reduced(image.height));
    enlarge(&small, image.width, image.height)
}

fn reduce(image: &Image, width: usize, height: usize) -> Image {
    let mut rgb = Vec::with_capacity(3 * width * height);
    for row in 0..height {
        let rows = row * image.height / height..((row + 1) * image.height).div_ceil(height);
        for column in 0..width {
            let columns = column * image.width / width..((column + 1) * image.width).div_ceil(width);
            rgb.extend(mean_colour(image, columns, rows.clone()));
        }
    }
    Image { width, height, rgb }
}

fn mean_colour(image: &Image, columns: std::ops::Range<usize>, rows: std::ops::Range<usize>) -> [u8; 3] {
    let count = (columns.len() * rows.len()) as u32;
    let mut sums = [0_u32; 3];
    for y in rows {
        for x in columns.clone() {
            let pixel = image.pixel(x, y);
            sums = std::array::from_fn(|channel| sums[channel] + u32::from(pixel[channel]));
        }
    }
    sums.map(|sum| ((sum + count / 2) / count) as u8)
}

fn enlarge(image: &Image, width: usize, height: usize) -> Image {
    let at = |place: usize, from: usize, to: usize| (place as f32 + 0.5) * from as f32 / to as f32 - 0.5;
    let mut rgb = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        let source = at(y, image.height, height);
        rgb.extend((0..width).flat_map(|x| bilinear(image, at(x, image.width, width), source)));
    }
    Image { width, height, rgb }
}

/// Replaces a rectangle of 2 to 20 % of the area, between half and twice as wide as high, by one random colour.
fn erase(image: &mut Image, rng: &mut impl Rng) {
    let area = rng.random_range(0.02..0.2) * (image.width * image.height) as f64;
    let aspect = rng.random_range(-1.0_f64..1.0).exp2();
    let side = |length: f64, limit: usize| (length.round() as usize).clamp(1, limit);
    let (width, height) = (side((area * aspect).sqrt(), image.width), side((area / aspect).sqrt(), image.height));
    let left = rng.random_range(0..=(image.width - width) as u32) as usize;
    let top = rng.random_range(0..=(image.height - height) as u32) as usize;
    let colour: [u8; 3] = rng.random();
    for y in top..top + height {
        let start = 3 * (y * image.width + left);
        image.rgb[start..start + 3 * width].copy_from_slice(&colour.repeat(width));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arcface_core::seed::{Purpose, rng};

    /// Column and row as red and green.
    fn chart(size: usize) -> Image {
        let pixels = (0..size).flat_map(|y| (0..size).flat_map(move |x| [x as u8, y as u8, 128]));
        Image::new(size, size, pixels.collect()).unwrap()
    }

    fn apply(augmentation: Augmentation, image: &Image, index: u64) -> Image {
        augmentation.check().unwrap();
        augmentation.apply(image.clone(), &mut rng(0, Purpose::Testing, 0, index))
    }

    #[test]
    fn nothing_is_changed_by_default() {
        let image = chart(9);
        assert_eq!(apply(Augmentation::default(), &image, 0), image);
    }

    #[test]
    fn a_shift_moves_whole_pixels_and_repeats_the_edge() {
        let moved = warp(&chart(8), 0.0, 1.0, [2.0, -3.0]);
        assert_eq!([moved.pixel(5, 1), moved.pixel(0, 1), moved.pixel(5, 7)], [[3, 4, 128], [0, 4, 128], [3, 7, 128]]);
        let shifted = apply(Augmentation { shift: 3.0, ..Augmentation::default() }, &chart(32), 1);
        let [x, y, _] = shifted.pixel(16, 16);
        assert!(x.abs_diff(16) <= 3 && y.abs_diff(16) <= 3);
        assert_eq!(shifted.pixel(17, 16), [x + 1, y, 128]);
    }

    #[test]
    fn a_quarter_turn_moves_the_axes() {
        let turned = warp(&chart(9), std::f64::consts::FRAC_PI_2, 1.0, [0.0; 2]);
        // What was right of the middle is now below it.
        assert_eq!(turned.pixel(4, 7), [7, 4, 128]);
    }

    #[test]
    fn zoom_keeps_the_middle_and_spreads_the_rest() {
        let zoomed = warp(&chart(9), 0.0, 2.0, [0.0; 2]);
        assert_eq!([zoomed.pixel(4, 4), zoomed.pixel(8, 4)], [[4, 4, 128], [6, 4, 128]]);
    }

    #[test]
    fn grey_images_have_equal_channels() {
        let grey = apply(Augmentation { grey: 1.0, ..Augmentation::default() }, &chart(8), 0);
        assert!(grey.rgb.chunks(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
    }

    #[test]
    fn brightness_adds_the_same_everywhere() {
        let dim = Image::filled(4, 4, [100, 120, 140]);
        let lit = apply(Augmentation { brightness: 0.3, ..Augmentation::default() }, &dim, 3);
        let change = i32::from(lit.rgb[0]) - 100;
        assert!(change != 0 && change.abs() <= 77);
        assert_eq!(lit, Image::filled(4, 4, [100, 120, 140].map(|value| (value + change) as u8)));
    }

    #[test]
    fn low_resolution_keeps_a_plain_image_and_blurs_an_edge() {
        let low = Augmentation { low_resolution: 1.0, ..Augmentation::default() };
        let plain = Image::filled(13, 13, [7, 8, 9]);
        assert_eq!(apply(low, &plain, 0), plain);
        let edge =
            Image::new(13, 13, [0, 255].map(|grey| [grey; 3]).iter().cycle().take(169).flatten().copied().collect());
        let edge = edge.unwrap();
        assert_ne!(coarse(&edge, 0.5), edge);
        // A size that is hardly smaller may round to the size itself; most do not.
        let changed = (0..16).filter(|index| apply(low, &edge, *index) != edge).count();
        assert!(12 <= changed, "{changed} of 16");
    }

    #[test]
    fn erasing_covers_up_to_a_fifth() {
        for index in 0..50 {
            let blank = Image::filled(40, 40, [0; 3]);
            let erased = apply(Augmentation { erasing: 1.0, ..Augmentation::default() }, &blank, index);
            let covered = erased.rgb.chunks(3).filter(|pixel| **pixel != [0; 3]).count();
            assert!(20 < covered && covered <= 350, "{covered} of 1600 pixels");
        }
    }
}
