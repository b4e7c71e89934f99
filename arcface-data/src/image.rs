//! An image in memory, and JPEG and PNG files read strictly and written whole or not at all.
//! Knows no identities, no alignment and no normalisation.

use std::io::{Cursor, ErrorKind, Write};
use std::path::Path;

use ::image::codecs::jpeg::JpegEncoder;
use ::image::codecs::png::PngDecoder;
use ::image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat, Limits};
use arcface_core::checkpoint::atomic_write;
use arcface_core::{Error, Result};

pub(crate) mod jpeg;

/// The most pixels an image may have; what claims more is refused before anything is allocated for it.
pub const MAX_PIXELS: usize = 50_000_000;

/// The longest file that is read as an image.
pub const MAX_FILE_BYTES: u64 = 256 << 20;

/// Names of files that are taken for images, compared without case.
pub const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// An RGB image, eight bits per channel.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Rows from top to bottom, each pixel as red, green, blue: height · width · 3 bytes.
    pub rgb: Vec<u8>,
}

impl Image {
    /// An image of `rgb` bytes.
    ///
    /// # Errors
    /// If a side is 0 or there are not height · width · 3 bytes.
    ///
    /// # Example
    /// ```
    /// use arcface_data::Image;
    /// assert_eq!(Image::new(2, 1, vec![0, 0, 0, 9, 8, 7])?.pixel(1, 0), [9, 8, 7]);
    /// assert!(Image::new(2, 2, vec![0; 3]).is_err());
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        let expected = width.saturating_mul(height).saturating_mul(3);
        if expected == 0 || rgb.len() != expected {
            let expected = format!("width · height · 3 = {expected} bytes, and more than 0");
            return Err(Error::value(format!("pixels of an image of {width}×{height}"), expected, rgb.len()));
        }
        Ok(Self { width, height, rgb })
    }

    /// An image of one colour.
    pub fn filled(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { width, height, rgb: colour.repeat(width * height) }
    }

    /// Red, green and blue at column `x` and row `y`.
    ///
    /// # Panics
    /// If the pixel lies outside the image.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        assert!(x < self.width, "column {x} of an image {} wide", self.width);
        let start = 3 * (y * self.width + x);
        [self.rgb[start], self.rgb[start + 1], self.rgb[start + 2]]
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}×{})", self.width, self.height)
    }
}

/// Decodes a JPEG or PNG; grey becomes RGB, sixteen bits become eight and transparency is dropped.
///
/// An orientation noted by a camera is not applied: aligned crops carry none.
///
/// # Errors
/// If the bytes are of another format, truncated or corrupt, or claim more than [`MAX_PIXELS`].
pub fn decode(bytes: &[u8]) -> Result<Image> {
    decode_or_say(bytes).map_err(Error::Invalid)
}

/// Reads a JPEG or PNG as [`decode`] does.
///
/// # Errors
/// As [`decode`], and if the file cannot be read; the error names it.
pub fn read(path: &Path) -> Result<Image> {
    decode_or_say(&read_bytes(path)?).map_err(|message| Error::file(path, message))
}

/// Width and height from the headers of a JPEG or PNG.
///
/// # Errors
/// If the headers are not those of a JPEG or PNG.
pub fn dimensions(bytes: &[u8]) -> Result<(usize, usize)> {
    dimensions_or_say(bytes).map_err(Error::Invalid)
}

/// Width and height from the headers of a file.
///
/// # Errors
/// As [`dimensions`], and if the file cannot be read; the error names it.
pub fn read_dimensions(path: &Path) -> Result<(usize, usize)> {
    dimensions_or_say(&read_bytes(path)?).map_err(|message| Error::file(path, message))
}

/// Whether the name of `path` ends as an image's does ([`EXTENSIONS`]).
pub fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// The image as the bytes of a PNG.
///
/// # Errors
/// If the image has no pixels or another number of bytes than its sides say.
pub fn encode_png(image: &Image) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = sides(image)?;
    ::image::write_buffer_with_format(&mut bytes, &image.rgb, width, height, ExtendedColorType::Rgb8, ImageFormat::Png)
        .map_err(|error| Error::Invalid(format!("png: {error}")))?;
    Ok(bytes.into_inner())
}

/// The image as the bytes of a JPEG of `quality` within 1..=100.
///
/// # Errors
/// As [`encode_png`], if `quality` is out of range or a side is longer than the 65,535 pixels of the format.
pub fn encode_jpeg(image: &Image, quality: u8) -> Result<Vec<u8>> {
    check_quality(quality)?;
    let (width, height) = sides(image)?;
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .encode(&image.rgb, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| Error::Invalid(format!("jpeg: {error}")))?;
    Ok(bytes)
}

