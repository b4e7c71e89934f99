//! Loss, accuracy and learning rate over the steps of a run, as panels above each other.
//! Knows no metrics file.

use arcface_core::{Error, Result};
use plotters::prelude::*;

use super::style::{Canvas, FONT, GRID, TEXT, TITLE, TITLE_HEIGHT, bounds, colour, draw, legend, sample, short};

const WIDTH: u32 = 720;
const PANEL_HEIGHT: u32 = 220;
/// More points than this on one line are thinned: a picture cannot show them.
const MOST_POINTS: usize = 2000;
/// So few points are marked, since a line alone would not show where they are.
const FEW_POINTS: usize = 40;

/// One quantity over the steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel<'a> {
    /// What the vertical axis shows, such as `loss`.
    pub quantity: &'a str,
    /// The curves.
    pub curves: Vec<Curve<'a>>,
}

/// One line of a panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve<'a> {
    /// Its name in the legend; a panel with one curve needs no legend.
    pub name: &'a str,
    /// (step, value), by rising step; values that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// Draws `panels` above each other over one range of steps as SVG.
///
/// ```
/// use arcface_eval::report::{Curve, Panel, curves};
/// let loss = Curve { name: "training", points: vec![(0.0, 9.0), (1.0, 7.5), (2.0, 6.8)] };
/// let svg = curves("my run", &[Panel { quantity: "loss", curves: vec![loss] }])?;
/// assert!(svg.contains("my run"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If there is no panel.
pub fn curves(title: &str, panels: &[Panel<'_>]) -> Result<String> {
    if panels.is_empty() {
        return Err(Error::value("panels of a plot", "at least one", 0));
    }
    let steps = steps(panels);
    draw(WIDTH, TITLE_HEIGHT + PANEL_HEIGHT * panels.len() as u32, |canvas| {
        let areas = canvas.titled(title, (FONT, TITLE))?.split_evenly((panels.len(), 1));
        for (index, (area, panel)) in areas.iter().zip(panels).enumerate() {
            draw_panel(area, panel, steps, index + 1 == panels.len())?;
        }
        Ok(())
    })
}

fn draw_panel(
    area: &Canvas<'_>,
    panel: &Panel<'_>,
    steps: (f64, f64),
    is_last: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let (low, high) = values(panel);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(20)
        .x_label_area_size(if is_last { 42 } else { 26 })
        .y_label_area_size(76)
        .build_cartesian_2d(steps.0..steps.1, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .label_style((FONT, TEXT))
        .y_labels(5)
        .x_label_formatter(&|step| format!("{step:.0}"))
        .y_label_formatter(&|value| short(*value))
        .x_desc(if is_last { "step" } else { "" })
        .y_desc(panel.quantity)
        .draw()?;
    for (index, curve) in panel.curves.iter().enumerate() {
        let line = colour(index).stroke_width(2);
        let points = thinned(&curve.points);
        if points.len() <= FEW_POINTS {
            chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour(index).filled())))?;
        }
        chart.draw_series(LineSeries::new(points, line))?.label(curve.name).legend(sample(line));
    }
    if 1 < panel.curves.len() {
        legend(&mut chart, free_corner(panel, (low, high)))?;
    }
    Ok(())
}

/// The corner on the right that the first curve has left by its end.
fn free_corner(panel: &Panel<'_>, (low, high): (f64, f64)) -> SeriesLabelPosition {
    let end = panel.curves.iter().find_map(|curve| finite(&curve.points).last());
    match end {
        Some((_, value)) if f64::midpoint(low, high) < value => SeriesLabelPosition::LowerRight,
        _ => SeriesLabelPosition::UpperRight,
    }
}

/// Every n-th finite point, so that at most [`MOST_POINTS`] are left.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    finite(points).step_by(points.len().div_ceil(MOST_POINTS).max(1)).collect()
}

/// Range of the steps over all panels.
fn steps(panels: &[Panel<'_>]) -> (f64, f64) {
    let points = panels.iter().flat_map(|panel| &panel.curves).flat_map(|curve| finite(&curve.points));
    bounds(points.map(|(step, _)| step), 0.0)
}

/// Range of a panel's values, with a little air.
fn values(panel: &Panel<'_>) -> (f64, f64) {
    bounds(panel.curves.iter().flat_map(|curve| finite(&curve.points)).map(|(_, value)| value), 0.05)
}

fn finite(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    points.iter().copied().filter(|(step, value)| step.is_finite() && value.is_finite())
}
