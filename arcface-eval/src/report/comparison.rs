//! A comparison as a table in Markdown and as a plot of dots.
//! Knows no page and no file.

use std::fmt::Write as _;

use arcface_core::{Error, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::figure_table::markdown_line;
use super::style::{FONT, GRID, TEXT, TITLE, colour, draw, short, shortened};
use crate::comparison::{Comparison, Figure, Row};

const WIDTH: u32 = 760;
const ROW_HEIGHT: u32 = 26;
const NAMES_WIDTH: u32 = 190;
/// Longer names would leave their column of the plot.
const MOST_LETTERS: usize = 26;

/// A comparison as a table in Markdown: a line for each variant, what failed below it.
///
/// Rates are in percent, mean ± sample standard deviation over the seeds; the difference to the reference is in points
/// with its interval, and `beyond noise` holds Holm's p.
pub fn comparison_table(comparison: &Comparison) -> String {
    let columns = columns(comparison);
    let mut text = line(columns.iter().map(|column| column.title.clone()));
    text += &line(columns.iter().map(|column| if column.is_name { "---" } else { "---:" }.to_owned()));
    for row in &comparison.rows {
        text += &line(columns.iter().map(|column| (column.cell)(row)));
    }
    for (name, seed, why) in failures(comparison) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n`{name}`, seed {seed}, failed: {why}");
    }
    text
}

/// Titles and cells of the table.
pub(super) fn grid(comparison: &Comparison) -> (Vec<String>, Vec<Vec<String>>) {
    let columns = columns(comparison);
    let cells = comparison.rows.iter().map(|row| columns.iter().map(|column| (column.cell)(row)).collect());
    (columns.iter().map(|column| column.title.clone()).collect(), cells.collect())
}

/// Name, seed and reason of everything that failed.
pub(super) fn failures(comparison: &Comparison) -> impl Iterator<Item = (&str, u64, &str)> {
    let of_row =
        |row| -> Vec<(&str, u64, &str)> { failed(row).map(|(seed, why)| (row.name.as_str(), seed, why)).collect() };
    comparison.rows.iter().flat_map(of_row)
}

fn failed(row: &Row) -> impl Iterator<Item = (u64, &str)> {
    row.failures.iter().map(|(seed, why)| (*seed, why.as_str()))
}

struct Column<'a> {
    title: String,
    is_name: bool,
    cell: Box<dyn Fn(&Row) -> String + 'a>,
}

impl<'a> Column<'a> {
    fn new(title: impl Into<String>, cell: impl Fn(&Row) -> String + 'a) -> Self {
        Self { title: title.into(), is_name: false, cell: Box::new(cell) }
    }

    fn of_figure(key: &str) -> Self {
        let title = match key {
            "accuracy" => "accuracy, %".to_owned(),
            "accuracy_grid" => "by the grid, %".to_owned(),
            "auc" => "AUC".to_owned(),
            rate => format!("TAR@{}, %", rate.trim_start_matches("tar_at_far_")),
        };
        let key = key.to_owned();
        Self::new(title, move |row| row.figure(&key).map_or("–".to_owned(), spread))
    }
}

/// What is known of at least one row.
fn columns(comparison: &Comparison) -> Vec<Column<'_>> {
    let any = |known: &dyn Fn(&Row) -> bool| comparison.rows.iter().any(known);
    let mut columns = vec![
        Column { is_name: true, ..Column::new(comparison.benchmark.clone(), |row| row.name.clone()) },
        Column::new("seeds", |row| row.seeds.len().to_string()),
    ];
    columns.push(Column::of_figure("accuracy"));
    columns.push(Column::new(format!("− {}", comparison.reference), difference));
    columns.push(Column::new("95 % interval", interval));
    columns.push(Column::new("beyond noise (p)", verdict));
    columns.extend(keys(comparison).iter().map(|key| Column::of_figure(key)));
    if any(&|row| row.published.is_some()) {
        let published = |row: &Row| row.published.map_or("–".to_owned(), |rate| format!("{:.2}", 100.0 * rate));
        columns.push(Column::new("paper", published));
    }
    columns
}

/// The figures beside the accuracy: by the grid, at the two lowest false accept rates that are known, the area.
fn keys(comparison: &Comparison) -> Vec<String> {
    let Some(row) = comparison.rows.iter().find(|row| !row.figures.is_empty()) else { return Vec::new() };
    let mut rates: Vec<&Figure> = row.figures.iter().filter(|figure| figure.key.starts_with("tar_at_far_")).collect();
    rates.sort_by(|a, b| a.key.cmp(&b.key));
    let rates = rates.iter().rev().take(2).rev().map(|figure| figure.key.clone());
    ["accuracy_grid".to_owned()].into_iter().chain(rates).chain(["auc".to_owned()]).collect()
}

fn spread(figure: &Figure) -> String {
    let (factor, digits) = if figure.key == "auc" { (1.0, 4) } else { (100.0, 2) };
    let mean = format!("{:.digits$}", factor * figure.mean);
    figure.deviation.map_or(mean.clone(), |deviation| format!("{mean} ± {:.digits$}", factor * deviation))
}

fn difference(row: &Row) -> String {
    row.difference.as_ref().map_or("–".to_owned(), |difference| points(difference.test.difference))
}