/// That a JPEG can have `quality`.
pub(crate) fn check_quality(quality: u8) -> Result<()> {
    if quality < 1 || 100 < quality {
        return Err(Error::value("quality of a JPEG", "1 <= quality <= 100", quality));
    }
    Ok(())
}

/// Writes the image as PNG; under `path` stands the whole file or what was there before.
///
/// # Errors
/// As [`encode_png`], and if the file cannot be written.
pub fn write_png(path: &Path, image: &Image) -> Result<()> {
    let bytes = encode_png(image)?;
    atomic_write(path, |file| file.write_all(&bytes))
}

/// Writes the image as JPEG of `quality`; under `path` stands the whole file or what was there before.
///
/// # Errors
/// As [`encode_jpeg`], and if the file cannot be written.
pub fn write_jpeg(path: &Path, image: &Image, quality: u8) -> Result<()> {
    let bytes = encode_jpeg(image, quality)?;
    atomic_write(path, |file| file.write_all(&bytes))
}

/// What is wrong with a file, to be put behind its name.
type Said<T> = std::result::Result<T, String>;

const PNG_START: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
const PNG_END: [u8; 12] = *b"\0\0\0\0IEND\xae\x42\x60\x82";

enum Format {
    Jpeg,
    Png,
}

fn decode_or_say(bytes: &[u8]) -> Said<Image> {
    match format(bytes)? {
        Format::Jpeg => jpeg::decode(bytes),
        Format::Png => decode_png(bytes),
    }
}

fn dimensions_or_say(bytes: &[u8]) -> Said<(usize, usize)> {
    match format(bytes)? {
        Format::Jpeg => jpeg::dimensions(bytes),
        Format::Png => open_png(bytes).map(|decoder| png_dimensions(&decoder)),
    }
}

fn format(bytes: &[u8]) -> Said<Format> {
    if bytes.starts_with(&jpeg::START) {
        return Ok(Format::Jpeg);
    }
    if bytes.starts_with(&PNG_START) {
        return Ok(Format::Png);
    }
    Err(match bytes {
        [] => "expected a JPEG or PNG image, the file is empty".to_owned(),
        _ => format!("expected a JPEG or PNG image, the file begins with {:02x?}", &bytes[..bytes.len().min(4)]),
    })
}

fn decode_png(bytes: &[u8]) -> Said<Image> {
    let decoder = open_png(bytes)?;
    let (width, height) = png_dimensions(&decoder);
    if !bytes.windows(PNG_END.len()).rev().any(|window| window == PNG_END) {
        return Err("truncated PNG: its end chunk is missing; fetch or export the file again".to_owned());
    }
    let image = DynamicImage::from_decoder(decoder).map_err(|error| corrupt("PNG", error))?;
    Image::new(width, height, image.into_rgb8().into_raw()).map_err(|error| corrupt("PNG", error))
}

fn open_png(bytes: &[u8]) -> Said<PngDecoder<Cursor<&[u8]>>> {
    let decoder =
        PngDecoder::with_limits(Cursor::new(bytes), Limits::default()).map_err(|error| corrupt("PNG", error))?;
    let (width, height) = png_dimensions(&decoder);
    refuse_huge(width, height)?;
    Ok(decoder)
}

fn png_dimensions(decoder: &PngDecoder<Cursor<&[u8]>>) -> (usize, usize) {
    let (width, height) = decoder.dimensions();
    (width as usize, height as usize)
}

fn refuse_huge(width: usize, height: usize) -> Said<()> {
    if width.saturating_mul(height) <= MAX_PIXELS {
        return Ok(());
    }
    Err(format!("expected at most {} megapixels, the header says {width}×{height}", MAX_PIXELS / 1_000_000))
}

fn corrupt(format: &str, error: impl std::fmt::Display) -> String {
    format!("corrupt {format}: {}; fetch or export the file again", one_line(error.to_string().trim_end_matches('.')))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let length = std::fs::metadata(path).map_err(|error| unreadable(path, error))?.len();
    if MAX_FILE_BYTES < length {
        let message = format!("expected an image of at most {} MiB, the file has {length} bytes", MAX_FILE_BYTES >> 20);
        return Err(Error::file(path, message));
    }
    std::fs::read(path).map_err(|error| unreadable(path, error))
}

/// The system's answer to reading a file, in the same words on every system where the file is missing.
pub(crate) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::file(path, "no such file; check the path"),
        _ => Error::io(path, error),
    }
}

