//! The look that the plots share: colours, font, sizes, the way from a drawing to SVG text.
//! Knows no figures.

use arcface_core::{Error, Result};
use plotters::coord::{CoordTranslate, Shift};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The colours of Okabe and Ito, told apart with any kind of colour vision; those that show worst on white are the last.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
    RGBColor(240, 228, 66),
];

/// What of [`COLOURS`] a thin line can have: yellow vanishes on white.
const LINE_COLOURS: usize = 7;

/// Further from zero than this no number is drawn: axes would overflow.
const FURTHEST: f64 = 1e100;

pub(super) const FONT: &str = "sans-serif";
pub(super) const TEXT: u32 = 15;
pub(super) const TITLE: u32 = 18;
/// What the title above several panels takes.
pub(super) const TITLE_HEIGHT: u32 = 36;
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);

/// The canvas that plots are drawn on.
pub(super) type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The colour of the `index`-th series.
pub(super) fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// How the line of the `index`-th series looks: its colour, and the lengths of its dashes and gaps unless it is solid.
///
/// Once the colours are used up, they come again dashed, then dotted.
pub(super) fn stroke(index: usize) -> (RGBColor, Option<(u32, u32)>) {
    let dashes = [None, Some((9, 5)), Some((2, 4))];
    (COLOURS[index % LINE_COLOURS], dashes[(index / LINE_COLOURS) % dashes.len()])
}

/// A name of at most `most` letters.
pub(super) fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most - 1).chain(['…']).collect()
}

/// That every one of `values` can be drawn.
pub(super) fn check_finite(what: impl Fn() -> String, values: impl IntoIterator<Item = f64>) -> Result<()> {
    match values.into_iter().find(|value| !value.is_finite() || FURTHEST < value.abs()) {
        Some(value) => Err(Error::value(what(), format!("finite numbers up to {FURTHEST:e}"), format!("{value:e}"))),
        None => Ok(()),
    }
}

/// The range of an axis over `values`, with `air` at both ends as a share of it; 0 to 1 without values.
pub(super) fn bounds(values: impl Iterator<Item = f64>, air: f64) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if high < low {
        return (0.0, 1.0);
    }
    // One value alone, or several that differ by rounding: an axis still needs length.
    let least = 1e-9 * low.abs().max(high.abs());
    if high - low <= least {
        let half = 0.5_f64.max(least);
        return (low - half, high + half);
    }
    let air = air * (high - low);
    (low - air, high + air)
}

/// Rows and columns of `panels` that stand `per_row` side by side.
pub(super) fn panel_rows(panels: usize, per_row: usize) -> (usize, usize) {
    (panels.div_ceil(per_row), per_row)
}

/// An entry of a legend that is drawn by hand: a small area of `colour` at `place`, the middle of its left side, and a name.
pub(super) fn key(
    area: &Canvas<'_>,
    (x, y): (i32, i32),
    colour: RGBAColor,
    name: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    area.draw(&Rectangle::new([(x, y - 7), (x + 18, y + 7)], colour.filled()))?;
    let style = (FONT, TEXT).into_text_style(area).pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new(name.to_owned(), (x + 25, y), style))?;
    Ok(())
}

/// A piece of `line`, for a legend.
pub(super) fn sample(line: impl Into<ShapeStyle>) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    let line = line.into();
    move |(x, y)| PathElement::new([(x, y), (x + 18, y)], line)
}

/// Draws the legend of what `chart` shows.
pub(super) fn legend<'a, 'b: 'a, C: CoordTranslate>(
    chart: &mut ChartContext<'a, SVGBackend<'b>, C>,
    position: SeriesLabelPosition,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut labels = chart.configure_series_labels();
    labels.position(position).label_font((FONT, TEXT));
    labels.background_style(WHITE.mix(0.85)).border_style(GRID).draw()?;
    Ok(())
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
