//! The ROC as a picture, with a logarithmic axis for the false accept rate.
//! Knows no scores.

use arcface_core::{Error, Result};
use plotters::prelude::*;

use super::style::{FONT, GRID, TEXT, TITLE, colour, draw, legend, sample, short};
use crate::roc::Roc;

/// Draws curves with their names as SVG: TAR over FAR, from the lowest FAR that any of them can show.
///
/// Each curve is the exact staircase; it starts where one impostor pair is accepted.
///
/// ```
/// use arcface_eval::{Roc, report};
/// let roc = Roc::from_scores(&[0.9, 0.8, 0.3, 0.1], &[true, false, true, false])?;
/// assert!(report::roc_plot(&[("this network", &roc)])?.starts_with("<svg"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If there is no curve.
pub fn roc_plot(curves: &[(&str, &Roc)]) -> Result<String> {
    let most = curves.iter().map(|(_, roc)| roc.impostors()).max();
    let most = most.ok_or_else(|| Error::value("ROC curves", "at least one", 0))?;
    // One impostor pair alone would leave an axis from 1 to 1.
    let lowest = 1.0 / most.max(10) as f64;
    draw(640, 480, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption("Receiver operating characteristic", (FONT, TITLE))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d((lowest..1.0).log_scale(), 0.0..1.0)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .label_style((FONT, TEXT))
            .x_labels(6)
            .x_label_formatter(&|far| short(*far))
            .y_label_formatter(&|tar| short(*tar))
            .x_desc("false accept rate (FAR)")
            .y_desc("true accept rate (TAR)")
            .draw()?;
        for (index, (name, roc)) in curves.iter().enumerate() {
            let line = colour(index).stroke_width(2);
            let label = format!("{name}: AUC {:.4}, EER {:.2} %", roc.auc(), 100.0 * roc.eer());
            chart.draw_series(LineSeries::new(staircase(roc), line))?.label(label).legend(sample(line));
        }
        let grey = BLACK.mix(0.4);
        chart.draw_series(LineSeries::new(chance(lowest), grey))?.label("guessing").legend(sample(grey));
        legend(&mut chart, SeriesLabelPosition::LowerRight)
    })
}

/// Corners of the curve, (FAR, TAR), as far as a logarithmic axis can show them.
///
/// The TAR of a FAR is the highest one reached there; between two FARs the lower one's TAR holds.
fn staircase(roc: &Roc) -> Vec<(f64, f64)> {
    let mut corners = Vec::new();
    let mut held = 0.0;
    for same_far in roc.points().chunk_by(|a, b| a.false_accepts == b.false_accepts) {
        let Some(highest) = same_far.last() else { continue };
        let reached = roc.tar(highest);
        if 0 < highest.false_accepts {
            corners.extend([(roc.far(highest), held), (roc.far(highest), reached)]);
        }
        held = reached;
    }
    corners
}

/// What guessing reaches: TAR = FAR.
fn chance(lowest: f64) -> impl Iterator<Item = (f64, f64)> {
    let steps = 60;
    (0..=steps).map(move |step| lowest.powf(1.0 - f64::from(step) / f64::from(steps))).map(|far| (far, far))
}
