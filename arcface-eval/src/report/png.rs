//! Plots as PNG, for where SVG is not shown.
//! Knows no plot, and no font of the machine: `DejaVu Sans` is part of the program.

use std::sync::{Arc, LazyLock};

use arcface_core::{Error, Result};
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Pixels per unit of the SVG, so that small letters stay sharp.
const SCALE: f32 = 2.0;

const FAMILY: &str = "DejaVu Sans";

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_source(fontdb::Source::Binary(Arc::new(dejavu::sans::regular())));
    // What plots ask for is `sans-serif`.
    fonts.set_sans_serif_family(FAMILY);
    Arc::new(fonts)
});

/// A plot of this module as the bytes of a PNG on white, with two pixels for each unit of the SVG.
///
/// # Errors
/// If it is no SVG, or one of [`picture`](super::picture), whose bytes are a picture already.
///
/// # Example
/// ```
/// use arcface_eval::report;
/// let svg = report::histogram("squared ℓ2 distance", &[0.2, 0.4], &[1.7, 1.9], Some(0.8))?;
/// assert!(report::png(&svg)?.starts_with(b"\x89PNG"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn png(svg: &str) -> Result<Vec<u8>> {
    if svg.contains("<image") {
        return Err(Error::value("plot to draw as PNG", "lines, areas and text", "a picture within the SVG"));
    }
    let options = Options { fontdb: FONTS.clone(), font_family: FAMILY.to_owned(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| invalid(&error))?;
    let size = tree.size();
    let [width, height] = [size.width(), size.height()].map(|length| (SCALE * length).ceil() as u32);
    let mut pixels = Pixmap::new(width, height).ok_or_else(|| {
        Error::value("plot to draw as PNG", "a size that fits into memory", format!("{width}×{height}"))
    })?;
    pixels.fill(Color::WHITE);
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| invalid(&error))
}

fn invalid(error: &dyn std::fmt::Display) -> Error {
    Error::Invalid(format!("plot to draw as PNG: {error}"))
}
