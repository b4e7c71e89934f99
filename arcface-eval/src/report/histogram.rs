//! Distances or cosines of genuine and impostor pairs as two histograms over each other.
//! Knows no pairs, only their scores.

use arcface_core::{Error, Result};
use plotters::prelude::*;

use super::style::{FONT, GRID, TEXT, TITLE, colour, draw, short};

const BINS: usize = 60;

/// Draws the shares of `genuine` and `impostor` scores per bin as SVG, and the `threshold` between them if there is one.
///
/// `what` names the scores on the axis, such as `squared ℓ2 distance`.
///
/// ```
/// use arcface_eval::report;
/// let svg = report::histogram("squared ℓ2 distance", &[0.2, 0.4], &[1.7, 1.9], Some(0.8))?;
/// assert!(svg.contains("impostor"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If a score is not finite, or there is none of one kind.
pub fn histogram(what: &str, genuine: &[f64], impostor: &[f64], threshold: Option<f64>) -> Result<String> {
    let (low, high) = range(genuine, impostor)?;
    let kinds = [("genuine", genuine), ("impostor", impostor)].map(|(name, scores)| (name, shares(scores, low, high)));
    let top = kinds.iter().flat_map(|(_, shares)| shares).fold(0.0, |top: f64, &share| top.max(share));
    draw(640, 400, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption("Genuine and impostor pairs", (FONT, TITLE))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(low..high, 0.0..110.0 * top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .label_style((FONT, TEXT))
            .x_label_formatter(&|score| short(*score))
            .y_label_formatter(&|share| short(*share))
            .x_desc(what)
            .y_desc("% of the pairs of a kind")
            .draw()?;
        for (index, (name, shares)) in kinds.iter().enumerate() {
            let colour = colour(index);
            chart
                .draw_series(AreaSeries::new(outline(shares, low, high), 0.0, colour.mix(0.35)).border_style(colour))?
                .label(*name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 6), (x + 16, y + 6)], colour.mix(0.6).filled()));
        }
        if let Some(threshold) = threshold {
            chart
                .draw_series(LineSeries::new([(threshold, 0.0), (threshold, 110.0 * top)], BLACK.stroke_width(2)))?
                .label(format!("threshold {}", short(threshold)))
                .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], BLACK.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font((FONT, TEXT))
            .background_style(WHITE.mix(0.85))
            .border_style(GRID)
            .draw()?;
        Ok(())
    })
}

fn range(genuine: &[f64], impostor: &[f64]) -> Result<(f64, f64)> {
    if genuine.is_empty() || impostor.is_empty() {
        let got = format!("{} genuine and {} impostor scores", genuine.len(), impostor.len());
        return Err(Error::value("histogram", "scores of both kinds", got));
    }
    let scores = || genuine.iter().chain(impostor).copied();
    if let Some(score) = scores().find(|score| !score.is_finite()) {
        return Err(Error::value("histogram", "finite scores", score));
    }
    let low = scores().fold(f64::INFINITY, f64::min);
    let high = scores().fold(f64::NEG_INFINITY, f64::max);
    // Equal scores alone would leave an axis without length.
    Ok(if low < high { (low, high) } else { (low - 0.5, high + 0.5) })
}

/// The fraction of `scores` in each bin of [low, high].
fn shares(scores: &[f64], low: f64, high: f64) -> Vec<f64> {
    let mut shares = vec![0.0; BINS];
    for score in scores {
        let bin = ((score - low) / (high - low) * BINS as f64) as usize;
        shares[bin.min(BINS - 1)] += 1.0 / scores.len() as f64;
    }
    shares
}

/// The upper edge of the bars, in percent.
fn outline(shares: &[f64], low: f64, high: f64) -> Vec<(f64, f64)> {
    let edge = |bin: usize| low + (high - low) * bin as f64 / BINS as f64;
    shares
        .iter()
        .enumerate()
        .flat_map(|(bin, share)| [(edge(bin), 100.0 * share), (edge(bin + 1), 100.0 * share)])
        .collect()
}
