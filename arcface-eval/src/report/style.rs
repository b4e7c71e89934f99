//! The look that the plots share: colours, font, sizes, the way from a drawing to SVG text.
//! Knows no figures.

use arcface_core::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

/// The colours of Okabe and Ito that show on white, told apart with any kind of colour vision.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

pub(super) const FONT: &str = "sans-serif";
pub(super) const TEXT: u32 = 15;
pub(super) const TITLE: u32 = 18;
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);

/// The canvas that plots are drawn on.
pub(super) type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The colour of the `index`-th series.
pub(super) fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// Runs `drawing` on a white canvas and returns its SVG.
pub(super) fn draw<F>(width: u32, height: u32, drawing: F) -> Result<String>
where
    F: FnOnce(&Canvas<'_>) -> Result<(), Box<dyn std::error::Error>>,
{
    let mut svg = String::new();
    let canvas = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
    let drawn = canvas.fill(&WHITE).map_err(Into::into).and_then(|()| drawing(&canvas));
    let presented = drawn.and_then(|()| canvas.present().map_err(Into::into));
    drop(canvas);
    presented.map_err(|error| Error::Invalid(format!("plot: {error}")))?;
    Ok(svg)
}

/// A number with as many digits as an axis needs.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if 1e4 <= size || size < 1e-3 {
        format!("{value:.0e}")
    } else {
        let text = format!("{value:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}
