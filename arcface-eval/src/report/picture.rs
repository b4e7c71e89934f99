//! A picture made elsewhere as a plot: its bytes within an SVG.
//! Knows no pixels.

use arcface_core::Result;

use super::html::{data_uri, escaped};

/// The picture with the bytes of a PNG or JPEG as SVG, to stand among the plots of a [`Page`](super::Page).
///
/// # Shapes
/// `size`: width and height in pixels.
///
/// # Errors
/// If it is neither PNG nor JPEG.
///
/// # Example
/// ```
/// let svg = arcface_eval::report::picture("Dropped faces", b"\x89PNG\r\n\x1a\n", (640, 480))?;
/// assert!(svg.starts_with("<svg ") && svg.contains("data:image/png;base64,"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn picture(name: &str, bytes: &[u8], size: (usize, usize)) -> Result<String> {
    let (source, name, (width, height)) = (data_uri(name, bytes)?, escaped(name), size);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <image width=\"{width}\" height=\"{height}\" href=\"{source}\"><title>{name}</title></image>\n</svg>\n"
    ))
}
