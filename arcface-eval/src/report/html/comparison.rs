//! A comparison as one HTML page that needs nothing else: tables, plots, how to read them.
//! Knows no file and no network.

use arcface_core::Result;

use super::pairs::image;
use super::text::escaped;
use super::{Plot, ShownFace, facts, folded, frame, plots};
use crate::comparison::Comparison;
use crate::report::FigureTable;
use crate::report::comparison::{comparison_plot, failures, grid};

/// What a page about several ways to train shows; what is empty is left out.
#[derive(Debug, Clone, Default)]
pub struct ComparisonPage<'a> {
    /// The name of it.
    pub title: &'a str,
    /// What it is, in a sentence.
    pub lead: &'a str,
    /// One for each benchmark.
    pub comparisons: &'a [Comparison],
    /// Figures of other kinds.
    pub tables: &'a [FigureTable],
    /// Faces by which variants differ.
    pub faces: &'a [FaceRows],
    /// Everything else worth knowing: name and value.
    pub facts: &'a [(&'a str, String)],
    /// Texts to be unfolded, such as the configurations: name and text.
    pub texts: &'a [(&'a str, &'a str)],
}

/// Faces in rows, one for each variant.
#[derive(Debug, Clone, Default)]
pub struct FaceRows {
    /// What they are.
    pub title: String,
    /// The name of each row, and its faces.
    pub rows: Vec<(String, Vec<ShownFace>)>,
}

const READING: &str = "Mean ± sample standard deviation over the seeds, rates in percent. A difference is in points, \
    with the 95 % interval of a test that is paired over seeds and pairs; it is beyond noise where its p value, corrected \
    for the number of comparisons (Holm), is below 0.05. With one seed the test speaks of these networks alone.";

/// The page as HTML: plots are part of it, nothing is fetched, no script runs, every text is escaped.
///
/// ```
/// use arcface_eval::report::{ComparisonPage, comparison_html};
/// let page = comparison_html(&ComparisonPage { title: "losses", lead: "a < b", ..ComparisonPage::default() })?;
/// assert!(page.contains("a &lt; b"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If a plot cannot be drawn, or a picture is neither PNG nor JPEG.
pub fn comparison_html(page: &ComparisonPage<'_>) -> Result<String> {
    let mut main = String::new();
    for comparison in page.comparisons {
        main += &section(comparison)?;
    }
    page.tables.iter().for_each(|table| main += &table.html());
    for rows in page.faces {
        main += &faces(rows)?;
    }
    main += &facts(page.facts);
    page.texts.iter().for_each(|(name, text)| main += &folded(name, text));
    Ok(frame(page.title, page.lead, &main))
}

fn section(comparison: &Comparison) -> Result<String> {
    let heading = escaped(&comparison.benchmark);
    let (table, failed, plot) = (table(comparison), failed(comparison), plot(comparison)?);
    Ok(format!(
        "<section>\n<h2>{heading}</h2>\n<div class=\"wide\">\n{table}</div>\n{failed}<p class=\"note\">{READING}</p>\n\
         </section>\n{plot}"
    ))
}

fn faces(faces: &FaceRows) -> Result<String> {
    let rows = faces.rows.iter().map(|(name, faces)| {
        let pictures = faces.iter().map(image).collect::<Result<String>>()?;
        Ok(format!("<tr><th scope=\"row\">{}</th><td>{pictures}</td></tr>\n", escaped(name)))
    });
    Ok(format!(
        "<section>\n<h2>{}</h2>\n<div class=\"wide\">\n<table class=\"faces\">\n<tbody>\n{}</tbody>\n</table>\n</div>\n\
         </section>\n",
        escaped(&faces.title),
        rows.collect::<Result<String>>()?
    ))
}

fn failed(comparison: &Comparison) -> String {
    let item = |(name, seed, why)| format!("<li>{}, seed {seed}, failed: {}</li>\n", escaped(name), escaped(why));
    let items: String = failures(comparison).map(item).collect();
    if items.is_empty() { items } else { format!("<ul class=\"note\">\n{items}</ul>\n") }
}

/// Without an accuracy there is nothing to draw.
fn plot(comparison: &Comparison) -> Result<String> {
    if comparison.rows.iter().all(|row| row.figures.is_empty()) {
        return Ok(String::new());
    }
    let caption = format!("Accuracies on {}, seed by seed", comparison.benchmark);
    plots(&[Plot { caption: &caption, svg: &comparison_plot(comparison)? }])
}

fn table(comparison: &Comparison) -> String {
    let (titles, rows) = grid(comparison);
    let title = |title: &String| format!("<th scope=\"col\">{}</th>", escaped(title));
    let titles: String = titles.iter().map(title).collect();
    let rows: String = rows.iter().map(|cells| row(cells)).collect();
    format!("<table class=\"figures\">\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n")
}

fn row(cells: &[String]) -> String {
    let Some((name, rest)) = cells.split_first() else { return String::new() };
    let cell = |cell: &String| format!("<td>{}</td>", escaped(cell));
    let rest: String = rest.iter().map(cell).collect();
    format!("<tr><th scope=\"row\">{}</th>{rest}</tr>\n", escaped(name))
}