fn interval(row: &Row) -> String {
    let interval = row.difference.as_ref().map(|difference| difference.test.interval);
    interval.map_or("–".to_owned(), |interval| format!("{} to {}", points(interval.low), points(interval.high)))
}

fn verdict(row: &Row) -> String {
    row.difference.as_ref().map_or("–".to_owned(), |difference| {
        let word = if difference.beyond_noise { "yes" } else { "no" };
        let p = difference.p_holm;
        if p < 0.001 { format!("{word} (< 0.001)") } else { format!("{word} ({p:.3})") }
    })
}

/// Points with their sign.
fn points(share: f64) -> String {
    let text = format!("{:+.2}", 100.0 * share);
    // What rounds to nothing has no direction.
    if text.ends_with("0.00") { "0.00".to_owned() } else { text.replace('-', "−") }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    markdown_line(&cells.collect::<Vec<_>>())
}

/// The accuracies of a comparison as SVG: a dot for each seed, a bar at the mean, and a line where the difference to the
/// reference leaves the accuracy, around that of the reference.
///
/// # Errors
/// If no variant has an accuracy.
pub fn comparison_plot(comparison: &Comparison) -> Result<String> {
    let (low, high) = range(comparison)?;
    let rows = comparison.rows.len() as f64;
    draw(WIDTH, 104 + ROW_HEIGHT * comparison.rows.len() as u32, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption(format!("{}: accuracy in %", comparison.benchmark), (FONT, TITLE))
            .margin(12)
            .margin_left(NAMES_WIDTH)
            .x_label_area_size(44)
            // The first row is at the top.
            .build_cartesian_2d(low..high, (rows - 0.5)..-0.5)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .label_style((FONT, TEXT))
            .x_label_formatter(&|accuracy| short(*accuracy))
            .x_desc("dots: seeds; bar: mean; line: 95 % interval of the difference to the vertical line")
            .draw()?;
        if let Some(mean) = accuracy_of_reference(comparison) {
            chart.draw_series([PathElement::new([(mean, -0.5), (mean, rows - 0.5)], BLACK.mix(0.4))])?;
        }
        for (place, row) in comparison.rows.iter().enumerate() {
            draw_row(&mut chart, (low, high), place as f64, row, accuracy_of_reference(comparison))?;
        }
        Ok(())
    })
}

type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn draw_row(
    chart: &mut Chart<'_, '_>,
    (left, right): (f64, f64),
    place: f64,
    row: &Row,
    reference: Option<f64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let anchor = Pos::new(HPos::Right, VPos::Center);
    let style = (FONT, TEXT).into_text_style(chart.plotting_area()).pos(anchor);
    chart.draw_series([
        EmptyElement::at((left, place)) + Text::new(shortened(&row.name, MOST_LETTERS), (-10, 0), style)
    ])?;
    let Some(accuracy) = row.figure("accuracy") else {
        let grey = BLACK.mix(0.6);
        let style = (FONT, TEXT).into_text_style(chart.plotting_area()).color(&grey);
        chart.draw_series([EmptyElement::at((left, place)) + Text::new("failed", (10, -8), style)])?;
        return Ok(());
    };
    let mean = 100.0 * accuracy.mean;
    if let Some((difference, reference)) = row.difference.as_ref().zip(reference) {
        let interval = difference.test.interval;
        let ends = [interval.low, interval.high].map(|end| ((reference + 100.0 * end).clamp(left, right), place));
        chart.draw_series([PathElement::new(ends, colour(0).stroke_width(3))])?;
    }
    let dots = accuracy.values.iter().map(|value| Circle::new((100.0 * value, place), 4, colour(1).filled()));
    chart.draw_series(dots)?;
    chart.draw_series([PathElement::new([(mean, place - 0.35), (mean, place + 0.35)], BLACK.stroke_width(2))])?;
    Ok(())
}

/// In percent.
fn accuracy_of_reference(comparison: &Comparison) -> Option<f64> {
    let row = comparison.rows.iter().find(|row| row.name == comparison.reference)?;
    Some(100.0 * row.figure("accuracy")?.mean)
}

/// From the lowest to the highest of all seeds and intervals; an interval that would squeeze the seeds into a corner is cut.
fn range(comparison: &Comparison) -> Result<(f64, f64)> {
    let figures = comparison.rows.iter().filter_map(|row| row.figure("accuracy"));
    let seeds: Vec<f64> = figures.flat_map(|figure| &figure.values).map(|value| 100.0 * value).collect();
    if seeds.is_empty() {
        return Err(Error::value("accuracies to plot", "at least one", 0));
    }
    let reference = accuracy_of_reference(comparison).unwrap_or_default();
    let intervals = comparison.rows.iter().filter_map(|row| Some(row.difference.as_ref()?.test.interval));
    let ends = intervals.flat_map(|interval| [interval.low, interval.high]).map(|end| reference + 100.0 * end);
    let (low, high) = bounds(seeds.iter().copied());
    let (lowest, highest) = bounds(seeds.iter().copied().chain(ends));
    let most = (high - low).max(1.0);
    let air = 0.05 * most;
    Ok((lowest.max(low - most) - air, highest.min(high + most) + air))
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}
