//! TAR over FAR and the trade-off of both errors, as curves of so many pairs that only some of their points are kept.
//! Knows no scores.

use arcface_core::{Error, Result};
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

use super::style::{FONT, GRID, TEXT, TITLE, colour, draw, legend, sample, short};
use crate::roc::OperatingPoint;
use crate::scores::TarAtFar;

/// More corners than this on one line are thinned: a picture cannot show them.
const MOST_POINTS: usize = 4000;

/// Draws curves with their names as SVG: TAR over FAR, from the lowest FAR that any of them can show.
///
/// ```
/// use arcface_eval::{Embeddings, Pairs, report, tar_at_far};
/// let embeddings = Embeddings::normalised(&[1.0, 0.0, 1.0, 0.1, 0.0, 1.0], 2)?;
/// let pairs = Pairs::Listed { embeddings: &embeddings, pairs: &[(0, 1), (0, 2)], same: &[true, false] };
/// let rates = tar_at_far(&[pairs], &[1.0])?;
/// assert!(report::rates_plot(&[("this network", &rates)])?.starts_with("<svg"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If there is no curve.
pub fn rates_plot(curves: &[(&str, &TarAtFar)]) -> Result<String> {
    let lowest = lowest_far(curves)?;
    draw(640, 480, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption("Receiver operating characteristic", (FONT, TITLE))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d((lowest..1.0).log_scale(), 0.0..1.0)?;
        draw_curves(&mut chart, ["false accept rate (FAR)", "true accept rate (TAR)"], curves, |rates, point| {
            (rates.far(point), rates.tar(point))
        })
    })
}

/// Draws the trade-off of both errors (DET) as SVG: the share of genuine pairs that are rejected over FAR, both
/// logarithmic.
///
/// # Errors
/// If there is no curve.
pub fn det_plot(curves: &[(&str, &TarAtFar)]) -> Result<String> {
    let lowest = lowest_far(curves)?;
    let genuine = curves.iter().map(|(_, rates)| rates.genuine).max().unwrap_or(1).max(10);
    let least = 1.0 / genuine as f64;
    draw(640, 480, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption("Detection error trade-off", (FONT, TITLE))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d((lowest..1.0).log_scale(), (least..1.0).log_scale())?;
        let axes = ["false accept rate (FAR)", "genuine pairs rejected (1 − TAR)"];
        // A logarithmic axis has no place for 0; the lowest rate that can be told is its end.
        draw_curves(&mut chart, axes, curves, |rates, point| (rates.far(point), (1.0 - rates.tar(point)).max(least)))
    })
}

fn lowest_far(curves: &[(&str, &TarAtFar)]) -> Result<f64> {
    let most = curves.iter().map(|(_, rates)| rates.impostors).max();
    let most = most.ok_or_else(|| Error::value("curves of rates", "at least one", 0))?;
    // One impostor pair alone would leave an axis from 1 to 1.
    Ok(1.0 / most.max(10) as f64)
}

fn draw_curves<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    [x, y]: [&str; 2],
    curves: &[(&str, &TarAtFar)],
    place: impl Fn(&TarAtFar, &OperatingPoint) -> (f64, f64),
) -> Result<(), Box<dyn std::error::Error>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .label_style((FONT, TEXT))
        .x_labels(8)
        .x_label_formatter(&|far| short(*far))
        .y_label_formatter(&|rate| short(*rate))
        .x_desc(x)
        .y_desc(y)
        .draw()?;
    for (index, (name, rates)) in curves.iter().enumerate() {
        let line = colour(index).stroke_width(2);
        // A logarithmic axis begins where one impostor pair is accepted.
        let shown: Vec<&OperatingPoint> = rates.curve.iter().filter(|point| 0 < point.false_accepts).collect();
        let step = shown.len().div_ceil(MOST_POINTS).max(1);
        let thinned = shown.iter().enumerate().filter(|(at, _)| at % step == 0 || at + 1 == shown.len());
        let points = thinned.map(|(_, point)| place(rates, point));
        chart.draw_series(LineSeries::new(points, line))?.label(*name).legend(sample(line));
    }
    legend(chart, SeriesLabelPosition::LowerLeft)
}
