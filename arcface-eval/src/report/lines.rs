//! Any quantity over any other as named lines, such as target logits over the angle.
//! Knows no loss.

use arcface_core::{Error, Result};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{Canvas, FONT, GRID, TEXT, TITLE, bounds, check_finite, draw, short, shortened, stroke};

const WIDTH: u32 = 760;
const HEIGHT: u32 = 440;
const LEGEND_WIDTH: u32 = 220;
const LEGEND_ROW: u32 = 24;
/// Where the rows of the legend begin, and what lies below the last.
const LEGEND_TOP: u32 = 46;
/// Longer names would leave the legend.
const MOST_LETTERS: usize = 22;

/// Several lines in one plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lines<'a> {
    /// What stands above it.
    pub title: &'a str,
    /// What the horizontal axis shows.
    pub x: &'a str,
    /// What the vertical axis shows.
    pub y: &'a str,
    /// Name and points (x, y) of each line, in the order in which they are joined; lines without points are left out.
    pub lines: &'a [(&'a str, Vec<(f64, f64)>)],
}

/// Draws named lines as SVG, with their names on the right.
///
/// Lines differ in colour, and from the eighth on in their dashes.
///
/// # Errors
/// If a number is not finite, or there is no point at all.
///
/// # Example
/// ```
/// use arcface_eval::report::{Lines, lines};
/// let target = |margin: f64| (20..=100).map(f64::from).map(|θ| (θ, (θ.to_radians() + margin).cos())).collect();
/// let svg = lines(&Lines {
///     title: "Target logits",
///     x: "θ, degrees",
///     y: "ψ(θ)",
///     lines: &[("softmax", target(0.0)), ("ArcFace", target(0.5))],
/// })?;
/// assert!(svg.contains("ArcFace"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn lines(plot: &Lines<'_>) -> Result<String> {
    for (name, points) in plot.lines {
        check_finite(|| format!("line `{name}`"), points.iter().flat_map(|&(x, y)| [x, y]))?;
    }
    let lines: Vec<&(&str, Vec<(f64, f64)>)> = plot.lines.iter().filter(|(_, points)| !points.is_empty()).collect();
    if lines.is_empty() {
        return Err(Error::value("lines of a plot", "at least one with a point", "none"));
    }
    // The legend of very many lines needs more than the axes do.
    let height = HEIGHT.max(2 * LEGEND_TOP + LEGEND_ROW * lines.len() as u32);
    draw(WIDTH, height, |canvas| {
        let (axes, legend) = canvas.split_horizontally(WIDTH - LEGEND_WIDTH);
        draw_lines(&axes, plot, &lines)?;
        for (index, (name, _)) in lines.iter().enumerate() {
            draw_name(&legend, index, name)?;
        }
        Ok(())
    })
}

fn draw_lines(
    area: &Canvas<'_>,
    plot: &Lines<'_>,
    lines: &[&(&str, Vec<(f64, f64)>)],
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let (left, right) = bounds(points().map(|point| point.0), 0.0);
    let (low, high) = bounds(points().map(|point| point.1), 0.05);
    let mut chart = ChartBuilder::on(area)
        .caption(plot.title, (FONT, TITLE))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(left..right, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .label_style((FONT, TEXT))
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .x_desc(plot.x)
        .y_desc(plot.y)
        .draw()?;
    for (index, (_, points)) in lines.iter().enumerate() {
        let (colour, dashes) = stroke(index);
        let line = colour.stroke_width(2);
        match (points.as_slice(), dashes) {
            // A line of one point has no length.
            ([point], _) => chart.draw_series([Circle::new(*point, 3, colour.filled())])?,
            (_, None) => chart.draw_series(LineSeries::new(points.iter().copied(), line))?,
            (_, Some((dash, gap))) => {
                chart.draw_series([DashedPathElement::new(points.iter().copied(), dash, gap, line)])?
            }
        };
    }
    Ok(())
}

/// A row of the legend: a piece of the line, and its name.
fn draw_name(legend: &Canvas<'_>, index: usize, name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let middle = (LEGEND_TOP + LEGEND_ROW * index as u32 + LEGEND_ROW / 2) as i32;
    let (colour, dashes) = stroke(index);
    let ends = [(4, middle), (36, middle)];
    match dashes {
        None => legend.draw(&PathElement::new(ends, colour.stroke_width(2)))?,
        Some((dash, gap)) => legend.draw(&DashedPathElement::new(ends, dash, gap, colour.stroke_width(2)))?,
    }
    let style = (FONT, TEXT).into_text_style(legend).pos(Pos::new(HPos::Left, VPos::Center));
    legend.draw(&Text::new(shortened(name, MOST_LETTERS), (44, middle), style))?;
    Ok(())
}