fn sides(image: &Image) -> Result<(u32, u32)> {
    let long = |_| Error::value("side of an image", "at most 4,294,967,295 pixels", image.width.max(image.height));
    if image.rgb.is_empty() || image.rgb.len() != image.width.saturating_mul(image.height).saturating_mul(3) {
        let what = format!("pixels of an image of {}×{}", image.width, image.height);
        return Err(Error::value(what, "width · height · 3 bytes, and more than 0", image.rgb.len()));
    }
    Ok((u32::try_from(image.width).map_err(long)?, u32::try_from(image.height).map_err(long)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: usize, height: usize) -> Image {
        let rgb =
            (0..height).flat_map(|y| (0..width).flat_map(move |x| [(x * 7 % 256) as u8, (y * 5 % 256) as u8, 90]));
        Image::new(width, height, rgb.collect()).unwrap()
    }

    fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_png_comes_back_as_it_was() {
        let image = gradient(31, 17);
        let bytes = encode_png(&image).unwrap();
        assert_eq!(decode(&bytes).unwrap(), image);
        assert_eq!(dimensions(&bytes).unwrap(), (31, 17));
    }

    #[test]
    fn a_jpeg_comes_back_alike() {
        let image = Image::filled(40, 24, [200, 100, 50]);
        let bytes = encode_jpeg(&image, 95).unwrap();
        let decoded = decode(&bytes).unwrap();
        assert_eq!((decoded.width, decoded.height, dimensions(&bytes).unwrap()), (40, 24, (40, 24)));
        assert!(decoded.rgb.iter().zip(&image.rgb).all(|(a, b)| a.abs_diff(*b) <= 4));
    }

    #[test]
    fn grey_sixteen_bit_and_transparent_images_become_rgb() {
        let grey = ::image::GrayImage::from_pixel(9, 8, ::image::Luma([77]));
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let decoded = decode(&encode(&DynamicImage::ImageLuma8(grey.clone()), format)).unwrap();
            assert!(decoded.rgb.iter().all(|value| value.abs_diff(77) <= 2), "{format:?}");
        }
        let deep = ::image::ImageBuffer::from_pixel(3, 2, ::image::Luma([0x4d4d_u16]));
        assert_eq!(decode(&encode(&DynamicImage::ImageLuma16(deep), ImageFormat::Png)).unwrap().pixel(2, 1), [77; 3]);
        let clear = ::image::RgbaImage::from_pixel(3, 2, ::image::Rgba([1, 2, 3, 0]));
        assert_eq!(decode(&encode(&DynamicImage::ImageRgba8(clear), ImageFormat::Png)).unwrap().pixel(0, 0), [1, 2, 3]);
    }

    #[test]
    fn every_truncated_file_is_refused() {
        let image = gradient(37, 29);
        for bytes in [encode_jpeg(&image, 90).unwrap(), encode_png(&image).unwrap()] {
            for length in 0..bytes.len() {
                assert!(decode(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn bytes_after_the_end_are_allowed() {
        let image = gradient(20, 20);
        for bytes in [encode_jpeg(&image, 90).unwrap(), encode_png(&image).unwrap()] {
            assert!(decode(&[&bytes[..], b"camera notes"].concat()).is_ok());
        }
    }

    #[test]
    fn a_bomb_is_refused_from_its_header() {
        let mut bytes = encode_jpeg(&gradient(16, 16), 90).unwrap();
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[frame + 5..frame + 9].copy_from_slice(&[0xf0; 4]);
        insta::assert_snapshot!(decode(&bytes).unwrap_err(), @"expected at most 50 megapixels, the header says 61680×61680");
    }

    #[test]
    fn what_is_no_image_is_answered_with_what_it_is() {
        insta::assert_snapshot!(decode(b"").unwrap_err(), @"expected a JPEG or PNG image, the file is empty");
        insta::assert_snapshot!(decode(b"<html>").unwrap_err(), @"expected a JPEG or PNG image, the file begins with [3c, 68, 74, 6d]");
        let whole = encode_jpeg(&gradient(16, 16), 90).unwrap();
        insta::assert_snapshot!(decode(&whole[..whole.len() - 20]).unwrap_err(), @"truncated JPEG: its end marker is missing; fetch or export the file again");
    }

    #[test]
    fn impossible_images_are_not_encoded() {
        assert!(encode_png(&Image { width: 2, height: 2, rgb: vec![0; 3] }).is_err());
        assert!(encode_jpeg(&Image { width: 0, height: 0, rgb: vec![] }, 90).is_err());
        assert!(encode_jpeg(&gradient(2, 2), 0).is_err());
    }
}
