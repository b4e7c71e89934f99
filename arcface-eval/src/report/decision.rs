//! Decision margins of two classes in the plane of their angles, as in Figure 5 of the ArcFace paper.
//! Knows no loss, only the boundary that it draws.

use arcface_core::{Error, Result};
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::style::{Canvas, FONT, TEXT, TITLE, TITLE_HEIGHT, check_finite, colour, draw, key, panel_rows, shortened};

const PANEL: (u32, u32) = (244, 262);
const PER_ROW: usize = 3;
const LEGEND_HEIGHT: u32 = 34;
/// Longer names would leave their panel.
const MOST_LETTERS: usize = 26;
/// Both axes reach from 0° to here.
const MOST: f64 = 90.0;
const GREY: RGBColor = RGBColor(120, 120, 120);

/// The decision boundary of one loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'a> {
    /// The loss.
    pub name: &'a str,
    /// (θ₁, θ₂) in degrees, by rising θ₁, where an image of class 1 is just accepted: cosθ₂ = ψ(θ₁).
    ///
    /// Empty where the margin leaves no such angle; what lies outside of [0°, 90°] is not drawn.
    pub boundary: Vec<(f64, f64)>,
}

/// Draws decision margins as SVG, a panel for each loss, three in a row.
///
/// θ₁ and θ₂ are the angles of an image to the centers of two classes. Where θ₂ is above the boundary, class 1 is
/// accepted; class 2 is the mirror image, and what neither accepts stays white: the margin.
///
/// # Errors
/// If there is no panel, or a number is not finite.
///
/// # Example
/// ```
/// use arcface_eval::report::{Decision, decisions};
/// // ArcFace: θ₂ = θ₁ + m.
/// let boundary = (0..=61).map(|θ| (f64::from(θ), f64::from(θ) + 0.5_f64.to_degrees())).collect();
/// let svg = decisions("Decision margins", &[Decision { name: "ArcFace", boundary }])?;
/// assert!(svg.contains("ArcFace") && svg.contains("θ₁"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn decisions(title: &str, panels: &[Decision<'_>]) -> Result<String> {
    if panels.is_empty() {
        return Err(Error::value("panels of a plot", "at least one", 0));
    }
    for panel in panels {
        let numbers = panel.boundary.iter().flat_map(|&(first, second)| [first, second]);
        check_finite(|| format!("boundary of `{}`", panel.name), numbers)?;
    }
    let (rows, columns) = panel_rows(panels.len(), PER_ROW);
    let height = TITLE_HEIGHT + LEGEND_HEIGHT + PANEL.1 * rows as u32;
    draw(PANEL.0 * PER_ROW as u32, height, |canvas| {
        let below_title = canvas.titled(title, (FONT, TITLE))?;
        let (above, legend) = below_title.split_vertically(PANEL.1 * rows as u32);
        for (area, panel) in above.split_evenly((rows, columns)).iter().zip(panels) {
            draw_panel(area, panel)?;
        }
        draw_legend(&legend)
    })
}

fn draw_panel(area: &Canvas<'_>, panel: &Decision<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let degrees = |angle: &f64| format!("{angle:.0}°");
    let mut chart = ChartBuilder::on(area)
        .caption(shortened(panel.name, MOST_LETTERS), (FONT, TEXT))
        .margin(8)
        .margin_right(14)
        .x_label_area_size(38)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..MOST, 0.0..MOST)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .label_style((FONT, TEXT))
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&degrees)
        .y_label_formatter(&degrees)
        .x_desc("θ₁")
        .y_desc("θ₂")
        .draw()?;
    let first = region(&panel.boundary);
    let second: Vec<(f64, f64)> = first.iter().map(|&point| mirrored(point)).collect();
    for (index, region) in [first, second].into_iter().enumerate() {
        chart.draw_series([Polygon::new(region, colour(index).mix(0.35))])?;
    }
    chart.draw_series([DashedPathElement::new([(0.0, 0.0), (MOST, MOST)], 5, 4, GREY.stroke_width(1))])?;
    for run in within(&panel.boundary) {
        chart.draw_series([PathElement::new(run.clone(), colour(0).stroke_width(2))])?;
        let run: Vec<(f64, f64)> = run.into_iter().map(mirrored).collect();
        chart.draw_series([PathElement::new(run, colour(1).stroke_width(2))])?;
    }
    Ok(())
}

fn draw_legend(area: &Canvas<'_>) -> Result<(), Box<dyn std::error::Error>> {
    for (index, name) in ["accepted as class 1", "accepted as class 2"].into_iter().enumerate() {
        key(area, (60 + 200 * index as i32, 14), colour(index).mix(0.35), name)?;
    }
    let ends = [(460, 14), (478, 14)];
    area.draw(&DashedPathElement::new(ends, 5, 4, GREY.stroke_width(1)))?;
    key(area, (460, 14), TRANSPARENT, "θ₁ = θ₂: no margin")
}

/// What lies above the boundary, as a polygon.
fn region(boundary: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let clamped = |&(first, second): &(f64, f64)| (first.clamp(0.0, MOST), second.clamp(0.0, MOST));
    let mut corners: Vec<(f64, f64)> = boundary.iter().map(clamped).collect();
    if let (Some(&(left, _)), Some(&(right, _))) = (corners.first(), corners.last()) {
        corners.extend([(right, MOST), (left, MOST)]);
    }
    corners
}

/// The parts of the boundary that both axes show.
fn within(boundary: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let shows = |&(first, second): &(f64, f64)| (0.0..=MOST).contains(&first) && (0.0..=MOST).contains(&second);
    let runs = boundary.chunk_by(|a, b| shows(a) == shows(b));
    runs.filter(|run| shows(&run[0])).map(<[(f64, f64)]>::to_vec).collect()
}

/// A point of class 1's region as that of class 2's.
fn mirrored((first, second): (f64, f64)) -> (f64, f64) {
    (second, first)
}
