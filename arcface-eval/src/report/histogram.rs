//! Scores of several kinds as histograms over each other: distances of pairs, angles of images.
//! Knows no pairs and no images, only their scores.

use arcface_core::{Error, Result};
use plotters::prelude::*;

use super::style::{
    Canvas, FONT, GRID, TEXT, TITLE, TITLE_HEIGHT, bounds, check_finite, colour, draw, legend, sample, short,
};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 400;
/// Of a panel among others.
const PANEL_HEIGHT: u32 = 300;
const BINS: usize = 60;

/// Scores of several kinds in one plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distributions<'a> {
    /// What stands above it.
    pub title: &'a str,
    /// What the scores are, on the axis.
    pub quantity: &'a str,
    /// What has the scores, such as `images`: shares are of those of a kind.
    pub of: &'a str,
    /// Name and scores of each kind; kinds without scores are left out.
    pub series: &'a [(&'a str, &'a [f64])],
    /// A line that divides the scores, with its name.
    pub mark: Option<(&'a str, f64)>,
}

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
    if genuine.is_empty() || impostor.is_empty() {
        let got = format!("{} genuine and {} impostor scores", genuine.len(), impostor.len());
        return Err(Error::value("histogram", "scores of both kinds", got));
    }
    distributions(&Distributions {
        title: "Genuine and impostor pairs",
        quantity: what,
        of: "pairs",
        series: &[("genuine", genuine), ("impostor", impostor)],
        mark: threshold.map(|threshold| ("threshold", threshold)),
    })
}

/// Draws the share of the scores of each kind per bin as SVG.
///
/// ```
/// use arcface_eval::report::{Distributions, distributions};
/// let svg = distributions(&Distributions {
///     title: "Images and their class",
///     quantity: "angle, degrees",
///     of: "images",
///     series: &[("clean", &[30.0, 35.0]), ("noisy", &[85.0])],
///     mark: Some(("limit", 75.0)),
/// })?;
/// assert!(svg.contains("limit 75"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If a score is not finite, or there is none at all.
pub fn distributions(plot: &Distributions<'_>) -> Result<String> {
    let range = range(plot)?;
    draw(WIDTH, HEIGHT, |canvas| draw_distributions(canvas, plot, range, SeriesLabelPosition::UpperLeft))
}

/// Draws several plots of scores above each other over one range of scores as SVG, each as [`distributions`] draws it.
///
/// # Errors
/// If there is no panel, a score is not finite, or a panel has none at all.
///
/// # Example
/// ```
/// use arcface_eval::report::{Distributions, distribution_panels};
/// let panel = |title, angles| Distributions { title, quantity: "θ, degrees", of: "images", series: angles, mark: None };
/// let svg = distribution_panels("Angles to the class center", &[
///     panel("softmax", &[("start", &[89.0, 91.0]), ("end", &[45.0, 50.0])]),
///     panel("ArcFace", &[("start", &[89.0, 91.0]), ("end", &[30.0, 35.0])]),
/// ])?;
/// assert!(svg.contains("softmax") && svg.contains("ArcFace"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn distribution_panels(title: &str, panels: &[Distributions<'_>]) -> Result<String> {
    if panels.is_empty() {
        return Err(Error::value("panels of a plot", "at least one", 0));
    }
    let ranges = panels.iter().map(range).collect::<Result<Vec<_>>>()?;
    let all = bounds(ranges.iter().flat_map(|&(low, high)| [low, high]), 0.0);
    draw(WIDTH, TITLE_HEIGHT + PANEL_HEIGHT * panels.len() as u32, |canvas| {
        let areas = canvas.titled(title, (FONT, TITLE))?.split_evenly((panels.len(), 1));
        for (area, panel) in areas.iter().zip(panels) {
            draw_distributions(area, panel, all, emptiest_place(panel.series, all))?;
        }
        Ok(())
    })
}

fn draw_distributions(
    area: &Canvas<'_>,
    plot: &Distributions<'_>,
    (low, high): (f64, f64),
    place: SeriesLabelPosition,
) -> Result<(), Box<dyn std::error::Error>> {
    let kinds: Vec<(&str, Vec<f64>)> = plot
        .series
        .iter()
        .filter(|(_, scores)| !scores.is_empty())
        .map(|(name, scores)| (*name, shares(scores, low, high)))
        .collect();
    let top = kinds.iter().flat_map(|(_, shares)| shares).fold(0.0, |top: f64, &share| top.max(share));
    let mut chart = ChartBuilder::on(area)
        .caption(plot.title, (FONT, TITLE))
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
        .x_desc(plot.quantity)
        .y_desc(format!("% of the {} of a kind", plot.of))
        .draw()?;
    for (index, (name, shares)) in kinds.iter().enumerate() {
        let colour = colour(index);
        chart
            .draw_series(AreaSeries::new(outline(shares, low, high), 0.0, colour.mix(0.35)).border_style(colour))?
            .label(*name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 6), (x + 16, y + 6)], colour.mix(0.6).filled()));
    }
    if let Some((name, mark)) = plot.mark {
        chart
            .draw_series(LineSeries::new([(mark, 0.0), (mark, 110.0 * top)], BLACK.stroke_width(2)))?
            .label(format!("{name} {}", short(mark)))
            .legend(sample(BLACK.stroke_width(2)));
    }
    legend(&mut chart, place)
}

/// The place at the top, of three, whose highest bar is lowest.
fn emptiest_place(series: &[(&str, &[f64])], (low, high): (f64, f64)) -> SeriesLabelPosition {
    let places = [SeriesLabelPosition::UpperLeft, SeriesLabelPosition::UpperMiddle, SeriesLabelPosition::UpperRight];
    let mut tops = [0.0_f64; 3];
    for (_, scores) in series {
        for (bin, share) in shares(scores, low, high).into_iter().enumerate() {
            let top = &mut tops[places.len() * bin / BINS];
            *top = top.max(share);
        }
    }
    let lowest = (1..places.len()).fold(0, |best, place| if tops[place] < tops[best] { place } else { best });
    places.into_iter().nth(lowest).unwrap_or(SeriesLabelPosition::UpperLeft)
}

fn range(plot: &Distributions<'_>) -> Result<(f64, f64)> {
    let scores = || plot.series.iter().flat_map(|(_, scores)| *scores).copied();
    if scores().next().is_none() {
        return Err(Error::value("histogram", "at least one score", "none"));
    }
    let mark = plot.mark.map(|(_, mark)| mark);
    check_finite(|| "histogram".to_owned(), scores().chain(mark))?;
    Ok(bounds(scores(), 0.0))
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
