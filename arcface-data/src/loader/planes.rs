//! Images written one behind the other as normalised planes, each value once and without a table where arithmetic
//! gives the same. Knows no files and no draws.

use std::mem::MaybeUninit;

use arcface_core::multiversion;

use crate::augment::{Facing, Normalisation};
use crate::image::Image;

/// How bytes become numbers, made ready once for all images.
#[derive(Debug)]
pub(super) enum Values {
    /// (x − 127.5) / this, which single precision rounds as the table does.
    Quotient(f32),
    /// The value of each byte, per channel.
    Table(Box<[[f32; 256]; 3]>),
}

impl Values {
    pub(super) fn new(normalisation: Normalisation) -> Self {
        match normalisation {
            Normalisation::By127_5 => Self::Quotient(127.5),
            Normalisation::By128 => Self::Quotient(128.0),
            Normalisation::ImageNet => Self::Table(Box::new(normalisation.table())),
        }
    }
}

/// Appends what [`lay`](crate::augment::lay) writes.
#[allow(unsafe_code)]
pub(super) fn append(images: &mut Vec<f32>, image: &Image, values: &Values, facing: Facing) {
    let (pixels, _) = image.rgb.as_chunks();
    images.reserve(3 * pixels.len());
    let planes = &mut images.spare_capacity_mut()[..3 * pixels.len()];
    match values {
        Values::Quotient(divisor) => write_quotients(pixels, image.width, *divisor, facing, planes),
        Values::Table(table) => {
            let value = |[red, green, blue]: [u8; 3]| {
                [table[0][usize::from(red)], table[1][usize::from(green)], table[2][usize::from(blue)]]
            };
            write(pixels, image.width, facing, planes, value);
        }
    }
    let length = images.len() + 3 * pixels.len();
    // SAFETY: `write` has written three planes of as many values as there are pixels, which are whole rows.
    unsafe { images.set_len(length) };
}

multiversion! {
    fn write_quotients[](pixels: &[[u8; 3]], width: usize, divisor: f32, facing: Facing, planes: &mut [MaybeUninit<f32>]) {
        write(pixels, width, facing, planes, |pixel| pixel.map(|byte| (f32::from(byte) - 127.5) / divisor));
    }
}

/// Writes every value of `planes`: of red, of green and of blue, one for each of `pixels`.
#[inline(always)]
#[allow(clippy::inline_always)]
fn write(
    pixels: &[[u8; 3]],
    width: usize,
    facing: Facing,
    planes: &mut [MaybeUninit<f32>],
    value: impl Fn([u8; 3]) -> [f32; 3],
) {
    assert!(planes.len() == 3 * pixels.len() && pixels.len().is_multiple_of(width), "whole rows of all planes");
    let (red, others) = planes.split_at_mut(pixels.len());
    let (green, blue) = others.split_at_mut(pixels.len());
    let colours = red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width)).zip(blue.chunks_exact_mut(width));
    for (pixels, ((red, green), blue)) in pixels.chunks_exact(width).zip(colours) {
        match facing {
            Facing::AsIs => write_row(pixels.iter(), red, green, blue, &value),
            Facing::Mirrored => write_row(pixels.iter().rev(), red, green, blue, &value),
        }
    }
}

#[inline(always)]
#[allow(clippy::inline_always)]
fn write_row<'a>(
    pixels: impl Iterator<Item = &'a [u8; 3]>,
    red: &mut [MaybeUninit<f32>],
    green: &mut [MaybeUninit<f32>],
    blue: &mut [MaybeUninit<f32>],
    value: impl Fn([u8; 3]) -> [f32; 3],
) {
    for (((pixel, red), green), blue) in pixels.zip(red).zip(green).zip(blue) {
        let [r, g, b] = value(*pixel);
        red.write(r);
        green.write(g);
        blue.write(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::lay;

    /// Every byte in every channel, in 16 rows of 16 and in rows of odd length.
    #[test]
    fn images_are_appended_as_they_are_laid() {
        let bytes =
            |width: usize, height: usize| (0..3 * width * height).map(|place| (place * 85 % 256) as u8).collect();
        for (width, height) in [(16, 16), (1, 1), (37, 21), (112, 112)] {
            let image = Image::new(width, height, bytes(width, height)).unwrap();
            for normalisation in [Normalisation::By127_5, Normalisation::By128, Normalisation::ImageNet] {
                for facing in [Facing::AsIs, Facing::Mirrored] {
                    let mut expected = vec![0.0; 3 * width * height];
                    lay(&image, &normalisation.table(), facing, &mut expected);
                    let mut appended = vec![7.0];
                    append(&mut appended, &image, &Values::new(normalisation), facing);
                    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&appended[1..]), bits(&expected), "{width}×{height} {normalisation} {facing:?}");
                }
            }
        }
    }
}
